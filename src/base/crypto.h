/* crypto: hashes, MACs, random bytes, text codings, UUIDs. crypto.c is the only file that includes OpenSSL. */
#ifndef PERIGEE_BASE_CRYPTO_H
#define PERIGEE_BASE_CRYPTO_H
#include "base/buf.h"

void crypto_sha256(struct str data, uint8_t out[32]);
void crypto_sha1(struct str data, uint8_t out[20]);
void crypto_md5(struct str data, uint8_t out[16]);
void crypto_hmac_sha256(struct str key, struct str data, uint8_t out[32]);
void crypto_hmac_sha1(struct str key, struct str data, uint8_t out[20]);
uint32_t crypto_crc32(struct str data);
/* Streaming digest. kind: "md5", "sha1", "sha256". */
struct crypto_digest;
struct crypto_digest *crypto_digest_new(const char *kind);
void crypto_digest_add(struct crypto_digest *d, struct str data);
size_t crypto_digest_end(struct crypto_digest *d, uint8_t out[32]); /* frees d, returns the length */
void crypto_random(void *out, size_t n);
bool crypto_equal(struct str a, struct str b);             /* time depends on the lengths only */
void crypto_hex(struct buf *b, struct str data);           /* lower case */
void crypto_hex_to(char *out, const uint8_t *p, size_t n); /* 2n characters, no NUL */
bool crypto_unhex(struct buf *b, struct str text);
void crypto_base64(struct buf *b, struct str data);    /* RFC 4648 4, padded */
bool crypto_unbase64(struct buf *b, struct str text);  /* strict: padding required, no white space */
void crypto_base64url(struct buf *b, struct str data); /* RFC 4648 5, unpadded */
bool crypto_unbase64url(struct buf *b, struct str text);
/* RFC 9562 5.7: 36 characters + NUL. Ascends within a process, also within one millisecond. */
void crypto_uuid7(int64_t unix_ms, char out[37]);
void crypto_uuid4(char out[37]);
void crypto_uuid_text(uint64_t high, uint64_t low, char out[37]); /* 128 bits as the text of a UUID */

#endif
