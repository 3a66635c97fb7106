/* String to sign, keys, the Authorization header and presigned URLs. */
#include "sign/sign.h"
#include "base/crypto.h"
#include "base/now.h"
#include "base/url.h"
#include "sign/canonical.h"
#include <string.h>

static void add_scope(struct buf *b, const struct sign_scope *s) {
    char time[17];
    now_amz(s->unix_ms, time);
    buf_add(b, time, 8);
    buf_byte(b, '/');
    buf_str(b, s->region);
    buf_byte(b, '/');
    buf_str(b, s->service);
    buf_c(b, "/aws4_request");
}

void sign_string_to_sign(const struct sign_scope *s, struct str canonical_request, struct buf *out) {
    char time[17], hex[64];
    uint8_t hash[32];
    now_amz(s->unix_ms, time);
    crypto_sha256(canonical_request, hash);
    crypto_hex_to(hex, hash, sizeof hash);
    buf_c(out, SIGN_ALGORITHM "\n");
    buf_add(out, time, 16);
    buf_byte(out, '\n');
    add_scope(out, s);
    buf_byte(out, '\n');
    buf_add(out, hex, sizeof hex);
}

void sign_key(struct str secret_key, const struct sign_scope *s, uint8_t out[32]) {
    char time[17];
    now_amz(s->unix_ms, time);
    struct str steps[] = {str_n(time, 8), s->region, s->service, STR("aws4_request")};
    struct buf first = BUF_MAX(secret_key.n + 5);
    buf_c(&first, "AWS4");
    buf_str(&first, secret_key);
    struct str key = buf_view(&first);
    uint8_t next[32];
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        crypto_hmac_sha256(key, steps[i], next);
        memcpy(out, next, sizeof next);
        key = str_n((const char *)out, 32);
    }
    explicit_bzero(first.p, first.n);
    buf_free(&first);
}

void sign_signature(const uint8_t key[32], struct str string_to_sign, char out_hex[65]) {
    uint8_t mac[32];
    crypto_hmac_sha256(str_n((const char *)key, 32), string_to_sign, mac);
    crypto_hex_to(out_hex, mac, sizeof mac);
    out_hex[64] = 0;
}

/* What a key depends on, each part ended by its length, hashed: the cache holds no secret in the clear. */
static void key_id(struct str secret_key, const struct sign_scope *s, uint8_t out[32]) {
    char time[17];
    now_amz(s->unix_ms, time);
    struct str parts[] = {secret_key, str_n(time, 8), s->region, s->service};
    struct buf b = BUF_MAX(SIGN_SCRATCH_MAX);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        buf_str(&b, parts[i]);
        buf_add(&b, &parts[i].n, sizeof parts[i].n);
    }
    crypto_sha256(buf_view(&b), out);
    explicit_bzero(b.p, b.n);
    buf_free(&b);
}

static void hmac_key_of(struct str secret_key, const struct sign_scope *s, struct crypto_hmac *ret) {
    uint8_t key[32];
    sign_key(secret_key, s, key);
    crypto_hmac_key(ret, str_n((const char *)key, sizeof key));
    explicit_bzero(key, sizeof key);
}

void sign_key_cached(struct sign_key_cache *c, struct str secret_key, const struct sign_scope *s,
                     struct crypto_hmac *ret) {
    const unsigned n = sizeof c->entries / sizeof *c->entries;
    uint8_t id[32];
    key_id(secret_key, s, id);
    for (unsigned i = 0; i < n; i++) {
        if (!c->entries[i].set || memcmp(id, c->entries[i].id, sizeof id)) continue;
        *ret = c->entries[i].key;
        return;
    }
    struct sign_key_entry *e = &c->entries[c->next++ % n];
    hmac_key_of(secret_key, s, &e->key);
    memcpy(e->id, id, sizeof id);
    e->set = true;
    *ret = e->key;
}

static void key_of(const struct sign_credentials *c, const struct sign_scope *s, struct sign_key_cache *cache,
                   struct crypto_hmac *ret) {
    if (cache)
        sign_key_cached(cache, c->secret_key, s, ret);
    else
        hmac_key_of(c->secret_key, s, ret);
}

static void hex_mac(const struct crypto_hmac *key, struct str text, char out_hex[65]) {
    uint8_t mac[32];
    crypto_hmac_sum(key, text, mac);
    crypto_hex_to(out_hex, mac, sizeof mac);
    out_hex[64] = 0;
}

/* The signature of r; appends the list of signed headers to `names`. */
static void signature_of(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_request *r,
                         struct sign_key_cache *cache, struct buf *names, char out_hex[65]) {
    struct buf canonical = BUF_MAX(SIGN_SCRATCH_MAX), text = BUF_MAX(SIGN_SCRATCH_MAX);
    struct crypto_hmac key;
    sign_canonical_request(r, &canonical, names);
    sign_string_to_sign(s, buf_view(&canonical), &text);
    key_of(c, s, cache, &key);
    hex_mac(&key, buf_view(&text), out_hex);
    crypto_hmac_wipe(&key);
    buf_free(&canonical);
    buf_free(&text);
}

void sign_credential(const struct sign_credentials *c, const struct sign_scope *s, struct buf *out) {
    buf_str(out, c->access_key);
    buf_byte(out, '/');
    add_scope(out, s);
}

void sign_authorization(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_request *r,
                        struct sign_key_cache *cache, struct buf *out, char ret_signature[65]) {
    struct buf names = BUF_MAX(SIGN_SCRATCH_MAX);
    char hex[65];
    signature_of(c, s, r, cache, &names, hex);
    buf_c(out, SIGN_ALGORITHM " Credential=");
    sign_credential(c, s, out);
    buf_c(out, ", SignedHeaders=");
    buf_str(out, buf_view(&names));
    buf_c(out, ", Signature=");
    buf_c(out, hex);
    buf_free(&names);
    if (ret_signature) memcpy(ret_signature, hex, sizeof hex);
}

/* ---- streams and forms ---- */

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

void sign_stream_begin(struct sign_stream *s, const struct sign_credentials *c, const struct sign_scope *scope,
                       struct sign_key_cache *cache, const char seed_signature[65]) {
    char time[17];
    now_amz(scope->unix_ms, time);
    key_of(c, scope, cache, &s->key);
    s->prefix = BUF_MAX(4096);
    buf_c(&s->prefix, time);
    buf_byte(&s->prefix, '\n');
    add_scope(&s->prefix, scope);
    buf_byte(&s->prefix, '\n');
    memcpy(s->previous, seed_signature, sizeof s->previous);
}

static void stream_sign(struct sign_stream *s, const char *algorithm, bool empty_hash, struct str data,
                        char ret_signature[65]) {
    struct buf text = BUF_MAX(SIGN_SCRATCH_MAX);
    uint8_t hash[32];
    char hex[64];
    crypto_sha256(data, hash);
    crypto_hex_to(hex, hash, sizeof hash);
    buf_c(&text, algorithm);
    buf_byte(&text, '\n');
    buf_str(&text, buf_view(&s->prefix));
    buf_c(&text, s->previous);
    if (empty_hash) buf_c(&text, "\n" EMPTY_SHA256);
    buf_byte(&text, '\n');
    buf_add(&text, hex, sizeof hex);
    hex_mac(&s->key, buf_view(&text), s->previous);
    memcpy(ret_signature, s->previous, sizeof s->previous);
    buf_free(&text);
}

void sign_stream_chunk(struct sign_stream *s, struct str data, char ret_signature[65]) {
    stream_sign(s, "AWS4-HMAC-SHA256-PAYLOAD", true, data, ret_signature);
}

void sign_stream_trailer(struct sign_stream *s, struct str trailer, char ret_signature[65]) {
    stream_sign(s, "AWS4-HMAC-SHA256-TRAILER", false, trailer, ret_signature);
}

void sign_stream_end(struct sign_stream *s) {
    crypto_hmac_wipe(&s->key);
    buf_free(&s->prefix);
}

void sign_post_policy(const struct sign_credentials *c, const struct sign_scope *s, struct str policy_base64,
                      struct sign_key_cache *cache, char ret_signature[65]) {
    struct crypto_hmac key;
    key_of(c, s, cache, &key);
    hex_mac(&key, policy_base64, ret_signature);
    crypto_hmac_wipe(&key);
}

/* ---- presigned URLs ---- */

/* Index of the first byte that RFC 3986 does not allow in a path or query, or -1. */
static ptrdiff_t bad_uri_byte(struct str s, const char *also) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (!plain && (!c || (!strchr("-._~!$&'()*+,;=:@/%", c) && !strchr(also, c)))) return (ptrdiff_t)i;
    }
    return -1;
}

static int check_uri(struct str path, struct str query, struct err *e) {
    if (!str_starts(path, STR("/")))
        return err_set(e, ERR_S3_ARGUMENT, "the path to presign \"%.*s\" does not begin with '/'", STR_ARG(path));
    ptrdiff_t at = bad_uri_byte(path, "");
    if (at >= 0)
        return err_set(e, ERR_S3_ARGUMENT, "the path to presign has byte 0x%02x at %td, which must be percent-encoded",
                       (unsigned char)path.p[at], at);
    at = bad_uri_byte(query, "?");
    if (at >= 0)
        return err_set(e, ERR_S3_ARGUMENT, "the query to presign has byte 0x%02x at %td, which must be percent-encoded",
                       (unsigned char)query.p[at], at);
    for (struct str rest = query; rest.n;) {
        struct str name = str_cut(&rest, '&');
        if (sign_is_auth_param(str_cut(&name, '=')))
            return err_set(e, ERR_S3_ARGUMENT, "the query to presign already has a signing parameter");
    }
    return 0;
}

/* Splits "http://Host:80" into its scheme with "://" and the host as a client will send it (RFC 9110 7.2): lower case,
 * without the scheme's default port. */
static int split_base(struct str base, struct str *ret_scheme, struct buf *host, struct err *e) {
    struct str http = STR("http://"), https = STR("https://");
    struct str scheme = str_starts(base, http) ? http : str_starts(base, https) ? https : STR_NONE;
    struct str rest = str_from(base, scheme.n);
    if (!scheme.n || !rest.n || bad_uri_byte(rest, "[]") >= 0 || str_chr(rest, '/', 0) >= 0 ||
        str_chr(rest, '@', 0) >= 0)
        return err_set(e, ERR_S3_ARGUMENT, "the base to presign \"%.*s\" is not http(s)://host[:port]", STR_ARG(base));
    struct str port = scheme.n == http.n ? STR(":80") : STR(":443");
    if (str_ends(rest, port)) rest.n -= port.n;
    for (size_t i = 0; i < rest.n; i++) {
        char c = rest.p[i];
        buf_byte(host, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
    *ret_scheme = scheme;
    return 0;
}

static void add_auth_query(struct buf *q, const struct sign_credentials *c, const struct sign_scope *s,
                           const struct sign_link *l, struct str signed_headers) {
    struct buf credential = BUF_MAX(SIGN_SCRATCH_MAX);
    char time[17];
    now_amz(s->unix_ms, time);
    sign_credential(c, s, &credential);
    buf_c(q, "X-Amz-Algorithm=" SIGN_ALGORITHM "&X-Amz-Credential=");
    url_encode(q, buf_view(&credential), false);
    buf_c(q, "&X-Amz-Date=");
    buf_c(q, time);
    buf_c(q, "&X-Amz-Expires=");
    buf_i64(q, l->expires_s);
    if (c->session_token.n) buf_c(q, "&X-Amz-Security-Token=");
    url_encode(q, c->session_token, false);
    buf_c(q, "&X-Amz-SignedHeaders=");
    url_encode(q, signed_headers, false);
    buf_free(&credential);
}

static void presign(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_request *r,
                    struct sign_key_cache *cache, struct str scheme, struct buf *out) {
    struct buf names = BUF_MAX(SIGN_SCRATCH_MAX), query = BUF_MAX(SIGN_SCRATCH_MAX);
    char hex[65];
    signature_of(c, s, r, cache, &names, hex);
    sign_canonical_query(r->raw_query, &query);
    buf_str(out, scheme);
    buf_str(out, r->headers[0].value);
    buf_str(out, r->path);
    buf_byte(out, '?');
    buf_str(out, buf_view(&query));
    buf_c(out, "&X-Amz-Signature=");
    buf_c(out, hex);
    buf_free(&names);
    buf_free(&query);
}

static int check_expires(int64_t expires_s, struct err *e) {
    if (expires_s >= 1 && expires_s <= SIGN_EXPIRES_MAX) return 0;
    return err_set(e, ERR_S3_QUERY_AUTH, "X-Amz-Expires must be 1 to %d seconds, not %lld", SIGN_EXPIRES_MAX,
                   (long long)expires_s);
}

static void signed_names(const struct sign_request *r, struct buf *names) {
    struct buf canonical = BUF_MAX(SIGN_SCRATCH_MAX);
    sign_canonical_request(r, &canonical, names);
    buf_free(&canonical);
}

int sign_presign(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_link *l,
                 struct sign_key_cache *cache, struct buf *out, struct err *e) {
    struct buf host = BUF_MAX(1024), query = BUF_MAX(SIGN_SCRATCH_MAX), names = BUF_MAX(SIGN_SCRATCH_MAX);
    struct str scheme, hash = l->payload_hash.n ? l->payload_hash : STR("UNSIGNED-PAYLOAD");
    struct arena a = {0};
    int rc = -1;
    if (check_expires(l->expires_s, e) || check_uri(l->path, l->extra_query, e) ||
        split_base(l->base, &scheme, &host, e))
        goto out;
    struct http_header *headers = ARENA_ARRAY(&a, struct http_header, l->n_headers + 1);
    headers[0] = (struct http_header){STR("host"), buf_view(&host)};
    for (size_t i = 0; i < l->n_headers; i++) headers[i + 1] = l->headers[i];
    struct sign_request r = {l->method, l->path, STR_NONE, headers, l->n_headers + 1, hash, l->double_encode};
    signed_names(&r, &names);
    buf_str(&query, l->extra_query);
    if (l->extra_query.n) buf_byte(&query, '&');
    add_auth_query(&query, c, s, l, buf_view(&names));
    if (buf_check(&host, "the host to presign", e) || buf_check(&query, "the query to presign", e)) goto out;
    r.raw_query = buf_view(&query);
    presign(c, s, &r, cache, scheme, out);
    rc = buf_check(out, "the presigned URL", e);
out:
    arena_free(&a);
    buf_free(&host);
    buf_free(&query);
    buf_free(&names);
    return rc;
}
