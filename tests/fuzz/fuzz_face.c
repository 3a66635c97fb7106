/* Whole requests to the cloud port: "METHOD target\nName: value\n...\n\nbody". Nothing is verified, so that everything
 * behind the signature is reached; each request gets exactly one answer, a well-formed one. */
#include "rig.h"

enum { HEADERS_MAX = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static bool spoiled;
    struct rig *g = rig_get(true, spoiled);
    struct arena a = {0};
    struct http_header headers[HEADERS_MAX];
    struct http_request r;
    int status;
    read_request(str_n((const char *)data, n), &a, headers, HEADERS_MAX, &r);
    spoiled = str_starts(r.path, STR("/_perigee")) && !str_is(r.method, "GET");
    rig_request(g, &r, &status, NULL);
    arena_free(&a);
    return 0;
}
