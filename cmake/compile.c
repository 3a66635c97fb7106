/* perigee_compile OUT ROOT FILE...: writes OUT, a C table of the compiled FILEs, named by their module ("perigee.http"
 * for ROOT/perigee/http.lua). Lines and names of variables are kept: tracebacks are those of the source. */
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int put_bytes(lua_State *L, const void *p, size_t n, void *out) {
    (void)L;
    for (size_t i = 0; i < n; i++) fprintf(out, "%u,", ((const unsigned char *)p)[i]);
    return ferror(out);
}

/* "ROOT/perigee/http.lua" -> "=perigee.http", a chunk's name. */
static void name_module(const char *root, const char *path, char *name, size_t room) {
    const char *from = path + strlen(root) + 1;
    int n = snprintf(name, room, "=%.*s", (int)(strlen(from) - strlen(".lua")), from);
    for (int i = 0; i < n; i++)
        if (name[i] == '/') name[i] = '.';
}

static int compile(lua_State *L, const char *path, const char *name, FILE *out) {
    static char text[1 << 18];
    FILE *in = fopen(path, "rb");
    size_t n = in ? fread(text, 1, sizeof text, in) : 0;
    if (!in || ferror(in) || n == sizeof text) return fprintf(stderr, "%s: cannot be read\n", path), -1;
    fclose(in);
    if (luaL_loadbufferx(L, text, n, name, "t")) return fprintf(stderr, "%s\n", lua_tostring(L, -1)), -1;
    int rc = lua_dump(L, put_bytes, out, 0);
    lua_pop(L, 1);
    return rc;
}

int main(int argc, char **argv) {
    lua_State *L = luaL_newstate();
    FILE *out = argc > 2 ? fopen(argv[1], "wb") : NULL;
    char name[256];
    if (!L || !out) return fprintf(stderr, "usage: perigee_compile OUT ROOT FILE...\n"), 2;
    fputs("#include \"script/embedded.h\"\n", out);
    for (int i = 3; i < argc; i++) {
        name_module(argv[2], argv[i], name, sizeof name);
        fprintf(out, "static const unsigned char m%d[] = {", i);
        if (compile(L, argv[i], name, out)) return remove(argv[1]), 1;
        fputs("};\n", out);
    }
    fputs("const struct embedded_module embedded_modules[] = {\n", out);
    for (int i = 3; i < argc; i++) {
        name_module(argv[2], argv[i], name, sizeof name);
        fprintf(out, "    {\"%s\", (const char *)m%d, sizeof m%d},\n", name + 1, i, i);
    }
    fputs("    {0, 0, 0},\n};\n", out);
    lua_close(L);
    return fclose(out) ? 1 : 0;
}
