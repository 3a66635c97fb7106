/* QR codes as filled rectangles: sharp at any zoom, and no image. */
#include "pdf/content.h"
#include <errno.h>
#include <qrencode.h>

#define BYTES_MAX 2331 /* version 40, level M, byte mode */

static void add_rect(struct buf *out, int x, int y, int w) {
    buf_i64(out, x);
    buf_byte(out, ' ');
    buf_i64(out, y);
    buf_byte(out, ' ');
    buf_i64(out, w);
    buf_c(out, " 1 re\n");
}

static void add_row(struct buf *out, const unsigned char *row, int n, int y) {
    for (int x = 0; x < n;) {
        int from = x;
        while (x < n && row[x] & 1) x++;
        if (x > from)
            add_rect(out, from, y, x - from);
        else
            x++;
    }
}

int qr_path(struct str text, struct buf *out, int *ret_size, struct err *e) {
    if (!text.n) return err_set(e, ERR_PDF, "a QR code needs a content");
    if (text.n > BYTES_MAX) return err_set(e, ERR_PDF, "a QR code holds at most %d bytes, not %zu", BYTES_MAX, text.n);
    if (qr_load(e)) return -1;
    QRcode *q = QRcode_encodeData((int)text.n, (const unsigned char *)text.p, 0, QR_ECLEVEL_M);
    if (!q) return err_sys(e, ERR_PDF, errno, "the QR code cannot be made");
    for (int y = 0; y < q->width; y++) add_row(out, q->data + y * q->width, q->width, y);
    *ret_size = q->width;
    QRcode_free(q);
    return 0;
}
