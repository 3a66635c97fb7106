/* run: scripts and busted, on the main thread of a trusted state. */
#include "base/fs.h"
#include "script/state.h"
#include <string.h>

struct run {
    struct script *s;
    const char *name;
    struct str text;
    int argc, code;
    char **argv;
    struct err *e;
};

static int on_error(lua_State *L) {
    struct run *r = lua_touserdata(L, lua_upvalueindex(1));
    struct buf text = BUF_MAX(sizeof r->e->msg);
    struct str msg;
    if (luaL_getmetafield(L, 1, "__tostring") != LUA_TNIL) {
        size_t n;
        const char *p = luaL_tolstring(L, 1, &n);
        msg = str_n(p, n);
    } else {
        msg = conv_push_message(L, 1);
    }
    luaL_traceback(L, L, NULL, 1);
    buf_str(&text, str_take(msg, sizeof r->e->msg / 2));
    struct str trace = str_c(lua_tostring(L, -1));
    buf_printf(&text, "\n%.*s", (int)(trace.n < 480 ? trace.n : 480), trace.p);
    err_set(r->e, ERR_SCRIPT, "%s", buf_cstr(&text));
    buf_free(&text);
    return 1;
}

static void set_arg(lua_State *L, const struct run *r) {
    lua_createtable(L, r->argc, 1);
    lua_pushstring(L, r->name);
    lua_rawseti(L, -2, 0);
    for (int i = 0; i < r->argc; i++) {
        lua_pushstring(L, r->argv[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_setglobal(L, "arg");
}

static int exit_code(lua_State *L) {
    if (lua_isinteger(L, -1)) return (int)lua_tointeger(L, -1);
    return lua_isboolean(L, -1) && !lua_toboolean(L, -1) ? 1 : 0;
}

static int run(lua_State *L) {
    struct run *r = lua_touserdata(L, 1);
    struct str text = source_body(r->text);
    set_arg(L, r);
    lua_pushlightuserdata(L, r);
    lua_pushcclosure(L, on_error, 1);
    if (luaL_loadbufferx(L, text.p ? text.p : "", text.n, lua_pushfstring(L, "@%s", r->name), "t")) return lua_error(L);
    for (int i = 0; i < r->argc; i++) {
        luaL_checkstack(L, 2, "too many arguments");
        lua_pushstring(L, r->argv[i]);
    }
    if (lua_pcall(L, r->argc, 1, 2)) {
        r->code = 1;
        return 0;
    }
    r->code = exit_code(L);
    return 0;
}

int script_run_text(struct script *s, const char *chunk_name, struct str text, int argc, char **argv, struct err *e) {
    struct err scratch;
    struct run r = {s, chunk_name, text, argc, 1, argv, e ? e : &scratch};
    r.e->code = ERR_NONE;
    if (!s->c.trusted) {
        err_set(r.e, ERR_CONFIG, "scripts are run by trusted states only");
        return 1;
    }
    if (state_door(s, run, &r, r.e)) return 1;
    return r.code;
}

int script_run_file(struct script *s, const char *path, int argc, char **argv, struct err *e) {
    struct buf text = BUF_MAX(64 << 20);
    int code = fs_read(path, &text, e) ? 1 : script_run_text(s, path, buf_view(&text), argc, argv, e);
    buf_free(&text);
    return code;
}
