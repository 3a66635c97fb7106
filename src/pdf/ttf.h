/* ttf: private to pdf. A bounds-checked reader of TrueType files, the outlines of glyphs, and the subsetter.
 * Source: OpenType specification 1.9 (head, maxp, hhea, hmtx, cmap 4 and 12, loca, glyf). Every offset of a file is
 * checked before use; a damaged file is an error, never a crash. */
#ifndef PERIGEE_PDF_TTF_H
#define PERIGEE_PDF_TTF_H
#include "base/buf.h"

struct ttf {
    struct str file, head, hhea, hmtx, maxp, loca, glyf, cmap; /* cmap: the one subtable used */
    uint16_t cmap_format, units, n_glyphs, n_advances;
    bool long_loca;
    int16_t ascent, descent, bbox[4], cap_height;
    int italic_angle;    /* degrees */
    char name[64];       /* PostScript name, or "Font" */
    uint16_t ascii[128]; /* glyphs of U+0020..U+007E */
};

/* data must outlive *ret. Errors: ERR_PDF. */
int ttf_open(struct str data, struct ttf *ret, struct err *e);
uint16_t ttf_glyph(const struct ttf *t, uint32_t codepoint); /* 0: none */
uint16_t ttf_advance(const struct ttf *t, uint16_t glyph);   /* font units */
int16_t ttf_bearing(const struct ttf *t, uint16_t glyph);    /* left side */
/* The description in glyf; empty for a glyph without outline. */
int ttf_description(const struct ttf *t, uint16_t glyph, struct str *ret, struct err *e);

/* A font file holding glyphs[0..n) as glyph 0..n-1 (repeats allowed), composites made simple, hints dropped: what a PDF
 * needs of a CIDFontType2 with an identity map (ISO 32000-1 9.9: glyf head hhea hmtx loca maxp). */
int ttf_subset(const struct ttf *t, const uint16_t *glyphs, size_t n, struct buf *out, struct err *e);

/* Big-endian reads; the caller has checked the range. */
static inline uint16_t ttf_u16(const char *p) {
    return (uint16_t)((uint8_t)p[0] << 8 | (uint8_t)p[1]);
}
static inline int16_t ttf_i16(const char *p) {
    return (int16_t)ttf_u16(p);
}
static inline uint32_t ttf_u32(const char *p) {
    return (uint32_t)ttf_u16(p) << 16 | ttf_u16(p + 2);
}

#endif
