/* pdf: documents with libharu behind struct err: text in embedded TrueType fonts (UTF-8), wrapping, tables of text,
 * lines, rectangles, QR codes, deterministic bytes.
 *
 * Who calls it: script/lib/pdf.c. A document is described as data (struct pdf_op list made from a Lua table), so that
 * rendering can run on a pool thread without touching Lua. Everything pdf_render needs is inside struct pdf_doc.
 * Units: points (1/72 inch); origin is the TOP left corner, y grows downwards. Colours: 0xRRGGBB.
 * Same doc, same bytes: no clock, no random; the creation date is given. Failure: ERR_PDF with nouns; nothing is drawn
 * in boxes silently: characters that no font of the doc has are replaced by '?' (U+FFFD where the font has it) and
 * counted; so are bytes that are no UTF-8, NUL and other controls. '\n' ("\r\n", "\r") ends a line, a tab is a space;
 * code points that are invisible by definition (zero-width, direction marks, variation selectors, soft hyphen) are left
 * out. A letter and combining marks become the composed character where Unicode has one (below U+2000). Not done:
 * shaping and bidirectional text (Arabic, Hebrew, Indic scripts come out in logical order), kerning.
 *
 * Fonts: TrueType outlines (.ttf, or the first face of a .ttc); each document embeds only the glyphs that it uses. */
#ifndef PERIGEE_PDF_H
#define PERIGEE_PDF_H
#include "base/arena.h"
#include "base/buf.h"

enum pdf_align { PDF_LEFT, PDF_CENTER, PDF_RIGHT };

struct pdf_font {         /* a TrueType file; index in the doc's array is the font number */
    struct str name;      /* "regular", "bold", ... as ops name it */
    struct str data;      /* the file's bytes: immutable, shared, outliving the doc; same p: the same face */
    const char *fallback; /* name of the font that is tried for characters this one lacks (and so on), or NULL */
};

enum pdf_kind { PDF_PAGE, PDF_TEXT, PDF_RECT, PDF_LINE, PDF_QR };
struct pdf_op {
    enum pdf_kind kind;
    float x, y, w, h; /* TEXT: x,y = left/right/center edge per align, y = baseline of the first line; w: wrap width, 0
                         = no wrap */
                      /* LINE: w,h = the other end; RECT: the top left corner and the extent; QR: the top left
                       * corner, w = the side without the quiet zone of 4 modules, h unused */
    uint32_t color;   /* fill (TEXT, RECT, QR) or stroke (LINE) */
    bool stroke;      /* RECT: outline instead of fill */
    float width;      /* line width */
    float radius;     /* RECT corners */
    float size, leading; /* TEXT: font size, line distance (0: 1.25 * size) */
    int font;            /* index */
    enum pdf_align align;
    struct str text; /* TEXT: UTF-8; QR: the content, error level M */
};

struct pdf_doc {
    struct arena arena; /* owns ops and strings */
    float page_w, page_h;
    struct str title, author, subject;
    int64_t created_ms; /* Unix ms; 0: no date */
    const struct pdf_font *fonts;
    size_t n_fonts;
    struct pdf_op *ops; /* the first is a PDF_PAGE */
    size_t n_ops;
};

/* Any thread. out is capped by out->max. ret_missing: characters replaced. */
int pdf_render(const struct pdf_doc *doc, struct buf *out, size_t *ret_missing, struct err *e);

/* Metrics, for layout before rendering. A measure is immutable once open and may be shared by threads. */
struct pdf_metrics;
int pdf_metrics_open(struct str ttf, struct pdf_metrics **ret,
                     struct err *e); /* parses cmap and hmtx; data must outlive it */
void pdf_metrics_free(struct pdf_metrics *m);
bool pdf_metrics_has(const struct pdf_metrics *m, uint32_t codepoint);
/* Width of one line of UTF-8 at that size; characters it lacks count as those of `fallback` (may be NULL). */
float pdf_metrics_width(const struct pdf_metrics *m, const struct pdf_metrics *fallback, struct str text, float size);

/* Cuts the next line off *rest: as much as fits into `width` (<= 0: no limit), broken at spaces, after hyphens, between
 * ideographs, else inside the word (at least one character a line); '\n' always ends a line. The spaces at a break
 * belong to no line. False when *rest is used up; an empty text has no line. pdf_render wraps TEXT ops with this. */
bool pdf_metrics_line(const struct pdf_metrics *m, const struct pdf_metrics *fallback, struct str *rest, float width,
                      float size, struct str *ret_line);
/* Distances from the baseline at that size, both positive: of the font, not of its fallback. */
float pdf_metrics_ascent(const struct pdf_metrics *m, float size);
float pdf_metrics_descent(const struct pdf_metrics *m, float size);

/* Reads the first font file that exists of a ':'-separated list of paths. */
int pdf_font_load(struct str paths, struct buf *out, struct err *e);
/* Appends which file that is, and what tells it from another one at the same place later; nothing: there is none. */
void pdf_font_stamp(struct str paths, struct buf *out);

#endif
