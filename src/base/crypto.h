/* crypto: hashes, MACs, random bytes, text codings, UUIDs. crypto.c is the only file that includes OpenSSL. */
#ifndef PERIGEE_BASE_CRYPTO_H
#define PERIGEE_BASE_CRYPTO_H
#include "base/buf.h"

/* The libraries, now; else the first call of a function that needs them ends the process. UNAVAILABLE. */
int crypto_load(struct err *e);
void crypto_sha256(struct str data, uint8_t out[32]);
void crypto_sha1(struct str data, uint8_t out[20]);
void crypto_md5(struct str data, uint8_t out[16]);
void crypto_hmac_sha256(struct str key, struct str data, uint8_t out[32]);
void crypto_hmac_sha1(struct str key, struct str data, uint8_t out[20]);
/* A keyed HMAC-SHA256 state: the two midstates of RFC 2104, so that a MAC under a known key costs no key set-up. Holds
 * what signs: wipe it with crypto_hmac_wipe. */
struct crypto_hmac {
    _Alignas(8) unsigned char inner[112], outer[112]; /* SHA256_CTX */
};
void crypto_hmac_key(struct crypto_hmac *h, struct str key);
void crypto_hmac_sum(const struct crypto_hmac *h, struct str data, uint8_t out[32]);
void crypto_hmac_wipe(struct crypto_hmac *h);
uint32_t crypto_crc32(struct str data);
uint32_t crypto_crc32_add(uint32_t crc, struct str data); /* crc: of what came before, 0 at first */
/* Streaming digest. kind: "md5", "sha1", "sha256". */
struct crypto_digest;
struct crypto_digest *crypto_digest_new(const char *kind);
void crypto_digest_add(struct crypto_digest *d, struct str data);
size_t crypto_digest_end(struct crypto_digest *d, uint8_t out[32]); /* frees d, returns the length */
void crypto_random(void *out, size_t n);
/* Where the random bytes and ids of a thread come from while it is in use: a function of the seed, for simulated hosts
 * whose every run is to be the same. Whoever knows the seed knows all of them: never in what serves others. May be
 * copied, and goes on from there twice. */
struct crypto_source {
    uint64_t state[4]; /* xoshiro256**, D. Blackman and S. Vigna */
    struct crypto_last {
        uint64_t ms, high, low; /* 48, 12 and 62 bits of the last UUID */
    } last;
};
struct crypto_source crypto_source(uint64_t seed);
/* Of this thread, from now on; NULL: the system's. Returns the former one. */
struct crypto_source *crypto_use(struct crypto_source *s);
bool crypto_equal(struct str a, struct str b);             /* time depends on the lengths only */
void crypto_hex(struct buf *b, struct str data);           /* lower case */
void crypto_hex_to(char *out, const uint8_t *p, size_t n); /* 2n characters, no NUL */
bool crypto_unhex(struct buf *b, struct str text);
void crypto_base64(struct buf *b, struct str data);    /* RFC 4648 4, padded */
bool crypto_unbase64(struct buf *b, struct str text);  /* strict: padding required, no white space */
void crypto_base64url(struct buf *b, struct str data); /* RFC 4648 5, unpadded */
bool crypto_unbase64url(struct buf *b, struct str text);
/* RFC 9562 5.7: 36 characters + NUL. Ascends within a process (or a source), also within one millisecond. */
void crypto_uuid7(int64_t unix_ms, char out[37]);
void crypto_uuid4(char out[37]);
void crypto_uuid_text(uint64_t high, uint64_t low, char out[37]); /* 128 bits as the text of a UUID */

#endif
