/* Reading glyph descriptions, flattening composites (OpenType, "glyf"), writing simple ones. */
#include "pdf/outline.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8
#define POINTS_MAX 20000 /* of one glyph, components counted: bounds what a malicious font can cost */
#define COMPONENTS_MAX 256

enum { ON_CURVE = 1, X_SHORT = 2, Y_SHORT = 4, REPEAT = 8, X_SAME = 16, Y_SAME = 32 };
enum { WORDS = 1, XY_VALUES = 2, SCALE = 8, MORE = 32, XY_SCALE = 64, MATRIX = 128, SCALED_OFFSET = 0x800 };

struct cursor {
    struct str rest;
    bool bad;
};

static uint8_t get_u8(struct cursor *c) {
    if (!c->rest.n) {
        c->bad = true;
        return 0;
    }
    uint8_t v = (uint8_t)*c->rest.p;
    c->rest = str_from(c->rest, 1);
    return v;
}

static uint16_t get_u16(struct cursor *c) {
    uint16_t high = get_u8(c);
    return (uint16_t)(high << 8 | get_u8(c));
}

static int damaged(const struct ttf *t, uint16_t glyph, struct err *e) {
    return err_set(e, ERR_PDF, "the font %s is damaged: glyph %u cannot be read", t->name, glyph);
}

static void reserve(struct outline *o, size_t points, size_t ends) {
    if (o->n + points > o->cap) {
        o->cap = 2 * (o->n + points);
        o->points = realloc(o->points, o->cap * sizeof *o->points);
        if (!o->points) fatal("out of memory for %zu points of a glyph", o->cap);
    }
    if (o->n_ends + ends > o->ends_cap) {
        o->ends_cap = 2 * (o->n_ends + ends);
        o->ends = realloc(o->ends, o->ends_cap * sizeof *o->ends);
        if (!o->ends) fatal("out of memory for %zu contours of a glyph", o->ends_cap);
    }
}

/* ---- simple glyphs ---- */

static void get_flags(struct cursor *c, uint8_t *flags, size_t n) {
    for (size_t i = 0; i < n && !c->bad;) {
        uint8_t f = get_u8(c);
        size_t times = 1 + (f & REPEAT ? get_u8(c) : 0u);
        if (times > n - i)
            c->bad = true;
        else
            memset(flags + i, f, times);
        i += times;
    }
}

static int32_t get_delta(struct cursor *c, uint8_t flag, uint8_t is_short, uint8_t same) {
    if (flag & is_short) {
        int32_t v = get_u8(c);
        return flag & same ? v : -v;
    }
    return flag & same ? 0 : (int16_t)get_u16(c);
}

static void get_points(struct cursor *c, const uint8_t *flags, struct outline_point *p, size_t n) {
    int32_t x = 0, y = 0;
    for (size_t i = 0; i < n; i++) {
        x += get_delta(c, flags[i], X_SHORT, X_SAME);
        p[i].x = x;
        p[i].on = flags[i] & ON_CURVE;
    }
    for (size_t i = 0; i < n; i++) {
        y += get_delta(c, flags[i], Y_SHORT, Y_SAME);
        p[i].y = y;
    }
}

/* Contour ends of the description become indices into o; returns its number of points, or 0 with c->bad. */
static size_t get_ends(struct cursor *c, struct outline *o, size_t n_contours) {
    size_t n = 0;
    reserve(o, 0, n_contours);
    for (size_t i = 0; i < n_contours && !c->bad; i++) {
        size_t end = get_u16(c);
        if (end < n || o->n + end >= POINTS_MAX)
            c->bad = true;
        else
            o->ends[o->n_ends + i] = (uint16_t)(o->n + end);
        n = end + 1;
    }
    return c->bad ? 0 : n;
}

static bool add_simple(struct cursor *c, struct outline *o, size_t n_contours) {
    size_t n = get_ends(c, o, n_contours);
    uint16_t hints = get_u16(c);
    if (c->bad || !n || hints > c->rest.n) return false;
    c->rest = str_from(c->rest, hints);
    uint8_t flags[POINTS_MAX];
    get_flags(c, flags, n);
    if (c->bad) return false;
    reserve(o, n, 0);
    get_points(c, flags, o->points + o->n, n);
    o->n += n;
    o->n_ends += n_contours;
    return !c->bad;
}

/* ---- composites ---- */

struct component {
    uint16_t flags, glyph;
    int32_t a, b;          /* offset, or point numbers */
    double xx, yx, xy, yy; /* x' = xx x + xy y; y' = yx x + yy y */
};

static double get_f2dot14(struct cursor *c) {
    return (int16_t)get_u16(c) / 16384.0;
}

static void get_component(struct cursor *c, struct component *k) {
    k->flags = get_u16(c);
    k->glyph = get_u16(c);
    bool is_signed = k->flags & XY_VALUES;
    if (k->flags & WORDS) {
        uint16_t a = get_u16(c), b = get_u16(c);
        k->a = is_signed ? (int16_t)a : a;
        k->b = is_signed ? (int16_t)b : b;
    } else {
        uint8_t a = get_u8(c), b = get_u8(c);
        k->a = is_signed ? (int8_t)a : a;
        k->b = is_signed ? (int8_t)b : b;
    }
    k->xx = k->yy = 1;
    k->xy = k->yx = 0;
    if (k->flags & (SCALE | XY_SCALE | MATRIX)) k->xx = k->yy = get_f2dot14(c);
    if (k->flags & MATRIX) {
        k->yx = get_f2dot14(c);
        k->xy = get_f2dot14(c);
    }
    if (k->flags & (XY_SCALE | MATRIX)) k->yy = get_f2dot14(c);
}

static int32_t rounded(double v) {
    if (v > 65535) return 65535;
    if (v < -65535) return -65535;
    return (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
}

static double length(double x, double y) {
    return x * x + y * y == 1 ? 1 : sqrt(x * x + y * y);
}

/* Moves the component's points, o->points[from..n), into the parent's space; `base` is where the parent begins. */
static bool place(struct outline *o, size_t base, size_t from, const struct component *k) {
    for (size_t i = from; i < o->n; i++) {
        double x = o->points[i].x, y = o->points[i].y;
        o->points[i].x = rounded(k->xx * x + k->xy * y);
        o->points[i].y = rounded(k->yx * x + k->yy * y);
    }
    double dx = k->a, dy = k->b;
    if (!(k->flags & XY_VALUES)) {
        size_t a = base + (size_t)k->a, b = from + (size_t)k->b;
        if (a >= from || b >= o->n) return false;
        dx = o->points[a].x - o->points[b].x;
        dy = o->points[a].y - o->points[b].y;
    } else if (k->flags & SCALED_OFFSET) {
        dx *= length(k->xx, k->yx);
        dy *= length(k->xy, k->yy);
    }
    for (size_t i = from; i < o->n; i++) {
        o->points[i].x = rounded(o->points[i].x + dx);
        o->points[i].y = rounded(o->points[i].y + dy);
    }
    return true;
}

struct walk {
    const struct ttf *t;
    struct outline *o;
    int components; /* seen so far */
};

static bool add_glyph(struct walk *w, uint16_t glyph, int depth);

static bool add_composite(struct walk *w, struct cursor *c, int depth) {
    size_t base = w->o->n;
    struct component k = {.flags = MORE};
    while (k.flags & MORE) {
        size_t from = w->o->n;
        get_component(c, &k);
        if (c->bad || ++w->components > COMPONENTS_MAX) return false;
        if (!add_glyph(w, k.glyph, depth + 1) || !place(w->o, base, from, &k)) return false;
    }
    return true;
}

static bool add_glyph(struct walk *w, uint16_t glyph, int depth) {
    struct str d;
    if (depth > DEPTH_MAX || ttf_description(w->t, glyph, &d, NULL)) return false;
    if (!d.n) return true;
    if (d.n < 10) return false;
    int16_t n_contours = ttf_i16(d.p);
    struct cursor c = {str_from(d, 10), false};
    if (n_contours < 0) return add_composite(w, &c, depth);
    return !n_contours || add_simple(&c, w->o, (size_t)n_contours);
}

int32_t outline_min_x(const struct outline *o) {
    int32_t m = o->n ? o->points[0].x : 0;
    for (size_t i = 1; i < o->n; i++)
        if (o->points[i].x < m) m = o->points[i].x;
    return m;
}

int outline_load(const struct ttf *t, uint16_t glyph, struct outline *o, struct err *e) {
    struct walk w = {t, o, 0};
    struct str d;
    o->n = o->n_ends = 0;
    o->shift = 0;
    if (!add_glyph(&w, glyph, 0)) return damaged(t, glyph, e);
    if (!o->n_ends) o->n = 0;
    if (o->n && !ttf_description(t, glyph, &d, NULL)) o->shift = ttf_i16(d.p + 2) - outline_min_x(o);
    return 0;
}

void outline_free(struct outline *o) {
    free(o->points);
    free(o->ends);
    *o = (struct outline){0};
}

/* ---- writing ---- */

static void add_u16(struct buf *b, int32_t v) {
    char p[2] = {(char)(v >> 8), (char)v};
    buf_add(b, p, 2);
}

static uint8_t flag_of(const struct outline_point *p, int32_t dx, int32_t dy) {
    uint8_t f = p->on ? ON_CURVE : 0;
    if (!dx)
        f |= X_SAME;
    else if (dx > -256 && dx < 256)
        f |= (uint8_t)(X_SHORT | (dx > 0 ? X_SAME : 0));
    if (!dy)
        f |= Y_SAME;
    else if (dy > -256 && dy < 256)
        f |= (uint8_t)(Y_SHORT | (dy > 0 ? Y_SAME : 0));
    return f;
}

static void add_flags(const struct outline *o, struct buf *out) {
    struct outline_point before = {0};
    uint8_t last = 0, times = 0; /* of `last`, behind its first */
    for (size_t i = 0; i < o->n; i++) {
        const struct outline_point *p = &o->points[i];
        uint8_t f = flag_of(p, p->x - before.x, p->y - before.y);
        before = *p;
        if (i && f == last && times < 255) {
            if (times++)
                out->p[out->n - 1] = (char)times;
            else {
                out->p[out->n - 1] |= REPEAT;
                buf_byte(out, 1);
            }
            continue;
        }
        buf_byte(out, (char)f);
        last = f;
        times = 0;
    }
}

static void add_delta(struct buf *out, int32_t d) {
    if (!d) return;
    if (d > -256 && d < 256)
        buf_byte(out, (char)(d < 0 ? -d : d));
    else
        add_u16(out, d);
}

static void bounds(const struct outline *o, int32_t box[4]) {
    box[0] = box[2] = o->points[0].x;
    box[1] = box[3] = o->points[0].y;
    for (size_t i = 1; i < o->n; i++) {
        const struct outline_point *p = &o->points[i];
        if (p->x < box[0]) box[0] = p->x;
        if (p->y < box[1]) box[1] = p->y;
        if (p->x > box[2]) box[2] = p->x;
        if (p->y > box[3]) box[3] = p->y;
    }
}

int outline_encode(const struct outline *o, struct buf *out, struct err *e) {
    int32_t box[4];
    if (!o->n) return 0;
    bounds(o, box);
    if (box[0] < -16383 || box[1] < -16383 || box[2] > 16383 || box[3] > 16383)
        return err_set(e, ERR_PDF, "the font is damaged: a glyph is larger than 16383 units");
    add_u16(out, (int32_t)o->n_ends);
    for (int i = 0; i < 4; i++) add_u16(out, box[i]);
    for (size_t i = 0; i < o->n_ends; i++) add_u16(out, o->ends[i]);
    add_u16(out, 0); /* instructions */
    add_flags(o, out);
    for (size_t i = 0; i < o->n; i++) add_delta(out, o->points[i].x - (i ? o->points[i - 1].x : 0));
    for (size_t i = 0; i < o->n; i++) add_delta(out, o->points[i].y - (i ? o->points[i - 1].y : 0));
    return 0;
}
