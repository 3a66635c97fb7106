#include "base/elf.h"
#include "base/zip.h"
#include "t_base.h"
#include <string.h>

/* zip{ {name, data, executable}, ... } [, max] */
static int t_zip(lua_State *L) {
    struct zip z;
    struct err e = {0};
    zip_init(&z, (size_t)luaL_optinteger(L, 2, 1 << 28));
    lua_Integer n = luaL_len(L, 1);
    int rc = 0;
    for (lua_Integer i = 1; !rc && i <= n; i++) {
        lua_geti(L, 1, i);
        lua_geti(L, -1, 1);
        lua_geti(L, -2, 2);
        lua_geti(L, -3, 3);
        rc = zip_add(&z, t_str(L, -3), lua_toboolean(L, -1), t_str(L, -2), &e);
        lua_pop(L, 4);
    }
    if (!rc) rc = zip_end(&z, &e);
    rc ? t_fail(L, &e) : t_push(L, buf_view(&z.out));
    zip_free(&z);
    return rc ? 3 : 1;
}

/* elf(bytes): { machine=, interpreter=, needed={...} } */
static int t_elf(lua_State *L) {
    struct arena *a = t_arena(L);
    struct str given = t_str(L, 1);
    char *exact = malloc(given.n ? given.n : 1); /* so that a read behind its end is one */
    struct elf elf;
    struct err e = {0};
    memcpy(exact, given.p, given.n);
    int rc = elf_read(a, str_n(exact, given.n), &elf, &e);
    if (rc) {
        free(exact);
        return t_fail(L, &e);
    }
    lua_newtable(L);
    t_field(L, "machine", str_c(elf.machine));
    t_field(L, "interpreter", elf.interpreter);
    lua_newtable(L);
    for (size_t i = 0; i < elf.n_needed; i++) {
        t_push(L, elf.needed[i]);
        lua_seti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "needed");
    free(exact);
    return 1;
}

const luaL_Reg t_package[] = {{"zip", t_zip}, {"elf", t_elf}, {NULL, NULL}};
