/* The digests of an object, made while its bytes pass. */
#include "base/crypto.h"
#include "local/s3/s3.h"

static struct str encoded(struct arena *a, const void *digest, size_t n) {
    struct buf b = BUF_MAX(128);
    crypto_base64(&b, str_n(digest, n));
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

void s3_sums_begin(struct s3_sums *s, const bool wanted[S3_CHECKSUMS]) {
    *s = (struct s3_sums){.md5 = crypto_digest_new("md5"), .crc = wanted[0]};
    if (wanted[1]) s->sha1 = crypto_digest_new("sha1");
    if (wanted[2]) s->sha256 = crypto_digest_new("sha256");
}

void s3_sums_add(struct s3_sums *s, struct str data) {
    crypto_digest_add(s->md5, data);
    if (s->crc) s->crc32 = crypto_crc32_add(s->crc32, data);
    if (s->sha1) crypto_digest_add(s->sha1, data);
    if (s->sha256) crypto_digest_add(s->sha256, data);
}

static struct str end_digest(struct crypto_digest **d, struct arena *a) {
    uint8_t out[32];
    if (!*d) return STR_NONE;
    size_t n = crypto_digest_end(*d, out);
    *d = NULL;
    return a ? encoded(a, out, n) : STR_NONE;
}

void s3_sums_end(struct s3_sums *s, struct arena *a, uint8_t ret_md5[16], struct str ret[S3_CHECKSUMS]) {
    uint8_t crc[4], md5[32];
    for (int i = 0; i < 4; i++) crc[i] = (uint8_t)(s->crc32 >> (24 - 8 * i));
    ret[0] = s->crc ? encoded(a, crc, sizeof crc) : STR_NONE;
    ret[1] = end_digest(&s->sha1, a);
    ret[2] = end_digest(&s->sha256, a);
    crypto_digest_end(s->md5, md5);
    s->md5 = NULL;
    for (int i = 0; i < 16; i++) ret_md5[i] = md5[i];
}

void s3_sums_drop(struct s3_sums *s) {
    end_digest(&s->md5, NULL);
    end_digest(&s->sha1, NULL);
    end_digest(&s->sha256, NULL);
}
