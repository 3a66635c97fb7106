/* Presigned links: signed for the address at which the caller can reach the cloud port. */
#include "base/url.h"
#include "local/s3/s3.h"
#include "sign/sign.h"

/* The host part of a Host header when it is a plain name, an IPv4 address or a bracketed IPv6 address; else empty. */
static struct str safe_host(struct str hint) {
    size_t n = 0;
    if (hint.n && hint.p[0] == '[') {
        ptrdiff_t end = str_chr(hint, ']', 0);
        for (n = 1; end > 0 && n < (size_t)end; n++) {
            char c = hint.p[n];
            if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':' || c == '.'))
                return STR_NONE;
        }
        return end > 1 ? str_take(hint, (size_t)end + 1) : STR_NONE;
    }
    for (; n < hint.n && hint.p[n] != ':'; n++) {
        char c = hint.p[n];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.'))
            return STR_NONE;
    }
    return n <= 253 ? str_take(hint, n) : STR_NONE;
}

struct str s3_base(struct local *l, struct arena *a, struct str host_hint) {
    struct str url = str_c(l->public_url), host = safe_host(host_hint);
    while (url.n && url.p[url.n - 1] == '/') url.n--;
    if (url.n) return url;
    return arena_printf(a, "http://%.*s:%d", STR_ARG(host.n ? host : STR("127.0.0.1")), atomic_load(&l->cloud_port));
}

const char *const s3_overrides[] = {"content-type",        "content-language", "expires", "cache-control",
                                    "content-disposition", "content-encoding", NULL};

static bool is_override(struct str name) {
    if (!str_starts(name, STR("response-"))) return false;
    for (size_t i = 0; s3_overrides[i]; i++)
        if (str_is(str_from(name, 9), s3_overrides[i])) return true;
    return false;
}

/* The further parameters of a link, encoded. */
static int add_query(const struct aws_presign *p, struct buf *b, struct err *e) {
    for (size_t i = 0; i < p->n_query; i++) {
        const struct http_header *q = &p->query[i];
        if ((!is_override(q->name) && !str_is(q->name, "versionId")) || str_is(p->method, "PUT"))
            return err_set(e, ERR_S3_ARGUMENT, "a link for %.*s cannot have the parameter %.*s", STR_ARG(p->method),
                           STR_ARG(str_take(q->name, 80)));
        if (b->n) buf_byte(b, '&');
        url_encode(b, q->name, false);
        buf_byte(b, '=');
        url_encode(b, q->value, false);
    }
    return buf_check(b, "the query of the presigned link", e);
}

int s3_presign(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret_url,
               int64_t *ret_expires_ms, struct err *e) {
    struct local *l = ((struct local_conn *)b)->local;
    struct buf path = BUF_MAX(8192), query = BUF_MAX(16384), url = BUF_MAX(32768);
    struct sign_credentials cred = {str_c(l->access_key), str_c(l->secret_key), STR_NONE};
    struct sign_scope scope = {l->id.region, STR("s3"), clock_ms(l->clock)};
    int rc = -1;
    if (!p->bucket.n || !p->key.n) return err_set(e, ERR_S3_ARGUMENT, "a presigned link needs a bucket and a key");
    buf_byte(&path, '/');
    url_encode(&path, p->bucket, false);
    buf_byte(&path, '/');
    url_encode(&path, p->key, true);
    if (buf_check(&path, "the path of the presigned link", e) || add_query(p, &query, e)) goto out;
    struct str base = s3_base(l, a, p->host_hint);
    struct sign_link link = {.method = p->method,
                             .base = base,
                             .path = buf_view(&path),
                             .extra_query = buf_view(&query),
                             .headers = p->headers,
                             .n_headers = p->n_headers,
                             .expires_s = p->expires_s};
    if (sign_presign(&cred, &scope, &link, NULL, &url, e)) goto out;
    if (buf_check(&url, "the presigned link", e)) goto out;
    *ret_url = arena_str(a, buf_view(&url));
    *ret_expires_ms = (scope.unix_ms / 1000 + p->expires_s) * 1000; /* X-Amz-Date counts whole seconds */
    rc = 0;
out:
    buf_free(&path);
    buf_free(&query);
    buf_free(&url);
    return rc;
}

int s3_presign_post(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                    struct json *ret, int64_t *ret_expires_ms, struct err *e) {
    struct local *l = ((struct local_conn *)b)->local;
    struct sign_credentials cred = {str_c(l->access_key), str_c(l->secret_key), STR_NONE};
    struct sign_scope scope = {l->id.region, STR("s3"), clock_ms(l->clock)};
    struct buf bucket = BUF_MAX(1024);
    url_encode(&bucket, json_get_s(params, "Bucket"), false);
    struct str base = s3_base(l, a, host_hint), url = arena_printf(a, "%.*s/%s", STR_ARG(base), buf_cstr(&bucket));
    buf_free(&bucket);
    return sign_post_form(&cred, &scope, url, params, NULL, a, ret, ret_expires_ms, e);
}
