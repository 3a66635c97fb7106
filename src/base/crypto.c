/* The low-level digests of OpenSSL: what replaced them fetches the algorithm by name at each call, which takes ten
 * times as long as the digest of a short text. */
#define OPENSSL_API_COMPAT 0x10100000L
#include "base/crypto.h"
#include "base/lazy.h"
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/md5.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <zlib.h>

LAZY_LIBRARY(libcrypto, "libcrypto.so.3", "a digest or signature");
LAZY(libcrypto, int, SHA256_Init, (SHA256_CTX * c), (c))
LAZY(libcrypto, int, SHA256_Update, (SHA256_CTX * c, const void *p, size_t n), (c, p, n))
LAZY(libcrypto, int, SHA256_Final, (unsigned char *out, SHA256_CTX *c), (out, c))
LAZY(libcrypto, int, MD5_Init, (MD5_CTX * c), (c))
LAZY(libcrypto, int, MD5_Update, (MD5_CTX * c, const void *p, size_t n), (c, p, n))
LAZY(libcrypto, int, MD5_Final, (unsigned char *out, MD5_CTX *c), (out, c))
LAZY(libcrypto, const EVP_MD *, EVP_md5, (void), ())
LAZY(libcrypto, const EVP_MD *, EVP_sha1, (void), ())
LAZY(libcrypto, const EVP_MD *, EVP_sha256, (void), ())
LAZY(libcrypto, const char *, EVP_MD_get0_name, (const EVP_MD *md), (md))
LAZY(libcrypto, int, EVP_MD_get_size, (const EVP_MD *md), (md))
LAZY(libcrypto, EVP_MD_CTX *, EVP_MD_CTX_new, (void), ())
LAZY(libcrypto, void, EVP_MD_CTX_free, (EVP_MD_CTX * c), (c))
LAZY(libcrypto, int, EVP_Digest,
     (const void *p, size_t n, unsigned char *out, unsigned *ret_n, const EVP_MD *md, ENGINE *engine),
     (p, n, out, ret_n, md, engine))
LAZY(libcrypto, int, EVP_DigestInit_ex, (EVP_MD_CTX * c, const EVP_MD *md, ENGINE *engine), (c, md, engine))
LAZY(libcrypto, int, EVP_DigestUpdate, (EVP_MD_CTX * c, const void *p, size_t n), (c, p, n))
LAZY(libcrypto, int, EVP_DigestFinal_ex, (EVP_MD_CTX * c, unsigned char *out, unsigned *ret_n), (c, out, ret_n))

LAZY_LIBRARY(libz, "libz.so.1", "a CRC-32");
LAZY(libz, uLong, crc32_z, (uLong crc, const Bytef *p, z_size_t n), (crc, p, n))

int crypto_load(struct err *e) {
    return lazy_load(&libcrypto, e) || lazy_load(&libz, e) ? -1 : 0;
}

/* ==== digests ==== */

static void digest(const EVP_MD *md, struct str data, uint8_t *out) {
    if (!EVP_Digest(data.p, data.n, out, NULL, md, NULL)) fatal("the %s digest failed", EVP_MD_get0_name(md));
}

void crypto_sha256(struct str data, uint8_t out[32]) {
    SHA256_CTX c;
    if (!SHA256_Init(&c) || !SHA256_Update(&c, data.p, data.n) || !SHA256_Final(out, &c))
        fatal("the SHA256 digest failed");
}

void crypto_sha1(struct str data, uint8_t out[20]) {
    digest(EVP_sha1(), data, out);
}

void crypto_md5(struct str data, uint8_t out[16]) {
    MD5_CTX c;
    if (!MD5_Init(&c) || !MD5_Update(&c, data.p, data.n) || !MD5_Final(out, &c)) fatal("the MD5 digest failed");
}

/* The context is owned by the digest in progress; crypto_digest_end frees it. */
struct crypto_digest *crypto_digest_new(const char *kind) {
    const EVP_MD *md = !strcmp(kind, "md5")      ? EVP_md5()
                       : !strcmp(kind, "sha1")   ? EVP_sha1()
                       : !strcmp(kind, "sha256") ? EVP_sha256()
                                                 : NULL;
    if (!md) fatal("unknown digest '%s'", kind);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    if (!ctx || !EVP_DigestInit_ex(ctx, md, NULL)) fatal("the %s digest failed", kind);
    return (struct crypto_digest *)ctx;
}

void crypto_digest_add(struct crypto_digest *d, struct str data) {
    if (!EVP_DigestUpdate((EVP_MD_CTX *)d, data.p, data.n)) fatal("a digest failed");
}

size_t crypto_digest_end(struct crypto_digest *d, uint8_t out[32]) {
    unsigned n = 0;
    if (!EVP_DigestFinal_ex((EVP_MD_CTX *)d, out, &n)) fatal("a digest failed");
    EVP_MD_CTX_free((EVP_MD_CTX *)d);
    return n;
}

_Static_assert(sizeof(SHA256_CTX) <= sizeof((struct crypto_hmac *)0)->inner, "a SHA256_CTX fits");

static void sha256_state(SHA256_CTX *c, const uint8_t block[64]) {
    if (!SHA256_Init(c) || !SHA256_Update(c, block, 64)) fatal("the SHA256 digest failed");
}

void crypto_hmac_key(struct crypto_hmac *h, struct str key) {
    uint8_t block[64] = {0};
    if (key.n > sizeof block)
        crypto_sha256(key, block);
    else if (key.n)
        memcpy(block, key.p, key.n);
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36;
    sha256_state((SHA256_CTX *)h->inner, block);
    for (size_t i = 0; i < sizeof block; i++) block[i] ^= 0x36 ^ 0x5c;
    sha256_state((SHA256_CTX *)h->outer, block);
    explicit_bzero(block, sizeof block);
}

void crypto_hmac_sum(const struct crypto_hmac *h, struct str data, uint8_t out[32]) {
    SHA256_CTX c;
    memcpy(&c, h->inner, sizeof c);
    if (!SHA256_Update(&c, data.p, data.n) || !SHA256_Final(out, &c)) fatal("the SHA256 digest failed");
    memcpy(&c, h->outer, sizeof c);
    if (!SHA256_Update(&c, out, 32) || !SHA256_Final(out, &c)) fatal("the SHA256 digest failed");
}

void crypto_hmac_wipe(struct crypto_hmac *h) {
    explicit_bzero(h, sizeof *h);
}

/* RFC 2104, for digests with blocks of 64 bytes. */
static void hmac(const EVP_MD *md, struct str key, struct str data, uint8_t *out) {
    uint8_t inner[64] = {0}, outer[64], sum[EVP_MAX_MD_SIZE];
    unsigned n = (unsigned)EVP_MD_get_size(md);
    if (key.n > sizeof inner)
        digest(md, key, inner);
    else if (key.n)
        memcpy(inner, key.p, key.n);
    for (size_t i = 0; i < sizeof inner; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, md, NULL) && EVP_DigestUpdate(ctx, inner, sizeof inner) &&
              EVP_DigestUpdate(ctx, data.p, data.n) && EVP_DigestFinal_ex(ctx, sum, NULL) &&
              EVP_DigestInit_ex(ctx, md, NULL) && EVP_DigestUpdate(ctx, outer, sizeof outer) &&
              EVP_DigestUpdate(ctx, sum, n) && EVP_DigestFinal_ex(ctx, out, NULL);
    EVP_MD_CTX_free(ctx);
    explicit_bzero(inner, sizeof inner);
    explicit_bzero(outer, sizeof outer);
    if (!ok) fatal("HMAC with %s failed", EVP_MD_get0_name(md));
}

void crypto_hmac_sha256(struct str key, struct str data, uint8_t out[32]) {
    struct crypto_hmac h;
    crypto_hmac_key(&h, key);
    crypto_hmac_sum(&h, data, out);
    crypto_hmac_wipe(&h);
}

void crypto_hmac_sha1(struct str key, struct str data, uint8_t out[20]) {
    hmac(EVP_sha1(), key, data, out);
}

/* zlib reads eight bytes at a time. */
uint32_t crypto_crc32_add(uint32_t crc, struct str data) {
    return data.n ? (uint32_t)crc32_z(crc, (const unsigned char *)data.p, data.n) : crc;
}

uint32_t crypto_crc32(struct str data) {
    return crypto_crc32_add(0, data);
}

bool crypto_equal(struct str a, struct str b) {
    volatile uint8_t differ = 0;
    for (size_t i = 0; a.n == b.n && i < a.n; i++) differ |= (uint8_t)(a.p[i] ^ b.p[i]);
    return a.n == b.n && !differ;
}

/* ==== random bytes and UUIDs ==== */

static _Thread_local struct crypto_source *source;

struct crypto_source *crypto_use(struct crypto_source *s) {
    struct crypto_source *former = source;
    source = s;
    return former;
}

/* splitmix64 spreads the seed, as the authors of xoshiro advise. */
struct crypto_source crypto_source(uint64_t seed) {
    struct crypto_source s = {0};
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        s.state[i] = z ^ (z >> 31);
    }
    return s;
}

static uint64_t turn_left(uint64_t v, int bits) {
    return v << bits | v >> (64 - bits);
}

static uint64_t source_next(uint64_t s[4]) {
    uint64_t value = turn_left(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = turn_left(s[3], 45);
    return value;
}

static void random_of_source(uint8_t *out, size_t n) {
    for (size_t part; n; n -= part, out += part) {
        uint64_t v = source_next(source->state);
        part = n < sizeof v ? n : sizeof v;
        memcpy(out, &v, part);
    }
}

void crypto_random(void *out, size_t n) {
    uint8_t *p = out;
    if (source) {
        random_of_source(out, n);
        return;
    }
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fatal("getrandom: %s", strerror(errno));
        p += got;
        n -= (size_t)got;
    }
}

static void write_uuid(const uint8_t id[16], char out[37]) {
    static const size_t groups[] = {4, 2, 2, 2, 6};
    for (size_t g = 0; g < 5; g++) {
        if (g) *out++ = '-';
        crypto_hex_to(out, id, groups[g]);
        out += 2 * groups[g];
        id += groups[g];
    }
    *out = '\0';
}

void crypto_uuid_text(uint64_t high, uint64_t low, char out[37]) {
    uint8_t id[16];
    for (int i = 0; i < 8; i++) {
        id[i] = (uint8_t)(high >> (56 - 8 * i));
        id[8 + i] = (uint8_t)(low >> (56 - 8 * i));
    }
    write_uuid(id, out);
}

/* Random bytes of ids: fetched for many at once, each byte used once. A process that forks would have them twice; ours
 * never goes on after fork. */
static void random_of_id(void *out, size_t n) {
    static _Thread_local uint8_t ahead[512];
    static _Thread_local size_t left;
    if (source) {
        crypto_random(out, n);
        return;
    }
    if (left < n) {
        crypto_random(ahead, sizeof ahead);
        left = sizeof ahead;
    }
    left -= n;
    memcpy(out, ahead + left, n);
    explicit_bzero(ahead + left, n);
}

void crypto_uuid4(char out[37]) {
    uint8_t id[16];
    random_of_id(id, sizeof id);
    id[6] = (id[6] & 0x0f) | 0x40;
    id[8] = (id[8] & 0x3f) | 0x80;
    write_uuid(id, out);
}

/* RFC 9562 6.2, method 2: within one millisecond the random part counts up by a random step, so that ids ascend and
 * still cannot be guessed. What was last is process-wide because the promise is; a clock that steps back keeps the last
 * time.
 */
static void next_id(struct crypto_last *last, uint64_t ms, const uint64_t random[2]) {
    if (ms > last->ms) {
        last->ms = ms;
        last->high = random[0] & 0x7ff; /* the top bit is room to count */
        last->low = random[1] >> 2;
    } else {
        last->low += (random[1] & 0xffffffff) + 1;
        last->high += last->low >> 62;
        last->low &= 0x3fffffffffffffff;
        last->ms += last->high >> 12;
        last->high &= 0xfff;
    }
}

void crypto_uuid7(int64_t unix_ms, char out[37]) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct crypto_last of_process;
    struct crypto_last id;
    uint64_t random[2], ms = unix_ms < 0 ? 0 : (uint64_t)unix_ms & 0xffffffffffff;
    random_of_id(random, sizeof random);
    if (source) {
        next_id(&source->last, ms, random);
        id = source->last;
    } else {
        pthread_mutex_lock(&lock);
        next_id(&of_process, ms, random);
        id = of_process;
        pthread_mutex_unlock(&lock);
    }
    crypto_uuid_text(id.ms << 16 | 0x7000 | id.high, (uint64_t)1 << 63 | id.low, out);
}
