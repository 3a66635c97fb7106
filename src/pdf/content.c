/* Drawing operations to PDF operators. */
#include "pdf/content.h"
#include "base/crypto.h"
#include <math.h>
#include <stdlib.h>

#define COORD_MAX 14400 /* points: the largest page that readers accept */
#define SIZE_MAX_PT 1000
#define TEXT_MAX (1u << 20)
#define PAGES_MAX 5000
#define NOT_SET UINT32_MAX
#define CURVE 0.5522847498 /* of the radius: a quarter circle as a Bezier curve */

/* ---- operators ---- */

/* v with up to `decimals` digits behind the point, then a space; no locale. */
static void num_to(struct buf *b, double v, int decimals) {
    int64_t scale = 1;
    for (int i = 0; i < decimals; i++) scale *= 10;
    int64_t n = llround(v * (double)scale);
    if (n < 0) buf_byte(b, '-');
    if (n < 0) n = -n;
    buf_i64(b, n / scale);
    for (n %= scale, buf_c(b, n ? "." : ""); n; n = n * 10 % scale) buf_byte(b, (char)('0' + n * 10 / scale));
    buf_byte(b, ' ');
}

static void num(struct buf *b, double v) {
    num_to(b, v, 2);
}

static void point(struct buf *b, double x, double y, const char *op) {
    num(b, x);
    num(b, y);
    buf_c(b, op);
}

static void color(struct content *c, uint32_t rgb, bool stroke) {
    uint32_t *now = stroke ? &c->now.stroke : &c->now.fill;
    if (*now == rgb) return;
    *now = rgb;
    for (int shift = 16; shift >= 0; shift -= 8) num_to(&c->out, (double)(rgb >> shift & 255) / 255, 3);
    buf_c(&c->out, stroke ? "RG\n" : "rg\n");
}

/* ---- shapes ---- */

static void curve(struct buf *b, double x1, double y1, double x2, double y2, double x3, double y3) {
    point(b, x1, y1, "");
    point(b, x2, y2, "");
    point(b, x3, y3, "c\n");
}

static void round_rect(struct buf *b, double x, double y, double w, double h, double r) {
    double k = r * (1 - CURVE), right = x + w, top = y + h;
    point(b, x + r, y, "m\n");
    point(b, right - r, y, "l\n");
    curve(b, right - k, y, right, y + k, right, y + r);
    point(b, right, top - r, "l\n");
    curve(b, right, top - k, right - k, top, right - r, top);
    point(b, x + r, top, "l\n");
    curve(b, x + k, top, x, top - k, x, top - r);
    point(b, x, y + r, "l\n");
    curve(b, x, y + k, x + k, y, x + r, y);
    buf_c(b, "h\n");
}

static void draw_rect(const struct pdf_doc *doc, const struct pdf_op *op, struct content *c) {
    double least = fmin(op->w, op->h) / 2, r = fmin(op->radius, least), y = doc->page_h - op->y - op->h;
    color(c, op->color, op->stroke);
    if (op->stroke) num(&c->out, op->width);
    if (op->stroke) buf_c(&c->out, "w\n");
    if (r > 0) {
        round_rect(&c->out, op->x, y, op->w, op->h, r);
    } else {
        point(&c->out, op->x, y, "");
        point(&c->out, op->w, op->h, "re\n");
    }
    buf_c(&c->out, op->stroke ? "S\n" : "f\n");
}

static void draw_line(const struct pdf_doc *doc, const struct pdf_op *op, struct content *c) {
    color(c, op->color, true);
    num(&c->out, op->width);
    buf_c(&c->out, "w\n");
    point(&c->out, op->x, doc->page_h - op->y, "m\n");
    point(&c->out, op->w, doc->page_h - op->h, "l\nS\n");
}

static int draw_qr(const struct pdf_doc *doc, const struct pdf_op *op, struct content *c, struct err *e) {
    struct buf path = BUF_MAX(1 << 20);
    int n;
    if (qr_path(op->text, &path, &n, e) || buf_check(&path, "a QR code", e)) {
        buf_free(&path);
        return -1;
    }
    color(c, op->color, false);
    buf_c(&c->out, "q\n");
    num_to(&c->out, op->w / (double)n, 5);
    buf_c(&c->out, "0 0 ");
    num_to(&c->out, -op->w / (double)n, 5);
    point(&c->out, op->x, doc->page_h - op->y, "cm\n");
    buf_str(&c->out, buf_view(&path));
    buf_c(&c->out, "f\nQ\n");
    buf_free(&path);
    return 0;
}

/* ---- text ---- */

static void use_font(struct content *c, int face, double size) {
    if (c->now.face == face && c->now.size == size) return;
    c->now.face = face;
    c->now.size = size;
    buf_c(&c->out, "/F");
    buf_i64(&c->out, face);
    buf_byte(&c->out, ' ');
    num(&c->out, size);
    buf_c(&c->out, "Tf\n");
}

static void show_glyph(struct content *c, uint16_t glyph) {
    char hex[4];
    uint8_t bytes[2] = {(uint8_t)(glyph >> 8), (uint8_t)glyph};
    crypto_hex_to(hex, bytes, 2);
    buf_add(&c->out, hex, 4);
}

static void show_line(const struct pdf_op *op, struct fonts *f, struct str line, struct content *c) {
    const struct chain *chain = &f->chains[op->font];
    bool open = false, bad;
    uint32_t codepoint;
    while (text_next(&line, &codepoint, &bad)) {
        struct shape s = text_shape(chain, codepoint, bad);
        int face = f->chain_faces[op->font][s.face];
        c->missing += s.replaced;
        if (open && face != c->now.face) buf_c(&c->out, ">Tj\n");
        if (!open || face != c->now.face) {
            use_font(c, face, op->size);
            buf_byte(&c->out, '<');
            open = true;
        }
        show_glyph(c, fonts_use(&f->faces[face], s.codepoint, s.glyph));
    }
    if (open) buf_c(&c->out, ">Tj\n");
}

static void draw_text(const struct pdf_doc *doc, const struct pdf_op *op, struct fonts *f, struct content *c) {
    const struct chain *chain = &f->chains[op->font];
    double y = doc->page_h - op->y, leading = op->leading > 0 ? op->leading : 1.25 * op->size;
    struct str rest = op->text, line;
    color(c, op->color, false);
    for (; !c->out.over && text_line(chain, &rest, op->w, op->size, &line); y -= leading) {
        double back = op->align == PDF_LEFT ? 0 : text_width(chain, line, op->size);
        buf_c(&c->out, "BT\n");
        point(&c->out, op->x - (op->align == PDF_CENTER ? back / 2 : back), y, "Td\n");
        show_line(op, f, line, c);
        buf_c(&c->out, "ET\n");
    }
}

/* ---- checks ---- */

static int check_range(size_t i, const char *field, float v, double least, double most, struct err *e) {
    if (v >= least && v <= most) return 0; /* NaN fails both */
    return err_set(e, ERR_PDF, "operation %zu: %s is %g, not a number from %g to %g", i + 1, field, (double)v, least,
                   most);
}

static int check_text(const struct pdf_doc *doc, const struct pdf_op *op, size_t i, struct err *e) {
    if (op->font < 0 || (size_t)op->font >= doc->n_fonts)
        return err_set(e, ERR_PDF, "operation %zu: the document has no font %d", i + 1, op->font);
    if (op->text.n > TEXT_MAX)
        return err_set(e, ERR_PDF, "operation %zu: the text has %zu bytes, more than %u", i + 1, op->text.n, TEXT_MAX);
    if (op->align < PDF_LEFT || op->align > PDF_RIGHT)
        return err_set(e, ERR_PDF, "operation %zu: unknown alignment %d", i + 1, (int)op->align);
    return check_range(i, "size", op->size, 0.5, SIZE_MAX_PT, e) ||
                   check_range(i, "leading", op->leading, 0, COORD_MAX, e)
               ? -1
               : 0;
}

static int check_op(const struct pdf_doc *doc, size_t i, struct err *e) {
    const struct pdf_op *op = &doc->ops[i];
    double low = op->kind == PDF_LINE ? -COORD_MAX : 0;
    if (op->kind == PDF_PAGE) return 0;
    if (op->color > 0xffffff)
        return err_set(e, ERR_PDF, "operation %zu: color 0x%x is not 0xRRGGBB", i + 1, (unsigned)op->color);
    if (check_range(i, "x", op->x, -COORD_MAX, COORD_MAX, e) || check_range(i, "y", op->y, -COORD_MAX, COORD_MAX, e) ||
        check_range(i, op->kind == PDF_LINE ? "x2" : "w", op->w, low, COORD_MAX, e) ||
        check_range(i, op->kind == PDF_LINE ? "y2" : "h", op->h, low, COORD_MAX, e) ||
        check_range(i, "width", op->width, 0, COORD_MAX, e) || check_range(i, "radius", op->radius, 0, COORD_MAX, e))
        return -1;
    return op->kind == PDF_TEXT ? check_text(doc, op, i, e) : 0;
}

/* ---- pages ---- */

static int begin_page(struct content *c, size_t i, struct err *e) {
    if (c->n_pages == PAGES_MAX) return err_set(e, ERR_PDF, "operation %zu: more than %d pages", i + 1, PAGES_MAX);
    c->starts = realloc(c->starts, (c->n_pages + 2) * sizeof *c->starts);
    if (!c->starts) fatal("out of memory for %zu pages", c->n_pages);
    c->starts[c->n_pages++] = c->out.n;
    c->now.fill = c->now.stroke = NOT_SET;
    c->now.face = -1;
    return 0;
}

static int draw(const struct pdf_doc *doc, size_t i, struct fonts *f, struct content *c, struct err *e) {
    const struct pdf_op *op = &doc->ops[i];
    switch (op->kind) {
    case PDF_PAGE:
        return begin_page(c, i, e);
    case PDF_TEXT:
        draw_text(doc, op, f, c);
        return 0;
    case PDF_RECT:
        draw_rect(doc, op, c);
        return 0;
    case PDF_LINE:
        draw_line(doc, op, c);
        return 0;
    case PDF_QR:
        return draw_qr(doc, op, c, e);
    }
    return err_set(e, ERR_PDF, "operation %zu: unknown kind %d", i + 1, (int)op->kind);
}

int content_draw(const struct pdf_doc *doc, struct fonts *f, struct content *c, struct err *e) {
    if (!doc->n_ops || doc->ops[0].kind != PDF_PAGE)
        return err_set(e, ERR_PDF, "the document does not begin with a page");
    for (size_t i = 0; i < doc->n_ops; i++)
        if (check_op(doc, i, e) || draw(doc, i, f, c, e)) return -1;
    c->starts[c->n_pages] = c->out.n;
    return buf_check(&c->out, "the pages' content", e);
}

void content_free(struct content *c) {
    buf_free(&c->out);
    free(c->starts);
}
