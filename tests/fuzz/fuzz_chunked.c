/* aws-chunked bodies. The first byte chooses the kind; then a line with the value of x-amz-trailer; then the body. What
 * is decoded lies in the body in the same order; and any bytes, cut into chunks, come back as they were, signed ones
 * only unchanged. */
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

static void put_signed(struct buf *b, struct sign_stream *s, struct str piece) {
    char signature[65];
    sign_stream_chunk(s, piece, signature);
    buf_printf(b, "%zx;chunk-signature=%s\r\n", piece.n, signature);
    buf_str(b, piece);
    buf_c(b, "\r\n");
}

/* Its value has a byte that ends C's strings. */
static void put_trailer(struct buf *b, struct sign_stream *s) {
    char signature[65];
    sign_stream_trailer(s, STR("x-t:v\0w\n"), signature);
    buf_add(b, "X-T: v\0w\r\nx-amz-trailer-signature:", 34);
    buf_c(b, signature);
    buf_c(b, "\r\n\r\n");
}

/* Signed chunks come back, and no others: of a body with one bit changed, nothing but the same data is taken. All but
 * the last have the least size there is. */
static void signed_there_and_back(unsigned char kind, struct str data) {
    enum { LEAST = 8192 };
    struct arena a = {0};
    struct buf b = BUF_MAX(1 << 22);
    struct sign_stream stream;
    begin(&stream, "secret");
    for (struct str rest = data; rest.n; rest = str_from(rest, LEAST)) put_signed(&b, &stream, str_take(rest, LEAST));
    put_signed(&b, &stream, STR(""));
    if (kind & TRAILER) {
        b.n -= 2; /* the empty line is the trailer's */
        put_trailer(&b, &stream);
    }
    sign_stream_end(&stream);
    if (b.over) abort();
    for (int changed = 0; changed < 2; changed++) {
        struct chunked_in in = {
            .body = buf_view(&b), .is_signed = true, .stream = &stream, .trailer = kind & TRAILER, .names = STR("x-t")};
        struct chunked_out out = {0};
        begin(&stream, "secret");
        int rc = chunked_decode(&in, &a, &out, NULL);
        sign_stream_end(&stream);
        if (rc ? !changed : !str_eq(out.data, data)) abort();
        size_t at = data.n ? (size_t)(unsigned char)data.p[data.n - 1] * data.n * 7 % b.n : 0;
        b.p[at] ^= (char)(1 << (kind & 7));
    }
    buf_free(&b);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    if (!n) return 0;
    struct str body = str_n((const char *)data + 1, n - 1);
    there_and_back(data[0], body);
    signed_there_and_back(data[0], body);
    struct str names = str_cut(&body, '\n');
    decode_any(data[0], names, body.p ? body : STR(""));
    return 0;
}
