/* The digests of an object, made while its bytes pass. */
#include "base/crypto.h"
#include "local/s3/s3.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* == CRCs of up to 64 bits, reflected, all ones before and after: eight bytes a step ================================
 */

struct crc_table {
    uint64_t ones, rows[8][256];
};
struct s3_crc {
    const struct crc_table *table;
    uint64_t value;
};

/* The polynomials, reflected. */
enum { CRC32C = 0x82F63B78 /* RFC 3720 B.4 */ };
#define CRC64NVME UINT64_C(0x9A6C9329AC4BC9B5) /* NVM Command Set 1.0, 5.2.1.3.4 */

static struct crc_table crc32c, crc64nvme; /* made once, constant from then on */
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void make_table(struct crc_table *t, uint64_t poly, uint64_t ones) {
    t->ones = ones;
    for (unsigned i = 0; i < 256; i++) {
        uint64_t v = i;
        for (int bit = 0; bit < 8; bit++) v = v >> 1 ^ (v & 1 ? poly : 0);
        t->rows[0][i] = v;
    }
    for (unsigned i = 0; i < 256; i++)
        for (int k = 1; k < 8; k++) t->rows[k][i] = t->rows[k - 1][i] >> 8 ^ t->rows[0][t->rows[k - 1][i] & 255];
}

static void make_tables(void) {
    make_table(&crc32c, CRC32C, UINT32_MAX);
    make_table(&crc64nvme, CRC64NVME, UINT64_MAX);
}

static struct s3_crc *crc_new(const struct crc_table *t) {
    struct s3_crc *c = malloc(sizeof *c);
    if (!c) fatal("out of memory");
    pthread_once(&tables_once, make_tables);
    *c = (struct s3_crc){t, t->ones};
    return c;
}

static uint64_t little_endian(const char *p) {
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return v;
}

static void crc_add(struct s3_crc *c, struct str data) {
    const uint64_t(*rows)[256] = c->table->rows;
    uint64_t v = c->value;
    for (; data.n >= 8; data = str_n(data.p + 8, data.n - 8)) {
        uint64_t x = v ^ little_endian(data.p);
        v = 0;
        for (int k = 0; k < 8; k++) v ^= rows[7 - k][x >> (8 * k) & 255];
    }
    for (size_t i = 0; i < data.n; i++) v = v >> 8 ^ rows[0][(v ^ (unsigned char)data.p[i]) & 255];
    c->value = v;
}

/* == all ============================================================================================================
 */

struct str s3_base64(struct arena *a, const void *digest, size_t n) {
    struct buf b = BUF_MAX(128);
    crypto_base64(&b, str_n(digest, n));
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

static struct str big_endian(struct arena *a, uint64_t v, size_t n) {
    uint8_t d[8];
    for (size_t i = 0; i < n; i++) d[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
    return s3_base64(a, d, n);
}

void s3_sums_begin(struct s3_sums *s, const bool wanted[S3_CHECKSUMS]) {
    *s = (struct s3_sums){.md5 = crypto_digest_new("md5"), .crc = wanted[S3_CRC32]};
    if (wanted[S3_CRC32C]) s->crc32c = crc_new(&crc32c);
    if (wanted[S3_CRC64NVME]) s->crc64 = crc_new(&crc64nvme);
    if (wanted[S3_SHA1]) s->sha1 = crypto_digest_new("sha1");
    if (wanted[S3_SHA256]) s->sha256 = crypto_digest_new("sha256");
}

void s3_sums_add(struct s3_sums *s, struct str data) {
    crypto_digest_add(s->md5, data);
    if (s->crc) s->crc32 = crypto_crc32_add(s->crc32, data);
    if (s->crc32c) crc_add(s->crc32c, data);
    if (s->crc64) crc_add(s->crc64, data);
    if (s->sha1) crypto_digest_add(s->sha1, data);
    if (s->sha256) crypto_digest_add(s->sha256, data);
}

static struct str end_digest(struct crypto_digest **d, struct arena *a) {
    uint8_t out[32];
    if (!*d) return STR_NONE;
    size_t n = crypto_digest_end(*d, out);
    *d = NULL;
    return a ? s3_base64(a, out, n) : STR_NONE;
}

static struct str end_crc(struct s3_crc **c, struct arena *a, size_t n) {
    struct str s = *c && a ? big_endian(a, (*c)->value ^ (*c)->table->ones, n) : STR_NONE;
    free(*c);
    *c = NULL;
    return s;
}

void s3_sums_end(struct s3_sums *s, struct arena *a, uint8_t ret_md5[16], struct str ret[S3_CHECKSUMS]) {
    uint8_t md5[32];
    ret[S3_CRC32] = s->crc ? big_endian(a, s->crc32, 4) : STR_NONE;
    ret[S3_CRC32C] = end_crc(&s->crc32c, a, 4);
    ret[S3_CRC64NVME] = end_crc(&s->crc64, a, 8);
    ret[S3_SHA1] = end_digest(&s->sha1, a);
    ret[S3_SHA256] = end_digest(&s->sha256, a);
    crypto_digest_end(s->md5, md5);
    s->md5 = NULL;
    memcpy(ret_md5, md5, 16);
}

void s3_sums_drop(struct s3_sums *s) {
    end_crc(&s->crc32c, NULL, 0);
    end_crc(&s->crc64, NULL, 0);
    end_digest(&s->md5, NULL);
    end_digest(&s->sha1, NULL);
    end_digest(&s->sha256, NULL);
}
