/* text: private to pdf. UTF-8 to glyphs of a chain of faces, widths, line breaks. */
#ifndef PERIGEE_PDF_TEXT_H
#define PERIGEE_PDF_TEXT_H
#include "pdf/pdf.h"
#include "pdf/ttf.h"

#define CHAIN_MAX 8

/* Faces in the order in which a character is looked for. */
struct chain {
    const struct ttf *faces[CHAIN_MAX];
    size_t n;
};

struct shape {          /* what is drawn for a character */
    uint32_t codepoint; /* the one drawn: U+FFFD or '?' when replaced */
    uint16_t glyph;
    uint8_t face; /* index in the chain */
    bool replaced;
};

/* Takes the next visible character off *rest; false at its end. Controls and bad bytes come as U+FFFD with *bad set;
 * a tab as a space; invisible code points are skipped. '\n' is for the caller to have cut off. */
bool text_next(struct str *rest, uint32_t *ret_codepoint, bool *ret_bad);
struct shape text_shape(const struct chain *c, uint32_t codepoint, bool bad);
double text_width(const struct chain *c, struct str line, double size);
/* See pdf_metrics_line. */
bool text_line(const struct chain *c, struct str *rest, double width, double size, struct str *ret);

#endif
