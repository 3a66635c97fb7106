/* S3 objects from and to files, in constant memory. Source: Amazon S3 API reference, "Signature calculations for the
 * authorization header: transferring payload in multiple chunks", and with trailing headers: over TLS the chunks are
 * not signed, as in AWS's own SDKs. Files are read and written on the loop, a chunk at a time. */
#include "base/crypto.h"
#include "remote/internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 128 * 1024, FRAME_MORE = 512, CRC_TEXT = 8 };

#define CHUNK_SIGNATURE ";chunk-signature="
#define CRC_TRAILER "x-amz-checksum-crc32:"
#define TRAILER_SIGNATURE "x-amz-trailer-signature:"

struct call_upload {
    int fd;
    uint64_t len, read; /* of the file */
    struct timespec modified;
    bool chunked, signed_chunks, trailer;
    bool ended; /* the last frame was made */
    uint32_t crc;
    char *frame;  /* CHUNK + FRAME_MORE bytes */
    size_t n, at; /* of the frame: bytes, those handed over */
    struct sign_stream stream;
    bool streaming; /* stream is to be ended */
    char why[256];
};
struct call_download {
    int fd;
    uint64_t len;
    uint32_t crc;
    char why[256];
};

/* == up =============================================================================================================
 */

static size_t hex_digits(uint64_t n) {
    size_t digits = 1;
    while (n >>= 4) digits++;
    return digits;
}

static uint64_t frame_len(const struct call_upload *u, uint64_t data) {
    return hex_digits(data) + (u->signed_chunks ? strlen(CHUNK_SIGNATURE) + 64 : 0) + 2 + data + 2;
}

/* Bytes on the wire. */
static uint64_t wire_len(const struct call_upload *u) {
    if (!u->chunked) return u->len;
    uint64_t rest = u->len % CHUNK, n = u->len / CHUNK * frame_len(u, CHUNK) + frame_len(u, 0);
    if (rest) n += frame_len(u, rest);
    if (u->trailer) n += strlen(CRC_TRAILER) + CRC_TEXT + 2;
    if (u->trailer && u->signed_chunks) n += strlen(TRAILER_SIGNATURE) + 64 + 2;
    return n;
}

/* The size line of a chunk of n bytes, in front of data. */
static size_t put_size_line(struct call_upload *u, char *p, struct str data) {
    size_t n = (size_t)sprintf(p, "%zx", data.n);
    if (u->signed_chunks) {
        char signature[65];
        sign_stream_chunk(&u->stream, data, signature);
        n += (size_t)sprintf(p + n, CHUNK_SIGNATURE "%s", signature);
    }
    memcpy(p + n, "\r\n", 2);
    return n + 2;
}

static int read_all(struct call_upload *u, char *p, size_t n) {
    for (size_t done = 0; done < n;) {
        ssize_t r = pread(u->fd, p + done, n - done, (off_t)(u->read + done));
        if (r < 0 && errno == EINTR) continue;
        if (r > 0) {
            done += (size_t)r;
            continue;
        }
        if (r < 0)
            snprintf(u->why, sizeof u->why, "reading the file to upload: %s", strerror(errno));
        else
            snprintf(u->why, sizeof u->why, "the file to upload ended after %llu of %llu bytes: it was shortened",
                     (unsigned long long)(u->read + done), (unsigned long long)u->len);
        return -1;
    }
    u->crc = crypto_crc32_add(u->crc, str_n(p, n));
    u->read += n;
    return 0;
}

/* Whether the file is still the one that the upload began with. */
static bool is_unchanged(struct call_upload *u) {
    struct stat st;
    if (!fstat(u->fd, &st) && (uint64_t)st.st_size >= u->len && st.st_mtim.tv_sec == u->modified.tv_sec &&
        st.st_mtim.tv_nsec == u->modified.tv_nsec)
        return true;
    snprintf(u->why, sizeof u->why, "the file to upload was changed meanwhile");
    return false;
}

static int data_frame(struct call_upload *u, size_t n) {
    char *data = u->frame + frame_len(u, n) - n - 2;
    if (!u->chunked) data = u->frame;
    if (read_all(u, data, n)) return -1;
    u->n = n;
    if (!u->chunked) return 0;
    char line[FRAME_MORE];
    size_t head = put_size_line(u, line, str_n(data, n));
    memcpy(u->frame, line, head);
    memcpy(data + n, "\r\n", 2);
    u->n = head + n + 2;
    return 0;
}

static size_t put_trailer(struct call_upload *u, char *p) {
    uint8_t big[4] = {(uint8_t)(u->crc >> 24), (uint8_t)(u->crc >> 16), (uint8_t)(u->crc >> 8), (uint8_t)u->crc};
    struct buf text = BUF_MAX(256);
    size_t n;
    buf_c(&text, CRC_TRAILER);
    crypto_base64(&text, str_n((const char *)big, sizeof big));
    n = (size_t)sprintf(p, "%s\r\n", buf_cstr(&text));
    if (u->signed_chunks) {
        char signature[65];
        buf_byte(&text, '\n');
        sign_stream_trailer(&u->stream, buf_view(&text), signature);
        n += (size_t)sprintf(p + n, TRAILER_SIGNATURE "%s\r\n", signature);
    }
    buf_free(&text);
    return n;
}

static int last_frame(struct call_upload *u) {
    if (!is_unchanged(u)) return -1;
    u->ended = true;
    u->n = 0;
    if (!u->chunked) return 0;
    u->n = put_size_line(u, u->frame, STR(""));
    if (u->trailer) u->n += put_trailer(u, u->frame + u->n);
    memcpy(u->frame + u->n, "\r\n", 2);
    u->n += 2;
    return 0;
}

static int next_frame(struct call_upload *u) {
    uint64_t left = u->len - u->read;
    u->at = 0;
    return left ? data_frame(u, left < CHUNK ? (size_t)left : CHUNK) : last_frame(u);
}

static ptrdiff_t upload_read(void *ud, char *p, size_t n) {
    struct call_upload *u = ((struct call *)ud)->upload;
    if (u->at == u->n) {
        if (u->ended) return 0;
        if (next_frame(u)) return -1;
    }
    size_t have = u->n - u->at;
    if (have > n) have = n;
    memcpy(p, u->frame + u->at, have);
    u->at += have;
    return (ptrdiff_t)have;
}

static int open_upload(struct call *k, struct err *e) {
    struct stat st;
    struct aws_call *c = k->aws;
    if (fstat(c->body_fd, &st)) return err_sys(e, ERR_IO, errno, "the file to upload");
    if (!S_ISREG(st.st_mode)) return err_set(e, ERR_VALIDATION, "the body to upload is not a regular file");
    if ((uint64_t)st.st_size < c->body_len)
        return err_set(e, ERR_VALIDATION, "the file to upload has %lld bytes, %llu are to be sent",
                       (long long)st.st_size, (unsigned long long)c->body_len);
    struct call_upload *u = k->upload = calloc(1, sizeof *u);
    if (!u || !(u->frame = malloc(CHUNK + FRAME_MORE))) fatal("out of memory");
    *u = (struct call_upload){.fd = c->body_fd, .len = c->body_len, .modified = st.st_mtim, .frame = u->frame};
    return 0;
}

/* Content-Encoding: aws-chunked, in front of what the caller gave. */
static void set_encoding(struct call *k, struct http_header *h, size_t *n) {
    for (size_t i = 0; i < *n; i++) {
        if (!str_ieq(h[i].name, STR("Content-Encoding"))) continue;
        if (!str_starts(h[i].value, STR("aws-chunked")))
            h[i].value = arena_printf(&k->scratch, "aws-chunked,%.*s", STR_ARG(h[i].value));
        return;
    }
    h[(*n)++] = (struct http_header){STR("Content-Encoding"), STR("aws-chunked")};
}

static void set_header(struct http_header *h, size_t *n, struct str name, struct str value) {
    size_t i = 0;
    while (i < *n && !str_ieq(h[i].name, name)) i++;
    h[i] = (struct http_header){name, value};
    if (i == *n) ++*n;
}

int call_upload_begin(struct call *k, struct http_header *h, size_t *n, struct str *ret_payload_hash, struct err *e) {
    if (!k->upload && open_upload(k, e)) return -1;
    struct call_upload *u = k->upload;
    if (!is_unchanged(u)) return err_set(e, ERR_IO, "%s", u->why);
    if (u->streaming) sign_stream_end(&u->stream);
    u->streaming = u->ended = false;
    u->read = u->n = u->at = u->crc = 0;
    u->trailer = k->wire.trailing_crc32;
    u->signed_chunks = !k->endpoint.tls;
    u->chunked = u->trailer || u->signed_chunks;
    k->x.read = upload_read;
    k->x.stream_ud = k;
    k->x.body_len = (int64_t)wire_len(u);
    *ret_payload_hash = !u->chunked         ? STR("UNSIGNED-PAYLOAD")
                        : !u->signed_chunks ? STR("STREAMING-UNSIGNED-PAYLOAD-TRAILER")
                        : u->trailer        ? STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER")
                                            : STR("STREAMING-AWS4-HMAC-SHA256-PAYLOAD");
    if (!u->chunked) return 0;
    set_encoding(k, h, n);
    set_header(h, n, STR("x-amz-decoded-content-length"),
               arena_printf(&k->scratch, "%llu", (unsigned long long)u->len));
    if (u->trailer) set_header(h, n, STR("x-amz-trailer"), STR("x-amz-checksum-crc32"));
    return 0;
}

void call_upload_seed(struct call *k, const struct sign_credentials *c, const struct sign_scope *s,
                      const char seed[65]) {
    struct call_upload *u = k->upload;
    if (!u->signed_chunks) return;
    sign_stream_begin(&u->stream, c, s, &k->conn->keys, seed);
    u->streaming = true;
}

const char *call_upload_why(const struct call *k) {
    return k->upload && k->upload->why[0] ? k->upload->why : NULL;
}

/* == down ===========================================================================================================
 */

static bool download_write(void *ud, struct str data) {
    struct call_download *d = ((struct call *)ud)->download;
    for (size_t done = 0; done < data.n;) {
        ssize_t w = write(d->fd, data.p + done, data.n - done);
        if (w < 0 && errno == EINTR) continue;
        if (w <= 0) {
            snprintf(d->why, sizeof d->why, "writing the object to its file: %s", strerror(errno));
            return false;
        }
        done += (size_t)w;
    }
    d->crc = crypto_crc32_add(d->crc, data);
    d->len += data.n;
    return true;
}

int call_download_begin(struct call *k, struct err *e) {
    if (!k->download && !(k->download = calloc(1, sizeof *k->download))) fatal("out of memory");
    *k->download = (struct call_download){.fd = k->aws->result_fd};
    if (ftruncate(k->aws->result_fd, 0) || lseek(k->aws->result_fd, 0, SEEK_SET) < 0)
        return err_sys(e, ERR_IO, errno, "emptying the file for the object");
    k->x.write = download_write;
    k->x.stream_ud = k;
    return 0;
}

void call_download_result(const struct call *k, struct wire_response *r) {
    const struct call_download *d = k->download;
    if (!d || r->status < 200 || r->status > 299) return;
    r->streamed = true;
    r->streamed_crc32 = d->crc;
    r->streamed_len = d->len;
}

const char *call_download_why(const struct call *k) {
    return k->download && k->download->why[0] ? k->download->why : NULL;
}

void call_download_discard(const struct call *k) {
    if (k->download && k->download->len && ftruncate(k->download->fd, 0))
        err_wrap(&k->aws->err, "the file for the object holds what came of it");
}

void call_stream_free(struct call *k) {
    if (k->upload) {
        if (k->upload->streaming) sign_stream_end(&k->upload->stream);
        free(k->upload->frame);
        free(k->upload);
    }
    free(k->download);
    k->upload = NULL;
    k->download = NULL;
}
