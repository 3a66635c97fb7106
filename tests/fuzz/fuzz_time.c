#include "base/now.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct str s = str_n((const char *)data, n);
    int64_t ms = 0, again = 0;
    char text[25];
    if (now_parse_iso(s, &ms) && ms >= 0 && ms < INT64_C(253402300800000)) {
        now_iso(ms, text);
        if (!now_parse_iso(str_c(text), &again) || again != ms) abort();
    }
    now_parse_amz(s, &ms);
    now_parse_http(s, &ms);
    return 0;
}
