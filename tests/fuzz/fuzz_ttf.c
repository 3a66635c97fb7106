#include "pdf/pdf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct pdf_metrics *m = NULL;
    struct err e = {0};
    if (pdf_metrics_open(str_n((const char *)data, n), &m, &e)) return 0;
    for (uint32_t c = 1; c < 0x3000; c += 37) pdf_metrics_has(m, c);
    pdf_metrics_width(m, NULL, STR("Total 12.50 \xc3\xa9\xe6\x9d\x8e"), 11);
    pdf_metrics_free(m);
    return 0;
}
