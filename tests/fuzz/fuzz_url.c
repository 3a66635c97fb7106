/* Decoding what was encoded gives the original back. */
#include "base/url.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct buf b = BUF_MAX(16 << 20);
    struct str in = str_n((const char *)data, n), back;
    struct url u;
    struct url_param *params = NULL;
    size_t n_params = 0;
    struct err e = {0};
    url_parse(in, &u, &e);
    url_query(&a, in, 100, &params, &n_params, &e);
    url_encode(&b, in, false);
    bool has_nul = n && memchr(data, 0, n);
    int rc = url_decode(&a, buf_view(&b), true, &back, &e);
    if (has_nul ? rc == 0 : rc != 0 || !str_eq(back, in)) abort();
    buf_free(&b);
    arena_free(&a);
    return 0;
}
