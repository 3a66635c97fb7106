/* Presigned links and forms: signed with the credentials in force, for the host at which the caller can reach S3. */
#include "base/url.h"
#include "remote/internal.h"

enum { PATH_MAX_BYTES = 8192, QUERY_MAX_BYTES = 32768, LINK_MAX_BYTES = 64 * 1024 };

/* == the host =======================================================================================================
 */

/* "name", "1.2.3.4" or "[v6]" of "host[:port]"; *ret_port: ":9000" or empty. Empty when it is none of these. */
static struct str split_host(struct str s, struct str *ret_port) {
    size_t n = 0;
    bool v6 = s.n && s.p[0] == '[';
    if (v6) {
        ptrdiff_t end = str_chr(s, ']', 0);
        n = end < 0 ? 0 : (size_t)end + 1;
    } else {
        while (n < s.n && s.p[n] != ':') n++;
    }
    for (size_t i = 0; i < n; i++) {
        char c = s.p[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.';
        bool ok = v6 ? hex || c == ':' || (c == '[' && i == 0) || (c == ']' && i + 1 == n)
                     : hex || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '-';
        if (!ok) return STR_NONE;
    }
    *ret_port = str_from(s, n);
    return n <= 253 ? str_take(s, n) : STR_NONE;
}

/* Reachable on this machine only, or no address to call at all (0.0.0.0). */
static bool is_local(struct str host) {
    return str_ieq(host, STR("localhost")) || str_starts(host, STR("127.")) || str_is(host, "[::1]") ||
           str_is(host, "0.0.0.0") || str_is(host, "[::]");
}

/* Where the user of the link finds S3: an endpoint on this machine is reached under the name by which the caller has
 * reached us, at the endpoint's own port. */
static struct str reachable_base(const struct endpoint *ep, struct str hint, struct arena *a) {
    struct str port = STR_NONE, hint_port = STR_NONE;
    struct str host = split_host(ep->host, &port), caller = split_host(hint, &hint_port);
    if (!caller.n || !is_local(host) || is_local(caller)) return ep->base;
    return arena_printf(a, "%s%.*s%.*s", ep->tls ? "https://" : "http://", STR_ARG(caller), STR_ARG(port));
}

/* == what both need =================================================================================================
 */

/* Credentials, endpoint and time of one signature. */
struct presigner {
    struct remote_conn *conn;
    struct credentials *credentials; /* a reference */
    struct endpoint endpoint;
    struct str base;
    struct sign_scope scope;
    int64_t correction_ms;
};

static int presigner_begin(struct presigner *p, struct aws_backend *b, struct str bucket, struct str hint,
                           struct arena *a, struct err *e) {
    struct remote_conn *conn = (struct remote_conn *)b;
    struct remote *r = conn->remote;
    struct err why = {0};
    *p = (struct presigner){.conn = conn};
    if (conn_endpoint(conn, AWS_S3, bucket, remote_bucket_region(r, bucket, a), a, &p->endpoint, e)) return -1;
    p->credentials = credentials_get(r->credentials, NULL, &why);
    if (!p->credentials)
        return err_service(e, err_name(ERR_CREDENTIALS), 503, true, "no credentials to sign a link with: %s",
                           why.code ? why.msg : "they are being fetched; try again");
    p->base = reachable_base(&p->endpoint, hint, a);
    p->correction_ms = atomic_load(&r->correction_ms[AWS_S3]);
    p->scope =
        (struct sign_scope){p->endpoint.region, str_c(p->endpoint.signing), clock_ms(r->clock) + p->correction_ms};
    return 0;
}

/* When it really stops working, on our clock: X-Amz-Date counts whole seconds, and no signature outlives its
 * credentials. */
static int64_t real_expiry(const struct presigner *p, int64_t signed_until_ms) {
    int64_t until = signed_until_ms - p->correction_ms, life = p->credentials->expires_ms;
    return life && life < until ? life : until;
}

/* == links ==========================================================================================================
 */

static void add_query(struct buf *q, const struct aws_presign *p) {
    for (size_t i = 0; i < p->n_query; i++) {
        if (i) buf_byte(q, '&');
        url_encode(q, p->query[i].name, false);
        buf_byte(q, '=');
        url_encode(q, p->query[i].value, false);
    }
}

int remote_presign(struct aws_backend *b, const struct aws_presign *p, struct arena *a, struct str *ret_url,
                   int64_t *ret_expires_ms, struct err *e) {
    struct buf path = BUF_MAX(PATH_MAX_BYTES), query = BUF_MAX(QUERY_MAX_BYTES), url = BUF_MAX(LINK_MAX_BYTES);
    struct presigner s;
    int rc = -1;
    if (!p->bucket.n || !p->key.n) return err_set(e, ERR_S3_ARGUMENT, "a presigned link needs a bucket and a key");
    if (presigner_begin(&s, b, p->bucket, p->host_hint, a, e)) return -1;
    struct sign_credentials cred = credentials_sign(s.credentials);
    buf_str(&path, s.endpoint.path);
    buf_byte(&path, '/');
    url_encode(&path, p->key, true);
    add_query(&query, p);
    if (buf_check(&path, "the path of the presigned link", e) || buf_check(&query, "the query of the link", e))
        goto out;
    struct sign_link link = {.method = p->method,
                             .base = s.base,
                             .path = buf_view(&path),
                             .extra_query = buf_view(&query),
                             .headers = p->headers,
                             .n_headers = p->n_headers,
                             .expires_s = p->expires_s};
    if (sign_presign(&cred, &s.scope, &link, &s.conn->keys, &url, e)) goto out;
    *ret_url = arena_str(a, buf_view(&url));
    *ret_expires_ms = real_expiry(&s, (s.scope.unix_ms / 1000 + p->expires_s) * 1000);
    rc = 0;
out:
    credentials_unref(s.credentials);
    buf_free(&path);
    buf_free(&query);
    buf_free(&url);
    return rc;
}

/* == forms ==========================================================================================================
 */

int remote_presign_post(struct aws_backend *b, const struct json *params, struct str host_hint, struct arena *a,
                        struct json *ret, int64_t *ret_expires_ms, struct err *e) {
    struct presigner s;
    struct str bucket = json_get_s(params, "Bucket");
    if (!bucket.n) return err_set(e, ERR_VALIDATION, "Bucket is missing: the form to presign needs a bucket");
    if (presigner_begin(&s, b, bucket, host_hint, a, e)) return -1;
    struct sign_credentials cred = credentials_sign(s.credentials);
    struct str url = arena_printf(a, "%.*s%.*s/", STR_ARG(s.base), STR_ARG(s.endpoint.path));
    int64_t until;
    int rc = sign_post_form(&cred, &s.scope, url, params, &s.conn->keys, a, ret, &until, e);
    if (!rc) *ret_expires_ms = real_expiry(&s, until);
    credentials_unref(s.credentials);
    return rc;
}
