/* perigee.pdf: documents are gathered as a list of operations and rendered on the pool.
 *
 *   pdf.document{ title=, author=, subject=, created_ms=, page="A4"|"Letter"|{w, h}, fonts={ regular="path:path",
 * bold=, fallback= } } -> doc doc:page() doc:text(x, y, text, {font=, size=, color=, align=, width=, leading=})
 * doc:rect(x, y, w, h, {color=, stroke=, radius=, width=}) doc:line(x1, y1, x2, y2, {color=, width=}) doc:qr(x, y,
 * size, text, {color=}) doc:width(text, {font=, size=}) doc:wrap(text, width, {font=, size=}) -> lines;
 * doc:page_count() doc:render() -> bytes, missing Units: points from the top left corner. Colours: 0xRRGGBB or
 * "#rrggbb". A font named "fallback" serves what the others lack. */
#include "script/lib/pdf_doc.h"
#include <math.h>
#include <string.h>

#define RENDER "perigee.pdf.render"
enum { PDF_MAX = 64 << 20, OPS_MAX = 100000, TEXT_BYTES_MAX = 16 << 20 };

/* ==== options ==== */

static float check_float(lua_State *L, int arg) {
    lua_Number v = luaL_checknumber(L, arg);
    luaL_argcheck(L, isfinite(v) && fabs(v) <= 1e5, arg, "a number of points from -100000 to 100000 expected");
    return (float)v;
}

static float opt_float(lua_State *L, int options, const char *name, float dflt) {
    if (!options || lua_getfield(L, options, name) == LUA_TNIL) return dflt;
    lua_Number v = lua_tonumber(L, -1);
    if (lua_type(L, -1) != LUA_TNUMBER || !isfinite(v) || v < 0 || v > 1e5)
        luaL_error(L, "option '%s' must be a number from 0 to 100000", name);
    lua_pop(L, 1);
    return (float)v;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

static bool parse_color(const char *p, size_t n, uint32_t *ret) {
    uint32_t v = 0;
    if (n != 7 || p[0] != '#') return false;
    for (int i = 1; i < 7; i++) {
        int d = hex_digit(p[i]);
        if (d < 0) return false;
        v = v << 4 | (uint32_t)d;
    }
    *ret = v;
    return true;
}

static uint32_t opt_color(lua_State *L, int options) {
    uint32_t color = 0;
    int is_int;
    if (!options || lua_getfield(L, options, "color") == LUA_TNIL) return 0;
    lua_Integer v = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &is_int) : -1;
    bool ok = v >= 0 && v <= 0xffffff;
    if (ok) color = (uint32_t)v;
    if (lua_type(L, -1) == LUA_TSTRING) ok = parse_color(lua_tostring(L, -1), lua_rawlen(L, -1), &color);
    if (!ok) luaL_error(L, "option 'color' must be 0xRRGGBB or \"#rrggbb\"");
    lua_pop(L, 1);
    return color;
}

static int opt_font(lua_State *L, const struct doc *d, int options) {
    struct str name = STR("regular");
    if (options && lua_getfield(L, options, "font") != LUA_TNIL) {
        size_t n = 0;
        const char *p = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &n) : NULL;
        if (!p) luaL_error(L, "option 'font' must be the name of a font");
        name = str_n(p, n);
    }
    int i = doc_font(d, name);
    if (i < 0) luaL_error(L, "the document has no font '%s'", lua_pushlstring(L, name.p, name.n));
    return i;
}

static enum pdf_align opt_align(lua_State *L, int options) {
    static const char *const names[] = {"left", "center", "right"};
    if (!options || lua_getfield(L, options, "align") == LUA_TNIL) return PDF_LEFT;
    for (int i = 0; i < 3; i++)
        if (lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), names[i]) == 0) return (enum pdf_align)i;
    luaL_error(L, "option 'align' must be left, center or right");
    return PDF_LEFT;
}

/* The index of the options table, 0 when there is none. */
static int options_at(lua_State *L, int arg, const char *const *names) {
    if (lua_isnoneornil(L, arg)) return 0;
    luaL_checktype(L, arg, LUA_TTABLE);
    lib_check_options(L, arg, names);
    return arg;
}

/* ==== drawing ==== */

static struct doc *check_doc(lua_State *L) {
    struct doc **box = luaL_checkudata(L, 1, DOC);
    return *box;
}

/* The document, when it may be changed. */
static struct doc *check_open(lua_State *L) {
    struct doc *d = check_doc(L);
    if (d->rendering) luaL_error(L, "the document is being rendered");
    if (d->doc.n_ops >= OPS_MAX) luaL_error(L, "the document has more than 100000 operations");
    return d;
}

static struct str check_text(lua_State *L, int arg) {
    struct str s = lib_check_str(L, arg);
    luaL_argcheck(L, str_bad_utf8(s) < 0, arg, "the text is not UTF-8");
    return s;
}

static struct str keep_text(lua_State *L, struct doc *d, struct str s) {
    if (d->doc.arena.used + s.n > TEXT_BYTES_MAX) luaL_error(L, "the document is larger than 16 MiB");
    return s.n ? arena_str(&d->doc.arena, s) : STR("");
}

/* Lua does not see the memory of documents: its collector is driven as if it were Lua's. */
static void charge(lua_State *L, struct doc *d) {
    enum { STEP = 64 << 10 };
    size_t bytes = d->doc.arena.used + d->cap_ops * sizeof *d->doc.ops;
    if (bytes < d->charged + STEP) return;
    lua_gc(L, LUA_GCSTEP, (int)((bytes - d->charged) >> 10));
    d->charged = bytes;
}

static int draw(lua_State *L, struct doc *d, struct pdf_op op) {
    if (op.kind != PDF_PAGE && d->doc.n_ops == 0) doc_add(d, (struct pdf_op){.kind = PDF_PAGE});
    doc_add(d, op);
    charge(L, d);
    return 0;
}

static int doc_page(lua_State *L) {
    return draw(L, check_open(L), (struct pdf_op){.kind = PDF_PAGE});
}

static int doc_text(lua_State *L) {
    static const char *const names[] = {"font", "size", "color", "align", "width", "leading", NULL};
    struct doc *d = check_open(L);
    struct pdf_op op = {.kind = PDF_TEXT, .x = check_float(L, 2), .y = check_float(L, 3)};
    struct str text = check_text(L, 4);
    int o = options_at(L, 5, names);
    op.size = opt_float(L, o, "size", DOC_SIZE);
    op.color = opt_color(L, o);
    op.align = opt_align(L, o);
    op.w = opt_float(L, o, "width", 0);
    op.leading = opt_float(L, o, "leading", 0);
    op.font = opt_font(L, d, o);
    op.text = keep_text(L, d, text);
    return draw(L, d, op);
}

static int doc_rect(lua_State *L) {
    static const char *const names[] = {"color", "stroke", "radius", "width", NULL};
    struct doc *d = check_open(L);
    struct pdf_op op = {.kind = PDF_RECT};
    op.x = check_float(L, 2);
    op.y = check_float(L, 3);
    op.w = check_float(L, 4);
    op.h = check_float(L, 5);
    int o = options_at(L, 6, names);
    op.color = opt_color(L, o);
    op.radius = opt_float(L, o, "radius", 0);
    op.width = opt_float(L, o, "width", 1);
    if (o) {
        lua_getfield(L, o, "stroke");
        op.stroke = lua_toboolean(L, -1);
    }
    return draw(L, d, op);
}

/* w and h of a line are its end. */
static int doc_line(lua_State *L) {
    static const char *const names[] = {"color", "width", NULL};
    struct doc *d = check_open(L);
    struct pdf_op op = {.kind = PDF_LINE, .x = check_float(L, 2), .y = check_float(L, 3)};
    op.w = check_float(L, 4);
    op.h = check_float(L, 5);
    int o = options_at(L, 6, names);
    op.color = opt_color(L, o);
    op.width = opt_float(L, o, "width", 1);
    return draw(L, d, op);
}

static int doc_qr(lua_State *L) {
    static const char *const names[] = {"color", NULL};
    struct doc *d = check_open(L);
    struct pdf_op op = {.kind = PDF_QR, .x = check_float(L, 2), .y = check_float(L, 3)};
    op.w = op.h = check_float(L, 4);
    struct str text = check_text(L, 5);
    luaL_argcheck(L, text.n > 0, 5, "a QR code needs some text");
    op.color = opt_color(L, options_at(L, 6, names));
    op.text = keep_text(L, d, text);
    return draw(L, d, op);
}

/* ==== measuring ==== */

static const char *const measure_options[] = {"font", "size", NULL};

static int doc_width(lua_State *L) {
    struct doc *d = check_doc(L);
    struct str text = check_text(L, 2);
    int o = options_at(L, 3, measure_options);
    float size = opt_float(L, o, "size", DOC_SIZE);
    int font = opt_font(L, d, o);
    lua_pushnumber(L, pdf_metrics_width(doc_metrics(d, font), doc_fallback(d, font), text, size));
    return 1;
}

static int doc_wrap(lua_State *L) {
    struct doc *d = check_doc(L);
    struct str rest = check_text(L, 2), line;
    float width = check_float(L, 3);
    int o = options_at(L, 4, measure_options);
    float size = opt_float(L, o, "size", DOC_SIZE);
    int font = opt_font(L, d, o);
    lua_newtable(L);
    for (lua_Integer i = 1; pdf_metrics_line(doc_metrics(d, font), doc_fallback(d, font), &rest, width, size, &line);
         i++) {
        if (i % 256 == 0) script_poll(L);
        lib_push_str(L, line);
        lua_rawseti(L, -2, i);
    }
    return 1;
}

static int doc_page_count(lua_State *L) {
    struct doc *d = check_doc(L);
    lua_Integer n = 0;
    for (size_t i = 0; i < d->doc.n_ops; i++) n += d->doc.ops[i].kind == PDF_PAGE;
    lua_pushinteger(L, n);
    return 1;
}

/* ==== rendering ==== */

/* Lives until the pool is through with it, whether or not anybody still waits. */
struct render {
    struct pool_work work;
    struct doc *doc; /* a reference */
    struct buf out;
    size_t missing;
    struct err err;
    bool done;
    struct render_box *box; /* NULL: nobody waits any more */
};
struct render_box {
    struct script_wait wait;
    struct render *render;
};

static void render_free(struct render *r) {
    buf_free(&r->out);
    doc_unref(r->doc);
    free(r);
}

static void render_work(void *ud) {
    struct render *r = ud;
    pdf_render(&r->doc->doc, &r->out, &r->missing, &r->err);
}

static void render_done(void *ud) {
    struct render *r = ud;
    r->done = true;
    r->doc->rendering = false;
    if (r->box)
        script_wake(&r->box->wait);
    else
        render_free(r);
}

static void render_cancel(void *ud) {
    struct render_box *box = ud;
    struct render *r = box->render;
    box->render = NULL;
    if (!r) return;
    r->box = NULL;
    if (r->done) render_free(r);
}

static int render_gc(lua_State *L) {
    struct render_box *box = lua_touserdata(L, 1);
    script_wait_forget(&box->wait);
    render_cancel(box);
    return 0;
}

static int render_finish(lua_State *L, int status, lua_KContext ctx) {
    struct render_box *box = (struct render_box *)ctx;
    struct render *r = box->render;
    (void)status;
    if (r->err.code) return script_push_err(L, &r->err, "pdf", "render", NULL, NULL);
    lib_push_str(L, buf_view(&r->out));
    lua_pushinteger(L, (lua_Integer)r->missing);
    render_cancel(box);
    return 2;
}

/* doc:render() -> bytes, count of characters that no font had | nil, err */
static int doc_render(lua_State *L) {
    struct doc *d = check_open(L);
    const struct script_config *c = script_config(script_of(L));
    if (!c->pool) return luaL_error(L, "there is no pool to render on");
    script_check_wait(L, "pdf render");
    if (d->doc.n_ops == 0) doc_add(d, (struct pdf_op){.kind = PDF_PAGE});
    struct render_box *box = lua_newuserdatauv(L, sizeof *box, 0);
    *box = (struct render_box){0};
    luaL_setmetatable(L, RENDER);
    struct render *r = box->render = calloc(1, sizeof *r);
    if (!r) fatal("out of memory for a PDF");
    r->out = BUF_MAX(PDF_MAX);
    r->doc = doc_ref(d);
    r->box = box;
    d->rendering = true;
    pool_run(c->pool, c->loop, &r->work, render_work, render_done, r);
    return script_wait(L, &box->wait, render_cancel, box, render_finish);
}

int script_open_pdf(lua_State *L) {
    static const luaL_Reg functions[] = {{"document", doc_new}, {NULL, NULL}};
    static const luaL_Reg methods[] = {
        {"page", doc_page},     {"text", doc_text},   {"rect", doc_rect}, {"line", doc_line},
        {"qr", doc_qr},         {"width", doc_width}, {"wrap", doc_wrap}, {"page_count", doc_page_count},
        {"render", doc_render}, {NULL, NULL}};
    if (luaL_newmetatable(L, RENDER)) {
        lua_pushcfunction(L, render_gc);
        lua_setfield(L, -2, "__gc");
    }
    doc_open(L);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 2);
    luaL_newlib(L, functions);
    return 1;
}
