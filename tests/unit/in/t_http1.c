/* t.http1: in/http1.h on bytes in pieces.
 *
 *   local told, why, fresh = http1.parse("request"|"response", { pieces }, { head_max = n, no_body = bool, eof = bool
 * }) told: { {event = "head", ...}, {event = "body", bytes}, {event = "end", headers} }, bodies that follow each other
 * as one; why: the error's text or nil */
#include "in/http1.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

int luaopen_t_http1(lua_State *L);

struct reading {
    struct http1 parser;
    struct err e;
    int told; /* stack index of the list */
    bool bad;
};

static void set_text(lua_State *L, const char *name, struct str s) {
    if (!s.p) return;
    lua_pushlstring(L, s.p, s.n);
    lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool value) {
    if (!value) return;
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, name);
}

static void set_headers(lua_State *L, const struct http1 *p) {
    lua_newtable(L);
    for (size_t i = 0; i < p->n_headers; i++) {
        lua_pushlstring(L, p->headers[i].name.p, p->headers[i].name.n);
        lua_pushliteral(L, "=");
        lua_pushlstring(L, p->headers[i].value.p, p->headers[i].value.n);
        lua_concat(L, 3);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "headers");
}

static void push_event(lua_State *L, const char *name) {
    lua_newtable(L);
    lua_pushstring(L, name);
    lua_setfield(L, -2, "event");
}

static void keep_event(lua_State *L, const struct reading *r) {
    lua_rawseti(L, r->told, (lua_Integer)lua_rawlen(L, r->told) + 1);
}

static void tell_head(lua_State *L, struct reading *r) {
    const struct http1 *p = &r->parser;
    push_event(L, "head");
    set_text(L, "method", p->method);
    set_text(L, "target", p->target);
    set_headers(L, p);
    set_flag(L, "close", p->close);
    set_flag(L, "chunked", p->chunked);
    set_flag(L, "until_close", p->until_close);
    if (p->status) {
        lua_pushinteger(L, p->status);
        lua_setfield(L, -2, "status");
    }
    if (p->content_length != UINT64_MAX) {
        lua_pushinteger(L, (lua_Integer)p->content_length);
        lua_setfield(L, -2, "length");
    }
    keep_event(L, r);
}

/* Parts of a body that follow each other are one. */
static void tell_body(lua_State *L, struct reading *r) {
    lua_Integer n = (lua_Integer)lua_rawlen(L, r->told);
    lua_rawgeti(L, r->told, n);
    if (lua_getfield(L, -1, "bytes") == LUA_TSTRING) {
        lua_pushlstring(L, r->parser.part.p, r->parser.part.n);
        lua_concat(L, 2);
        lua_setfield(L, -2, "bytes");
        lua_pop(L, 1);
        return;
    }
    lua_pop(L, 2);
    push_event(L, "body");
    set_text(L, "bytes", r->parser.part);
    keep_event(L, r);
}

static void tell_end(lua_State *L, struct reading *r) {
    push_event(L, "end");
    set_headers(L, &r->parser);
    keep_event(L, r);
}

static bool tell(lua_State *L, struct reading *r, enum http1_event event) {
    if (event == HTTP1_HEAD) tell_head(L, r);
    if (event == HTTP1_BODY) tell_body(L, r);
    if (event == HTTP1_END) tell_end(L, r);
    if (event == HTTP1_BAD) r->bad = true;
    return event != HTTP1_MORE && event != HTTP1_BAD;
}

/* The piece is copied, so that reading past its end is seen. */
static void feed(lua_State *L, struct reading *r, const char *bytes, size_t n) {
    char *copy = n ? malloc(n) : NULL;
    if (n) memcpy(copy, bytes, n);
    struct str in = {copy, n};
    while (tell(L, r, http1_feed(&r->parser, &in, &r->e))) {
    }
    if (!r->bad && in.n) r->bad = true, err_set(&r->e, ERR_INTERNAL, "bytes were left over");
    free(copy);
}

static bool option(lua_State *L, const char *name) {
    bool value = lua_istable(L, 3) && (lua_getfield(L, 3, name), lua_toboolean(L, -1));
    return value;
}

static int parse(lua_State *L) {
    struct reading r = {.told = 4};
    http1_init(&r.parser, strcmp(luaL_checkstring(L, 1), "request") ? HTTP1_RESPONSE : HTTP1_REQUEST);
    r.parser.no_body = option(L, "no_body");
    bool eof = option(L, "eof");
    if (lua_istable(L, 3)) lua_getfield(L, 3, "head_max"), r.parser.head_max = (size_t)lua_tointeger(L, -1);
    lua_settop(L, 3);
    lua_newtable(L);
    for (lua_Integer i = 1; !r.bad && lua_rawgeti(L, 2, i) == LUA_TSTRING; i++, lua_settop(L, 4)) {
        size_t n;
        const char *bytes = lua_tolstring(L, -1, &n);
        feed(L, &r, bytes, n);
    }
    lua_settop(L, 4);
    if (eof && !r.bad) tell(L, &r, http1_eof(&r.parser, &r.e));
    if (r.bad)
        lua_pushstring(L, r.e.msg);
    else
        lua_pushnil(L);
    lua_pushboolean(L, http1_fresh(&r.parser));
    http1_free(&r.parser);
    return 3;
}

int luaopen_t_http1(lua_State *L) {
    lua_newtable(L);
    lua_pushcfunction(L, parse);
    lua_setfield(L, -2, "parse");
    return 1;
}
