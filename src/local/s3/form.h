/* form (private to local/): multipart/form-data (RFC 7578) as fields. A pure function on bytes. */
#ifndef PERIGEE_LOCAL_S3_FORM_H
#define PERIGEE_LOCAL_S3_FORM_H
#include "base/arena.h"
#include "base/err.h"

struct form_field {
    struct str name, value; /* value: a view into the body */
    struct str filename;    /* p == NULL: not a file */
    struct str content_type;
};
/* Fields in order of appearance, at most `max`. Errors: S3_FORM, naming what is wrong. content_type is that of the
 * request ("multipart/form-data; boundary=..."). */
int form_parse(struct arena *a, struct str content_type, struct str body, size_t max, struct form_field **ret,
               size_t *ret_n, struct err *e);

#endif
