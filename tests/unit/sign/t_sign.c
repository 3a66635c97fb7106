/* t.sign: the stages of sign for its spec. Requests are tables {method, path, query, headers = {{name, value}...},
 * payload, double_encode}; failures come back as nil, AWS name, message. */
#include "base/crypto.h"
#include "sign/sign.h"
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

static struct str field(lua_State *L, int t, const char *name, const char *otherwise) {
    struct str s;
    lua_getfield(L, t, name);
    s.p = luaL_optlstring(L, -1, otherwise, &s.n);
    lua_pop(L, 1); /* the table keeps it alive */
    return s;
}

static struct sign_scope scope_at(lua_State *L, int t) {
    struct sign_scope s = {field(L, t, "region", "us-east-1"), field(L, t, "service", "s3"), 0};
    lua_getfield(L, t, "ms");
    s.unix_ms = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return s;
}

static struct sign_credentials credentials_at(lua_State *L, int t) {
    return (struct sign_credentials){field(L, t, "access_key", "AKID"), field(L, t, "secret_key", "secret"),
                                     field(L, t, "token", "")};
}

/* Headers of the table at t as a userdata array, which stays on the stack. */
static struct http_header *headers_at(lua_State *L, int t, size_t *ret_n) {
    lua_getfield(L, t, "headers");
    size_t n = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    struct http_header *h = lua_newuserdatauv(L, sizeof *h * (n + 1), 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        h[i].name.p = luaL_checklstring(L, -2, &h[i].name.n);
        h[i].value.p = luaL_checklstring(L, -1, &h[i].value.n);
        lua_pop(L, 3);
    }
    *ret_n = n;
    return h;
}

/* dots = "normalised" | "kept" | nil */
static enum sign_dots dots_at(lua_State *L, int t) {
    struct str dots = field(L, t, "dots", "");
    return str_is(dots, "normalised") ? SIGN_DOTS_NORMALISED
           : str_is(dots, "kept")     ? SIGN_DOTS_KEPT
                                      : SIGN_DOTS_DEFAULT;
}

static struct sign_request request_at(lua_State *L, int t) {
    struct sign_request r = {field(L, t, "method", "GET"), field(L, t, "path", "/"), field(L, t, "query", "")};
    r.payload_hash = field(L, t, "payload", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    lua_getfield(L, t, "double_encode");
    r.double_encode = lua_toboolean(L, -1);
    lua_pop(L, 1);
    r.dots = dots_at(L, t);
    r.headers = headers_at(L, t, &r.n_headers);
    return r;
}

static void push_buf(lua_State *L, struct buf *b) {
    lua_pushlstring(L, b->p ? b->p : "", b->n);
    buf_free(b);
}

static int canonical(lua_State *L) {
    struct sign_request r = request_at(L, 1);
    struct buf out = BUF_MAX(1 << 20), names = BUF_MAX(1 << 20);
    sign_canonical_request(&r, &out, &names);
    push_buf(L, &out);
    push_buf(L, &names);
    return 2;
}

static int string_to_sign(lua_State *L) {
    struct sign_scope s = scope_at(L, 1);
    struct str c;
    c.p = luaL_checklstring(L, 2, &c.n);
    struct buf out = BUF_MAX(1 << 20);
    sign_string_to_sign(&s, c, &out);
    push_buf(L, &out);
    return 1;
}

/* key(scope, secret) -> 32 bytes */
static int key(lua_State *L) {
    struct sign_scope s = scope_at(L, 1);
    struct str secret;
    uint8_t out[32];
    secret.p = luaL_checklstring(L, 2, &secret.n);
    sign_key(secret, &s, out);
    lua_pushlstring(L, (char *)out, 32);
    return 1;
}

/* cached({{scope, secret}...}) -> the MACs of "text" under the keys of one cache, asked in that order */
static int cached(lua_State *L) {
    struct sign_key_cache c = {0};
    lua_newtable(L);
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, 1); i++) {
        uint8_t out[32];
        struct str secret;
        lua_rawgeti(L, 1, i);
        lua_rawgeti(L, -1, 1);
        lua_rawgeti(L, -2, 2);
        struct sign_scope s = scope_at(L, lua_gettop(L) - 1);
        secret.p = luaL_checklstring(L, -1, &secret.n);
        struct crypto_hmac key;
        sign_key_cached(&c, secret, &s, &key);
        crypto_hmac_sum(&key, STR("text"), out);
        lua_pop(L, 3);
        lua_pushlstring(L, (char *)out, 32);
        lua_rawseti(L, 2, i);
    }
    return 1;
}

static int signature(lua_State *L) {
    struct str text;
    char hex[65];
    text.p = luaL_checklstring(L, 2, &text.n);
    sign_signature((const uint8_t *)luaL_checkstring(L, 1), text, hex);
    lua_pushstring(L, hex);
    return 1;
}

/* authorization(credentials + scope, request) */
static int authorization(lua_State *L) {
    struct sign_credentials c = credentials_at(L, 1);
    struct sign_scope s = scope_at(L, 1);
    struct sign_request r = request_at(L, 2);
    struct sign_key_cache cache = {0};
    struct buf out = BUF_MAX(1 << 20);
    char hex[65];
    sign_authorization(&c, &s, &r, &cache, &out, hex);
    size_t n = out.n;
    sign_authorization(&c, &s, &r, &cache, &out, NULL); /* with the key that is there now */
    sign_authorization(&c, &s, &r, NULL, &out, NULL);
    if (out.n != 3 * n || memcmp(out.p, out.p + n, n) != 0 || memcmp(out.p, out.p + 2 * n, n) != 0 ||
        memcmp(out.p + n - 64, hex, 64) != 0)
        fatal("signatures depend on the cache of keys");
    lua_pushlstring(L, out.p, n);
    buf_free(&out);
    return 1;
}

static int failure(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, err_name(e->code));
    lua_pushstring(L, e->msg);
    return 3;
}

/* presign(credentials + scope + {method, base, path, query, expires}) */
static int presign(lua_State *L) {
    struct sign_credentials c = credentials_at(L, 1);
    struct sign_scope s = scope_at(L, 1);
    struct err e = {0};
    struct buf out = BUF_MAX(1 << 20);
    lua_getfield(L, 1, "expires");
    int64_t expires = luaL_checkinteger(L, -1);
    struct sign_link link = {.method = field(L, 1, "method", "GET"),
                             .base = field(L, 1, "base", "http://127.0.0.1:4566"),
                             .path = field(L, 1, "path", "/"),
                             .extra_query = field(L, 1, "query", ""),
                             .double_encode = !str_is(s.service, "s3"),
                             .expires_s = expires};
    if (link.double_encode) link.payload_hash = STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    struct str hash = field(L, 1, "payload", "");
    if (hash.n) link.payload_hash = hash;
    link.dots = dots_at(L, 1);
    link.headers = headers_at(L, 1, &link.n_headers);
    lua_getfield(L, 1, "max");
    if (lua_isinteger(L, -1)) out = BUF_MAX((size_t)lua_tointeger(L, -1));
    int rc = sign_presign(&c, &s, &link, NULL, &out, &e);
    if (rc) buf_free(&out);
    if (rc) return failure(L, &e);
    push_buf(L, &out);
    return 1;
}

static struct str find_secret(void *ud, struct str access_key) {
    lua_State *L = ud;
    struct str s = STR_NONE;
    lua_pushlstring(L, access_key.p, access_key.n);
    if (lua_rawget(L, 3) == LUA_TSTRING) s.p = lua_tolstring(L, -1, &s.n);
    lua_pop(L, 1);
    return s;
}

static void push_verified(lua_State *L, const struct sign_verified *v) {
    lua_newtable(L);
    lua_pushlstring(L, v->access_key.p, v->access_key.n);
    lua_setfield(L, -2, "access_key");
    lua_pushlstring(L, v->region.p, v->region.n);
    lua_setfield(L, -2, "region");
    lua_pushlstring(L, v->service.p, v->service.n);
    lua_setfield(L, -2, "service");
    lua_pushlstring(L, v->payload_hash.p, v->payload_hash.n);
    lua_setfield(L, -2, "payload_hash");
    lua_pushboolean(L, v->presigned);
    lua_setfield(L, -2, "presigned");
}

/* stream(credentials + scope, seed, {data...}, trailer | nil) -> the signature of each and of the trailer */
static int stream(lua_State *L) {
    struct sign_credentials c = credentials_at(L, 1);
    struct sign_scope s = scope_at(L, 1);
    struct sign_stream stream;
    char hex[65];
    luaL_argcheck(L, lua_rawlen(L, 2) == 64, 2, "64 digits");
    struct str trailer = {luaL_optstring(L, 4, NULL), 0};
    if (trailer.p) trailer = str_c(trailer.p);
    lua_newtable(L);
    sign_stream_begin(&stream, &c, &s, NULL, lua_tostring(L, 2));
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, 3); i++) {
        struct str data;
        lua_rawgeti(L, 3, i);
        data.p = lua_tolstring(L, -1, &data.n);
        sign_stream_chunk(&stream, data, hex);
        lua_pushstring(L, hex);
        lua_rawseti(L, -3, i);
        lua_pop(L, 1);
    }
    hex[0] = 0;
    if (trailer.p) sign_stream_trailer(&stream, trailer, hex);
    sign_stream_end(&stream);
    lua_pushstring(L, hex);
    return 2;
}

/* policy(credentials + scope, base64) -> signature, credential */
static int policy(lua_State *L) {
    struct sign_credentials c = credentials_at(L, 1);
    struct sign_scope s = scope_at(L, 1);
    struct buf out = BUF_MAX(1 << 20);
    char hex[65];
    sign_post_policy(&c, &s, str_c(luaL_checkstring(L, 2)), NULL, hex);
    sign_credential(&c, &s, &out);
    lua_pushstring(L, hex);
    push_buf(L, &out);
    return 2;
}

static int never_signed(lua_State *L) {
    struct str name;
    name.p = luaL_checklstring(L, 1, &name.n);
    lua_pushboolean(L, sign_is_never_signed(name));
    return 1;
}

/* wiped(secret, scope) -> whether the cache held the secret before it was wiped, whether it holds any byte after, and
 * whether it works then */
static int wiped(lua_State *L) {
    struct sign_key_cache cache = {0};
    struct crypto_hmac before, after;
    struct str secret;
    secret.p = luaL_checklstring(L, 1, &secret.n);
    struct sign_scope s = scope_at(L, 2);
    sign_key_cached(&cache, secret, &s, &before);
    struct str bytes = {(const char *)&cache, sizeof cache};
    lua_pushboolean(L, str_find(bytes, secret, 0) >= 0);
    sign_key_cache_wipe(&cache);
    bool any = false;
    for (size_t i = 0; i < bytes.n; i++) any |= bytes.p[i] != 0;
    lua_pushboolean(L, any);
    sign_key_cached(&cache, secret, &s, &after);
    lua_pushboolean(L, !memcmp(&before, &after, sizeof after));
    return 3;
}

/* verify(request, now_ms, {access_key = secret}) */
static int verify(lua_State *L) {
    struct arena a = {0};
    struct sign_verified v;
    struct err e = {0};
    struct http_request r = {field(L, 1, "method", "GET")};
    r.path = field(L, 1, "path", "/");
    r.raw_query = field(L, 1, "query", "");
    r.body = field(L, 1, "body", "");
    int64_t now = luaL_checkinteger(L, 2);
    luaL_checktype(L, 3, LUA_TTABLE);
    r.headers = headers_at(L, 1, &r.n_headers);
    r.arena = &a;
    struct sign_key_cache cache = {0};
    enum sign_dots dots = dots_at(L, 1);
    int rc = sign_verify(&r, now, find_secret, L, &v, &e);
    for (int i = 0; i < 2; i++) /* with a cache, new and warm */
        if (sign_verify_with(&r, now, find_secret, L, &cache, dots, &v, &e) != rc && !dots)
            fatal("a cache of keys changes the verdict");
    if (dots) rc = sign_verify_with(&r, now, find_secret, L, &cache, dots, &v, &e);
    if (!rc) push_verified(L, &v);
    arena_free(&a);
    return rc ? failure(L, &e) : 1;
}

static int sha256(lua_State *L) {
    struct str s;
    uint8_t hash[32];
    char hex[64];
    s.p = luaL_checklstring(L, 1, &s.n);
    crypto_sha256(s, hash);
    crypto_hex_to(hex, hash, 32);
    lua_pushlstring(L, hex, 64);
    return 1;
}

static int open(lua_State *L) {
    static const luaL_Reg functions[] = {{"canonical", canonical},
                                         {"string_to_sign", string_to_sign},
                                         {"key", key},
                                         {"cached", cached},
                                         {"signature", signature},
                                         {"authorization", authorization},
                                         {"presign", presign},
                                         {"verify", verify},
                                         {"stream", stream},
                                         {"policy", policy},
                                         {"never_signed", never_signed},
                                         {"wiped", wiped},
                                         {"sha256", sha256},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}

extern const luaL_Reg test_modules[];
const luaL_Reg test_modules[] = {{"t.sign", open}, {NULL, NULL}};
