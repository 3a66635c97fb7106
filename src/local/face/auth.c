/* Who signed a request, and whether its body is what was signed. */
#include "local/face/face.h"

static struct str secret_of(void *ud, struct str access_key) {
    const struct local *l = ud;
    return crypto_equal(access_key, str_c(l->access_key)) ? str_c(l->secret_key) : STR_NONE;
}

static int check_payload(struct face *f, struct str hash, struct err *e) {
    char hex[64];
    if (str_is(hash, "UNSIGNED-PAYLOAD")) return 0;
    if (str_starts(hash, STR("STREAMING-")))
        return err_set(e, ERR_NOT_IMPLEMENTED, "%.*s is not supported yet by this endpoint",
                       STR_ARG(str_take(hash, 80)));
    sign_payload_hash(f->r->body, hex);
    if (str_eq(hash, str_n(hex, 64))) return 0;
    return err_set(e, ERR_S3_SHA256, "The provided 'x-amz-content-sha256' header does not match what was computed.");
}

int face_authenticate(struct face *f, struct err *e) {
    struct local *l = f->conn->local;
    if (sign_verify(f->r, clock_ms(l->clock), secret_of, l, &f->who, e)) return -1;
    return check_payload(f, f->who.payload_hash, e);
}
