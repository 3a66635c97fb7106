/* Tables, character map and metrics of a TrueType file. */
#include "pdf/ttf.h"
#include <string.h>

#define TTC_TAG 0x74746366u  /* "ttcf" */
#define CFF_TAG 0x4f54544fu  /* "OTTO" */
#define TRUE_TAG 0x74727565u /* "true" */

static int damaged(struct err *e, const char *what) {
    return err_set(e, ERR_PDF, "the font file is damaged: %s", what);
}

/* ---- tables ---- */

/* Offset of the table directory. */
static int find_directory(struct str data, size_t *ret, struct err *e) {
    size_t at = 0;
    if (data.n < 12) return err_set(e, ERR_PDF, "the font file has %zu bytes, too few for a TrueType font", data.n);
    if (ttf_u32(data.p) == TTC_TAG) {
        if (data.n < 16 || ttf_u32(data.p + 8) < 1) return damaged(e, "its collection has no face");
        at = ttf_u32(data.p + 12);
        if (at > data.n - 12) return damaged(e, "its first face lies outside the file");
    }
    uint32_t version = ttf_u32(data.p + at);
    if (version == CFF_TAG)
        return err_set(e, ERR_PDF, "the font has CFF outlines; only TrueType outlines are supported");
    if (version != 0x00010000 && version != TRUE_TAG) return err_set(e, ERR_PDF, "the file is not a TrueType font");
    *ret = at;
    return 0;
}

static int find_table(struct str data, size_t directory, const char *tag, struct str *ret, struct err *e) {
    size_t n = ttf_u16(data.p + directory + 4);
    for (size_t i = 0; i < n; i++) {
        size_t at = directory + 12 + 16 * i;
        if (at + 16 > data.n) return damaged(e, "its table directory is cut off");
        if (memcmp(data.p + at, tag, 4)) continue;
        size_t offset = ttf_u32(data.p + at + 8), length = ttf_u32(data.p + at + 12);
        if (offset > data.n || length > data.n - offset)
            return err_set(e, ERR_PDF, "the font file is damaged: table %s lies outside the file", tag);
        *ret = str_n(data.p + offset, length);
        return 0;
    }
    return err_set(e, ERR_PDF, "the font file lacks the table %s", tag);
}

static int find_tables(struct str data, size_t directory, struct ttf *t, struct str *cmap, struct err *e) {
    struct {
        const char *tag;
        struct str *slot;
        size_t least;
    } tables[] = {{"head", &t->head, 54}, {"hhea", &t->hhea, 36}, {"hmtx", &t->hmtx, 4}, {"maxp", &t->maxp, 6},
                  {"loca", &t->loca, 4},  {"glyf", &t->glyf, 0},  {"cmap", cmap, 4}};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (find_table(data, directory, tables[i].tag, tables[i].slot, e)) return -1;
        if (tables[i].slot->n < tables[i].least)
            return err_set(e, ERR_PDF, "the font file is damaged: table %s is too short", tables[i].tag);
    }
    return 0;
}

static int read_head(struct ttf *t, struct err *e) {
    t->units = ttf_u16(t->head.p + 18);
    if (t->units < 16 || t->units > 16384) return damaged(e, "its units per em are not 16 to 16384");
    for (int i = 0; i < 4; i++) t->bbox[i] = ttf_i16(t->head.p + 36 + 2 * i);
    t->long_loca = ttf_u16(t->head.p + 50) != 0;
    t->n_glyphs = ttf_u16(t->maxp.p + 4);
    t->n_advances = ttf_u16(t->hhea.p + 34);
    t->ascent = ttf_i16(t->hhea.p + 4);
    t->descent = ttf_i16(t->hhea.p + 6);
    t->cap_height = (int16_t)(t->units * 7 / 10);
    if (!t->n_glyphs) return damaged(e, "it has no glyph");
    if (!t->n_advances || t->n_advances > t->n_glyphs ||
        t->hmtx.n < 4u * t->n_advances + 2u * (t->n_glyphs - t->n_advances))
        return damaged(e, "table hmtx does not hold a width for each glyph");
    if (t->loca.n < (t->n_glyphs + 1u) * (t->long_loca ? 4u : 2u))
        return damaged(e, "table loca does not hold a place for each glyph");
    return 0;
}

/* Optional tables: what they lack has a default. */
static void read_extras(struct str data, size_t directory, struct ttf *t) {
    struct str os2, post;
    if (!find_table(data, directory, "OS/2", &os2, NULL) && os2.n >= 90 && ttf_u16(os2.p) >= 2)
        t->cap_height = ttf_i16(os2.p + 88);
    if (!find_table(data, directory, "post", &post, NULL) && post.n >= 8) t->italic_angle = ttf_i16(post.p + 4);
}

/* name 6, PostScript name: printable ASCII without the delimiters of PDF names. */
static void read_name(struct str data, size_t directory, struct ttf *t) {
    struct str name;
    strcpy(t->name, "Font");
    if (find_table(data, directory, "name", &name, NULL) || name.n < 6) return;
    size_t n = ttf_u16(name.p + 2), strings = ttf_u16(name.p + 4);
    for (size_t i = 0; i < n && 6 + 12 * (i + 1) <= name.n; i++) {
        const char *r = name.p + 6 + 12 * i;
        size_t length = ttf_u16(r + 8), at = strings + ttf_u16(r + 10), step = ttf_u16(r) == 1 ? 1 : 2, k = 0;
        if (ttf_u16(r + 6) != 6 || at + length > name.n) continue;
        char found[sizeof t->name];
        for (size_t j = step - 1; j < length && k < sizeof found - 1; j += step) {
            char c = name.p[at + j];
            if (c > ' ' && c < 0x7f && !strchr("()<>[]{}/%#", c)) found[k++] = c;
        }
        found[k] = 0;
        if (k) memcpy(t->name, found, k + 1);
        if (k) return;
    }
}

/* ---- cmap ---- */

/* The subtable of full Unicode, else of the BMP: (3,10) (0,4+) before (3,1) (0,x). */
static int rank(const char *record, uint16_t format) {
    uint16_t platform = ttf_u16(record), encoding = ttf_u16(record + 2);
    bool unicode = platform == 0 ? encoding != 5 : platform == 3 && (encoding == 1 || encoding == 10);
    return !unicode ? 0 : format == 12 ? 2 : format == 4 ? 1 : 0;
}

static bool is_whole(struct str s, uint16_t format) {
    if (format == 12) return s.n >= 16 && (s.n - 16) / 12 >= ttf_u32(s.p + 12);
    return s.n >= 16 && s.n >= 16u + 4u * ttf_u16(s.p + 6);
}

static int choose_cmap(struct str cmap, struct ttf *t, struct err *e) {
    size_t n = ttf_u16(cmap.p + 2);
    int best = 0;
    for (size_t i = 0; i < n && 4 + 8 * (i + 1) <= cmap.n; i++) {
        const char *record = cmap.p + 4 + 8 * i;
        size_t at = ttf_u32(record + 4);
        if (at + 4 > cmap.n) continue;
        uint16_t format = ttf_u16(cmap.p + at);
        struct str table = str_from(cmap, at);
        int r = rank(record, format);
        if (r <= best || !is_whole(table, format)) continue;
        best = r;
        t->cmap = table;
        t->cmap_format = format;
    }
    return best ? 0 : err_set(e, ERR_PDF, "the font file has no Unicode character map of format 4 or 12");
}

/* Format 4: segments of end, start, delta, range offset, sorted by end. */
static uint16_t lookup_4(struct str s, uint32_t c) {
    if (c > 0xffff) return 0;
    size_t n = ttf_u16(s.p + 6) / 2, low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (ttf_u16(s.p + 14 + 2 * mid) < c)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == n) return 0;
    const char *ends = s.p + 14, *starts = ends + 2 * n + 2, *deltas = starts + 2 * n;
    size_t ranges = (size_t)(deltas - s.p) + 2 * n, at = ranges + 2 * low;
    uint16_t start = ttf_u16(starts + 2 * low), range = ttf_u16(s.p + at), delta = ttf_u16(deltas + 2 * low);
    if (c < start) return 0;
    if (!range) return (uint16_t)(c + delta);
    at += range + 2 * (c - start);
    if (at + 2 > s.n) return 0;
    uint16_t g = ttf_u16(s.p + at);
    return g ? (uint16_t)(g + delta) : 0;
}

/* Format 12: groups of start, end, first glyph, sorted. */
static uint16_t lookup_12(struct str s, uint32_t c) {
    size_t n = ttf_u32(s.p + 12), low = 0, high = n;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (ttf_u32(s.p + 16 + 12 * mid + 4) < c)
            low = mid + 1;
        else
            high = mid;
    }
    if (low == n) return 0;
    const char *group = s.p + 16 + 12 * low;
    if (c < ttf_u32(group)) return 0;
    uint32_t g = ttf_u32(group + 8) + (c - ttf_u32(group));
    return g <= 0xffff ? (uint16_t)g : 0;
}

static uint16_t lookup(const struct ttf *t, uint32_t c) {
    uint16_t g = t->cmap_format == 12 ? lookup_12(t->cmap, c) : lookup_4(t->cmap, c);
    return g < t->n_glyphs ? g : 0;
}

uint16_t ttf_glyph(const struct ttf *t, uint32_t c) {
    return c < sizeof t->ascii / sizeof *t->ascii ? t->ascii[c] : lookup(t, c);
}

/* ---- metrics and descriptions ---- */

uint16_t ttf_advance(const struct ttf *t, uint16_t g) {
    size_t i = g < t->n_advances ? g : t->n_advances - 1u;
    return ttf_u16(t->hmtx.p + 4 * i);
}

int16_t ttf_bearing(const struct ttf *t, uint16_t g) {
    if (g < t->n_advances) return ttf_i16(t->hmtx.p + 4u * g + 2);
    return ttf_i16(t->hmtx.p + 4u * t->n_advances + 2u * (g - t->n_advances));
}

int ttf_description(const struct ttf *t, uint16_t g, struct str *ret, struct err *e) {
    if (g >= t->n_glyphs) return err_set(e, ERR_PDF, "the font %s has no glyph %u", t->name, g);
    size_t from = t->long_loca ? ttf_u32(t->loca.p + 4u * g) : 2u * ttf_u16(t->loca.p + 2u * g);
    size_t to = t->long_loca ? ttf_u32(t->loca.p + 4u * g + 4) : 2u * ttf_u16(t->loca.p + 2u * g + 2);
    if (from > to || to > t->glyf.n)
        return err_set(e, ERR_PDF, "the font %s is damaged: glyph %u lies outside its table", t->name, g);
    *ret = str_n(t->glyf.p + from, to - from);
    return 0;
}

int ttf_open(struct str data, struct ttf *ret, struct err *e) {
    struct ttf t = {.file = data};
    struct str cmap;
    size_t directory = 0;
    if (find_directory(data, &directory, e) || find_tables(data, directory, &t, &cmap, e) || read_head(&t, e) ||
        choose_cmap(cmap, &t, e))
        return -1;
    read_extras(data, directory, &t);
    read_name(data, directory, &t);
    for (uint32_t c = 0x20; c < 0x7f; c++) t.ascii[c] = lookup(&t, c);
    *ret = t;
    return 0;
}
