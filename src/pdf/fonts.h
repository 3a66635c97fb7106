/* fonts: private to pdf. The faces of one document and which glyphs of each it uses. */
#ifndef PERIGEE_PDF_FONTS_H
#define PERIGEE_PDF_FONTS_H
#include "pdf/text.h"
#include <hpdf.h>

#define FACES_MAX 16

struct face {
    struct ttf ttf;
    uint16_t *glyphs;     /* glyph in the file of each glyph of the subset; [0] is .notdef */
    uint32_t *codepoints; /* character of each */
    uint32_t *slots;      /* open addressing: codepoint -> index + 1 */
    size_t n, cap, n_slots;
    HPDF_Dict dict; /* made by fonts_embed when n > 1 */
};
struct fonts {
    struct face faces[FACES_MAX]; /* distinct files */
    size_t n;
    struct chain chains[FACES_MAX]; /* of each font of the doc */
    uint8_t chain_faces[FACES_MAX][CHAIN_MAX];
};

int fonts_open(const struct pdf_doc *doc, struct fonts *f, struct err *e);
/* Index of the glyph in the subset of that face, new when first asked for. */
uint16_t fonts_use(struct face *f, uint32_t codepoint, uint16_t glyph);
/* Writes each face used into the PDF. libharu's own errors stay in pdf. */
int fonts_embed(struct fonts *f, HPDF_Doc pdf, struct err *e);
void fonts_free(struct fonts *f);

#endif
