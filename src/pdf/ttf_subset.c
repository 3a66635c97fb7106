/* A small font file made of some glyphs of a large one. */
#include "pdf/outline.h"
#include <string.h>

#define SUBSET_MAX (32u << 20)

static void add_u16(struct buf *b, uint32_t v) {
    char p[2] = {(char)(v >> 8), (char)v};
    buf_add(b, p, 2);
}

static void add_u32(struct buf *b, uint32_t v) {
    add_u16(b, v >> 16);
    add_u16(b, v & 0xffff);
}

static void put_u16(struct buf *b, size_t at, uint32_t v) {
    b->p[at] = (char)(v >> 8);
    b->p[at + 1] = (char)v;
}

static void put_u32(struct buf *b, size_t at, uint32_t v) {
    put_u16(b, at, v >> 16);
    put_u16(b, at + 2, v & 0xffff);
}

struct tables {
    struct buf glyf, loca, hmtx;
    size_t points_max, contours_max;
};

static int add_one(const struct ttf *t, uint16_t glyph, struct outline *o, struct tables *s, struct err *e) {
    if (outline_load(t, glyph, o, e)) return -1;
    add_u32(&s->loca, (uint32_t)s->glyf.n);
    if (outline_encode(o, &s->glyf, e)) return -1;
    while (s->glyf.n % 4 && !s->glyf.over) buf_byte(&s->glyf, 0);
    add_u16(&s->hmtx, ttf_advance(t, glyph));
    add_u16(&s->hmtx, (uint32_t)(ttf_bearing(t, glyph) - o->shift));
    if (o->n > s->points_max) s->points_max = o->n;
    if (o->n_ends > s->contours_max) s->contours_max = o->n_ends;
    return 0;
}

static int add_all(const struct ttf *t, const uint16_t *glyphs, size_t n, struct tables *s, struct err *e) {
    struct outline o = {0};
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) rc = add_one(t, glyphs[i], &o, s, e);
    add_u32(&s->loca, (uint32_t)s->glyf.n);
    outline_free(&o);
    return rc ? rc : buf_check(&s->glyf, "the font subset", e);
}

static uint32_t checksum(struct str s) {
    uint32_t sum = 0;
    size_t i = 0;
    for (; i + 4 <= s.n; i += 4) sum += ttf_u32(s.p + i);
    for (size_t shift = 24; i < s.n; i++, shift -= 8) sum += (uint32_t)(uint8_t)s.p[i] << shift;
    return sum;
}

/* Fills the directory record and appends the table, 4-aligned. */
static void add_table(struct buf *out, size_t record, const char *tag, struct str table) {
    memcpy(out->p + record, tag, 4);
    put_u32(out, record + 4, checksum(table));
    put_u32(out, record + 8, (uint32_t)out->n);
    put_u32(out, record + 12, (uint32_t)table.n);
    buf_str(out, table);
    while (out->n % 4) buf_byte(out, 0);
}

static void add_file(const struct ttf *t, const struct tables *s, size_t n, struct buf *out) {
    char head[54], hhea[36], maxp[32] = {0, 1, 0, 0};
    struct buf h = {head, sizeof head, sizeof head, sizeof head, false};
    struct buf m = {maxp, sizeof maxp, sizeof maxp, sizeof maxp, false};
    memcpy(head, t->head.p, sizeof head);
    memcpy(hhea, t->hhea.p, sizeof hhea);
    put_u32(&h, 8, 0);  /* checkSumAdjustment, below */
    put_u16(&h, 50, 1); /* long loca */
    hhea[34] = (char)(n >> 8);
    hhea[35] = (char)n;
    put_u16(&m, 4, (uint32_t)n);
    put_u16(&m, 6, (uint32_t)s->points_max);
    put_u16(&m, 8, (uint32_t)s->contours_max);
    put_u16(&m, 14, 1); /* zones: no twilight zone */
    size_t base = out->n;
    add_u32(out, 0x00010000);
    add_u16(out, 6);
    add_u16(out, 64); /* searchRange, entrySelector, rangeShift of 6 tables */
    add_u16(out, 2);
    add_u16(out, 32);
    char directory[6 * 16] = {0};
    buf_add(out, directory, sizeof directory);
    add_table(out, base + 12, "glyf", buf_view(&s->glyf));
    size_t head_at = out->n;
    add_table(out, base + 28, "head", str_n(head, sizeof head));
    add_table(out, base + 44, "hhea", str_n(hhea, sizeof hhea));
    add_table(out, base + 60, "hmtx", buf_view(&s->hmtx));
    add_table(out, base + 76, "loca", buf_view(&s->loca));
    add_table(out, base + 92, "maxp", str_n(maxp, sizeof maxp));
    put_u32(out, head_at + 8, 0xb1b0afbau - checksum(str_from(buf_view(out), base)));
}

int ttf_subset(const struct ttf *t, const uint16_t *glyphs, size_t n, struct buf *out, struct err *e) {
    struct tables s = {BUF_MAX(SUBSET_MAX), BUF_MAX(SUBSET_MAX), BUF_MAX(SUBSET_MAX), 0, 0};
    int rc = -1;
    if (!n || n > 65535) {
        err_set(e, ERR_PDF, "a font subset of %zu glyphs is not possible", n);
        goto out;
    }
    if (add_all(t, glyphs, n, &s, e)) goto out;
    size_t total = s.glyf.n + s.loca.n + s.hmtx.n + 512;
    if (out->n + total > out->max) {
        err_set(e, ERR_TOO_LARGE, "the font subset is larger than %zu bytes", out->max);
        goto out;
    }
    buf_reserve(out, total);
    add_file(t, &s, n, out);
    rc = 0;
out:
    buf_free(&s.glyf);
    buf_free(&s.loca);
    buf_free(&s.hmtx);
    return rc;
}
