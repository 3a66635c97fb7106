/* t.base: strings, buffers, JSON, URLs, YAML. */
#include "base/json.h"
#include "base/url.h"
#include "base/yaml.h"
#include "t_base.h"

/* ==== str ==== */

static int l_bad_utf8(lua_State *L) {
    lua_pushinteger(L, str_bad_utf8(t_str(L, 1)));
    return 1;
}

static int l_i64(lua_State *L) {
    int64_t v;
    if (!str_i64(t_str(L, 1), &v)) return 0;
    lua_pushinteger(L, v);
    return 1;
}

static int l_cut(lua_State *L) {
    struct str rest = t_str(L, 1), part = str_cut(&rest, luaL_checkstring(L, 2)[0]);
    t_push(L, part);
    if (rest.p) t_push(L, rest);
    return rest.p ? 2 : 1;
}

static int l_trim(lua_State *L) {
    return t_push(L, str_trim(t_str(L, 1)));
}

static int l_cmp(lua_State *L) {
    int c = str_cmp(t_str(L, 1), t_str(L, 2));
    lua_pushinteger(L, (c > 0) - (c < 0));
    return 1;
}

static int l_find(lua_State *L) {
    lua_pushinteger(L, str_find(t_str(L, 1), t_str(L, 2), (size_t)luaL_optinteger(L, 3, 0)));
    return 1;
}

static int l_chr(lua_State *L) {
    lua_pushinteger(L, str_chr(t_str(L, 1), luaL_checkstring(L, 2)[0], (size_t)luaL_optinteger(L, 3, 0)));
    return 1;
}

static int l_ieq(lua_State *L) {
    lua_pushboolean(L, str_ieq(t_str(L, 1), t_str(L, 2)));
    return 1;
}

static int l_starts_ends(lua_State *L) {
    lua_pushboolean(L, str_starts(t_str(L, 1), t_str(L, 2)));
    lua_pushboolean(L, str_ends(t_str(L, 1), t_str(L, 2)));
    return 2;
}

static int l_slice(lua_State *L) {
    struct str s = str_from(t_str(L, 1), (size_t)luaL_checkinteger(L, 2));
    return t_push(L, str_take(s, (size_t)luaL_checkinteger(L, 3)));
}

/* ==== buf ==== */

/* buf_fill(max, {pieces}) -> content, over, error message */
static int l_buf_fill(lua_State *L) {
    struct buf b = BUF_MAX((size_t)luaL_checkinteger(L, 1));
    struct err e = {0};
    for (lua_Integer i = 1; lua_rawgeti(L, 2, i) == LUA_TSTRING; i++, lua_pop(L, 1)) buf_str(&b, t_str(L, -1));
    bool terminated = buf_cstr(&b)[b.n] == '\0';
    int rc = buf_check(&b, "the thing", &e);
    t_push(L, buf_view(&b));
    lua_pushboolean(L, b.over);
    lua_pushboolean(L, terminated);
    buf_free(&b);
    if (!rc) return 3;
    lua_pushstring(L, e.msg);
    return 4;
}

static int l_buf_numbers(lua_State *L) {
    struct buf b = BUF_MAX(1024);
    buf_i64(&b, INT64_MIN);
    buf_byte(&b, ' ');
    buf_i64(&b, INT64_MAX);
    buf_byte(&b, ' ');
    buf_u64(&b, UINT64_MAX);
    buf_byte(&b, ' ');
    buf_i64(&b, 0);
    buf_printf(&b, " %s-%05d", "x", 42);
    return t_push_buf(L, &b);
}

static int l_buf_release(lua_State *L) {
    struct buf b = BUF_MAX(1024);
    size_t n = 99;
    char *none = buf_release(&b, &n);
    lua_pushboolean(L, none == NULL && n == 0);
    buf_c(&b, "kept");
    char *p = buf_release(&b, &n);
    lua_pushlstring(L, p, n);
    free(p);
    lua_pushboolean(L, b.p == NULL && b.n == 0 && b.max == 1024);
    return 3;
}

/* A cap of n bytes holds n bytes by every way of adding. */
static int l_buf_exact(lua_State *L) {
    size_t max = (size_t)luaL_checkinteger(L, 1);
    struct buf a = BUF_MAX(max), b = BUF_MAX(max);
    for (size_t i = 0; i < max; i++) buf_byte(&a, 'x');
    buf_printf(&b, "%*s", (int)max, "y");
    lua_pushboolean(L, !a.over && !b.over && a.n == max && b.n == max);
    buf_byte(&a, 'x');
    buf_printf(&b, "z");
    lua_pushboolean(L, a.over && b.over && a.n == max && b.n == max);
    buf_clear(&a);
    lua_pushboolean(L, !a.over && a.n == 0);
    buf_free(&a);
    buf_free(&b);
    return 3;
}

/* ==== json ==== */

static void push_json(lua_State *L, const struct json *v) {
    luaL_checkstack(L, 8, "json");
    lua_createtable(L, 0, 2);
    lua_pushstring(L, json_type_name(v->type));
    lua_setfield(L, -2, "type");
    if (v->type == JSON_STR || v->type == JSON_NUM) {
        lua_pushlstring(L, v->s.p, v->s.n);
        lua_setfield(L, -2, "text");
    }
    for (uint32_t i = 0; (v->type == JSON_ARR || v->type == JSON_OBJ) && i < v->n; i++) {
        push_json(L, v->type == JSON_ARR ? &v->items[i] : &v->members[i].value);
        if (v->type == JSON_OBJ) {
            lua_pushlstring(L, v->members[i].key.p, v->members[i].key.n);
            lua_setfield(L, -2, "key");
        }
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
}

/* json(text, depth, duplicate_keys) -> tree, compact text | nil, message, code name */
static int l_json(lua_State *L) {
    struct arena *a = t_arena(L);
    struct json_limits limits = {(uint32_t)luaL_optinteger(L, 2, 0), lua_toboolean(L, 3)};
    struct json v = {.type = JSON_TRUE};
    struct err e = {0};
    if (json_parse(a, t_str(L, 1), &limits, &v, &e)) return t_fail(L, &e);
    struct buf b = BUF_MAX(64 << 20);
    push_json(L, &v);
    json_write(&b, &v);
    return 1 + t_push_buf(L, &b);
}

static struct json parsed(lua_State *L, struct arena *a, int arg) {
    struct json v;
    struct err e = {0};
    if (json_parse(a, t_str(L, arg), NULL, &v, &e)) luaL_error(L, "%s", e.msg);
    return v;
}

static int l_json_equal(lua_State *L) {
    struct arena *a = t_arena(L);
    struct json x = parsed(L, a, 1), y = parsed(L, a, 2);
    lua_pushboolean(L, json_equal(&x, &y));
    return 1;
}

static int l_json_i64(lua_State *L) {
    struct arena *a = t_arena(L);
    struct json v = parsed(L, a, 1);
    int64_t n;
    if (!json_i64(&v, &n)) return 0;
    lua_pushinteger(L, n);
    return 1;
}

/* The copy is written after the text and the arena of the original are gone. */
static int l_json_copy(lua_State *L) {
    struct arena first = {0}, second = {0};
    struct json v, copy = json_make_null();
    struct buf text = BUF_MAX(1 << 20), out = BUF_MAX(1 << 20);
    struct err e = {0};
    buf_str(&text, t_str(L, 1));
    if (!json_parse(&first, buf_view(&text), NULL, &v, &e)) copy = json_copy(&second, &v);
    buf_free(&text);
    arena_free(&first);
    json_write(&out, &copy);
    arena_free(&second);
    return t_push_buf(L, &out);
}

static int l_json_write_str(lua_State *L) {
    struct buf b = BUF_MAX(1 << 20);
    json_write_str(&b, t_str(L, 1));
    return t_push_buf(L, &b);
}

/* Builds {"n":<i>,"list":[0..count-1],...} by every constructor. */
static int l_json_build(lua_State *L) {
    struct arena *a = t_arena(L);
    lua_Integer count = luaL_checkinteger(L, 1);
    struct buf b = BUF_MAX(1 << 20);
    struct json v = json_make_obj(), list = json_make_arr();
    for (lua_Integer i = 0; i < count; i++) json_push(a, &list, json_make_i64(a, i));
    json_set(a, &v, "min", json_make_i64(a, INT64_MIN));
    json_set_str(a, &v, STR("list"), list);
    json_set(a, &v, "empty", json_make_arr());
    json_set(a, &v, "t", json_make_bool(true));
    json_set(a, &v, "f", json_make_bool(false));
    json_set(a, &v, "none", json_make_null());
    json_set(a, &v, "num", json_make_num(STR("1e999")));
    json_push(a, json_set(a, &v, "in", json_make_arr()), json_make_c("place"));
    json_write(&b, &v);
    return t_push_buf(L, &b);
}

/* Every reader on NULL and on the wrong type. */
static int l_json_absent(lua_State *L) {
    struct arena *a = t_arena(L);
    struct json v = parsed(L, a, 1);
    int64_t n;
    bool flag;
    lua_pushboolean(L, !json_get(NULL, "a") && !json_get(&v, "missing") && !json_str(NULL).p && !json_i64(NULL, &n) &&
                           !json_bool(NULL, &flag) && !json_is(NULL, JSON_NULL) &&
                           !json_get(json_get(&v, "s"), "deeper") && !json_get_s(&v, "n").p &&
                           !json_i64(json_get(&v, "s"), &n) && !json_bool(json_get(&v, "n"), &flag));
    return 1;
}

static int l_json_fuel(lua_State *L) { /* bytes of arena a text costs */
    struct arena *a = t_arena(L);
    parsed(L, a, 1);
    lua_pushinteger(L, (lua_Integer)a->used);
    return 1;
}

/* ==== url ==== */

static int l_url_parse(lua_State *L) {
    struct url u;
    struct err e = {0};
    if (url_parse(t_str(L, 1), &u, &e)) return t_fail(L, &e);
    lua_createtable(L, 0, 5);
    t_field(L, "scheme", u.scheme);
    t_field(L, "host", u.host);
    t_field(L, "path", u.path);
    t_field(L, "query", u.query);
    lua_pushinteger(L, u.port);
    lua_setfield(L, -2, "port");
    return 1;
}

static int l_url_encode(lua_State *L) {
    struct buf b = BUF_MAX(1 << 20);
    url_encode(&b, t_str(L, 1), lua_toboolean(L, 2));
    return t_push_buf(L, &b);
}

static int l_url_decode(lua_State *L) {
    struct arena *a = t_arena(L);
    struct str s;
    struct err e = {0};
    if (url_decode(a, t_str(L, 1), lua_toboolean(L, 2), &s, &e)) return t_fail(L, &e);
    return t_push(L, s);
}

static int l_url_query(lua_State *L) {
    struct arena *a = t_arena(L);
    struct url_param *params;
    size_t n;
    struct err e = {0};
    if (url_query(a, t_str(L, 1), (size_t)luaL_optinteger(L, 2, 100), &params, &n, &e)) return t_fail(L, &e);
    lua_newtable(L);
    for (size_t i = 0; i < n; i++) {
        lua_createtable(L, 2, 0);
        t_push(L, params[i].name);
        lua_rawseti(L, -2, 1);
        t_push(L, params[i].value);
        lua_rawseti(L, -2, 2);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* ==== yaml ==== */

static void push_yaml(lua_State *L, const struct yaml *v) {
    luaL_checkstack(L, 8, "yaml");
    lua_newtable(L);
    lua_pushinteger(L, v->line);
    lua_setfield(L, -2, "line");
    t_field(L, "tag", v->tag);
    lua_pushboolean(L, v->quoted);
    lua_setfield(L, -2, "quoted");
    if (v->type == YAML_SCALAR) t_field(L, "text", v->text);
    if (v->type == YAML_MAP) lua_newtable(L);
    for (size_t i = 0; v->type != YAML_SCALAR && i < v->n; i++) {
        if (v->type == YAML_MAP) t_push(L, v->keys[i]->text);
        push_yaml(L, v->items[i]);
        if (v->type == YAML_MAP)
            lua_rawset(L, -3);
        else
            lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    if (v->type == YAML_MAP) lua_setfield(L, -2, "map");
}

static int l_yaml(lua_State *L) {
    struct arena *a = t_arena(L);
    struct yaml *v;
    struct err e = {0};
    if (yaml_parse(a, t_str(L, 1), "t.yaml", &v, &e)) return t_fail(L, &e);
    push_yaml(L, v);
    return 1;
}

const luaL_Reg t_text[] = {
    {"bad_utf8", l_bad_utf8},
    {"i64", l_i64},
    {"cut", l_cut},
    {"trim", l_trim},
    {"cmp", l_cmp},
    {"find", l_find},
    {"chr", l_chr},
    {"ieq", l_ieq},
    {"starts_ends", l_starts_ends},
    {"slice", l_slice},
    {"buf_fill", l_buf_fill},
    {"buf_numbers", l_buf_numbers},
    {"buf_release", l_buf_release},
    {"buf_exact", l_buf_exact},
    {"json", l_json},
    {"json_equal", l_json_equal},
    {"json_i64", l_json_i64},
    {"json_copy", l_json_copy},
    {"json_write_str", l_json_write_str},
    {"json_build", l_json_build},
    {"json_absent", l_json_absent},
    {"json_fuel", l_json_fuel},
    {"url_parse", l_url_parse},
    {"url_encode", l_url_encode},
    {"url_decode", l_url_decode},
    {"url_query", l_url_query},
    {"yaml", l_yaml},
    {NULL, NULL},
};
