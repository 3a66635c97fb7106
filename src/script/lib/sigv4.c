/* perigee.sigv4.core: the mechanism behind lua/perigee/sigv4.lua, which has checked the arguments and taken the URL
 * apart. Each function takes one table of plain strings, integers and booleans; `headers` is a list {name, value, ...}.
 */
#include "script/lib/lib.h"
#include "sign/sign.h"
#include <string.h>

#define KEYS "perigee.sigv4.keys"
enum { TEXTS_MAX = 64 << 20 };

static struct str field(lua_State *L, const char *name) {
    struct str s;
    if (lua_getfield(L, 1, name) == LUA_TNIL) {
        lua_pop(L, 1);
        return STR_NONE;
    }
    s.p = luaL_checklstring(L, -1, &s.n);
    lua_pop(L, 1); /* the table keeps it */
    return s;
}

static lua_Integer integer_field(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    lua_Integer v = luaL_checkinteger(L, -1);
    lua_pop(L, 1);
    return v;
}

static bool flag(lua_State *L, const char *name) {
    lua_getfield(L, 1, name);
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

/* nil: the service's own rule */
static enum sign_dots dots_field(lua_State *L) {
    lua_getfield(L, 1, "normalize");
    enum sign_dots dots = lua_isnil(L, -1)       ? SIGN_DOTS_DEFAULT
                          : lua_toboolean(L, -1) ? SIGN_DOTS_NORMALISED
                                                 : SIGN_DOTS_KEPT;
    lua_pop(L, 1);
    return dots;
}

/* to_sign: without those that are never signed. */
static struct http_header *headers_field(lua_State *L, struct arena *a, bool to_sign, size_t *ret_n) {
    lua_getfield(L, 1, "headers");
    luaL_checktype(L, -1, LUA_TTABLE);
    size_t all = lua_rawlen(L, -1) / 2, n = 0;
    struct http_header *h = ARENA_ARRAY(a, struct http_header, all + 1);
    for (size_t i = 0; i < all; i++) {
        lua_rawgeti(L, -1, (lua_Integer)(2 * i + 1));
        lua_rawgeti(L, -2, (lua_Integer)(2 * i + 2));
        h[n].name.p = luaL_checklstring(L, -2, &h[n].name.n);
        h[n].value.p = luaL_checklstring(L, -1, &h[n].value.n);
        if (!to_sign || !sign_is_never_signed(h[n].name)) n++;
        lua_pop(L, 2);
    }
    lua_pop(L, 1);
    *ret_n = n;
    return h;
}

static struct sign_scope scope_fields(lua_State *L) {
    return (struct sign_scope){field(L, "region"), field(L, "service"), integer_field(L, "ms")};
}

static struct sign_credentials credentials_fields(lua_State *L) {
    return (struct sign_credentials){field(L, "access_key"), field(L, "secret_key"), field(L, "token")};
}

static struct sign_request request_fields(lua_State *L, struct arena *a) {
    struct sign_request r = {.method = field(L, "method"),
                             .path = field(L, "path"),
                             .raw_query = field(L, "query"),
                             .payload_hash = field(L, "payload_hash"),
                             .double_encode = flag(L, "double_encode"),
                             .dots = dots_field(L)};
    r.headers = headers_field(L, a, true, &r.n_headers);
    return r;
}

static struct sign_key_cache *keys_of(lua_State *L) {
    return lua_touserdata(L, lua_upvalueindex(2));
}

/* Everything is in the scratch buffer by now: texts of it become fields of the table at the top. */
static void set_piece(lua_State *L, const struct lib_scratch *s, const char *name, size_t from, size_t to) {
    lib_push_str(L, str_n(buf_view(&s->buf).p + from, to - from));
    lua_setfield(L, -2, name);
}

static void check_room(lua_State *L, const struct lib_scratch *s) {
    struct err e;
    if (buf_check(&s->buf, "what is to be signed", &e)) lib_raise(L, &e);
}

/* Pushes {canonical_request, signed_headers, string_to_sign, signature}; the buffer holds `before` bytes of others. */
static void push_stages(lua_State *L, struct lib_scratch *s, const struct sign_scope *scope,
                        const struct sign_request *r, const char signature[64]) {
    size_t at[4] = {s->buf.n};
    struct buf names = BUF_MAX(TEXTS_MAX);
    sign_canonical_request(r, &s->buf, &names);
    at[1] = s->buf.n;
    buf_str(&s->buf, buf_view(&names));
    buf_free(&names);
    at[2] = s->buf.n;
    sign_string_to_sign(scope, str_n(buf_view(&s->buf).p + at[0], at[1] - at[0]), &s->buf);
    at[3] = s->buf.n;
    check_room(L, s);
    lua_createtable(L, 0, 6);
    set_piece(L, s, "canonical_request", at[0], at[1]);
    set_piece(L, s, "signed_headers", at[1], at[2]);
    set_piece(L, s, "string_to_sign", at[2], at[3]);
    lua_pushlstring(L, signature, 64);
    lua_setfield(L, -2, "signature");
}

/* sign{method, path, query, headers, payload_hash, double_encode, normalize, region, service, ms, access_key,
 * secret_key, token} -> {authorization, ...} */
static int sign(lua_State *L) {
    struct lib_scratch *s = lib_scratch(L);
    struct sign_credentials c = credentials_fields(L);
    struct sign_scope scope = scope_fields(L);
    struct sign_request r = request_fields(L, &s->arena);
    char signature[65];
    sign_authorization(&c, &scope, &r, keys_of(L), &s->buf, signature);
    size_t n = s->buf.n;
    push_stages(L, s, &scope, &r, signature);
    set_piece(L, s, "authorization", 0, n);
    lib_scratch_clear(s);
    return 1;
}

/* The link's request as its user will make it, for the stages. */
static struct sign_request request_of(const struct sign_link *l, struct str url, struct arena *a) {
    struct str query = arena_str(a, url), host;
    str_cut(&query, '?');
    query = str_take(query, query.n - 64 - strlen("&X-Amz-Signature="));
    host = str_from(url, (size_t)str_find(url, STR("://"), 0) + 3);
    host = arena_str(a, str_take(host, (size_t)str_chr(host, '/', 0)));
    struct http_header *h = ARENA_ARRAY(a, struct http_header, l->n_headers + 1);
    h[0] = (struct http_header){STR("host"), host};
    if (l->n_headers) memcpy(h + 1, l->headers, l->n_headers * sizeof *h);
    return (struct sign_request){.method = l->method,
                                 .path = l->path,
                                 .raw_query = query,
                                 .headers = h,
                                 .n_headers = l->n_headers + 1,
                                 .payload_hash = l->payload_hash,
                                 .double_encode = l->double_encode,
                                 .dots = l->dots};
}

/* presign{as sign, base, expires} -> {url, ...} | nil, message */
static int presign(lua_State *L) {
    struct lib_scratch *s = lib_scratch(L);
    struct sign_credentials c = credentials_fields(L);
    struct sign_scope scope = scope_fields(L);
    struct sign_request r = request_fields(L, &s->arena);
    struct sign_link l = {.method = r.method,
                          .base = field(L, "base"),
                          .path = r.path,
                          .extra_query = r.raw_query,
                          .headers = r.headers,
                          .n_headers = r.n_headers,
                          .payload_hash = r.payload_hash,
                          .double_encode = r.double_encode,
                          .dots = r.dots,
                          .expires_s = integer_field(L, "expires")};
    struct err e;
    if (sign_presign(&c, &scope, &l, keys_of(L), &s->buf, &e)) {
        lua_pushnil(L);
        lua_pushstring(L, e.msg);
        return 2;
    }
    size_t n = s->buf.n;
    r = request_of(&l, buf_view(&s->buf), &s->arena);
    char signature[64];
    memcpy(signature, s->buf.p + n - 64, sizeof signature);
    push_stages(L, s, &scope, &r, signature);
    set_piece(L, s, "url", 0, n);
    lib_scratch_clear(s);
    return 1;
}

/* ==== verification ==== */

/* Either learns who claims to have signed, or knows the secret of that one. */
struct claimant {
    struct str asked, access_key, secret;
};

static struct str secret_of(void *ud, struct str access_key) {
    struct claimant *c = ud;
    c->asked = access_key;
    return c->secret.p && str_eq(c->access_key, access_key) ? c->secret : STR_NONE;
}

static int check_body(struct str body, struct str payload_hash, struct err *e) {
    char hex[64];
    if (str_is(payload_hash, "UNSIGNED-PAYLOAD")) return 0;
    if (payload_hash.n != sizeof hex)
        return err_set(e, ERR_NOT_IMPLEMENTED, "bodies signed piece by piece (%.*s) cannot be verified",
                       STR_ARG(str_take(payload_hash, 64)));
    sign_payload_hash(body, hex);
    if (crypto_equal(str_n(hex, sizeof hex), payload_hash)) return 0;
    return err_set(e, ERR_S3_SHA256, "The provided 'x-amz-content-sha256' header does not match what was computed.");
}

static void push_verified(lua_State *L, const struct sign_verified *v) {
    lua_createtable(L, 0, 5);
    lib_push_str(L, v->access_key);
    lua_setfield(L, -2, "access_key_id");
    lib_push_str(L, v->region);
    lua_setfield(L, -2, "region");
    lib_push_str(L, v->service);
    lua_setfield(L, -2, "service");
    lib_push_str(L, v->payload_hash);
    lua_setfield(L, -2, "payload_hash");
    lua_pushboolean(L, v->presigned);
    lua_setfield(L, -2, "presigned");
}

/* verify{method, path, query, headers, body, ms, normalize[, access_key, secret_key]}: without a secret -> the access
 * key that claims to have signed | nil, err; with it -> {access_key_id, region, service, presigned, payload_hash} |
 * nil, err */
static int verify(lua_State *L) {
    struct lib_scratch *s = lib_scratch(L);
    struct claimant who = {.access_key = field(L, "access_key"), .secret = field(L, "secret_key")};
    struct http_request r = {.method = field(L, "method"),
                             .path = field(L, "path"),
                             .raw_query = field(L, "query"),
                             .body = field(L, "body"),
                             .arena = &s->arena};
    struct sign_verified v;
    struct err e;
    int64_t now = integer_field(L, "ms");
    enum sign_dots dots = dots_field(L);
    r.headers = headers_field(L, &s->arena, false, &r.n_headers);
    int rc = sign_verify_with(&r, now, secret_of, &who, keys_of(L), dots, &v, &e);
    if (rc && who.asked.p && !who.secret.p) {
        lib_push_str(L, who.asked);
        return 1;
    }
    if (rc || check_body(r.body, v.payload_hash, &e)) return script_push_err(L, &e, "sigv4", "verify", NULL, NULL);
    push_verified(L, &v);
    return 1;
}

static int is_s3(lua_State *L) {
    lua_pushboolean(L, sign_is_s3(lib_check_str(L, 1)));
    return 1;
}

/* parse_date("20261122T053000Z" | RFC 3339) -> Unix ms | nil */
static int parse_date(lua_State *L) {
    struct str text = lib_check_str(L, 1);
    int64_t ms;
    if (!now_parse_amz(text, &ms) && !now_parse_iso(text, &ms)) return 0;
    lua_pushinteger(L, ms);
    return 1;
}

static int amz_date(lua_State *L) {
    char text[17];
    now_amz(luaL_checkinteger(L, 1), text);
    lua_pushlstring(L, text, 16);
    return 1;
}

static int wipe_keys(lua_State *L) {
    sign_key_cache_wipe(lua_touserdata(L, 1));
    return 0;
}

int script_open_sigv4(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"sign", sign},         {"presign", presign}, {"verify", verify}, {"is_s3", is_s3}, {"parse_date", parse_date},
        {"amz_date", amz_date}, {NULL, NULL},
    };
    luaL_newlibtable(L, functions);
    lib_scratch_new(L, TEXTS_MAX);
    memset(lua_newuserdatauv(L, sizeof(struct sign_key_cache), 0), 0, sizeof(struct sign_key_cache));
    if (luaL_newmetatable(L, KEYS)) {
        lua_pushcfunction(L, wipe_keys);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    luaL_setfuncs(L, functions, 2);
    return 1;
}
