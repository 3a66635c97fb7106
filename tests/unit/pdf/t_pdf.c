/* t.pdf: pdf for its specs. A document is a table {page_w, page_h, title, author, subject, created_ms, max,
 * fonts = {{name, font, fallback}...}, ops = {{kind, x=, ...}...}}; failures come back as nil, AWS name, message. */
#include "base/crypto.h"
#include "pdf/outline.h"
#include "pdf/pdf.h"
#include "pdf/ttf.h"
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FONT "t.pdf.font"

struct font {
    struct str data; /* malloc'd at its exact size, so that a read past its end is seen */
    struct pdf_metrics *metrics;
};

static int failure(lua_State *L, const struct err *e) {
    lua_pushnil(L);
    lua_pushstring(L, err_name(e->code));
    lua_pushstring(L, e->msg);
    return 3;
}

static struct str check_str(lua_State *L, int i) {
    struct str s;
    s.p = luaL_checklstring(L, i, &s.n);
    return s;
}

/* ---- fonts ---- */

static int font_gc(lua_State *L) {
    struct font *f = luaL_checkudata(L, 1, FONT);
    pdf_metrics_free(f->metrics);
    free((char *)f->data.p);
    *f = (struct font){0};
    return 0;
}

/* font(bytes) -> font with metrics */
static int font(lua_State *L) {
    struct str s = check_str(L, 1);
    struct err e = {0};
    struct font *f = lua_newuserdatauv(L, sizeof *f, 0);
    *f = (struct font){0};
    luaL_setmetatable(L, FONT);
    char *copy = malloc(s.n ? s.n : 1);
    memcpy(copy, s.p, s.n);
    f->data = str_n(copy, s.n);
    return pdf_metrics_open(f->data, &f->metrics, &e) ? failure(L, &e) : 1;
}

static int font_load(lua_State *L) {
    struct buf b = BUF_MAX(32 << 20);
    struct err e = {0};
    int rc = pdf_font_load(check_str(L, 1), &b, &e);
    if (!rc) lua_pushlstring(L, b.p, b.n);
    buf_free(&b);
    return rc ? failure(L, &e) : 1;
}

static const struct pdf_metrics *opt_metrics(lua_State *L, int i) {
    return lua_isnoneornil(L, i) ? NULL : ((struct font *)luaL_checkudata(L, i, FONT))->metrics;
}

static int font_has(lua_State *L) {
    struct font *f = luaL_checkudata(L, 1, FONT);
    lua_pushboolean(L, pdf_metrics_has(f->metrics, (uint32_t)luaL_checkinteger(L, 2)));
    return 1;
}

/* font:width(text, size, fallback) */
static int font_width(lua_State *L) {
    struct font *f = luaL_checkudata(L, 1, FONT);
    lua_pushnumber(L, pdf_metrics_width(f->metrics, opt_metrics(L, 4), check_str(L, 2), (float)luaL_checknumber(L, 3)));
    return 1;
}

/* font:lines(text, width, size, fallback) */
static int font_lines(lua_State *L) {
    struct font *f = luaL_checkudata(L, 1, FONT);
    struct str rest = check_str(L, 2), line;
    lua_settop(L, 5);
    lua_newtable(L);
    for (lua_Integer i = 1; pdf_metrics_line(f->metrics, opt_metrics(L, 5), &rest, (float)luaL_checknumber(L, 3),
                                             (float)luaL_checknumber(L, 4), &line);
         i++) {
        lua_pushlstring(L, line.p, line.n);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

/* font:subset({glyph...}) -> bytes of a small font file */
static int font_subset(lua_State *L) {
    struct font *f = luaL_checkudata(L, 1, FONT);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = lua_rawlen(L, 2);
    uint16_t *glyphs = lua_newuserdatauv(L, (n + 1) * sizeof *glyphs, 0);
    struct buf out = BUF_MAX(32 << 20);
    struct err e = {0};
    struct ttf t;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        glyphs[i] = (uint16_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    int rc = ttf_open(f->data, &t, &e) || ttf_subset(&t, glyphs, n, &out, &e) ? -1 : 0;
    if (!rc) lua_pushlstring(L, out.p, out.n);
    buf_free(&out);
    return rc ? failure(L, &e) : 1;
}

/* font:glyph(codepoint) -> glyph, advance, units per em */
static int font_glyph(lua_State *L) {
    struct font *f = luaL_checkudata(L, 1, FONT);
    struct ttf t;
    struct err e = {0};
    if (ttf_open(f->data, &t, &e)) return failure(L, &e);
    uint16_t g = ttf_glyph(&t, (uint32_t)luaL_checkinteger(L, 2));
    lua_pushinteger(L, g);
    lua_pushinteger(L, ttf_advance(&t, g));
    lua_pushinteger(L, t.units);
    return 3;
}

/* font:outline(glyph) -> {ends = {...}, {x, y, on}...} */
static int font_outline(lua_State *L) {
    struct font *f = luaL_checkudata(L, 1, FONT);
    struct ttf t;
    struct err e = {0};
    struct outline o = {0};
    if (ttf_open(f->data, &t, &e) || outline_load(&t, (uint16_t)luaL_checkinteger(L, 2), &o, &e)) {
        outline_free(&o);
        return failure(L, &e);
    }
    lua_newtable(L);
    for (size_t i = 0; i < o.n; i++) {
        lua_pushfstring(L, "%d,%d,%d", (int)o.points[i].x, (int)o.points[i].y, (int)o.points[i].on);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_newtable(L);
    for (size_t i = 0; i < o.n_ends; i++) {
        lua_pushinteger(L, o.ends[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "ends");
    outline_free(&o);
    return 1;
}

/* ---- documents ---- */

static struct str text_field(lua_State *L, int t, const char *name) {
    struct str s = STR_NONE;
    lua_getfield(L, t, name);
    if (lua_isstring(L, -1)) s.p = lua_tolstring(L, -1, &s.n);
    lua_pop(L, 1);
    return s;
}

static float number_field(lua_State *L, int t, const char *name, float otherwise) {
    lua_getfield(L, t, name);
    float v = lua_isnil(L, -1) ? otherwise : (float)luaL_checknumber(L, -1);
    lua_pop(L, 1);
    return v;
}

static int64_t integer_field(lua_State *L, int t, const char *name, int64_t otherwise) {
    lua_getfield(L, t, name);
    int64_t v = luaL_optinteger(L, -1, otherwise);
    lua_pop(L, 1);
    return v;
}

static int index_of(struct str s, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (str_is(s, names[i])) return i;
    return 0;
}

static struct pdf_op op_at(lua_State *L, int t) {
    static const char *const kinds[] = {"page", "text", "rect", "line", "qr", NULL};
    static const char *const aligns[] = {"left", "center", "right", NULL};
    struct pdf_op op = {.kind = (enum pdf_kind)index_of(text_field(L, t, "kind"), kinds)};
    op.x = number_field(L, t, "x", 0);
    op.y = number_field(L, t, "y", 0);
    op.w = number_field(L, t, "w", 0);
    op.h = number_field(L, t, "h", 0);
    op.color = (uint32_t)integer_field(L, t, "color", 0);
    lua_getfield(L, t, "stroke");
    op.stroke = lua_toboolean(L, -1);
    lua_pop(L, 1);
    op.width = number_field(L, t, "width", 1);
    op.radius = number_field(L, t, "radius", 0);
    op.size = number_field(L, t, "size", 10);
    op.leading = number_field(L, t, "leading", 0);
    op.font = (int)integer_field(L, t, "font", 0);
    op.align = (enum pdf_align)index_of(text_field(L, t, "align"), aligns);
    op.text = text_field(L, t, "text");
    return op;
}

static void read_fonts(lua_State *L, struct pdf_font *fonts, size_t n) {
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        int t = lua_gettop(L);
        lua_rawgeti(L, t, 1);
        lua_rawgeti(L, t, 2);
        lua_rawgeti(L, t, 3);
        fonts[i].name = check_str(L, t + 1);
        fonts[i].data = ((struct font *)luaL_checkudata(L, t + 2, FONT))->data;
        fonts[i].fallback = lua_tostring(L, t + 3);
        lua_settop(L, t - 1);
    }
}

static void read_ops(lua_State *L, struct pdf_op *ops, size_t n) {
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, -1, (lua_Integer)i + 1);
        ops[i] = op_at(L, lua_gettop(L));
        lua_pop(L, 1);
    }
}

/* render(document[, times]) -> bytes, characters replaced[, CPU microseconds a time] */
static int render(lua_State *L) {
    struct pdf_doc doc = {.page_w = number_field(L, 1, "page_w", 595.28f),
                          .page_h = number_field(L, 1, "page_h", 841.89f)};
    struct buf out = BUF_MAX((size_t)integer_field(L, 1, "max", 64 << 20));
    struct err e = {0};
    size_t missing = 0;
    lua_Integer times = luaL_optinteger(L, 2, 1);
    doc.title = text_field(L, 1, "title");
    doc.author = text_field(L, 1, "author");
    doc.subject = text_field(L, 1, "subject");
    doc.created_ms = integer_field(L, 1, "created_ms", 0);
    lua_getfield(L, 1, "fonts");
    doc.n_fonts = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    struct pdf_font *fonts = lua_newuserdatauv(L, sizeof *fonts * (doc.n_fonts + 1), 0);
    lua_insert(L, -2);
    read_fonts(L, fonts, doc.n_fonts);
    lua_getfield(L, 1, "ops");
    doc.n_ops = lua_istable(L, -1) ? lua_rawlen(L, -1) : 0;
    struct pdf_op *ops = lua_newuserdatauv(L, sizeof *ops * (doc.n_ops + 1), 0);
    lua_insert(L, -2);
    read_ops(L, ops, doc.n_ops);
    doc.fonts = fonts;
    doc.ops = ops;
    int rc = 0;
    clock_t start = clock();
    for (lua_Integer i = 0; i < times && !rc; i++) {
        buf_clear(&out);
        rc = pdf_render(&doc, &out, &missing, &e);
    }
    double us = (double)(clock() - start) * 1e6 / CLOCKS_PER_SEC / (double)times;
    if (!rc) lua_pushlstring(L, out.p, out.n);
    buf_free(&out);
    if (rc) return failure(L, &e);
    lua_pushinteger(L, (lua_Integer)missing);
    lua_pushnumber(L, us);
    return 3;
}

static int sha256(lua_State *L) {
    uint8_t hash[32];
    char hex[64];
    crypto_sha256(check_str(L, 1), hash);
    crypto_hex_to(hex, hash, 32);
    lua_pushlstring(L, hex, 64);
    return 1;
}

static int open(lua_State *L) {
    static const luaL_Reg functions[] = {
        {"font", font}, {"font_load", font_load}, {"render", render}, {"sha256", sha256}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"has", font_has},       {"width", font_width}, {"lines", font_lines},
                                       {"subset", font_subset}, {"glyph", font_glyph}, {"outline", font_outline},
                                       {"__gc", font_gc},       {NULL, NULL}};
    luaL_newmetatable(L, FONT);
    luaL_setfuncs(L, methods, 0);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, "__index");
    luaL_newlib(L, functions);
    return 1;
}

extern const luaL_Reg test_modules[];
const luaL_Reg test_modules[] = {{"t.pdf", open}, {NULL, NULL}};
