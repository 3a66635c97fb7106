/* Forms of the Query protocol: the first byte chooses SQS, SES or STS, the rest is the form, in the body or in the
 * query string. Each gets one answer, in XML. */
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    static const struct str scopes[] = {
        STR("AWS4-HMAC-SHA256 Credential=perigee/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0"),
        STR("AWS4-HMAC-SHA256 Credential=perigee/20260101/us-east-1/ses/aws4_request, SignedHeaders=host, Signature=0"),
        STR("AWS4-HMAC-SHA256 Credential=perigee/20260101/us-east-1/sts/aws4_request, SignedHeaders=host, "
            "Signature=0")};
    if (!n) return 0;
    struct rig *g = rig_get(true, false);
    struct arena a = {0};
    struct str form = arena_str(&a, str_n((const char *)data + 1, n - 1));
    bool in_body = data[0] & 4;
    struct http_header h[] = {{STR("Host"), STR("localhost:4566")},
                              {STR("Authorization"), scopes[(data[0] & 3) % 3]},
                              {STR("Content-Type"), STR("application/x-www-form-urlencoded")}};
    struct http_request r = {.method = STR("POST"),
                             .path = STR("/"),
                             .raw_query = in_body ? STR("") : form,
                             .headers = h,
                             .n_headers = in_body ? 3 : 2,
                             .body = in_body ? form : STR(""),
                             .request_id = STR("r"),
                             .arena = &a,
                             .loopback = true};
    int status;
    rig_request(g, &r, &status, NULL);
    arena_free(&a);
    return 0;
}
