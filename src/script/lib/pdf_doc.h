/* pdf_doc (private to script/lib/): documents under construction and their fonts. */
#ifndef PERIGEE_SCRIPT_PDF_DOC_H
#define PERIGEE_SCRIPT_PDF_DOC_H
#include "pdf/pdf.h"
#include "script/lib/lib.h"
#include <stdlib.h>

#define DOC "perigee.pdf.document"
#define DOC_SIZE 10.0f /* of text without a size option, points */
enum { DOC_FONTS = 8 };

/* A font file, shared by documents of one script. Counted on the loop's thread; immutable, so pool threads may read it.
 */
struct font_file {
    size_t refs;
    struct buf data;
    struct pdf_metrics *metrics;
};
/* Counted on the loop's thread: Lua holds one reference, a running render another. */
struct doc {
    size_t refs;
    bool rendering;
    struct pdf_doc doc;
    size_t cap_ops, charged; /* charged: bytes that the collector was told of */
    struct pdf_font fonts[DOC_FONTS];
    struct font_file *files[DOC_FONTS];
};

int doc_new(lua_State *L); /* pdf.document{...} */
struct doc *doc_ref(struct doc *d);
void doc_unref(struct doc *d);
void doc_add(struct doc *d, struct pdf_op op);
int doc_font(const struct doc *d, struct str name); /* its number, or -1 */
const struct pdf_metrics *doc_metrics(const struct doc *d, int font);
const struct pdf_metrics *doc_fallback(const struct doc *d, int font); /* NULL when it has none */
void doc_open(lua_State *L);                                           /* pushes the metatable of documents */

#endif
