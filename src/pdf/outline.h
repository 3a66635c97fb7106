/* outline: private to pdf. One glyph as points, composites resolved. */
#ifndef PERIGEE_PDF_OUTLINE_H
#define PERIGEE_PDF_OUTLINE_H
#include "pdf/ttf.h"

struct outline_point {
    int32_t x, y;
    bool on; /* the curve */
};
struct outline {
    struct outline_point *points;
    uint16_t *ends; /* index of the last point of each contour */
    size_t n, cap, n_ends, ends_cap;
    int32_t shift; /* xMin of the description less the xMin of the points */
};

/* Replaces *o; its memory is reused from glyph to glyph. Errors: ERR_PDF naming the glyph. */
int outline_load(const struct ttf *t, uint16_t glyph, struct outline *o, struct err *e);
/* Appends a simple glyph description without hints; nothing when there is no contour. */
int outline_encode(const struct outline *o, struct buf *out, struct err *e);
void outline_free(struct outline *o);
int32_t outline_min_x(const struct outline *o);

#endif
