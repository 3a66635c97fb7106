/* volume: what perigee_volume_fill puts into a store and perigee_volume_load asks for: items, messages and objects by
 * number, so that the second knows what the first made. */
#ifndef PERIGEE_BENCH_VOLUME_H
#define PERIGEE_BENCH_VOLUME_H
#include <stdint.h>

enum { VOLUME_PARTITIONS = 100, VOLUME_LEVEL = 10000 };
#define VOLUME_NOTE "Espresso machine, chrome, to be left with the neighbours when nobody is at home, please ring twice"

struct volume_key {
    char pk[16], sk[40];
};

/* The n-th item's key: one of VOLUME_PARTITIONS partition keys, and a sort key that looks like a random UUID. Items are
 * made in levels, up to 10^4, 10^5, ...; within one, a partition's sort keys ascend with n, spread over all there are:
 * many can be written fast in that order, and the next level falls between them. */
void volume_key(uint64_t n, struct volume_key *ret);
/* A well mixed function of n. */
uint64_t volume_mix(uint64_t n);

#endif
