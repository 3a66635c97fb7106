/* content: private to pdf. The content streams of the pages (ISO 32000-1 8 and 9). */
#ifndef PERIGEE_PDF_CONTENT_H
#define PERIGEE_PDF_CONTENT_H
#include "pdf/fonts.h"

#define CONTENT_MAX (256u << 20)

struct content {
    struct buf out; /* of all pages, one behind the other */
    size_t *starts; /* where each page begins, and the end: n_pages + 1 */
    size_t n_pages;
    size_t missing; /* characters replaced */
    struct {        /* graphics state of the page, to leave out what it has already */
        uint32_t fill, stroke;
        double size;
        int face;
    } now;
};

/* Draws doc->ops, asking f for glyphs. */
int content_draw(const struct pdf_doc *doc, struct fonts *f, struct content *c, struct err *e);
void content_free(struct content *c);

/* Modules of a QR code (ISO/IEC 18004, level M) as a path in units of modules, y downwards; *ret_size: modules a side.
 */
int qr_path(struct str text, struct buf *out, int *ret_size, struct err *e);

/* The libraries; UNAVAILABLE. */
int pdf_load(struct err *e);
int qr_load(struct err *e);

#endif
