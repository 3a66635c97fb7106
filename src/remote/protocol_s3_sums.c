/* Source: S3 User Guide, "Checking object integrity". SHA-512, MD5 and the XXHash sums that objects may carry besides
 * are neither sent nor checked. */
#include "base/crypto.h"
#include "remote/wire_s3.h"

static const struct s3_sum_row rows[S3_SUMS] = {
    [S3_CRC32] = {"CRC32", "ChecksumCRC32", "x-amz-checksum-crc32"},
    [S3_CRC32C] = {"CRC32C", "ChecksumCRC32C", "x-amz-checksum-crc32c"},
    [S3_CRC64NVME] = {"CRC64NVME", "ChecksumCRC64NVME", "x-amz-checksum-crc64nvme"},
    [S3_SHA1] = {"SHA1", "ChecksumSHA1", "x-amz-checksum-sha1"},
    [S3_SHA256] = {"SHA256", "ChecksumSHA256", "x-amz-checksum-sha256"},
};

const struct s3_sum_row *s3_sum_row(enum s3_sum sum) {
    return &rows[sum];
}

/* Reflected CRC of up to 64 bits, all ones before and after. poly: reflected. */
static uint64_t crc(uint64_t poly, uint64_t ones, struct str data) {
    uint64_t table[256], v = ones;
    for (unsigned i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? poly : 0);
    }
    for (size_t i = 0; i < data.n; i++) v = v >> 8 ^ table[(v ^ (unsigned char)data.p[i]) & 0xff];
    return v ^ ones;
}

static struct str big_endian(struct arena *a, uint64_t v, size_t n) {
    uint8_t d[8];
    for (size_t i = 0; i < n; i++) d[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    return wire_base64(a, d, n);
}

struct str s3_sum(struct arena *a, enum s3_sum sum, struct str data) {
    uint8_t d[32];
    switch (sum) {
    case S3_CRC32:
        return wire_base64_crc32(a, crypto_crc32(data));
    case S3_CRC32C:
        return big_endian(a, crc(0x82F63B78, UINT32_MAX, data), 4); /* RFC 3720 B.4 */
    case S3_CRC64NVME:
        return big_endian(a, crc(0x9A6C9329AC4BC9B5, UINT64_MAX, data), 8); /* NVM Command Set 1.0, 5.2.1.3.4 */
    case S3_SHA1:
        crypto_sha1(data, d);
        return wire_base64(a, d, 20);
    case S3_SHA256:
        crypto_sha256(data, d);
        return wire_base64(a, d, 32);
    case S3_SUMS:
        break;
    }
    return STR_NONE;
}
