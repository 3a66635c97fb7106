/* What parses must survive a round trip: write(parse(x)) parses again to an equal document. */
#include "base/json.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct buf b = BUF_MAX(16 << 20);
    struct json first, second;
    struct err e = {0};
    if (!json_parse(&a, str_n((const char *)data, n), NULL, &first, &e)) {
        json_write(&b, &first);
        if (json_parse(&a, buf_view(&b), NULL, &second, &e) || !json_equal(&first, &second)) abort();
    }
    buf_free(&b);
    arena_free(&a);
    return 0;
}
