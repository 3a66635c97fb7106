/* Signed streams and the forms of POST policies. */
#include "base/now.h"
#include "sign/canonical.h"

#define EMPTY_HASH_LINE "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n"

static void key_of(const struct sign_credentials *c, const struct sign_scope *s, struct sign_key_cache *cache,
                   struct crypto_hmac *ret) {
    struct sign_key_cache none = {0};
    sign_key_cached(cache ? cache : &none, c->secret_key, s, ret);
    if (!cache) sign_key_cache_wipe(&none);
}

void sign_stream_begin(struct sign_stream *s, const struct sign_credentials *c, const struct sign_scope *scope,
                       struct sign_key_cache *cache, const char seed_signature[65]) {
    size_t bytes = sign_scope_bound(scope) + 18;
    key_of(c, scope, cache, &s->key);
    s->prefix = BUF_MAX(bytes);
    buf_reserve(&s->prefix, bytes);
    char time[17], *p = s->prefix.p;
    now_amz(scope->unix_ms, time);
    memcpy(p, time, 16);
    p += 16;
    *p++ = '\n';
    p = sign_put_scope(p, time, scope);
    *p++ = '\n';
    s->prefix.n = (size_t)(p - s->prefix.p);
    memcpy(s->previous, seed_signature, 64);
    s->previous[64] = 0;
}

static void stream_sign(struct sign_stream *s, struct str head, struct str middle, struct str data,
                        char ret_signature[65]) {
    struct sign_room room;
    char *text = sign_room_take(&room, head.n + s->prefix.n + middle.n + 160), *p = text;
    p = sign_put(p, head);
    p = sign_put(p, buf_view(&s->prefix));
    memcpy(p, s->previous, 64);
    p += 64;
    *p++ = '\n';
    p = sign_put(p, middle);
    sign_payload_hash(data, p);
    sign_mac(&s->key, str_n(text, (size_t)(p + 64 - text)), s->previous);
    memcpy(ret_signature, s->previous, sizeof s->previous);
    sign_room_free(&room);
}

void sign_stream_chunk(struct sign_stream *s, struct str data, char ret_signature[65]) {
    stream_sign(s, STR("AWS4-HMAC-SHA256-PAYLOAD\n"), STR(EMPTY_HASH_LINE), data, ret_signature);
}

void sign_stream_trailer(struct sign_stream *s, struct str trailer, char ret_signature[65]) {
    stream_sign(s, STR("AWS4-HMAC-SHA256-TRAILER\n"), STR_NONE, trailer, ret_signature);
}

void sign_stream_end(struct sign_stream *s) {
    crypto_hmac_wipe(&s->key);
    buf_free(&s->prefix);
}

void sign_post_policy(const struct sign_credentials *c, const struct sign_scope *s, struct str policy_base64,
                      struct sign_key_cache *cache, char ret_signature[65]) {
    struct crypto_hmac key;
    key_of(c, s, cache, &key);
    sign_mac(&key, policy_base64, ret_signature);
    crypto_hmac_wipe(&key);
}
