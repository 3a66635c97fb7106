/* The input is a request target; no target that was not signed may verify. */
#include "sign/sign.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static struct str secret(void *ud, struct str access_key) {
    (void)ud, (void)access_key;
    return STR("a secret that the fuzzer does not know");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct str target = str_n((const char *)data, n), rest = target;
    struct http_header headers[] = {{STR("host"), STR("127.0.0.1:4566")}, {STR("authorization"), target}};
    struct http_request r = {
        .method = STR("GET"), .target = target, .arena = &a, .headers = headers, .n_headers = 1 + (n & 1)};
    r.path = str_cut(&rest, '?');
    r.raw_query = rest.p ? rest : STR("");
    struct sign_verified v;
    struct err e = {0};
    if (!sign_verify(&r, INT64_C(1700000000000), secret, NULL, &v, &e)) abort();
    arena_free(&a);
    return 0;
}
