/* pdf: documents with libharu behind struct err: text in embedded TrueType fonts (UTF-8), wrapping, tables of text,
 * lines, rectangles, QR codes, deterministic bytes.
 *
 * Who calls it: script/lib/pdf.c. A document is described as data (struct pdf_op list made from a Lua table), so that
 * rendering can run on a pool thread without touching Lua. Everything pdf_render needs is inside struct pdf_doc.
 * Units: points (1/72 inch); origin is the TOP left corner, y grows downwards. Colours: 0xRRGGBB.
 * Same doc, same bytes: no clock, no random; the creation date is given. Failure: ERR_PDF with nouns; nothing is drawn
 * in boxes silently: characters that no font of the doc has are replaced by '?' (U+FFFD where the font has it) and counted. */
#ifndef PERIGEE_PDF_H
#define PERIGEE_PDF_H
#include "base/arena.h"
#include "base/buf.h"

enum pdf_align { PDF_LEFT, PDF_CENTER, PDF_RIGHT };

struct pdf_font { /* a TrueType file; index in the doc's array is the font number */
    struct str name;      /* "regular", "bold", ... as ops name it */
    struct str data;      /* the file's bytes: immutable, shared, outliving the doc */
    const char *fallback; /* name of the font that is tried for characters this one lacks, or NULL */
};

enum pdf_kind { PDF_PAGE, PDF_TEXT, PDF_RECT, PDF_LINE, PDF_QR };
struct pdf_op {
    enum pdf_kind kind;
    float x, y, w, h;      /* TEXT: x,y = left/right/center edge per align, y = baseline of the first line; w: wrap width, 0 = no wrap */
    uint32_t color;        /* fill (TEXT, RECT, QR) or stroke (LINE) */
    bool stroke;           /* RECT: outline instead of fill */
    float width;           /* line width */
    float radius;          /* RECT corners */
    float size, leading;   /* TEXT: font size, line distance (0: 1.25 * size) */
    int font;              /* index */
    enum pdf_align align;
    struct str text;       /* TEXT: UTF-8; QR: the content, error level M */
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
int pdf_metrics_open(struct str ttf, struct pdf_metrics **ret, struct err *e); /* parses cmap and hmtx; data must outlive it */
void pdf_metrics_free(struct pdf_metrics *m);
bool pdf_metrics_has(const struct pdf_metrics *m, uint32_t codepoint);
/* Width of one line of UTF-8 at that size; characters it lacks count as those of `fallback` (may be NULL). */
float pdf_metrics_width(const struct pdf_metrics *m, const struct pdf_metrics *fallback, struct str text, float size);

/* Reads the first font file that exists of a ':'-separated list of paths. */
int pdf_font_load(struct str paths, struct buf *out, struct err *e);

#endif
