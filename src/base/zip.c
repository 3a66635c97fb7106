#include "base/zip.h"
#include "base/crypto.h"
#include "base/lazy.h"
#include <zlib.h>

LAZY_LIBRARY(libz, "libz.so.1", "a ZIP archive");
LAZY(libz, int, deflateInit2_,
     (z_streamp s, int level, int method, int window, int memory, int strategy, const char *version, int size),
     (s, level, method, window, memory, strategy, version, size))
LAZY(libz, int, deflate, (z_streamp s, int flush), (s, flush))
LAZY(libz, int, deflateEnd, (z_streamp s), (s))
LAZY(libz, uLong, deflateBound, (z_streamp s, uLong n), (s, n))

/* APPNOTE 4.4: "version made by" UNIX (3), 2.0; needs 2.0; names in UTF-8 (bit 11); the first date there is. */
enum { MADE_BY = 3 << 8 | 20, NEEDS = 20, UTF8 = 1 << 11, DATE = 1 << 5 | 1, STORED = 0, DEFLATED = 8 };
enum { NAME_MAX_BYTES = 1024, FILES_MAX = 65535 };

static void put16(struct buf *b, unsigned v) {
    buf_add(b, (const char[]){(char)v, (char)(v >> 8)}, 2);
}

static void put32(struct buf *b, uint32_t v) {
    put16(b, v & 0xffff);
    put16(b, v >> 16);
}

void zip_init(struct zip *z, size_t max) {
    *z = (struct zip){.out = BUF_MAX(max < UINT32_MAX ? max : UINT32_MAX), .directory = BUF_MAX(64u << 20)};
}

void zip_free(struct zip *z) {
    buf_free(&z->out);
    buf_free(&z->directory);
}

/* Appends the deflated bytes to *out, or nothing when they are not fewer. */
static void deflate_all(struct str data, struct buf *out) {
    z_stream s = {0};
    if (deflateInit2(&s, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK) fatal("zlib cannot be started");
    uLong bound = deflateBound(&s, data.n);
    buf_reserve(out, bound);
    s.next_in = (Bytef *)(uintptr_t)data.p;
    s.avail_in = (uInt)data.n;
    s.next_out = (Bytef *)out->p;
    s.avail_out = (uInt)bound;
    if (deflate(&s, Z_FINISH) != Z_STREAM_END) fatal("zlib wants more than its bound");
    out->n = s.total_out < data.n ? s.total_out : 0;
    deflateEnd(&s);
}

/* What the local header and the directory have in common (4.3.7, 4.3.12): from "version needed" to "extra length". */
static void put_common(struct buf *b, struct str name, struct str data, struct str packed) {
    put16(b, NEEDS);
    put16(b, UTF8);
    put16(b, packed.n ? DEFLATED : STORED);
    put16(b, 0);
    put16(b, DATE);
    put32(b, crypto_crc32(data));
    put32(b, (uint32_t)(packed.n ? packed.n : data.n));
    put32(b, (uint32_t)data.n);
    put16(b, (unsigned)name.n);
    put16(b, 0);
}

static void put_entry(struct zip *z, struct str name, bool executable, struct str data, struct str packed) {
    struct buf *d = &z->directory;
    uint32_t at = (uint32_t)z->out.n;
    put32(&z->out, 0x04034b50);
    put_common(&z->out, name, data, packed);
    buf_str(&z->out, name);
    buf_str(&z->out, packed.n ? packed : data);
    put32(d, 0x02014b50);
    put16(d, MADE_BY);
    put_common(d, name, data, packed);
    put16(d, 0); /* comment, disk, internal attributes */
    put16(d, 0);
    put16(d, 0);
    put32(d, (uint32_t)(executable ? 0100755 : 0100644) << 16);
    put32(d, at);
    buf_str(d, name);
    z->n++;
}

int zip_add(struct zip *z, struct str name, bool executable, struct str data, struct err *e) {
    struct buf packed = BUF_MAX(UINT32_MAX);
    if (!name.n || name.n > NAME_MAX_BYTES || z->n == FILES_MAX || data.n > z->out.max)
        return err_set(e, ERR_TOO_LARGE, "%.*s does not fit in a ZIP archive", (int)(name.n < 256 ? name.n : 256),
                       name.p ? name.p : "");
    if (data.n) deflate_all(data, &packed);
    put_entry(z, name, executable, data, buf_view(&packed));
    buf_free(&packed);
    return buf_check(&z->out, "the ZIP archive", e);
}

int zip_end(struct zip *z, struct err *e) {
    uint32_t at = (uint32_t)z->out.n;
    if (buf_check(&z->directory, "the ZIP archive's directory", e)) return -1;
    buf_str(&z->out, buf_view(&z->directory));
    put32(&z->out, 0x06054b50); /* 4.3.16 */
    put32(&z->out, 0);
    put16(&z->out, z->n);
    put16(&z->out, z->n);
    put32(&z->out, (uint32_t)z->directory.n);
    put32(&z->out, at);
    put16(&z->out, 0);
    return buf_check(&z->out, "the ZIP archive", e);
}
