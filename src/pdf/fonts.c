/* Faces as Type0 fonts: ISO 32000-1 9.7 (composite fonts), 9.8 (descriptors), 9.10.3 (ToUnicode CMaps).
 * libharu's own TrueType support is not used: it keeps what it should drop (190 kB a receipt), scans 65,536 codes a
 * face, loses nested composites and writes an invalid ToUnicode. Its objects are. */
#include "pdf/fonts.h"
#include "base/crypto.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX (32u << 20)
#define FLAG_SYMBOLIC 4

/* ---- which faces ---- */

static int face_of(struct fonts *f, struct str data, uint8_t *ret, struct err *e) {
    for (size_t i = 0; i < f->n; i++) {
        if (f->faces[i].ttf.file.p == data.p) {
            *ret = (uint8_t)i;
            return 0;
        }
    }
    struct face *face = &f->faces[f->n];
    if (ttf_open(data, &face->ttf, e)) return -1;
    *ret = (uint8_t)f->n++;
    fonts_use(face, 0, 0);
    return 0;
}

static ptrdiff_t font_named(const struct pdf_doc *doc, const char *name) {
    for (size_t i = 0; i < doc->n_fonts; i++)
        if (str_is(doc->fonts[i].name, name)) return (ptrdiff_t)i;
    return -1;
}

static int build_chain(const struct pdf_doc *doc, size_t font, const uint8_t *face, struct fonts *f, struct err *e) {
    struct chain *c = &f->chains[font];
    for (ptrdiff_t i = (ptrdiff_t)font; c->n < CHAIN_MAX;) {
        bool again = false;
        for (size_t k = 0; k < c->n; k++) again |= f->chain_faces[font][k] == face[i];
        if (again) break;
        f->chain_faces[font][c->n] = face[i];
        c->faces[c->n++] = &f->faces[face[i]].ttf;
        const char *next = doc->fonts[i].fallback;
        if (!next) break;
        i = font_named(doc, next);
        if (i < 0) return err_set(e, ERR_PDF, "the fallback font \"%s\" is not in the document", next);
    }
    return 0;
}

int fonts_open(const struct pdf_doc *doc, struct fonts *f, struct err *e) {
    uint8_t face[FACES_MAX];
    if (doc->n_fonts > FACES_MAX)
        return err_set(e, ERR_PDF, "the document has %zu fonts, more than %d", doc->n_fonts, FACES_MAX);
    for (size_t i = 0; i < doc->n_fonts; i++)
        if (face_of(f, doc->fonts[i].data, &face[i], e))
            return err_wrap(e, "font \"%.*s\"", STR_ARG(doc->fonts[i].name));
    for (size_t i = 0; i < doc->n_fonts; i++)
        if (build_chain(doc, i, face, f, e)) return -1;
    return 0;
}

void fonts_free(struct fonts *f) {
    for (size_t i = 0; i < f->n; i++) {
        free(f->faces[i].glyphs);
        free(f->faces[i].codepoints);
        free(f->faces[i].slots);
    }
    f->n = 0;
}

/* ---- which glyphs ---- */

static void *grown(void *p, size_t bytes) {
    p = realloc(p, bytes);
    if (!p) fatal("out of memory for %zu bytes of a font subset", bytes);
    return p;
}

static uint32_t *slot_of(struct face *f, uint32_t codepoint) {
    size_t i = (codepoint * 2654435761u >> 8) & (f->n_slots - 1);
    while (f->slots[i] && f->codepoints[f->slots[i] - 1] != codepoint) i = (i + 1) & (f->n_slots - 1);
    return &f->slots[i];
}

static void grow(struct face *f) {
    f->cap = f->cap ? 2 * f->cap : 128;
    f->n_slots = 2 * f->cap;
    f->glyphs = grown(f->glyphs, f->cap * sizeof *f->glyphs);
    f->codepoints = grown(f->codepoints, f->cap * sizeof *f->codepoints);
    f->slots = grown(f->slots, f->n_slots * sizeof *f->slots);
    memset(f->slots, 0, f->n_slots * sizeof *f->slots);
    for (size_t i = 0; i < f->n; i++) *slot_of(f, f->codepoints[i]) = (uint32_t)i + 1;
}

uint16_t fonts_use(struct face *f, uint32_t codepoint, uint16_t glyph) {
    if (!glyph) codepoint = 0;
    if (f->n == f->cap && f->n < 65535) grow(f);
    uint32_t *slot = slot_of(f, codepoint);
    if (*slot) return (uint16_t)(*slot - 1);
    if (f->n == 65535) return 0;
    f->glyphs[f->n] = glyph;
    f->codepoints[f->n] = codepoint;
    *slot = (uint32_t)++f->n;
    return (uint16_t)(f->n - 1);
}

/* ---- PDF objects ---- */

struct writer {
    HPDF_Doc pdf;
    HPDF_MMgr mmgr;
    const struct face *face;
    char name[sizeof((struct ttf *)0)->name + 8]; /* "ABCDEF+LiberationSans" */
};

/* Glyph space of a PDF: a thousandth of an em. */
static HPDF_INT32 milli(const struct ttf *t, int v) {
    int64_t scaled = (int64_t)v * 1000 * 2 / t->units;
    return (HPDF_INT32)((scaled + (scaled < 0 ? -1 : 1)) / 2);
}

static HPDF_Dict new_stream(struct writer *w, struct str data) {
    HPDF_Dict d = HPDF_DictStream_New(w->mmgr, w->pdf->xref);
    if (!d) return NULL;
    d->filter = HPDF_STREAM_FILTER_FLATE_DECODE;
    HPDF_Stream_Write(d->stream, (const HPDF_BYTE *)data.p, (HPDF_UINT)data.n);
    return d;
}

static HPDF_Dict new_dict(struct writer *w, const char *type) {
    HPDF_Dict d = HPDF_Dict_New(w->mmgr);
    HPDF_Xref_Add(w->pdf->xref, d);
    HPDF_Dict_AddName(d, "Type", type);
    return d;
}

/* A tag of six letters (ISO 32000-1 9.6.4) that follows from the subset's bytes. */
static void set_name(struct writer *w, struct str file) {
    uint8_t hash[32];
    crypto_sha256(file, hash);
    for (int i = 0; i < 6; i++) w->name[i] = (char)('A' + hash[i] % 26);
    snprintf(w->name + 6, sizeof w->name - 6, "+%s", w->face->ttf.name);
}

static HPDF_Dict new_descriptor(struct writer *w, struct str file) {
    const struct ttf *t = &w->face->ttf;
    HPDF_Dict d = new_dict(w, "FontDescriptor"), stream = new_stream(w, file);
    HPDF_Array box = HPDF_Array_New(w->mmgr);
    HPDF_Dict_AddName(d, "FontName", w->name);
    HPDF_Dict_AddNumber(d, "Flags", FLAG_SYMBOLIC);
    for (int i = 0; i < 4; i++) HPDF_Array_AddNumber(box, milli(t, t->bbox[i]));
    HPDF_Dict_Add(d, "FontBBox", box);
    HPDF_Dict_AddNumber(d, "ItalicAngle", t->italic_angle);
    HPDF_Dict_AddNumber(d, "Ascent", milli(t, t->ascent));
    HPDF_Dict_AddNumber(d, "Descent", milli(t, t->descent));
    HPDF_Dict_AddNumber(d, "CapHeight", milli(t, t->cap_height));
    HPDF_Dict_AddNumber(d, "StemV", strstr(t->name, "Bold") ? 140 : 80);
    HPDF_Dict_AddNumber(stream, "Length1", (HPDF_INT32)file.n);
    HPDF_Dict_Add(d, "FontFile2", stream);
    return d;
}

static HPDF_Array new_widths(struct writer *w) {
    HPDF_Array outer = HPDF_Array_New(w->mmgr), inner = HPDF_Array_New(w->mmgr);
    const struct ttf *t = &w->face->ttf;
    for (size_t i = 0; i < w->face->n; i++) HPDF_Array_AddNumber(inner, milli(t, ttf_advance(t, w->face->glyphs[i])));
    HPDF_Array_AddNumber(outer, 0);
    HPDF_Array_Add(outer, inner);
    return outer;
}

static void add_hex(struct buf *b, uint32_t u16) {
    char hex[4];
    uint8_t bytes[2] = {(uint8_t)(u16 >> 8), (uint8_t)u16};
    crypto_hex_to(hex, bytes, 2);
    buf_add(b, hex, 4);
}

static void add_utf16(struct buf *b, uint32_t c) {
    if (c > 0xffff) {
        add_hex(b, 0xd800 + ((c - 0x10000) >> 10));
        c = 0xdc00 + ((c - 0x10000) & 0x3ff);
    }
    add_hex(b, c);
}

/* At most 100 characters a block. */
static void add_to_unicode(const struct face *f, struct buf *b) {
    buf_c(b, "/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo\n"
             "<< /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n/CMapName /Adobe-Identity-UCS def\n"
             "/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n");
    for (size_t i = 1; i < f->n; i++) {
        size_t left = f->n - i;
        if (i % 100 == 1) buf_printf(b, "%zu beginbfchar\n", left < 100 ? left : 100);
        buf_byte(b, '<');
        add_hex(b, (uint32_t)i);
        buf_c(b, "> <");
        add_utf16(b, f->codepoints[i]);
        buf_c(b, ">\n");
        if (i % 100 == 0 || left == 1) buf_c(b, "endbfchar\n");
    }
    buf_c(b, "endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n");
}

static HPDF_Dict new_descendant(struct writer *w, struct str file) {
    HPDF_Dict cid = new_dict(w, "Font"), system = HPDF_Dict_New(w->mmgr);
    HPDF_Dict_AddName(cid, "Subtype", "CIDFontType2");
    HPDF_Dict_AddName(cid, "BaseFont", w->name);
    HPDF_Dict_Add(system, "Registry", HPDF_String_New(w->mmgr, "Adobe", NULL));
    HPDF_Dict_Add(system, "Ordering", HPDF_String_New(w->mmgr, "Identity", NULL));
    HPDF_Dict_AddNumber(system, "Supplement", 0);
    HPDF_Dict_Add(cid, "CIDSystemInfo", system);
    HPDF_Dict_Add(cid, "FontDescriptor", new_descriptor(w, file));
    HPDF_Dict_Add(cid, "W", new_widths(w));
    HPDF_Dict_AddName(cid, "CIDToGIDMap", "Identity");
    return cid;
}

static int embed(struct face *f, HPDF_Doc pdf, struct err *e) {
    struct buf file = BUF_MAX(FILE_MAX), map = BUF_MAX(FILE_MAX);
    struct writer w = {pdf, pdf->mmgr, f, ""};
    int rc = -1;
    if (ttf_subset(&f->ttf, f->glyphs, f->n, &file, e)) goto out;
    set_name(&w, buf_view(&file));
    add_to_unicode(f, &map);
    if (buf_check(&map, "the font's ToUnicode map", e)) goto out;
    f->dict = new_dict(&w, "Font");
    HPDF_Array descendants = HPDF_Array_New(w.mmgr);
    HPDF_Dict_AddName(f->dict, "Subtype", "Type0");
    HPDF_Dict_AddName(f->dict, "BaseFont", w.name);
    HPDF_Dict_AddName(f->dict, "Encoding", "Identity-H");
    HPDF_Array_Add(descendants, new_descendant(&w, buf_view(&file)));
    HPDF_Dict_Add(f->dict, "DescendantFonts", descendants);
    HPDF_Dict_Add(f->dict, "ToUnicode", new_stream(&w, buf_view(&map)));
    rc = 0;
out:
    buf_free(&file);
    buf_free(&map);
    return rc;
}

int fonts_embed(struct fonts *f, HPDF_Doc pdf, struct err *e) {
    for (size_t i = 0; i < f->n; i++)
        if (f->faces[i].n > 1 && embed(&f->faces[i], pdf, e)) return -1;
    return 0;
}
