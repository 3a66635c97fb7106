/* Keys by number. */
#include "bench/volume.h"
#include <stdio.h>

/* The finish of splitmix64. */
uint64_t volume_mix(uint64_t n) {
    n += 0x9e3779b97f4a7c15;
    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9;
    n = (n ^ n >> 27) * 0x94d049bb133111eb;
    return n ^ n >> 31;
}

void volume_key(uint64_t n, struct volume_key *ret) {
    uint64_t from = 0, to = VOLUME_LEVEL;
    while (n >= to) from = to, to *= 10;
    uint64_t step = UINT64_MAX / ((to - from) / VOLUME_PARTITIONS), mixed = volume_mix(n);
    uint64_t at = (n - from) / VOLUME_PARTITIONS * step + mixed % step;
    snprintf(ret->pk, sizeof ret->pk, "shop-%02d", (int)(n % VOLUME_PARTITIONS));
    snprintf(ret->sk, sizeof ret->sk, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(at >> 32),
             (unsigned)(at >> 16 & 0xffff), (unsigned)(at >> 4 & 0xfff), (unsigned)(mixed >> 48 & 0xfff),
             (unsigned long long)mixed & 0xffffffffffff);
}
