/* Receipt handles: base64 of version, queue, row, count of receives, message id, and a MAC over all of it. */
#include "local/sqs/sqs.h"
#include <endian.h>
#include <string.h>

enum { VERSION = 1, PLAIN = 1 + 3 * 8 + 36, MAC = 16, SEALED = PLAIN + MAC };

static void mac_of(struct local_tx *tx, const char *plain, uint8_t out[32]) {
    crypto_hmac_sum(&sqs_state(tx)->seal, str_n(plain, PLAIN), out);
}

struct str sqs_handle_seal(struct local_tx *tx, struct arena *a, const struct sqs_handle *h) {
    char raw[SEALED] = {VERSION};
    uint64_t n[3] = {htobe64((uint64_t)h->queue), htobe64((uint64_t)h->id), htobe64((uint64_t)h->receives)};
    uint8_t mac[32];
    struct buf text = BUF_MAX(256);
    memcpy(raw + 1, n, sizeof n);
    memcpy(raw + 25, h->message_id.p, h->message_id.n < 36 ? h->message_id.n : 36);
    mac_of(tx, raw, mac);
    memcpy(raw + PLAIN, mac, MAC);
    crypto_base64(&text, str_n(raw, SEALED));
    struct str s = arena_str(a, buf_view(&text));
    buf_free(&text);
    return s;
}

int sqs_handle_open(struct local_tx *tx, struct arena *a, int64_t queue, struct str text, struct sqs_handle *ret,
                    struct err *e) {
    struct buf raw = BUF_MAX(256);
    uint8_t mac[32];
    uint64_t n[3];
    int rc = -1;
    if (text.n > 200 || !crypto_unbase64(&raw, text) || raw.n != SEALED || raw.p[0] != VERSION) goto out;
    mac_of(tx, raw.p, mac);
    if (!crypto_equal(str_n((char *)mac, MAC), str_n(raw.p + PLAIN, MAC))) goto out;
    memcpy(n, raw.p + 1, sizeof n);
    *ret = (struct sqs_handle){(int64_t)be64toh(n[0]), (int64_t)be64toh(n[1]), (int64_t)be64toh(n[2]),
                               arena_str(a, str_n(raw.p + 25, 36))};
    if (ret->queue == queue) rc = 0;
out:
    buf_free(&raw);
    return rc ? err_set(e, ERR_SQS_BAD_HANDLE, "The input receipt handle \"%.*s\" is not a valid receipt handle.",
                        STR_ARG(str_take(text, 120)))
              : 0;
}
