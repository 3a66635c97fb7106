/* The cloud port: signed GET, HEAD and PUT of S3 objects, and POST of browsers' forms, path style. Everything else is
 * refused by name, in S3's XML.
 *
 *   request ─► route by path ─► signature, payload hash ─► call (as a handler would make it) ─► headers, file ─► reply
 *                          └──► form, its policy (s3/post.c) ──┘
 */
#include "base/crypto.h"
#include "base/url.h"
#include "local/s3/s3.h"
#include "sign/sign.h"
#include <ctype.h>
#include <string.h>
#include <unistd.h>

enum { MAX_QUERY = 64 };

struct face {
    struct local_conn *conn;
    struct http_request *r;
    http_reply_fn *reply;
    void *ud;
    struct str bucket, key; /* decoded */
    struct url_param *query;
    size_t n_query;
    struct s3_file file;
    bool form;
    struct s3_post post;
};

/* == answers ========================================================================================================
 */

static void header(struct http_response *res, const char *name, struct str value) {
    struct err ignored = {0}; /* what cannot be a header value is left out */
    if (value.p) http_set(res, str_c(name), value, &ignored);
}

static void xml_text(struct buf *b, const char *tag, struct str s) {
    buf_printf(b, "<%s>", tag);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '&')
            buf_c(b, "&amp;");
        else if (c == '<')
            buf_c(b, "&lt;");
        else if (c == '>')
            buf_c(b, "&gt;");
        else
            buf_byte(b, c < 0x20 && c != '\t' ? '?' : (char)c);
    }
    buf_printf(b, "</%s>", tag);
}

static void send(struct face *f, struct http_response *res) {
    header(res, "x-amz-request-id", f->r->request_id);
    f->reply(f->ud, res); /* takes it over; f may be gone afterwards */
}

static void send_error(struct face *f, const struct err *e, struct str etag) {
    struct http_response res;
    int status = err_status(e->code);
    http_response_init(&res, e->code == ERR_ACCESS_DENIED ? 403 : status);
    header(&res, "ETag", etag);
    if (status != 304 && !str_is(f->r->method, "HEAD")) {
        header(&res, "Content-Type", STR("application/xml"));
        buf_c(&res.body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        xml_text(&res.body, "Code", str_c(err_name(e->code)));
        xml_text(&res.body, "Message", str_c(e->msg));
        xml_text(&res.body, "Resource", str_bad_utf8(f->r->path) < 0 ? f->r->path : STR_NONE);
        xml_text(&res.body, "RequestId", f->r->request_id);
        buf_c(&res.body, "</Error>");
    }
    send(f, &res);
}

static struct str override(const struct face *f, const char *header_name) {
    char name[64] = "response-";
    for (size_t i = 0, at = strlen(name); header_name[i] && at + 1 < sizeof name; i++) {
        name[at++] = (char)tolower((unsigned char)header_name[i]);
        name[at] = 0;
    }
    for (size_t i = 0; i < f->n_query; i++)
        if (str_is(f->query[i].name, name)) return f->query[i].value;
    return STR_NONE;
}

static void set_or_override(struct face *f, struct http_response *res, const char *name, struct str value) {
    struct str other = override(f, name);
    header(res, name, other.p ? other : value);
}

static void object_headers(struct face *f, struct http_response *res, struct aws_call *c) {
    const struct json *r = &c->result, *metadata = json_get(r, "Metadata");
    int64_t modified = 0;
    char date[30];
    header(res, "ETag", json_get_s(r, "ETag"));
    header(res, "Accept-Ranges", json_get_s(r, "AcceptRanges"));
    header(res, "Content-Range", json_get_s(r, "ContentRange"));
    if (now_parse_iso(json_get_s(r, "LastModified"), &modified)) {
        now_http(modified, date);
        header(res, "Last-Modified", str_c(date));
    }
    set_or_override(f, res, "Content-Type", json_get_s(r, "ContentType"));
    for (int i = 0; i < S3_HEADERS; i++)
        set_or_override(f, res, s3_headers[i].header, json_get_s(r, s3_headers[i].member));
    for (int i = 0; i < S3_CHECKSUMS; i++) header(res, s3_checksums[i].header, json_get_s(r, s3_checksums[i].member));
    for (uint32_t i = 0; json_is(metadata, JSON_OBJ) && i < metadata->n; i++) {
        struct str name = arena_printf(f->r->arena, "x-amz-meta-%.*s", STR_ARG(metadata->members[i].key));
        header(res, name.p, json_str(&metadata->members[i].value));
    }
}

/* == answers to forms ===============================================================================================
 */

static bool is_web_address(struct str s) {
    struct url u;
    return s.n && !url_parse(s, &u, NULL) && (str_is(u.scheme, "http") || str_is(u.scheme, "https"));
}

static struct str redirect_to(struct face *f, struct str etag) {
    struct buf b = BUF_MAX(16384);
    struct str url = f->post.redirect;
    buf_str(&b, url);
    buf_c(&b, str_chr(url, '?', 0) < 0 ? "?bucket=" : "&bucket=");
    url_encode(&b, f->bucket, false);
    buf_c(&b, "&key=");
    url_encode(&b, f->post.key, false);
    buf_c(&b, "&etag=");
    url_encode(&b, etag, false);
    struct str location = arena_str(f->r->arena, buf_view(&b));
    buf_free(&b);
    return location;
}

static struct str object_url(struct face *f) {
    struct buf b = BUF_MAX(16384);
    buf_str(&b, s3_base(f->conn->local, f->r->arena, http_header(f->r, "host")));
    buf_byte(&b, '/');
    url_encode(&b, f->bucket, false);
    buf_byte(&b, '/');
    url_encode(&b, f->post.key, true);
    struct str url = arena_str(f->r->arena, buf_view(&b));
    buf_free(&b);
    return url;
}

/* "If the value is not set, or is set to a value that is not valid, the response is 204", likewise for redirects. */
static void form_done(struct face *f, struct aws_call *c) {
    struct http_response res;
    struct str etag = arena_str(f->r->arena, json_get_s(&c->result, "ETag")), location = object_url(f);
    bool redirected = is_web_address(f->post.redirect);
    int status = str_is(f->post.status, "200") ? 200 : str_is(f->post.status, "201") ? 201 : 204;
    http_response_init(&res, redirected ? 303 : status);
    header(&res, "ETag", etag);
    header(&res, "Location", redirected ? redirect_to(f, etag) : location);
    if (res.status == 201) {
        header(&res, "Content-Type", STR("application/xml"));
        buf_c(&res.body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse>");
        xml_text(&res.body, "Location", location);
        xml_text(&res.body, "Bucket", f->bucket);
        xml_text(&res.body, "Key", f->post.key);
        xml_text(&res.body, "ETag", etag);
        buf_c(&res.body, "</PostResponse>");
    }
    aws_call_free(c);
    send(f, &res);
}

/* HEAD is answered like GET, with the file: the server sends its length and leaves the bytes out. */
static void done(struct aws_call *c, void *ud) {
    struct face *f = ud;
    struct http_response res;
    if (c->err.code) {
        struct err e = c->err;
        struct str etag = json_get_s(&c->result, "ETag");
        etag = etag.p ? arena_str(f->r->arena, etag) : etag;
        aws_call_free(c);
        if (f->file.fd >= 0) close(f->file.fd);
        send_error(f, &e, etag);
        return;
    }
    if (f->form) {
        form_done(f, c);
        return;
    }
    http_response_init(&res, json_get(&c->result, "ContentRange") ? 206 : 200);
    object_headers(f, &res, c);
    if (f->file.fd >= 0) {
        res.file = f->file.fd;
        res.file_off = f->file.off;
        res.file_len = f->file.len;
    }
    aws_call_free(c);
    send(f, &res);
}

/* == request ========================================================================================================
 */

static int unsupported(const struct face *f, struct str what, struct err *e) {
    return err_set(e, ERR_NOT_IMPLEMENTED,
                   "%.*s %.*s: %.*s is not supported yet by this endpoint; signed GET, HEAD and PUT of S3 "
                   "objects, and POST of forms, are",
                   STR_ARG(str_take(f->r->method, 20)), STR_ARG(str_take(f->r->path, 200)),
                   STR_ARG(str_take(what, 200)));
}

static int read_path(struct face *f, struct err *e) {
    struct str rest = str_from(f->r->path, 1), bucket = str_cut(&rest, '/');
    if (url_decode(f->r->arena, bucket, false, &f->bucket, e) ||
        url_decode(f->r->arena, rest.p ? rest : STR(""), false, &f->key, e))
        return err_set(e, ERR_S3_ARGUMENT, "Couldn't parse the specified URI.");
    return 0;
}

/* What a header field cannot hold must not be left out silently. */
static int check_override(const struct face *f, const struct url_param *q, struct err *e) {
    bool known = false;
    for (size_t i = 0; s3_overrides[i]; i++) known |= str_is(str_from(q->name, 9), s3_overrides[i]);
    if (!known) return unsupported(f, arena_printf(f->r->arena, "the query parameter \"%.*s\"", STR_ARG(q->name)), e);
    for (size_t i = 0; i < q->value.n; i++)
        if ((unsigned char)q->value.p[i] < 0x20 && q->value.p[i] != '\t')
            return err_set(e, ERR_S3_ARGUMENT, "The value of %.*s is not valid.", STR_ARG(q->name));
    return 0;
}

/* Parameters that are no part of the signature and no response-* are sub-resources or options that mean something. */
static int check_query(struct face *f, struct err *e) {
    if (url_query(f->r->arena, f->r->raw_query, MAX_QUERY, &f->query, &f->n_query, e)) {
        e->code = ERR_S3_ARGUMENT;
        return -1;
    }
    for (size_t i = 0; i < f->n_query; i++) {
        struct str name = f->query[i].name;
        if (str_ieq(str_take(name, 6), STR("x-amz-")) || str_is(name, "x-id")) continue;
        bool reads = str_is(f->r->method, "GET") || str_is(f->r->method, "HEAD");
        if (reads && str_starts(name, STR("response-"))) {
            if (check_override(f, &f->query[i], e)) return -1;
            continue;
        }
        return unsupported(f, arena_printf(f->r->arena, "the query parameter \"%.*s\"", STR_ARG(name)), e);
    }
    return 0;
}

static struct str secret_of(void *ud, struct str access_key) {
    const struct local *l = ud;
    return crypto_equal(access_key, str_c(l->access_key)) ? str_c(l->secret_key) : STR_NONE;
}

static int check_payload(struct face *f, struct str hash, struct err *e) {
    uint8_t sha[32];
    char hex[64];
    if (str_is(hash, "UNSIGNED-PAYLOAD")) return 0;
    if (str_starts(hash, STR("STREAMING-"))) return unsupported(f, hash, e);
    crypto_sha256(f->r->body, sha);
    crypto_hex_to(hex, sha, 32);
    if (str_eq(hash, str_n(hex, 64))) return 0;
    return err_set(e, ERR_S3_SHA256, "The provided 'x-amz-content-sha256' header does not match what was computed.");
}

static int authenticate(struct face *f, struct err *e) {
    struct local *l = f->conn->local;
    struct sign_verified v = {0};
    if (sign_verify(f->r, clock_ms(l->clock), secret_of, l, &v, e)) return -1;
    if (!str_is(v.service, "s3"))
        return unsupported(f, arena_printf(f->r->arena, "the service %.*s", STR_ARG(v.service)), e);
    return check_payload(f, v.payload_hash, e);
}

/* == header fields to parameters ====================================================================================
 */

static const struct s3_header get_headers[] = {{"Range", "range"},
                                               {"IfMatch", "if-match"},
                                               {"IfNoneMatch", "if-none-match"},
                                               {"IfModifiedSince", "if-modified-since"},
                                               {"IfUnmodifiedSince", "if-unmodified-since"},
                                               {"ChecksumMode", "x-amz-checksum-mode"}};
static const struct s3_header put_headers[] = {{"ContentType", "content-type"},
                                               {"ContentMD5", "content-md5"},
                                               {"IfMatch", "if-match"},
                                               {"IfNoneMatch", "if-none-match"},
                                               {"ChecksumAlgorithm", "x-amz-sdk-checksum-algorithm"}};

static void add_headers(struct face *f, struct aws_call *c, const struct s3_header *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct str v = http_header(f->r, rows[i].header);
        if (v.p) json_set(&c->arena, &c->params, rows[i].member, json_make_str(v));
    }
}

static bool is_known(struct str name) {
    static const char *const known[] = {"x-amz-date", "x-amz-content-sha256", "x-amz-security-token",
                                        "x-amz-user-agent", "x-amz-sdk-checksum-algorithm"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_ieq(name, str_c(known[i]))) return true;
    for (int i = 0; i < S3_CHECKSUMS; i++)
        if (str_ieq(name, str_c(s3_checksums[i].header))) return true;
    return false;
}

/* x-amz-meta-* becomes Metadata; other x-amz-* that would change what is stored must not be overlooked. */
static int add_put_headers(struct face *f, struct aws_call *c, struct err *e) {
    struct json metadata = json_make_obj();
    for (size_t i = 0; i < f->r->n_headers; i++) {
        struct str name = f->r->headers[i].name;
        if (!str_ieq(str_take(name, 6), STR("x-amz-")) || is_known(name)) continue;
        if (!str_ieq(str_take(name, 11), STR("x-amz-meta-")))
            return unsupported(f, arena_printf(f->r->arena, "the header %.*s", STR_ARG(str_take(name, 80))), e);
        json_set_str(&c->arena, &metadata, str_from(name, 11), json_make_str(f->r->headers[i].value));
    }
    json_set(&c->arena, &c->params, "Metadata", metadata);
    add_headers(f, c, put_headers, sizeof put_headers / sizeof *put_headers);
    add_headers(f, c, s3_headers, S3_HEADERS);
    add_headers(f, c, s3_checksums, S3_CHECKSUMS);
    c->body = f->r->body;
    return 0;
}

static void start(struct face *f, struct aws_call *c) {
    c->context.request_id = f->r->request_id;
    c->context.trace_id = f->r->trace_id;
    c->done = done;
    c->ud = f;
    if (aws_start(&f->conn->backend, f->conn->loop, c) == AWS_DONE) done(c, f);
}

/* Forms carry their signature themselves. */
static int begin_form(struct face *f, struct err *e) {
    struct aws_call *c = NULL;
    if (!f->bucket.n || f->key.n) return unsupported(f, STR("this method"), e);
    if (check_query(f, e) || s3_post_call(f->conn->local, f->r, f->bucket, &f->post, &c, e)) return -1;
    f->form = true;
    start(f, c);
    return 0;
}

static int begin(struct face *f, struct err *e) {
    bool put = str_is(f->r->method, "PUT");
    struct str target = http_header(f->r, "x-amz-target");
    if (target.p)
        return unsupported(f, arena_printf(f->r->arena, "the operation %.*s", STR_ARG(str_take(target, 100))), e);
    if (read_path(f, e)) return -1;
    if (str_is(f->r->method, "POST")) return begin_form(f, e);
    if (authenticate(f, e) || check_query(f, e)) return -1;
    if (!put && !str_is(f->r->method, "GET") && !str_is(f->r->method, "HEAD"))
        return unsupported(f, STR("this method"), e);
    if (!f->bucket.n || !f->key.n) return unsupported(f, f->bucket.n ? STR("a bucket") : STR("the service"), e);
    struct aws_call *c = aws_call_new(put ? AWS_S3_PutObject : AWS_S3_GetObject);
    json_set(&c->arena, &c->params, "Bucket", json_make_str(f->bucket));
    json_set(&c->arena, &c->params, "Key", json_make_str(f->key));
    if (!put) add_headers(f, c, get_headers, sizeof get_headers / sizeof *get_headers);
    if (!put) c->state = &f->file;
    if (put && add_put_headers(f, c, e)) {
        aws_call_free(c);
        return -1;
    }
    start(f, c);
    return 0;
}

void local_face(struct local_conn *c, struct http_request *r, http_reply_fn *reply, void *ud) {
    struct face *f = ARENA_NEW(r->arena, struct face);
    struct err e = {0};
    *f = (struct face){.conn = c, .r = r, .reply = reply, .ud = ud, .file = {.fd = -1}};
    if (begin(f, &e)) send_error(f, &e, STR_NONE);
}
