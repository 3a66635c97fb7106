/* Presigned links and forms of perigee.aws.core. A link can do no more than who signed it. */
#include "script/lib/lib.h"

enum { PAIRS_MAX = 32 };

static int check_permission(lua_State *L, struct arena *a, const char *action, struct str bucket, struct str key,
                            struct err *e) {
    struct aws_context x = script_aws_context(L);
    const struct aws_identity *id = &aws_backend_of(L)->id;
    struct str arn = arena_printf(a, "arn:%.*s:s3:::%.*s/%.*s", STR_ARG(id->partition), STR_ARG(bucket), STR_ARG(key));
    if (!x.policy || x.policy->allow_all || policy_allows(x.policy, str_c(action), arn)) return 0;
    return err_set(e, ERR_ACCESS_DENIED, "function %.*s is not allowed to perform %s on %.*s", STR_ARG(x.function),
                   action, STR_ARG(arn));
}

/* The list {{name, value}, ...} at idx. */
static size_t read_pairs(lua_State *L, int idx, struct arena *a, const struct http_header **ret) {
    if (lua_isnoneornil(L, idx)) return 0;
    luaL_checktype(L, idx, LUA_TTABLE);
    size_t n = (size_t)lua_rawlen(L, idx);
    luaL_argcheck(L, n <= PAIRS_MAX, idx, "too many parameters of a link");
    struct http_header *pairs = ARENA_ARRAY(a, struct http_header, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct str *into[] = {&pairs[i].name, &pairs[i].value};
        luaL_argcheck(L, lua_rawgeti(L, idx, (lua_Integer)i + 1) == LUA_TTABLE, idx, "a list of pairs expected");
        for (int k = 0; k < 2; k++) {
            lua_rawgeti(L, -1, k + 1);
            *into[k] = arena_str(a, lib_check_str(L, -1));
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    *ret = pairs;
    return n;
}

/* presign(method, bucket, key, expires_s[, query, headers]) -> url, expires_ms | nil, err. query, headers: lists of
 * pairs. */
int aws_link(lua_State *L) {
    static const char *const methods[] = {"GET", "HEAD", "PUT", NULL};
    struct str verb = str_c(methods[luaL_checkoption(L, 1, "GET", methods)]), url;
    struct str bucket = lib_check_str(L, 2), key = lib_check_str(L, 3);
    lua_Integer expires = luaL_checkinteger(L, 4);
    struct aws_backend *b = aws_backend_of(L);
    int64_t expires_ms;
    struct err e = {0};
    luaL_argcheck(L, expires >= 1 && expires <= 604800, 4, "ExpiresIn must be from 1 to 604800 seconds (7 days)");
    luaL_argcheck(L, bucket.n && key.n, bucket.n ? 3 : 2, "must not be empty");
    struct lib_scratch *s = lib_scratch(L);
    struct aws_presign p = {
        .method = verb, .bucket = bucket, .key = key, .expires_s = expires, .host_hint = script_host_hint(L)};
    p.n_query = read_pairs(L, 5, &s->arena, &p.query);
    p.n_headers = read_pairs(L, 6, &s->arena, &p.headers);
    const char *action = str_is(verb, "PUT") ? "s3:PutObject" : "s3:GetObject";
    if (check_permission(L, &s->arena, action, bucket, key, &e) ||
        b->ops->presign(b, &p, &s->arena, &url, &expires_ms, &e))
        return script_push_err(L, &e, "s3", "PresignedUrl", NULL, NULL);
    lib_push_str(L, url);
    lua_pushinteger(L, expires_ms);
    lib_scratch_clear(s);
    return 2;
}

/* presign_post(params) -> {url, fields}, expires_ms | nil, err */
int aws_form(lua_State *L) {
    struct aws_backend *b = aws_backend_of(L);
    struct json params, form;
    int64_t expires_ms;
    struct err e = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct lib_scratch *s = lib_scratch(L);
    if (script_to_json(L, 1, &s->arena, &params, &e)) return lib_raise(L, &e);
    struct str bucket = json_get_s(&params, "Bucket"), key = json_get_s(&params, "Key");
    if (check_permission(L, &s->arena, "s3:PutObject", bucket, key, &e) ||
        b->ops->presign_post(b, &params, script_host_hint(L), &s->arena, &form, &expires_ms, &e))
        return script_push_err(L, &e, "s3", "PresignedPost", NULL, NULL);
    script_push_json(L, &form);
    lua_pushinteger(L, expires_ms);
    lib_scratch_clear(s);
    return 2;
}
