/* string.find, match, gmatch, gsub and rep as the Reference Manual (6.4) describes them, built so that a job's limits
 * hold while they run: the stock ones cannot be interrupted. */
#include "script/lib/pattern.h"
#include <string.h>

enum { REP_MAX = 256 << 20, REP_POLL = 1 << 20 };

/* ==== find and match ==== */

/* 1-based start, negative from the end, clamped to the beginning; may lie behind the end. */
static size_t start_of(lua_State *L, int arg, size_t n) {
    lua_Integer i = luaL_optinteger(L, arg, 1);
    if (i > 0) return (size_t)i - 1;
    if (i == 0 || i < -(lua_Integer)n) return 0;
    return n - (size_t)(-i);
}

static bool is_plain(struct str p) {
    for (size_t i = 0; i < p.n; i++)
        if (p.p[i] && strchr("^$*+?.([%-", p.p[i])) return false;
    return true;
}

static int find_plain(lua_State *L, struct str s, struct str p, size_t from) {
    const char *at = p.n ? memmem(s.p + from, s.n - from, p.p, p.n) : s.p + from;
    if (!at) {
        luaL_pushfail(L);
        return 1;
    }
    lua_pushinteger(L, at - s.p + 1);
    lua_pushinteger(L, at - s.p + (lua_Integer)p.n);
    return 2;
}

static int search(lua_State *L, bool find) {
    struct str s = lib_check_str(L, 1), p = lib_check_str(L, 2);
    size_t from = start_of(L, 3, s.n);
    struct pattern m;
    if (from > s.n) {
        luaL_pushfail(L);
        return 1;
    }
    if (find && (lua_toboolean(L, 4) || is_plain(p))) return find_plain(L, s, p, from);
    pattern_init(&m, L, s, p, true);
    for (const char *at = s.p + from; at <= m.subject_end; at++) {
        const char *end = pattern_at(&m, at);
        if (end && !find) return pattern_push_captures(&m, at, end, true);
        if (end) {
            lua_pushinteger(L, at - s.p + 1);
            lua_pushinteger(L, end - s.p);
            return pattern_push_captures(&m, NULL, NULL, false) + 2;
        }
        if (m.anchored) break;
    }
    luaL_pushfail(L);
    return 1;
}

static int string_find(lua_State *L) {
    return search(L, true);
}

static int string_match(lua_State *L) {
    return search(L, false);
}

/* ==== gmatch ==== */

struct gmatch {
    const char *at, *last; /* where to go on; end of the last match */
    struct pattern m;
};

/* Upvalues: subject, pattern, state. */
static int gmatch_next(lua_State *L) {
    struct gmatch *g = lua_touserdata(L, lua_upvalueindex(3));
    g->m.L = L;
    for (; g->at <= g->m.subject_end; g->at++) {
        const char *at = g->at, *end = pattern_at(&g->m, at);
        if (!end || end == g->last) continue;
        g->at = g->last = end;
        return pattern_push_captures(&g->m, at, end, true);
    }
    return 0;
}

static int string_gmatch(lua_State *L) {
    struct str s = lib_check_str(L, 1), p = lib_check_str(L, 2);
    size_t from = start_of(L, 3, s.n);
    lua_settop(L, 2);
    struct gmatch *g = lua_newuserdatauv(L, sizeof *g, 0);
    pattern_init(&g->m, L, s, p, false);
    g->at = s.p + (from > s.n ? s.n + 1 : from);
    g->last = NULL;
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

/* ==== gsub ==== */

struct gsub {
    struct pattern m;
    luaL_Buffer out;
    int type;        /* of the replacement, argument 3 */
    struct str text; /* the replacement, when it is a string */
};

static void add_text(struct gsub *g, const char *s, const char *e) {
    struct str rest = g->text;
    for (ptrdiff_t i; (i = str_chr(rest, '%', 0)) >= 0; rest = str_from(rest, (size_t)i + 2)) {
        char c = (size_t)i + 1 < rest.n ? rest.p[i + 1] : 0;
        luaL_addlstring(&g->out, rest.p, (size_t)i);
        if (c == '%') {
            luaL_addchar(&g->out, '%');
        } else if (c == '0') {
            luaL_addlstring(&g->out, s, (size_t)(e - s));
        } else if (c >= '1' && c <= '9') {
            pattern_push_capture(&g->m, c - '1', s, e);
            luaL_addvalue(&g->out);
        } else {
            luaL_error(g->m.L, "invalid use of '%c' in replacement string", '%');
        }
    }
    luaL_addlstring(&g->out, rest.p ? rest.p : "", rest.n);
}

/* The value for the match s..e is asked for; false or nil keep the match. Returns whether anything was replaced. */
static bool add_value(struct gsub *g, const char *s, const char *e) {
    lua_State *L = g->m.L;
    if (g->type == LUA_TSTRING) {
        add_text(g, s, e);
        return true;
    }
    if (g->type == LUA_TTABLE) {
        pattern_push_capture(&g->m, 0, s, e);
        lua_gettable(L, 3);
    } else {
        lua_pushvalue(L, 3);
        lua_call(L, pattern_push_captures(&g->m, s, e, true), 1);
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        luaL_addlstring(&g->out, s, (size_t)(e - s));
        return false;
    }
    if (!lua_isstring(L, -1)) luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    luaL_addvalue(&g->out);
    return true;
}

static void check_replacement(lua_State *L, struct gsub *g) {
    g->type = lua_type(L, 3);
    if (g->type == LUA_TNUMBER || g->type == LUA_TSTRING) {
        g->type = LUA_TSTRING;
        g->text = lib_check_str(L, 3);
    } else if (g->type != LUA_TTABLE && g->type != LUA_TFUNCTION) {
        luaL_typeerror(L, 3, "string/function/table");
    }
}

static int string_gsub(lua_State *L) {
    struct gsub g;
    struct str s = lib_check_str(L, 1), p = lib_check_str(L, 2);
    lua_Integer max = luaL_optinteger(L, 4, (lua_Integer)s.n + 1), n = 0;
    bool changed = false;
    check_replacement(L, &g);
    pattern_init(&g.m, L, s, p, true);
    luaL_buffinit(L, &g.out);
    const char *at = s.p, *last = NULL;
    while (n < max) {
        const char *end = pattern_at(&g.m, at);
        if (end && end != last) {
            n++;
            changed |= add_value(&g, at, end);
            at = last = end;
        } else if (at < g.m.subject_end) {
            luaL_addchar(&g.out, *at++);
        } else {
            break;
        }
        if (g.m.anchored) break;
    }
    if (changed) {
        luaL_addlstring(&g.out, at, (size_t)(g.m.subject_end - at));
        luaL_pushresult(&g.out);
    } else {
        lua_pushvalue(L, 1);
    }
    lua_pushinteger(L, n);
    return 2;
}

/* ==== rep ==== */

/* p has `have` bytes, whole periods; doubles them until n are there. */
static void fill(lua_State *L, char *p, size_t have, size_t n) {
    while (have < n) {
        size_t more = have < n - have ? have : n - have;
        if (more >= REP_POLL) script_poll(L);
        memcpy(p + have, p, more);
        have += more;
    }
}

static int string_rep(lua_State *L) {
    struct str s = lib_check_str(L, 1), sep = STR("");
    lua_Integer n = luaL_checkinteger(L, 2);
    luaL_Buffer b;
    if (!lua_isnoneornil(L, 3)) sep = lib_check_str(L, 3);
    size_t period = s.n + sep.n;
    if (n <= 0 || period == 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if (period < s.n || (lua_Unsigned)n > REP_MAX / period) return luaL_error(L, "resulting string too large");
    size_t total = (size_t)n * period - sep.n;
    char *p = luaL_buffinitsize(L, &b, total + sep.n);
    memcpy(p, s.p, s.n);
    memcpy(p + s.n, sep.p, sep.n);
    fill(L, p, period, total);
    luaL_pushresultsize(&b, total);
    return 1;
}

void script_open_pattern(lua_State *L) {
    static const luaL_Reg functions[] = {{"find", string_find}, {"match", string_match}, {"gmatch", string_gmatch},
                                         {"gsub", string_gsub}, {"rep", string_rep},     {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
