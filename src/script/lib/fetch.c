/* perigee.http.core: outgoing HTTP requests. lua/perigee/http.lua makes http.fetch of it.
 *
 *   fetch(url, {method=, headers={}, body=, timeout_ms=, max_body=}) -> {status, headers, body}, or nil, err
 * Wrong types and unknown options raise; what is wrong in the values themselves (an address, a header) may come from
 * outside and is an error like those of the network. */
#include "base/fetch.h"
#include "script/lib/lib.h"
#include <ctype.h>

#define FETCH "perigee.http.fetch"
enum { TIMEOUT_MS = 10000, TIMEOUT_MAX_MS = 900000, BODY_MAX = 64 << 20, BODY_DEFAULT = 8 << 20 };

struct fetch_box {
    struct script_wait wait;
    struct fetch_client *client;
    struct fetch f;
    bool running;
};

static void fetch_done(struct fetch *f, void *ud) {
    struct fetch_box *box = ud;
    (void)f;
    box->running = false;
    script_wake(&box->wait);
}

static void fetch_cancel(void *ud) {
    struct fetch_box *box = ud;
    if (box->running) box->client->cancel(box->client, &box->f);
    box->running = false;
}

static int fetch_gc(lua_State *L) {
    struct fetch_box *box = lua_touserdata(L, 1);
    script_wait_forget(&box->wait);
    fetch_cancel(box);
    arena_free(&box->f.arena);
    return 0;
}

/* ==== the request; all of it is copied: the tables may change while it runs ==== */

static struct str opt_text(lua_State *L, int options, const char *name, struct arena *a, struct str dflt) {
    size_t n;
    int type = lua_getfield(L, options, name);
    if (type != LUA_TNIL && type != LUA_TSTRING) luaL_error(L, "option '%s' must be a string", name);
    const char *p = lua_tolstring(L, -1, &n);
    struct str s = p ? arena_str(a, str_n(p, n)) : dflt;
    lua_pop(L, 1);
    return s;
}

static uint64_t opt_count(lua_State *L, int options, const char *name, lua_Integer max, lua_Integer dflt) {
    int type = lua_getfield(L, options, name), is_int = 0;
    lua_Integer v = type == LUA_TNIL ? dflt : lua_tointegerx(L, -1, &is_int);
    if (type != LUA_TNIL && (type != LUA_TNUMBER || !is_int || v < 1 || v > max))
        luaL_error(L, "option '%s' must be an integer from 1 to %I", name, (LUAI_UACINT)max);
    lua_pop(L, 1);
    return (uint64_t)v;
}

static size_t count_headers(lua_State *L, int idx) {
    size_t n = 0;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING) luaL_error(L, "option 'headers' must have names as its keys");
        if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
            luaL_error(L, "header '%s' must be a string or a number", lua_tostring(L, -2));
        n++;
    }
    return n;
}

static struct str copy_text(lua_State *L, int idx, struct arena *a) {
    size_t n;
    const char *p = lua_tolstring(L, idx, &n);
    return arena_str(a, str_n(p, n));
}

static void set_headers(lua_State *L, int options, struct fetch *f) {
    int type = lua_getfield(L, options, "headers");
    if (type != LUA_TNIL && type != LUA_TTABLE) luaL_error(L, "option 'headers' must be a table");
    if (type == LUA_TTABLE) {
        int idx = lua_gettop(L);
        struct http_header *h = ARENA_ARRAY(&f->arena, struct http_header, count_headers(L, idx) + 1);
        f->headers = h;
        for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
            h[f->n_headers].name = copy_text(L, -2, &f->arena);
            h[f->n_headers++].value = copy_text(L, -1, &f->arena);
        }
    }
    lua_pop(L, 1);
}

/* Never longer than the job may still run. */
static uint64_t within_deadline(lua_State *L, uint64_t timeout_ms) {
    int64_t left = script_remaining_ms(L);
    if (left < 1) left = 1;
    return (uint64_t)left < timeout_ms ? (uint64_t)left : timeout_ms;
}

static void set_request(lua_State *L, struct fetch *f) {
    static const char *const names[] = {"method", "headers", "body", "timeout_ms", "max_body", NULL};
    f->url = copy_text(L, 1, &f->arena);
    lib_check_options(L, 2, names);
    f->method = opt_text(L, 2, "method", &f->arena, STR("GET"));
    f->body = opt_text(L, 2, "body", &f->arena, STR_NONE);
    f->timeout_ms = within_deadline(L, opt_count(L, 2, "timeout_ms", TIMEOUT_MAX_MS, TIMEOUT_MS));
    f->max_body = (size_t)opt_count(L, 2, "max_body", BODY_MAX, BODY_DEFAULT);
    set_headers(L, 2, f);
}

/* ==== the answer ==== */

static void push_lower(lua_State *L, struct str s) {
    luaL_Buffer b;
    char *p = luaL_buffinitsize(L, &b, s.n);
    for (size_t i = 0; i < s.n; i++) p[i] = (char)tolower((unsigned char)s.p[i]);
    luaL_pushresultsize(&b, s.n);
}

static void push_headers(lua_State *L, const struct fetch *f) {
    lua_createtable(L, 0, (int)f->n_response_headers);
    for (size_t i = 0; i < f->n_response_headers; i++) {
        const struct http_header *h = &f->response_headers[i];
        push_lower(L, h->name);
        lua_pushvalue(L, -1);
        bool repeated = lua_rawget(L, -3) != LUA_TNIL; /* headers name value|nil */
        if (repeated) lua_pushliteral(L, ", ");
        lib_push_str(L, h->value);
        if (repeated)
            lua_concat(L, 3);
        else
            lua_remove(L, -2);
        lua_rawset(L, -3);
    }
}

static int fetch_finish(lua_State *L, int status, lua_KContext ctx) {
    struct fetch_box *box = (struct fetch_box *)ctx;
    const struct fetch *f = &box->f;
    (void)status;
    if (f->err.code) {
        int n = script_push_err(L, &f->err, NULL, NULL, NULL, NULL);
        arena_free(&box->f.arena);
        return n;
    }
    lua_createtable(L, 0, 3);
    lua_pushinteger(L, f->status);
    lua_setfield(L, -2, "status");
    push_headers(L, f);
    lua_setfield(L, -2, "headers");
    lib_push_str(L, f->response_body);
    lua_setfield(L, -2, "body");
    arena_free(&box->f.arena);
    return 1;
}

static int fetch(lua_State *L) {
    const struct script_config *config = script_config(script_of(L));
    luaL_checktype(L, 1, LUA_TSTRING);
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
        lua_newtable(L);
        lua_replace(L, 2);
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    if (!config->fetch) return luaL_error(L, "there is no HTTP client here");
    script_check_wait(L, "http.fetch");
    struct fetch_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (struct fetch_box){.client = config->fetch};
    luaL_setmetatable(L, FETCH);
    set_request(L, &box->f);
    box->f.done = fetch_done;
    box->f.ud = box;
    box->running = true;
    struct err e = {0};
    if (config->fetch->start(config->fetch, &box->f, &e)) {
        box->running = false;
        return script_push_err(L, &e, NULL, NULL, NULL, NULL);
    }
    return script_wait(L, &box->wait, fetch_cancel, box, fetch_finish);
}

int script_open_http(lua_State *L) {
    static const luaL_Reg functions[] = {{"fetch", fetch}, {NULL, NULL}};
    if (luaL_newmetatable(L, FETCH)) {
        lua_pushcfunction(L, fetch_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
