/* reply: what a handler has returned -> the response. Nothing here calls metamethods. */
#include "base/crypto.h"
#include "script/state.h"
#include <string.h>

#define TEXT "text/plain; charset=utf-8"

static int bad(struct job *j, const char *fmt, const char *what) {
    struct str m = j->unit->fn.module, f = j->unit->fn.field;
    char text[1024];
    if (snprintf(text, sizeof text, fmt, what) < 0) text[0] = 0;
    return err_set(&j->err, ERR_SCRIPT, "%.*s.%.*s: %s", STR_ARG(m), STR_ARG(f), text);
}

/* ==== headers ==== */

static bool is_hosts(struct str name) {
    static const char *const names[] = {"content-length", "transfer-encoding", "connection",
                                        "keep-alive",     "upgrade",           NULL};
    for (int i = 0; names[i]; i++)
        if (str_ieq(name, str_c(names[i]))) return true;
    return false;
}

static int set_header(lua_State *L, struct job *j, struct str name, int value, bool *typed) {
    size_t n;
    struct err e;
    char number[32];
    struct str v;
    if (lua_type(L, value) == LUA_TSTRING) {
        const char *p = lua_tolstring(L, value, &n);
        v = str_n(p, n);
    } else if (lua_isinteger(L, value)) {
        snprintf(number, sizeof number, "%lld", (long long)lua_tointeger(L, value));
        v = str_c(number);
    } else {
        return bad(j, "a response header's value must be a string, an integer or a list of them, not %s",
                   luaL_typename(L, value));
    }
    if (is_hosts(name)) return bad(j, "the header %s is the server's to set", name.p);
    if (str_ieq(name, STR("content-type"))) *typed = true;
    if (http_set(&j->response, name, v, &e)) return bad(j, "%s", e.msg);
    return 0;
}

static int set_list(lua_State *L, struct job *j, struct str name, int list, bool *typed) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, list);
    for (lua_Integer i = 1; i <= n; i++) {
        lua_rawgeti(L, list, i);
        if (set_header(L, j, name, lua_gettop(L), typed)) return -1;
        lua_pop(L, 1);
    }
    return 0;
}

static int set_headers(lua_State *L, struct job *j, int idx, bool *typed) {
    if (lua_isnoneornil(L, idx)) return 0;
    if (lua_type(L, idx) != LUA_TTABLE)
        return bad(j, "the response's headers must be a table, not %s", luaL_typename(L, idx));
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) return bad(j, "a response header's name must be a string%s", "");
        size_t n;
        const char *p = lua_tolstring(L, -2, &n);
        int value = lua_gettop(L);
        int rc = lua_istable(L, value) ? set_list(L, j, str_n(p, n), value, typed)
                                       : set_header(L, j, str_n(p, n), value, typed);
        if (rc) return -1;
    }
    return 0;
}

static int set_cookies(lua_State *L, struct job *j, int idx) {
    bool typed;
    if (lua_isnil(L, idx)) return 0;
    if (lua_type(L, idx) != LUA_TTABLE)
        return bad(j, "the response's cookies must be a list, not %s", luaL_typename(L, idx));
    return set_list(L, j, STR("Set-Cookie"), idx, &typed);
}

/* API Gateway merges what is in headers and in multiValueHeaders, a load balancer takes one of them: a name in both is
 * refused. */
static int set_lists(lua_State *L, struct job *j, int lists, int headers, bool *typed) {
    if (lua_isnil(L, lists)) return 0;
    if (lua_type(L, lists) != LUA_TTABLE)
        return bad(j, "the response's multiValueHeaders must be a table, not %s", luaL_typename(L, lists));
    if (lua_type(L, headers) == LUA_TTABLE)
        for (lua_pushnil(L); lua_next(L, headers); lua_pop(L, 1)) {
            lua_pushvalue(L, -2);
            if (lua_rawget(L, lists) != LUA_TNIL)
                return bad(j, "the header %s is in both headers and multiValueHeaders",
                           lua_type(L, -3) == LUA_TSTRING ? lua_tostring(L, -3) : "(no string)");
            lua_pop(L, 1);
        }
    return set_headers(L, j, lists, typed);
}

/* ==== body ==== */

static int body_json(lua_State *L, struct job *j, int idx) {
    struct json v;
    struct err e;
    if (conv_to_json(L, idx, &j->arena, &v, &e)) return bad(j, "the response's body: %s", e.msg);
    json_write(&j->response.body, &v);
    return 0;
}

static int body_text(lua_State *L, struct job *j, int idx, bool base64) {
    size_t n;
    const char *p = lua_tolstring(L, idx, &n);
    if (!base64)
        buf_add(&j->response.body, p, n);
    else if (!crypto_unbase64(&j->response.body, str_n(p, n)))
        return bad(j, "the response's body is not base64, though isBase64Encoded is true%s", "");
    return 0;
}

/* *ret_type: the Content-Type when the handler gave none. */
static int set_body(lua_State *L, struct job *j, int idx, bool base64, const char **ret_type) {
    struct err e;
    int rc = 0;
    *ret_type = NULL;
    switch (lua_type(L, idx)) {
    case LUA_TNONE:
    case LUA_TNIL:
        break;
    case LUA_TSTRING:
        *ret_type = base64 ? "application/octet-stream" : TEXT;
        rc = body_text(L, j, idx, base64);
        break;
    default:
        *ret_type = "application/json; charset=utf-8";
        rc = body_json(L, j, idx);
    }
    if (!rc && buf_check(&j->response.body, "the response's body", &e)) return bad(j, "%s", e.msg);
    return rc;
}

/* ==== the three shapes ==== */

static int set_status(lua_State *L, struct job *j, int idx) {
    int is_int;
    lua_Integer status = lua_tointegerx(L, idx, &is_int);
    if (lua_type(L, idx) != LUA_TNUMBER || !is_int || status < 200 || status > 599)
        return bad(j, "the response's status must be an integer from 200 to 599%s", "");
    j->response.status = (int)status;
    return 0;
}

/* `typed`: a Content-Type is set already. */
static int set_all(lua_State *L, struct job *j, int status, int body, int headers, bool base64, bool typed) {
    const char *type;
    struct err e;
    if (set_status(L, j, status) || set_headers(L, j, headers, &typed) || set_body(L, j, body, base64, &type))
        return -1;
    if (type && !typed && http_set(&j->response, STR("Content-Type"), str_c(type), &e)) return bad(j, "%s", e.msg);
    if (buf_check(&j->response.head, "the response's head", &e)) return bad(j, "%s", e.msg);
    return 0;
}

static void get(lua_State *L, int idx, const char *name) {
    lua_pushstring(L, name);
    lua_rawget(L, idx);
}

static int from_table(lua_State *L, struct job *j, int idx) {
    int top = lua_gettop(L);
    get(L, idx, "statusCode");
    bool lambda = !lua_isnil(L, -1);
    if (!lambda) {
        lua_pop(L, 1);
        get(L, idx, "status");
    }
    get(L, idx, "body");
    get(L, idx, "headers");
    get(L, idx, "isBase64Encoded");
    bool is_response = !lambda && luaL_getmetafield(L, idx, "__name") == LUA_TSTRING &&
                       strcmp(lua_tostring(L, -1), "perigee.response") == 0;
    if (!lambda && !is_response)
        return bad(j,
                   "the handler returned a table that is no response: return http.ok(value), or status, value, or "
                   "{statusCode = ...}%s",
                   "");
    bool base64 = lambda && lua_toboolean(L, top + 4), typed = false;
    lua_settop(L, top + 3);
    if (lambda) {
        get(L, idx, "multiValueHeaders");
        get(L, idx, "cookies");
        if (set_lists(L, j, top + 4, top + 3, &typed) || set_cookies(L, j, top + 5)) return -1;
    }
    return set_all(L, j, top + 1, top + 2, top + 3, base64, typed);
}

void reply_note_code(lua_State *L, struct job *j, int idx) {
    size_t n;
    idx = lua_absindex(L, idx);
    if (lua_type(L, idx) != LUA_TTABLE) return;
    get(L, idx, "code");
    const char *p = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
    if (p) j->error_type = arena_str(&j->arena, str_n(p, n < 128 ? n : 128));
    lua_pop(L, 1);
}

/* nil, err */
static int from_error(lua_State *L, struct job *j, int idx) {
    reply_note_code(L, j, idx);
    struct str msg = conv_push_message(L, idx);
    return err_set(&j->err, ERR_SCRIPT, "%.*s", (int)(msg.n < 1000 ? msg.n : 1000), msg.p);
}

static int http_reply(lua_State *L, struct job *j, int first) {
    switch (lua_type(L, first)) {
    case LUA_TNUMBER:
        return set_all(L, j, first, first + 1, first + 2, false, false);
    case LUA_TTABLE:
        return from_table(L, j, first);
    case LUA_TNONE:
    case LUA_TNIL:
        return bad(j, "the handler returned nothing: return http.ok(value), or status, value%s", "");
    default:
        return bad(j, "the handler returned a %s, which is no response", luaL_typename(L, first));
    }
}

static int event_reply(lua_State *L, struct job *j, int first) {
    struct err e;
    if (script_to_json(L, first, &j->arena, &j->value, &e)) return bad(j, "the handler's result: %s", e.msg);
    return 0;
}

int reply_head(lua_State *L, struct job *j, int status, int headers, struct err *e) {
    bool typed = false;
    if (set_status(L, j, status) || set_headers(L, j, headers, &typed)) goto bad;
    if (!typed && http_set(&j->response, STR("Content-Type"), STR(TEXT), &j->err)) goto bad;
    if (str_bad_utf8(buf_view(&j->response.head)) >= 0)
        bad(j, "the headers of an http.stream must be UTF-8%s", ""); /* on Lambda they travel as JSON */
    else if (!buf_check(&j->response.head, "the response's head", &j->err))
        return 0;
bad:
    *e = j->err;
    j->err.code = ERR_NONE;
    buf_clear(&j->response.head);
    return -1;
}

/* What was to be said has been said. */
static void streamed(lua_State *L, struct job *j, int first) {
    if (!lua_isnil(L, first) && !stream_is(L, first))
        bad(j, "the handler returned a value, but http.stream is its answer: return nothing%s", "");
}

void reply_convert(lua_State *L, struct job *j, int first) {
    luaL_checkstack(L, 20, NULL);
    lua_settop(L, lua_gettop(L) < first + 2 ? first + 2 : lua_gettop(L)); /* status, body, headers */
    if (!lua_toboolean(L, first) && !lua_isnil(L, first + 1))
        from_error(L, j, first + 1);
    else if (j->stream.open)
        streamed(L, j, first);
    else if (j->in.kind == SCRIPT_HTTP)
        http_reply(L, j, first);
    else if (j->in.kind == SCRIPT_EVENT)
        event_reply(L, j, first);
}
