#include "base/yaml.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct arena a = {0};
    struct yaml *root = NULL;
    struct err e = {0};
    if (yaml_parse(&a, str_n((const char *)data, n), "fuzz.yaml", &root, &e) && !e.msg[0]) abort();
    arena_free(&a);
    return 0;
}
