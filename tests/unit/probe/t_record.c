/* t.record: redaction and files of recordings.
 *
 * redact(json, rules) -> json; rules: { headers={}, fields={}, secrets={} }, the key is "key".
 * bytes(name, bytes, max) -> the member that a document has of them.
 * file(dir, max_bytes[, rules]) -> file, or nil, message; f:add(version, json), f:version(version, json),
 * f:knows(version)
 * -> boolean, f:dropped() -> n, f:close(): writes what waits. */
#include "probe/record.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

int luaopen_t_record(lua_State *L);

enum { TEXT_MAX = 64 << 20 };

/* {name = list of strings}; the texts belong to the Lua table, the list to the arena. */
static void read_list(lua_State *L, int rules, const char *name, struct arena *a, const struct str **ret, size_t *n) {
    lua_getfield(L, rules, name);
    if (lua_istable(L, -1)) {
        struct str *list = ARENA_ARRAY(a, struct str, (size_t)luaL_len(L, -1) + 1);
        *ret = list;
        for (*n = 0; lua_rawgeti(L, -1, (lua_Integer)*n + 1) != LUA_TNIL; ++*n) {
            size_t bytes;
            const char *p = lua_tolstring(L, -1, &bytes);
            list[*n] = arena_str(a, str_n(p, bytes));
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
}

static struct record_rules read_rules(lua_State *L, int at, struct arena *a) {
    struct record_rules r = {.key = STR("key")};
    if (!lua_istable(L, at)) return r;
    read_list(L, at, "headers", a, &r.headers, &r.n_headers);
    read_list(L, at, "fields", a, &r.fields, &r.n_fields);
    read_list(L, at, "secrets", a, &r.secrets, &r.n_secrets);
    return r;
}

static int redact(lua_State *L) {
    struct arena a = {0};
    struct err e = {0};
    struct json doc;
    struct buf b = BUF_MAX(TEXT_MAX);
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n);
    struct record_rules rules = read_rules(L, 2, &a);
    int rc = json_parse(&a, str_n(text, n), NULL, &doc, &e);
    if (!rc) record_redact(&rules, &a, &doc);
    if (!rc) json_write(&b, &doc);
    if (rc)
        lua_pushstring(L, e.msg);
    else
        lua_pushlstring(L, b.p, b.n);
    buf_free(&b);
    arena_free(&a);
    return rc ? lua_error(L) : 1;
}

static int bytes(lua_State *L) {
    struct buf b = BUF_MAX(TEXT_MAX);
    size_t n;
    const char *p = luaL_checklstring(L, 2, &n);
    record_bytes(&b, luaL_checkstring(L, 1), str_n(p, n), (size_t)luaL_checkinteger(L, 3));
    lua_pushlstring(L, b.p, b.n);
    buf_free(&b);
    return 1;
}

struct file {
    struct record_file *file;
    struct arena arena;
};

static struct file *check(lua_State *L) {
    return luaL_checkudata(L, 1, "t.record.file");
}

static int file_open(lua_State *L) {
    const char *dir = luaL_checkstring(L, 1);
    uint64_t max = (uint64_t)luaL_checkinteger(L, 2);
    struct err e = {0};
    struct file *f = lua_newuserdatauv(L, sizeof *f, 0);
    *f = (struct file){0};
    luaL_setmetatable(L, "t.record.file");
    struct record_file_config c = {
        .dir = arena_cstr(&f->arena, str_c(dir)), .max_bytes = max, .rules = read_rules(L, 3, &f->arena)};
    if (!record_file_open(&c, &f->file, &e)) return 1;
    lua_pushnil(L);
    lua_pushstring(L, e.msg);
    return 2;
}

static struct buf text_at(lua_State *L, int at) {
    struct buf b = BUF_MAX(TEXT_MAX);
    size_t n;
    const char *p = luaL_checklstring(L, at, &n);
    buf_add(&b, p, n);
    return b;
}

static int file_add(lua_State *L) {
    struct file *f = check(L);
    struct buf b = text_at(L, 3);
    record_file_add(f->file, luaL_checkstring(L, 2), &b);
    return 0;
}

static int file_version(lua_State *L) {
    struct file *f = check(L);
    struct buf b = text_at(L, 3);
    record_file_version(f->file, luaL_checkstring(L, 2), &b);
    return 0;
}

static int file_knows(lua_State *L) {
    lua_pushboolean(L, record_file_knows(check(L)->file, luaL_checkstring(L, 2)));
    return 1;
}

static int file_dropped(lua_State *L) {
    lua_pushinteger(L, (lua_Integer)record_file_dropped(check(L)->file));
    return 1;
}

static int file_close(lua_State *L) {
    struct file *f = check(L);
    record_file_close(f->file);
    arena_free(&f->arena);
    f->file = NULL;
    return 0;
}

int luaopen_t_record(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"add", file_add},     {"version", file_version}, {"knows", file_knows}, {"dropped", file_dropped},
        {"close", file_close}, {"__gc", file_close},      {NULL, NULL}};
    static const luaL_Reg functions[] = {{"redact", redact}, {"bytes", bytes}, {"file", file_open}, {NULL, NULL}};
    luaL_newmetatable(L, "t.record.file");
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
    luaL_newlib(L, functions);
    return 1;
}
