/* Whatever the bytes, every field is a view into the body, and what is cut off is refused. The first line is the
 * Content-Type. */
#include "local/s3/form.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct str body = str_n((const char *)data, n), type = str_cut(&body, '\n');
    struct form_field *fields = NULL;
    size_t n_fields = 0;
    struct err e = {0};
    if (!body.p) body = STR("");
    if (!form_parse(&a, type, body, 16, &fields, &n_fields, &e)) {
        if (n_fields > 16) abort();
        for (size_t i = 0; i < n_fields; i++) {
            struct str v = fields[i].value;
            if (!fields[i].name.n || v.p < body.p || v.p + v.n > body.p + body.n) abort();
        }
    } else if (e.code != ERR_S3_FORM) {
        abort();
    }
    arena_free(&a);
    return 0;
}
