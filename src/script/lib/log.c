/* perigee.log: JSON lines with the request's ids. */
#include "script/conv.h"
#include "script/lib/lib.h"
#include <string.h>

enum { LINE_MAX_BYTES = 256 << 10 };

/* Members that the host writes itself get a trailing '_' when a handler uses their name. */
static bool reserved(const struct log *log, struct str key) {
    static const char *const names[] = {"aws_request_id", "function", "trace_id", "correlation_id", NULL};
    for (const char *const *n = names; *n; n++)
        if (str_is(key, *n)) return true;
    return log_has(log, key);
}

static void add_member(const struct log *log, struct buf *line, struct str key, const struct json *v) {
    buf_byte(line, ',');
    if (reserved(log, key)) {
        char name[24];
        memcpy(name, key.p, key.n);
        name[key.n] = '_';
        json_write_str(line, str_n(name, key.n + 1));
    } else {
        json_write_str(line, key);
    }
    buf_byte(line, ':');
    json_write(line, v);
}

/* A line must not be lost because of its fields: what cannot be written becomes "fields_error". */
static void add_fields(lua_State *L, int idx, struct lib_scratch *s, const struct log *log) {
    struct buf *line = &s->buf;
    struct json fields;
    struct err e = {0};
    if (conv_to_json(L, idx, &s->arena, &fields, &e)) {
        struct json text = json_make_str(str_c(e.msg));
        add_member(log, line, STR("fields_error"), &text);
    } else if (fields.type != JSON_OBJ) {
        add_member(log, line, STR("fields"), &fields);
    } else {
        for (uint32_t i = 0; i < fields.n; i++) add_member(log, line, fields.members[i].key, &fields.members[i].value);
    }
}

/* log.info(message[, fields]); log:info(...) is accepted too. */
static int write_line(lua_State *L, enum log_level level) {
    if (lua_istable(L, 1) && lua_rawequal(L, 1, lua_upvalueindex(2))) lua_remove(L, 1);
    luaL_checkany(L, 1);
    if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TTABLE);
    const struct log *log = script_config(script_of(L))->log;
    if (!log || level < log->level) return 0;
    lua_settop(L, 2);
    size_t n;
    const char *p = luaL_tolstring(L, 1, &n);
    struct lib_scratch *s = lib_scratch(L);
    log_begin(log, &s->buf, level, str_n(p, n));
    script_log_fields(L, &s->buf);
    if (!lua_isnil(L, 2)) add_fields(L, 2, s, log);
    log_end(log, level, &s->buf);
    arena_reset(&s->arena);
    return 0;
}

static int log_debug(lua_State *L) {
    return write_line(L, LOG_DEBUG);
}
static int log_info(lua_State *L) {
    return write_line(L, LOG_INFO);
}
static int log_warn(lua_State *L) {
    return write_line(L, LOG_WARN);
}
static int log_error(lua_State *L) {
    return write_line(L, LOG_ERROR);
}

int script_open_log(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"debug", log_debug}, {"info", log_info}, {"warn", log_warn}, {"error", log_error}, {NULL, NULL}};
    luaL_newlibtable(L, functions);
    lib_scratch_new(L, LINE_MAX_BYTES);
    lua_pushvalue(L, -2);
    luaL_setfuncs(L, functions, 2);
    return 1;
}
