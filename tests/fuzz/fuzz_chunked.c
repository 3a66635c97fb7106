/* aws-chunked bodies. The first byte chooses the kind; then a line with the value of x-amz-trailer; then the body. What
 * is decoded lies in the body in the same order; and any bytes, cut into chunks, come back as they were. */
#include "local/face/chunked.h"
#include <stdlib.h>
#include <string.h>

enum { SIGNED = 1, VERIFIED = 2, TRAILER = 4 };

static void begin(struct sign_stream *s, const char *secret) {
    struct sign_credentials c = {STR("AKID"), str_c(secret), STR_NONE};
    struct sign_scope scope = {STR("us-east-1"), STR("s3"), 1700000000000};
    char seed[65];
    memset(seed, '0', 64);
    seed[64] = 0;
    sign_stream_begin(s, &c, &scope, NULL, seed);
}

static bool is_subsequence(struct str part, struct str all) {
    size_t i = 0;
    for (size_t k = 0; i < part.n && k < all.n; k++) i += part.p[i] == all.p[k];
    return i == part.n;
}

static void decode_any(unsigned char kind, struct str names, struct str body) {
    struct arena a = {0};
    struct chunked_in in = {.body = body, .is_signed = kind & SIGNED, .trailer = kind & TRAILER, .names = names};
    struct chunked_out out = {0};
    struct sign_stream stream;
    struct err e = {0};
    bool verified = in.is_signed && (kind & VERIFIED);
    if (verified) begin(&stream, "secret");
    if (verified) in.stream = &stream;
    int rc = chunked_decode(&in, &a, &out, &e);
    if (rc && e.code != ERR_S3_INCOMPLETE && e.code != ERR_S3_SIGNATURE && e.code != ERR_S3_TRAILER &&
        e.code != ERR_S3_CHUNK_SIZE)
        abort();
    if (!rc && (out.n_trailers > 16 || !is_subsequence(out.data, body))) abort();
    if (verified) sign_stream_end(&stream);
    arena_free(&a);
}

/* Without signatures, for chunks of the size that the kind's upper bits say. */
static void there_and_back(unsigned char kind, struct str data) {
    struct arena a = {0};
    struct buf b = BUF_MAX(1 << 22);
    size_t step = (size_t)(kind >> 3) + 1;
    for (struct str rest = data; rest.n; rest = str_from(rest, step)) {
        struct str piece = str_take(rest, step);
        buf_printf(&b, "%zx\r\n", piece.n);
        buf_str(&b, piece);
        buf_c(&b, "\r\n");
    }
    buf_c(&b, "0\r\nx-amz-checksum-crc32: AAAAAA== \r\n\r\n");
    struct chunked_in in = {.body = buf_view(&b), .trailer = true, .names = STR("X-Amz-Checksum-CRC32")};
    struct chunked_out out = {0};
    if (!b.over && (chunked_decode(&in, &a, &out, NULL) || !str_eq(out.data, data) || out.n_trailers != 1 ||
                    !str_is(out.trailers[0].value, "AAAAAA==")))
        abort();
    buf_free(&b);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (!n) return 0;
    struct str body = str_n((const char *)data + 1, n - 1);
    there_and_back(data[0], body);
    struct str names = str_cut(&body, '\n');
    decode_any(data[0], names, body.p ? body : STR(""));
    return 0;
}
