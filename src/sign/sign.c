/* String to sign, keys, the Authorization header. */
#include "sign/sign.h"
#include "base/now.h"
#include "sign/canonical.h"

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

void sign_payload_hash(struct str body, char out_hex[64]) {
    uint8_t hash[32];
    if (!body.n) {
        memcpy(out_hex, EMPTY_SHA256, 64);
        return;
    }
    crypto_sha256(body, hash);
    crypto_hex_to(out_hex, hash, sizeof hash);
}

bool sign_is_s3(struct str service) {
    return str_starts(service, STR("s3")) && (service.n == 2 || service.p[2] == '-' || str_is(service, "s3express"));
}

/* ==== scope and string to sign ==== */

void sign_time(struct sign_key_cache *cache, int64_t unix_ms, char out[17]) {
    const int64_t day_ms = 86400000;
    if (cache && unix_ms >= 0 && cache->date[0] && cache->day == unix_ms / day_ms) {
        uint32_t s = (uint32_t)(unix_ms % day_ms) / 1000;
        unsigned parts[] = {s / 3600, s / 60 % 60, s % 60};
        memcpy(out, cache->date, 8);
        memcpy(out + 8, "T000000Z", 9);
        for (int i = 0; i < 3; i++) {
            out[9 + 2 * i] = (char)('0' + parts[i] / 10);
            out[10 + 2 * i] = (char)('0' + parts[i] % 10);
        }
        return;
    }
    now_amz(unix_ms, out);
    if (!cache || unix_ms < 0) return;
    cache->day = unix_ms / day_ms;
    memcpy(cache->date, out, 8);
}

size_t sign_scope_bound(const struct sign_scope *s) {
    return s->region.n + s->service.n + 24;
}

char *sign_put_scope(char *p, const char *time, const struct sign_scope *s) {
    memcpy(p, time, 8);
    p += 8;
    *p++ = '/';
    p = sign_put(p, s->region);
    *p++ = '/';
    p = sign_put(p, s->service);
    return SIGN_PUT(p, "/aws4_request");
}

char *sign_put_text(char *p, const char *time, struct str scope, struct str canonical_request) {
    uint8_t hash[32];
    crypto_sha256(canonical_request, hash);
    p = SIGN_PUT(p, SIGN_ALGORITHM "\n");
    memcpy(p, time, 16);
    p += 16;
    *p++ = '\n';
    p = sign_put(p, scope);
    *p++ = '\n';
    crypto_hex_to(p, hash, sizeof hash);
    return p + 64;
}

/* ==== keys ==== */

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
    explicit_bzero(next, sizeof next);
    explicit_bzero(first.p, first.n);
    buf_free(&first);
}

static void derive(struct str secret_key, const struct sign_scope *s, struct crypto_hmac *ret) {
    uint8_t key[32];
    sign_key(secret_key, s, key);
    crypto_hmac_key(ret, str_n((const char *)key, sizeof key));
    explicit_bzero(key, sizeof key);
}

static bool is_entry(const struct sign_key_entry *k, struct str scope, struct str secret) {
    return k->scope_n == scope.n && k->id_n == scope.n + secret.n && !memcmp(k->id, scope.p, scope.n) &&
           !memcmp(k->id + scope.n, secret.p, secret.n);
}

const struct crypto_hmac *sign_find_key(struct sign_key_cache *cache, struct str secret_key, const struct sign_scope *s,
                                        struct str scope_text, struct crypto_hmac *own) {
    const unsigned n = cache ? sizeof cache->entries / sizeof *cache->entries : 0;
    if (!secret_key.n) secret_key.p = "";
    for (unsigned i = 0; i < n; i++)
        if (is_entry(&cache->entries[i], scope_text, secret_key)) return &cache->entries[i].key;
    if (!cache || scope_text.n + secret_key.n > SIGN_KEY_ID_MAX) {
        derive(secret_key, s, own);
        return own;
    }
    struct sign_key_entry *k = &cache->entries[cache->next++ % n];
    explicit_bzero(k->id, sizeof k->id);
    sign_put(sign_put(k->id, scope_text), secret_key);
    k->scope_n = scope_text.n;
    k->id_n = scope_text.n + secret_key.n;
    derive(secret_key, s, &k->key);
    return &k->key;
}

void sign_unkey(const struct crypto_hmac *key, struct crypto_hmac *own) {
    if (key == own) crypto_hmac_wipe(own);
}

void sign_key_cached(struct sign_key_cache *c, struct str secret_key, const struct sign_scope *s,
                     struct crypto_hmac *ret) {
    struct sign_room room;
    char time[17], *scope = sign_room_take(&room, sign_scope_bound(s));
    now_amz(s->unix_ms, time);
    size_t n = (size_t)(sign_put_scope(scope, time, s) - scope);
    const struct crypto_hmac *key = sign_find_key(c, secret_key, s, str_n(scope, n), ret);
    if (key != ret) *ret = *key;
    sign_room_free(&room);
}

void sign_key_cache_wipe(struct sign_key_cache *c) {
    explicit_bzero(c, sizeof *c);
}

/* ==== signatures ==== */

void sign_mac(const struct crypto_hmac *key, struct str text, char out_hex[65]) {
    uint8_t mac[32];
    crypto_hmac_sum(key, text, mac);
    crypto_hex_to(out_hex, mac, sizeof mac);
    out_hex[64] = 0;
}

void sign_signature(const uint8_t key[32], struct str string_to_sign, char out_hex[65]) {
    struct crypto_hmac h;
    crypto_hmac_key(&h, str_n((const char *)key, 32));
    sign_mac(&h, string_to_sign, out_hex);
    crypto_hmac_wipe(&h);
}

void sign_string_to_sign(const struct sign_scope *s, struct str canonical_request, struct buf *out) {
    struct sign_room room;
    char time[17], *scope = sign_room_take(&room, 2 * sign_scope_bound(s) + SIGN_TEXT_MORE);
    now_amz(s->unix_ms, time);
    char *text = sign_put_scope(scope, time, s);
    char *end = sign_put_text(text, time, str_n(scope, (size_t)(text - scope)), canonical_request);
    buf_add(out, text, (size_t)(end - text));
    sign_room_free(&room);
}

void sign_canonical_request(const struct sign_request *r, struct buf *out, struct buf *signed_headers) {
    struct sign_room room;
    struct sign_sorted sorted;
    char *p = sign_room_take(&room, sign_canonical_bound(r, sign_query_bound(r->raw_query)) +
                                        sign_names_bound(r->headers, r->n_headers));
    sign_sort_headers(r->headers, r->n_headers, false, &sorted);
    char *query = sign_put_names(p, &sorted), *text = sign_put_query(query, r->raw_query);
    struct str names = str_n(p, (size_t)(query - p));
    size_t query_n = (size_t)(text - query);
    char *end = sign_put_canonical(text, r, str_n(query, query_n), &sorted, names);
    buf_add(out, text, (size_t)(end - text));
    buf_str(signed_headers, names);
    sign_sorted_free(&sorted);
    sign_room_free(&room);
}

void sign_credential(const struct sign_credentials *c, const struct sign_scope *s, struct buf *out) {
    struct sign_room room;
    char time[17], *scope = sign_room_take(&room, sign_scope_bound(s));
    now_amz(s->unix_ms, time);
    buf_str(out, c->access_key);
    buf_byte(out, '/');
    buf_add(out, scope, (size_t)(sign_put_scope(scope, time, s) - scope));
    sign_room_free(&room);
}

static size_t authorization_bound(const struct sign_credentials *c, const struct sign_scope *s,
                                  const struct sign_request *r) {
    return 3 * sign_scope_bound(s) + SIGN_TEXT_MORE + 2 * sign_names_bound(r->headers, r->n_headers) +
           sign_canonical_bound(r, sign_query_bound(r->raw_query)) + c->access_key.n + 160;
}

static void add_authorization(struct buf *out, char *p, struct str access_key, struct str scope, struct str names,
                              const char hex[65]) {
    char *start = p;
    p = SIGN_PUT(p, SIGN_ALGORITHM " Credential=");
    p = sign_put(p, access_key);
    *p++ = '/';
    p = sign_put(p, scope);
    p = SIGN_PUT(p, ", SignedHeaders=");
    p = sign_put(p, names);
    p = SIGN_PUT(p, ", Signature=");
    memcpy(p, hex, 64);
    buf_add(out, start, (size_t)(p + 64 - start));
}

void sign_authorization(const struct sign_credentials *c, const struct sign_scope *s, const struct sign_request *r,
                        struct sign_key_cache *cache, struct buf *out, char ret_signature[65]) {
    struct sign_room room;
    struct sign_sorted sorted;
    struct crypto_hmac own;
    char time[17], hex[65], *p = sign_room_take(&room, authorization_bound(c, s, r)), *start = p;
    sign_time(cache, s->unix_ms, time);
    sign_sort_headers(r->headers, r->n_headers, true, &sorted);
    p = sign_put_scope(p, time, s);
    struct str scope = str_n(start, (size_t)(p - start)), names = {p, 0}, query, text;
    p = sign_put_names(p, &sorted);
    names.n = (size_t)(p - names.p);
    query.p = p;
    p = sign_put_query(p, r->raw_query);
    query.n = (size_t)(p - query.p);
    text.p = p;
    p = sign_put_canonical(p, r, query, &sorted, names);
    text.n = (size_t)(p - text.p);
    start = p;
    p = sign_put_text(p, time, scope, text);
    const struct crypto_hmac *key = sign_find_key(cache, c->secret_key, s, scope, &own);
    sign_mac(key, str_n(start, (size_t)(p - start)), hex);
    sign_unkey(key, &own);
    add_authorization(out, p, c->access_key, scope, names, hex);
    sign_sorted_free(&sorted);
    sign_room_free(&room);
    if (ret_signature) memcpy(ret_signature, hex, sizeof hex);
}
