/* Characters, widths, line breaks; the public metrics. */
#include "pdf/text.h"
#include <stdlib.h>

#define REPLACEMENT 0xfffdu

/* ---- characters ---- */

/* Decodes one character (RFC 3629); returns its length, or 0 when the bytes are not UTF-8. */
static size_t decode(struct str s, uint32_t *ret) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t b = (uint8_t)*s.p;
    if (b < 0x80) {
        *ret = b;
        return 1;
    }
    size_t n = b >= 0xc2 && b < 0xe0 ? 2 : (b & 0xf0) == 0xe0 ? 3 : b >= 0xf0 && b < 0xf5 ? 4 : 0;
    if (!n || n > s.n) return 0;
    uint32_t c = b & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (((uint8_t)s.p[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | ((uint8_t)s.p[i] & 0x3f);
    }
    if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000)) return 0;
    *ret = c;
    return n;
}

static bool is_control(uint32_t c) {
    if (c >= 0x20 && c < 0x7f) return false;
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c & 0xfffe) == 0xfffe || c == 0x2028 || c == 0x2029 ||
           (c >= 0xfdd0 && c <= 0xfdef);
}

/* Default_Ignorable_Code_Point of the Unicode Character Database, as far as assigned. */
static bool is_invisible(uint32_t c) {
    if (c < 0xad) return false;
    return c == 0xad || c == 0x34f || c == 0x61c || (c >= 0x115f && c <= 0x1160) || (c >= 0x17b4 && c <= 0x17b5) ||
           (c >= 0x180b && c <= 0x180f) || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0x3164 || (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || c == 0xffa0 ||
           (c >= 0x1bca0 && c <= 0x1bca3) || (c >= 0xe0000 && c <= 0xe0fff);
}

/* ---- composition ---- */

struct composition {
    uint16_t base, mark, composed;
};
static const struct composition compositions[] = {
#define COMPOSE(base, mark, composed) {base, mark, composed},
#include "pdf/compose.def"
#undef COMPOSE
};

static int by_base_and_mark(const void *x, const void *y) {
    const struct composition *a = x, *b = y;
    return a->base != b->base ? a->base - b->base : a->mark - b->mark;
}

/* A letter and the combining marks behind it as one character where there is one (normal form C): fonts place such a
 * letter well, and a mark of its own not at all. */
static uint32_t compose(struct str *rest, uint32_t c) {
    uint32_t mark;
    while (rest->n > 1 && ((uint8_t)*rest->p == 0xcc || (uint8_t)*rest->p == 0xcd)) { /* U+0300..U+037F */
        size_t n = decode(*rest, &mark);
        struct composition key = {(uint16_t)c, (uint16_t)mark, 0};
        const struct composition *found =
            !n || c > 0xffff
                ? NULL
                : bsearch(&key, compositions, sizeof compositions / sizeof key, sizeof key, by_base_and_mark);
        if (!found) break;
        c = found->composed;
        *rest = str_from(*rest, n);
    }
    return c;
}

enum kind { VISIBLE, BAD, INVISIBLE };

/* Takes one character off *rest, which is not empty. */
static enum kind take(struct str *rest, uint32_t *ret) {
    uint32_t c = REPLACEMENT;
    size_t n = decode(*rest, &c), used = n ? n : 1;
    rest->p += used;
    rest->n -= used;
    if (c == '\t') c = ' ';
    bool bad = !n || is_control(c);
    *ret = bad ? REPLACEMENT : compose(rest, c);
    return bad ? BAD : is_invisible(c) ? INVISIBLE : VISIBLE;
}

bool text_next(struct str *rest, uint32_t *ret, bool *ret_bad) {
    while (rest->n) {
        enum kind k = take(rest, ret);
        *ret_bad = k == BAD;
        if (k != INVISIBLE) return true;
    }
    return false;
}

static bool find(const struct chain *c, uint32_t codepoint, struct shape *ret) {
    for (size_t i = 0; i < c->n; i++) {
        uint16_t g = ttf_glyph(c->faces[i], codepoint);
        if (!g) continue;
        *ret = (struct shape){codepoint, g, (uint8_t)i, false};
        return true;
    }
    return false;
}

struct shape text_shape(const struct chain *c, uint32_t codepoint, bool bad) {
    struct shape s = {'?', 0, 0, true};
    bool found =
        find(c, codepoint, &s) || (codepoint == 0xa0 && find(c, ' ', &s)) || (codepoint == 0x2011 && find(c, '-', &s));
    bad |= !found;
    if (!found && !find(c, REPLACEMENT, &s)) find(c, '?', &s);
    s.replaced = bad;
    return s;
}

/* ---- widths ---- */

static double advance(const struct chain *c, uint32_t codepoint, bool bad) {
    struct shape s = text_shape(c, codepoint, bad);
    const struct ttf *t = c->faces[s.face];
    return (double)ttf_advance(t, s.glyph) / t->units;
}

double text_width(const struct chain *c, struct str line, double size) {
    double w = 0;
    uint32_t codepoint;
    bool bad;
    while (text_next(&line, &codepoint, &bad)) w += advance(c, codepoint, bad);
    return w * size;
}

/* ---- line breaks ---- */

/* Ideographs, kana, Hangul and full-width forms: a line may end behind any of them. */
static bool is_ideograph(uint32_t c) {
    return (c >= 0x2e80 && c <= 0x9fff) || (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0xff00 && c <= 0xffef) || (c >= 0x20000 && c <= 0x3ffff);
}

/* Closing punctuation that may not begin a line. */
static bool is_closing(uint32_t c) {
    return c == 0x3001 || c == 0x3002 || c == 0x300d || c == 0x300f || c == 0x3011 || c == 0xff01 || c == 0xff09 ||
           c == 0xff0c || c == 0xff1a || c == 0xff1b || c == 0xff1f;
}

static bool may_break(uint32_t before, uint32_t after) {
    if (is_closing(after)) return false;
    return is_ideograph(before) || is_ideograph(after) || before == 0x2013 || before == 0x2014 ||
           (before == '-' && !(after >= '0' && after <= '9'));
}

/* Length of the line end at p[at]: "\n", "\r\n" or "\r", else 0. */
static size_t newline(struct str s, size_t at) {
    if (at >= s.n || (s.p[at] != '\n' && s.p[at] != '\r')) return 0;
    return s.p[at] == '\r' && at + 1 < s.n && s.p[at + 1] == '\n' ? 2 : 1;
}

/* How many bytes of s make its first line; *ret_next: where the second begins. limit in em, <= 0: none. */
static size_t fit(const struct chain *c, struct str s, double limit, size_t *ret_next) {
    struct str rest = s;
    size_t break_end = 0, break_next = 0; /* the last place to break, 0: none yet */
    double w = 0;
    uint32_t c1, before = 0;
    for (size_t at = 0;; at = s.n - rest.n) {
        *ret_next = at + newline(s, at);
        if (*ret_next > at || at == s.n) return at;
        enum kind k = take(&rest, &c1);
        if (limit <= 0 || k == INVISIBLE) continue;
        bool space = c1 == ' ';
        if (before && before != ' ' && (space || may_break(before, c1))) break_end = break_next = at;
        if (space && break_end) break_next = s.n - rest.n;
        w += advance(c, c1, k == BAD);
        bool first = !before;
        before = c1;
        if (w <= limit || space || first) continue;
        *ret_next = break_end ? break_next : at;
        return break_end ? break_end : at;
    }
}

static struct str without_trailing_spaces(struct str s) {
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t')) s.n--;
    return s;
}

bool text_line(const struct chain *c, struct str *rest, double width, double size, struct str *ret) {
    size_t next;
    if (!rest->n) return false;
    double limit = width > 0 && size > 0 ? width / size * (1 + 1e-6) : 0;
    struct str line = str_take(*rest, fit(c, *rest, limit, &next));
    *ret = limit > 0 ? without_trailing_spaces(line) : line;
    *rest = str_from(*rest, next);
    return true;
}

/* ---- public metrics ---- */

struct pdf_metrics {
    struct ttf ttf;
};

int pdf_metrics_open(struct str ttf, struct pdf_metrics **ret, struct err *e) {
    struct pdf_metrics *m = malloc(sizeof *m);
    if (!m) fatal("out of memory for font metrics");
    if (ttf_open(ttf, &m->ttf, e)) {
        free(m);
        return -1;
    }
    *ret = m;
    return 0;
}

void pdf_metrics_free(struct pdf_metrics *m) {
    free(m);
}

bool pdf_metrics_has(const struct pdf_metrics *m, uint32_t codepoint) {
    return ttf_glyph(&m->ttf, codepoint) != 0;
}

static struct chain chain_of(const struct pdf_metrics *m, const struct pdf_metrics *fallback) {
    struct chain c = {{&m->ttf, fallback ? &fallback->ttf : NULL}, fallback ? 2 : 1};
    return c;
}

float pdf_metrics_width(const struct pdf_metrics *m, const struct pdf_metrics *fallback, struct str text, float size) {
    struct chain c = chain_of(m, fallback);
    return (float)text_width(&c, text, size);
}

bool pdf_metrics_line(const struct pdf_metrics *m, const struct pdf_metrics *fallback, struct str *rest, float width,
                      float size, struct str *ret_line) {
    struct chain c = chain_of(m, fallback);
    return text_line(&c, rest, width, size, ret_line);
}

float pdf_metrics_ascent(const struct pdf_metrics *m, float size) {
    return size * (float)m->ttf.ascent / (float)m->ttf.units;
}

float pdf_metrics_descent(const struct pdf_metrics *m, float size) {
    return -size * (float)m->ttf.descent / (float)m->ttf.units;
}
