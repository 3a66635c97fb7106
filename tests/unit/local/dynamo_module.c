/* t.dynamo: the pure parts of the DynamoDB engine.
 *
 *   number(text) -> canonical text | nil, message     add(a, b [, subtract]) -> text | nil, message
 *   key(text) -> bytes                                 compare(a, b) -> -1 | 0 | 1
 *   size(item_json) -> bytes | nil, message            blob(item_json) -> bytes | nil, message
 *   item(blob) -> item_json | nil, message             condition(params_json, item_json | nil) -> boolean | nil,
 * message update(params_json, item_json | nil) -> item, new, old | nil, message     reserved(word) -> boolean */
#include "local/dynamo/expr.h"
#include <lauxlib.h>
#include <lua.h>

int luaopen_t_dynamo(lua_State *L);

static struct str to_str(lua_State *L, int i) {
    struct str s = STR_NONE;
    if (!lua_isnoneornil(L, i)) s.p = luaL_checklstring(L, i, &s.n);
    return s;
}

static int push_err(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, e->msg);
    return 2;
}

static int push_number(lua_State *L, const struct num *n) {
    char text[NUM_TEXT];
    lua_pushlstring(L, text, num_text(n, text));
    return 1;
}

static int number(lua_State *L) {
    struct num n;
    struct err e = {0};
    return num_parse(to_str(L, 1), &n, &e) ? push_err(L, &e) : push_number(L, &n);
}

static int add(lua_State *L) {
    struct num a, b, sum;
    struct err e = {0};
    if (num_parse(to_str(L, 1), &a, &e) || num_parse(to_str(L, 2), &b, &e)) return push_err(L, &e);
    return num_add(&a, &b, lua_toboolean(L, 3), &sum, &e) ? push_err(L, &e) : push_number(L, &sum);
}

static int key(lua_State *L) {
    struct num n;
    struct err e = {0};
    uint8_t out[NUM_KEY];
    if (num_parse(to_str(L, 1), &n, &e)) return push_err(L, &e);
    lua_pushlstring(L, (char *)out, num_key(&n, out));
    return 1;
}

static int compare(lua_State *L) {
    struct num a, b;
    struct err e = {0};
    if (num_parse(to_str(L, 1), &a, &e) || num_parse(to_str(L, 2), &b, &e)) return push_err(L, &e);
    lua_pushinteger(L, num_cmp(&a, &b));
    return 1;
}

static int read_item(struct arena *a, struct str text, struct av *ret, struct err *e) {
    struct json j;
    struct json_limits limits = {.depth = 200};
    if (json_parse(a, arena_str(a, text), &limits, &j, e)) return -1;
    return av_item_from_json(a, &j, "Item", ret, e);
}

static void push_item(lua_State *L, struct arena *a, const struct av *item) {
    struct buf b = BUF_MAX(16 << 20);
    struct json j = av_item_to_json(a, item);
    json_write(&b, &j);
    lua_pushlstring(L, buf_cstr(&b), b.n);
    buf_free(&b);
}

static int size(lua_State *L) {
    struct arena a = {0};
    struct av item;
    struct err e = {0};
    int n = 1;
    if (read_item(&a, to_str(L, 1), &item, &e))
        n = push_err(L, &e);
    else
        lua_pushinteger(L, (lua_Integer)av_item_size(&item));
    arena_free(&a);
    return n;
}

static int blob(lua_State *L) {
    struct arena a = {0};
    struct av item;
    struct err e = {0};
    int n = 1;
    if (read_item(&a, to_str(L, 1), &item, &e)) {
        n = push_err(L, &e);
    } else {
        struct str s = av_encode(&a, &item);
        lua_pushlstring(L, s.p, s.n);
    }
    arena_free(&a);
    return n;
}

static int item_of(lua_State *L) {
    struct arena a = {0};
    struct av item;
    struct err e = {0};
    int n = 1;
    if (av_decode(&a, arena_str(&a, to_str(L, 1)), &item, &e))
        n = push_err(L, &e);
    else
        push_item(L, &a, &item);
    arena_free(&a);
    return n;
}

struct parts {
    struct arena arena;
    struct json params;
    struct expr_names names;
    struct av item;
    bool has_item;
};

static int read_parts(lua_State *L, struct parts *p, struct err *e) {
    if (json_parse(&p->arena, arena_str(&p->arena, to_str(L, 1)), NULL, &p->params, e)) return -1;
    if (expr_names(&p->arena, &p->params, &p->names, e)) return -1;
    p->has_item = !lua_isnoneornil(L, 2);
    return p->has_item ? read_item(&p->arena, to_str(L, 2), &p->item, e) : 0;
}

static int condition(lua_State *L) {
    struct parts p = {0};
    struct err e = {0};
    struct expr *x;
    int n = 1;
    if (read_parts(L, &p, &e) ||
        expr_condition(&p.arena, &p.names, "ConditionExpression", json_get_s(&p.params, "Expression"), &x, &e) ||
        expr_unused(&p.names, &e))
        n = push_err(L, &e);
    else
        lua_pushboolean(L, expr_test(&p.arena, x, p.has_item ? &p.item : NULL));
    arena_free(&p.arena);
    return n;
}

static int update(lua_State *L) {
    struct parts p = {0};
    struct err e = {0};
    struct update u;
    struct av next = {.type = AV_M}, new, old;
    int n = 3;
    if (read_parts(L, &p, &e) || expr_update(&p.arena, &p.names, json_get_s(&p.params, "Expression"), &u, &e) ||
        expr_unused(&p.names, &e) || (p.has_item && av_decode(&p.arena, av_encode(&p.arena, &p.item), &next, &e)) ||
        update_apply(&p.arena, &u, p.has_item ? &p.item : NULL, &next, &new, &old, &e)) {
        n = push_err(L, &e);
    } else {
        push_item(L, &p.arena, &next);
        push_item(L, &p.arena, &new);
        push_item(L, &p.arena, &old);
    }
    arena_free(&p.arena);
    return n;
}

static int reserved(lua_State *L) {
    lua_pushboolean(L, lex_reserved(to_str(L, 1)));
    return 1;
}

int luaopen_t_dynamo(lua_State *L) {
    static const luaL_Reg functions[] = {{"number", number},     {"add", add},       {"key", key},
                                         {"compare", compare},   {"size", size},     {"blob", blob},
                                         {"item", item_of},      {"update", update}, {"condition", condition},
                                         {"reserved", reserved}, {NULL, NULL}};
    luaL_newlib(L, functions);
    return 1;
}
