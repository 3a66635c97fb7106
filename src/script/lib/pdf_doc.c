#include "script/lib/pdf_doc.h"
#include <string.h>

#define FONT "perigee.pdf.font"
#define FONTS "perigee.pdf.fonts" /* registry: path list -> font userdata */
enum { FONT_MAX = 64 << 20 };

/* ==== fonts ==== */

static void font_unref(struct font_file *f) {
    if (!f || --f->refs) return;
    pdf_metrics_free(f->metrics);
    buf_free(&f->data);
    free(f);
}

static int font_gc(lua_State *L) {
    struct font_file **box = lua_touserdata(L, 1);
    font_unref(*box);
    *box = NULL;
    return 0;
}

static void font_release(void *object) {
    font_unref(object);
}

static int font_load(struct font_file *f, struct str paths, struct err *e) {
    f->data = BUF_MAX(FONT_MAX);
    if (pdf_font_load(paths, &f->data, e)) return -1;
    return pdf_metrics_open(buf_view(&f->data), &f->metrics, e);
}

/* A new reference; NULL and e: not to be read. */
static struct font_file *font_find(lua_State *L, struct str paths, struct err *e) {
    struct script *s = script_of(L);
    struct buf stamp = BUF_MAX(8192);
    pdf_font_stamp(paths, &stamp);
    struct font_file *f = stamp.n ? script_shared(s, buf_view(&stamp)) : NULL;
    if (!f) {
        f = calloc(1, sizeof *f);
        if (!f) fatal("out of memory for a font");
        f->refs = 1;
        if (font_load(f, paths, e)) {
            font_unref(f);
            f = NULL;
        } else if (stamp.n && !stamp.over) {
            f->refs++;
            script_share(s, buf_view(&stamp), f, font_release);
        }
    } else {
        f->refs++;
    }
    buf_free(&stamp);
    return f;
}

/* Borrowed from the cache in the registry, which lives as long as the script. NULL and e: not to be read. */
static struct font_file *font_get(lua_State *L, struct str paths, struct err *e) {
    int top = lua_gettop(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, FONTS);
    lib_push_str(L, paths);
    if (lua_rawget(L, -2) == LUA_TNIL) {
        struct font_file **box = lua_newuserdatauv(L, sizeof *box, 0);
        *box = NULL;
        luaL_setmetatable(L, FONT);
        *box = font_find(L, paths, e);
        if (!*box) return NULL;
        lib_push_str(L, paths);
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
    }
    struct font_file *f = *(struct font_file **)lua_touserdata(L, -1);
    lua_settop(L, top);
    return f;
}

/* ==== documents ==== */

struct doc *doc_ref(struct doc *d) {
    d->refs++;
    return d;
}

void doc_unref(struct doc *d) {
    if (!d || --d->refs) return;
    for (size_t i = 0; i < d->doc.n_fonts; i++) font_unref(d->files[i]);
    arena_free(&d->doc.arena);
    free(d->doc.ops);
    free(d);
}

static int doc_gc(lua_State *L) {
    struct doc **box = lua_touserdata(L, 1);
    doc_unref(*box);
    *box = NULL;
    return 0;
}

void doc_add(struct doc *d, struct pdf_op op) {
    if (d->doc.n_ops == d->cap_ops) {
        d->cap_ops = d->cap_ops ? d->cap_ops * 2 : 64;
        d->doc.ops = realloc(d->doc.ops, d->cap_ops * sizeof *d->doc.ops);
        if (!d->doc.ops) fatal("out of memory for a document of %zu operations", d->cap_ops);
    }
    d->doc.ops[d->doc.n_ops++] = op;
}

int doc_font(const struct doc *d, struct str name) {
    for (size_t i = 0; i < d->doc.n_fonts; i++)
        if (str_eq(d->fonts[i].name, name)) return (int)i;
    return -1;
}

const struct pdf_metrics *doc_metrics(const struct doc *d, int font) {
    return d->files[font]->metrics;
}

const struct pdf_metrics *doc_fallback(const struct doc *d, int font) {
    const char *name = d->fonts[font].fallback;
    return name ? d->files[doc_font(d, str_c(name))]->metrics : NULL;
}

/* ==== pdf.document ==== */

static struct str option_text(lua_State *L, struct doc *d, const char *name) {
    size_t n = 0;
    if (lua_getfield(L, 1, name) == LUA_TNIL) return STR_NONE;
    const char *p = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
    if (!p || n > 4096 || str_bad_utf8(str_n(p, n)) >= 0)
        luaL_error(L, "option '%s' must be a UTF-8 string of at most 4096 bytes", name);
    struct str s = n ? arena_str(&d->doc.arena, str_n(p, n)) : STR_NONE;
    lua_pop(L, 1);
    return s;
}

static float side(lua_State *L, int table, int i) {
    lua_rawgeti(L, table, i);
    lua_Number v = lua_tonumber(L, -1);
    if (!(v >= 10 && v <= 14400))
        luaL_error(L, "option 'page' must be \"A4\", \"Letter\" or {width, height} from 10 to 14400 points");
    lua_pop(L, 1);
    return (float)v;
}

static void option_page(lua_State *L, struct doc *d) {
    d->doc.page_w = 595.276f; /* ISO 216 A4: 210 mm x 297 mm */
    d->doc.page_h = 841.890f;
    int type = lua_getfield(L, 1, "page"), at = lua_gettop(L);
    const char *name = type == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (strcmp(name, "Letter") == 0) {
        d->doc.page_w = 612;
        d->doc.page_h = 792;
    } else if (type == LUA_TTABLE || (type != LUA_TNIL && strcmp(name, "A4") != 0)) {
        if (type != LUA_TTABLE) lua_newtable(L); /* side() says what is allowed */
        d->doc.page_w = side(L, lua_gettop(L), 1);
        d->doc.page_h = side(L, lua_gettop(L), 2);
    }
    lua_settop(L, at - 1);
}

/* Fonts are kept in the order of their names: a table has none, and equal documents must have equal bytes. */
static size_t font_place(struct doc *d, struct str name) {
    size_t i = d->doc.n_fonts++;
    for (; i && str_cmp(d->fonts[i - 1].name, name) > 0; i--) {
        d->fonts[i] = d->fonts[i - 1];
        d->files[i] = d->files[i - 1];
    }
    return i;
}

/* Adds the font whose name and paths are at -2 and -1. */
static int add_font(lua_State *L, struct doc *d, struct err *e) {
    size_t n_name, n;
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
        return luaL_error(L, "option 'fonts' must be a table of names and ':'-separated paths");
    if (d->doc.n_fonts == DOC_FONTS) return luaL_error(L, "a document has at most %d fonts", DOC_FONTS);
    const char *name = lua_tolstring(L, -2, &n_name), *paths = lua_tolstring(L, -1, &n);
    struct font_file *f = font_get(L, str_n(paths, n), e);
    if (!f) return err_wrap(e, "font '%s'", name);
    f->refs++;
    struct str own = arena_str(&d->doc.arena, str_n(name, n_name));
    size_t i = font_place(d, own);
    d->files[i] = f;
    d->fonts[i] = (struct pdf_font){.name = own, .data = buf_view(&f->data)};
    return 0;
}

static int option_fonts(lua_State *L, struct doc *d, struct err *e) {
    if (lua_getfield(L, 1, "fonts") != LUA_TTABLE)
        return luaL_error(L, "option 'fonts' is missing: a table such as { regular = path }");
    int at = lua_gettop(L);
    for (lua_pushnil(L); lua_next(L, at); lua_pop(L, 1))
        if (add_font(L, d, e)) return -1;
    if (doc_font(d, STR("regular")) < 0) return luaL_error(L, "option 'fonts' names no font 'regular'");
    for (size_t i = 0; doc_font(d, STR("fallback")) >= 0 && i < d->doc.n_fonts; i++)
        if (!str_is(d->fonts[i].name, "fallback")) d->fonts[i].fallback = "fallback";
    d->doc.fonts = d->fonts;
    return 0;
}

static int64_t option_created(lua_State *L) {
    int is_int = 1;
    lua_Integer v = lua_getfield(L, 1, "created_ms") == LUA_TNIL ? 0 : lua_tointegerx(L, -1, &is_int);
    if (!is_int || v < 0) luaL_error(L, "option 'created_ms' must be Unix milliseconds");
    lua_pop(L, 1);
    return v;
}

int doc_new(lua_State *L) {
    static const char *const names[] = {"title", "author", "subject", "created_ms", "page", "fonts", NULL};
    struct err e = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lib_check_options(L, 1, names);
    struct doc **box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = NULL;
    luaL_setmetatable(L, DOC);
    struct doc *d = *box = calloc(1, sizeof *d);
    if (!d) fatal("out of memory for a document");
    d->refs = 1;
    d->doc.title = option_text(L, d, "title");
    d->doc.author = option_text(L, d, "author");
    d->doc.subject = option_text(L, d, "subject");
    d->doc.created_ms = option_created(L);
    option_page(L, d);
    if (option_fonts(L, d, &e)) return script_push_err(L, &e, "pdf", "document", NULL, NULL);
    lua_settop(L, 2);
    return 1;
}

void doc_open(lua_State *L) {
    if (luaL_newmetatable(L, FONT)) {
        lua_pushcfunction(L, font_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_pop(L, 1);
    luaL_newmetatable(L, DOC);
    lua_pushcfunction(L, doc_gc);
    lua_setfield(L, -2, "__gc");
}
