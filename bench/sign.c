/* Signatures per second: ours with a warm and with a cold key, presigned links, verification, each against the limit:
 * OpenSSL's bare SHA-256 and HMAC chain over the very same strings under a prepared key. Rounds of all alternate; the
 * figures are medians of the rounds. See bench/README.md.
 *
 *   perigee_sign [--rounds N] [--ms N] [--only ROW] [--vector]
 *
 * --vector prints the request as JSON, for other signers (bench/aws_sign.py, bench/aws_sign.js). */
#define OPENSSL_API_COMPAT 0x10100000L
#include "sign/sign.h"
#include "base/now.h"
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROUNDS_MAX = 101, BATCH = 1000 };

static const struct sign_credentials credentials = {
    {"AKIDEXAMPLE", 11}, {"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", 40}, {NULL, 0}};
static const struct sign_scope dynamodb = {{"us-east-1", 9}, {"dynamodb", 8}, 1795325400000};
static const struct sign_scope s3 = {{"us-east-1", 9}, {"s3", 2}, 1795325400000};
static const struct http_header headers[] = {
    {{"host", 4}, {"dynamodb.us-east-1.amazonaws.com", 32}},
    {{"content-type", 12}, {"application/x-amz-json-1.0", 26}},
    {{"x-amz-target", 12}, {"DynamoDB_20120810.PutItem", 25}},
    {{"x-amz-date", 10}, {"20261122T053000Z", 16}},
};

struct job {
    struct str body;
    struct buf out;
    struct sign_key_cache cache;
    struct arena arena;
    struct http_request signed_request; /* for verification */
    struct http_header signed_headers[5];
    struct str canonical, text; /* of the header signature, for the limit */
    struct str link_canonical, link_text;
    SHA256_CTX inner, outer;
    uint8_t sink;
};

/* ==== the limit ==== */

static void sha256(struct str s, uint8_t out[32]) {
    SHA256_CTX c;
    SHA256_Init(&c);
    SHA256_Update(&c, s.p, s.n);
    SHA256_Final(out, &c);
}

static void bare_mac(struct job *j, struct str text) {
    uint8_t mac[32];
    SHA256_CTX c = j->inner;
    SHA256_Update(&c, text.p, text.n);
    SHA256_Final(mac, &c);
    c = j->outer;
    SHA256_Update(&c, mac, sizeof mac);
    SHA256_Final(mac, &c);
    j->sink ^= mac[0];
}

static void bare_header(struct job *j) {
    uint8_t hash[32];
    sha256(j->body, hash);
    j->sink ^= hash[0];
    sha256(j->canonical, hash);
    j->sink ^= hash[0];
    bare_mac(j, j->text);
}

static void bare_link(struct job *j) {
    uint8_t hash[32];
    sha256(j->link_canonical, hash);
    j->sink ^= hash[0];
    bare_mac(j, j->link_text);
}

/* ==== ours ==== */

static void header(struct job *j, struct sign_key_cache *cache) {
    char hash[64];
    sign_payload_hash(j->body, hash);
    struct sign_request r = {.method = STR("POST"),
                             .path = STR("/"),
                             .headers = headers,
                             .n_headers = sizeof headers / sizeof *headers,
                             .payload_hash = str_n(hash, sizeof hash),
                             .double_encode = true};
    buf_clear(&j->out);
    sign_authorization(&credentials, &dynamodb, &r, cache, &j->out, NULL);
}

static void warm(struct job *j) {
    header(j, &j->cache);
}

static void cold(struct job *j) {
    header(j, NULL);
}

static void presign(struct job *j) {
    struct sign_link l = {.method = STR("GET"),
                          .base = STR("https://examplebucket.s3.amazonaws.com"),
                          .path = STR("/receipts/2026/11/0193514e-5b4c-7cc1-a2b3-6f1f2f0e8a11.pdf"),
                          .expires_s = 300};
    struct err e;
    buf_clear(&j->out);
    if (sign_presign(&credentials, &s3, &l, &j->cache, &j->out, &e)) fatal("%s", e.msg);
}

static struct str secret_of(void *ud, struct str access_key) {
    (void)ud, (void)access_key;
    return credentials.secret_key;
}

static void verify(struct job *j) {
    struct sign_verified v;
    struct err e;
    arena_reset(&j->arena);
    if (sign_verify_with(&j->signed_request, dynamodb.unix_ms, secret_of, NULL, &j->cache, SIGN_DOTS_DEFAULT, &v, &e))
        fatal("%s", e.msg);
}

/* ==== rounds ==== */

static const struct row {
    const char *name;
    void (*run)(struct job *j);
    int limit; /* the row to be compared with */
} rows[] = {
    {"limit_header", bare_header, 0}, {"header_warm", warm, 0},     {"header_cold", cold, 0},
    {"verify_warm", verify, 0},       {"limit_link", bare_link, 4}, {"presign_warm", presign, 4},
};
enum { ROWS = sizeof rows / sizeof *rows };

static double measure(const struct row *row, struct job *j, uint64_t ns) {
    uint64_t start = now_mono_ns(), end, n = 0;
    do {
        for (int i = 0; i < BATCH; i++) row->run(j);
        n += BATCH;
        end = now_mono_ns();
    } while (end - start < ns);
    return (double)(end - start) / (double)n;
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void report(double ns[ROWS][ROUNDS_MAX], int rounds) {
    static double ratios[ROUNDS_MAX], sorted[ROUNDS_MAX];
    printf("%-14s %10s %12s %16s\n", "signer", "ns", "per second", "of the limit");
    for (int r = 0; r < ROWS; r++) {
        for (int i = 0; i < rounds; i++) ratios[i] = ns[r][i] / ns[rows[r].limit][i];
        memcpy(sorted, ns[r], sizeof sorted);
        double t = median(sorted, rounds);
        printf("%-14s %10.0f %12.0f %15.2fx\n", rows[r].name, t, 1e9 / t, median(ratios, rounds));
    }
}

/* ==== the strings ==== */

static struct str make_body(void) {
    static char body[300];
    int n = snprintf(
        body, sizeof body,
        "{\"TableName\":\"Orders\",\"Item\":{\"order_id\":{\"S\":\"0193514e-5b4c-7cc1-a2b3-6f1f2f0e8a11\"}"
        ",\"user_id\":{\"S\":\"u-42\"},\"status\":{\"S\":\"PENDING\"},\"total\":{\"N\":\"1250\"},\"note\":{\"S\":\"");
    memset(body + n, 'x', sizeof body - (size_t)n);
    memcpy(body + sizeof body - 4, "\"}}}", 4);
    return str_n(body, sizeof body);
}

static void prepare_limit(struct job *j, const struct sign_scope *s) {
    uint8_t key[32], block[64];
    sign_key(credentials.secret_key, s, key);
    for (int pad = 0; pad < 2; pad++) {
        SHA256_CTX *c = pad ? &j->outer : &j->inner;
        memset(block, pad ? 0x5c : 0x36, sizeof block);
        for (int i = 0; i < 32; i++) block[i] ^= key[i];
        SHA256_Init(c);
        SHA256_Update(c, block, sizeof block);
    }
}

static struct str keep(struct job *j, struct buf *b) {
    (void)j;
    struct str s = {strdup(buf_cstr(b)), b->n};
    buf_free(b);
    return s;
}

static void prepare(struct job *j) {
    struct buf canonical = BUF_MAX(1 << 16), names = BUF_MAX(1 << 16), text = BUF_MAX(1 << 16);
    char hash[64];
    j->body = make_body();
    j->out = BUF_MAX(1 << 16);
    sign_payload_hash(j->body, hash);
    struct sign_request r = {STR("POST"),     STR("/"), STR_NONE, headers, sizeof headers / sizeof *headers,
                             str_n(hash, 64), true};
    sign_canonical_request(&r, &canonical, &names);
    sign_string_to_sign(&dynamodb, buf_view(&canonical), &text);
    j->canonical = keep(j, &canonical);
    j->text = keep(j, &text);
    buf_free(&names);
    prepare_limit(j, &dynamodb);
    warm(j);
    memcpy(j->signed_headers, headers, sizeof headers);
    j->signed_headers[4] = (struct http_header){STR("authorization"), {strdup(buf_cstr(&j->out)), j->out.n}};
    j->signed_request = (struct http_request){.method = STR("POST"),
                                              .path = STR("/"),
                                              .headers = j->signed_headers,
                                              .n_headers = 5,
                                              .body = j->body,
                                              .arena = &j->arena};
}

/* The texts of the link, from its URL: the query without the signature is the canonical one. */
static void prepare_link(struct job *j) {
    struct buf canonical = BUF_MAX(1 << 16), names = BUF_MAX(1 << 16), text = BUF_MAX(1 << 16);
    presign(j);
    struct str url = buf_view(&j->out), query = url, path = str_cut(&query, '?');
    struct http_header host = {STR("host"), STR("examplebucket.s3.amazonaws.com")};
    query = str_take(query, (size_t)str_find(query, STR("&X-Amz-Signature="), 0));
    struct sign_request r = {STR("GET"), str_from(path, 38), query, &host, 1, STR("UNSIGNED-PAYLOAD"), false};
    sign_canonical_request(&r, &canonical, &names);
    sign_string_to_sign(&s3, buf_view(&canonical), &text);
    j->link_canonical = keep(j, &canonical);
    j->link_text = keep(j, &text);
    buf_free(&names);
}

static void print_vector(struct job *j) {
    warm(j);
    printf(
        "{\"access_key\":\"%.*s\",\"secret_key\":\"%.*s\",\"region\":\"us-east-1\",\"service\":\"dynamodb\",\"date\":"
        "\"20261122T053000Z\",\"host\":\"%.*s\",\"target\":\"%.*s\",\"content_type\":\"%.*s\",\"body\":\"",
        STR_ARG(credentials.access_key), STR_ARG(credentials.secret_key), STR_ARG(headers[0].value),
        STR_ARG(headers[2].value), STR_ARG(headers[1].value));
    for (size_t i = 0; i < j->body.n; i++) printf(j->body.p[i] == '"' ? "\\\"" : "%c", j->body.p[i]);
    printf("\",\"signature\":\"%.64s\"}\n", buf_cstr(&j->out) + j->out.n - 64);
}

static int number(const char *text, int min, int max) {
    int64_t v;
    if (text && str_i64(str_c(text), &v) && v >= min && v <= max) return (int)v;
    fprintf(stderr, "perigee_sign: expected a number from %d to %d\n", min, max);
    exit(2);
}

int main(int argc, char **argv) {
    static double ns[ROWS][ROUNDS_MAX];
    static struct job j;
    int rounds = 15, ms = 40;
    bool vector = false;
    const char *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--rounds"))
            rounds = number(argv[++i], 1, ROUNDS_MAX);
        else if (!strcmp(argv[i], "--ms"))
            ms = number(argv[++i], 1, 10000);
        else if (!strcmp(argv[i], "--vector"))
            vector = true;
        else if (!strcmp(argv[i], "--only"))
            only = argv[++i];
        else
            return fprintf(stderr, "usage: perigee_sign [--rounds N] [--ms N] [--only ROW] [--vector]\n"), 2;
    }
    prepare(&j);
    prepare_link(&j);
    if (vector) {
        print_vector(&j);
        return 0;
    }
    for (int i = 0; i < rounds; i++)
        for (int r = 0; r < ROWS; r++)
            if (!only || !strcmp(only, rows[r].name)) ns[r][i] = measure(&rows[r], &j, (uint64_t)ms * 1000000);
    report(ns, rounds);
    return 0;
}
