/* S3's REST protocol: GET, HEAD and PUT of objects, and POST of browsers' forms. Everything else is refused by name, in
 * S3's XML.
 *
 *   request ─► route by path ─► call (as a handler would make it) ─► headers, file ─► reply
 *                          └──► form, its policy (s3/post.c) ──┘
 */
#include "local/s3/s3.h"
#include "local/face/face.h"
#include <ctype.h>
#include <string.h>
#include <unistd.h>

struct rest {
    struct face *f;
    struct http_request *r;
    struct str bucket, key; /* decoded */
    struct s3_file file;
    bool form;
    struct s3_post post;
};

/* == answers ========================================================================================================
 */

static void send(struct face *f, struct http_response *res) {
    face_set(res, "x-amz-request-id", f->r->request_id);
    face_send(f, res);
}

static void send_error(struct face *f, const struct err *e, struct str etag) {
    struct http_response res;
    int status = err_status(e->code);
    http_response_init(&res, e->code == ERR_ACCESS_DENIED ? 403 : status);
    face_set(&res, "ETag", etag);
    if (status != 304 && !str_is(f->r->method, "HEAD")) {
        face_set(&res, "Content-Type", STR("application/xml"));
        buf_c(&res.body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        face_xml(&res.body, "Code", str_c(err_name(e->code)));
        face_xml(&res.body, "Message", str_c(e->msg));
        face_xml(&res.body, "Resource", str_bad_utf8(f->r->path) < 0 ? f->r->path : STR_NONE);
        face_xml(&res.body, "RequestId", f->r->request_id);
        buf_c(&res.body, "</Error>");
    }
    send(f, &res);
}

static struct str override(const struct rest *f, const char *header_name) {
    char name[64] = "response-";
    for (size_t i = 0, at = strlen(name); header_name[i] && at + 1 < sizeof name; i++) {
        name[at++] = (char)tolower((unsigned char)header_name[i]);
        name[at] = 0;
    }
    for (size_t i = 0; i < f->f->n_query; i++)
        if (str_is(f->f->query[i].name, name)) return f->f->query[i].value;
    return STR_NONE;
}

static void set_or_override(struct rest *f, struct http_response *res, const char *name, struct str value) {
    struct str other = override(f, name);
    face_set(res, name, other.p ? other : value);
}

static void object_headers(struct rest *f, struct http_response *res, struct aws_call *c) {
    const struct json *r = &c->result, *metadata = json_get(r, "Metadata");
    int64_t modified = 0;
    char date[30];
    face_set(res, "ETag", json_get_s(r, "ETag"));
    face_set(res, "Accept-Ranges", json_get_s(r, "AcceptRanges"));
    face_set(res, "Content-Range", json_get_s(r, "ContentRange"));
    if (now_parse_iso(json_get_s(r, "LastModified"), &modified)) {
        now_http(modified, date);
        face_set(res, "Last-Modified", str_c(date));
    }
    set_or_override(f, res, "Content-Type", json_get_s(r, "ContentType"));
    for (int i = 0; i < S3_HEADERS; i++)
        set_or_override(f, res, s3_headers[i].header, json_get_s(r, s3_headers[i].member));
    for (int i = 0; i < S3_CHECKSUMS; i++) face_set(res, s3_checksums[i].header, json_get_s(r, s3_checksums[i].member));
    for (uint32_t i = 0; json_is(metadata, JSON_OBJ) && i < metadata->n; i++) {
        struct str name = arena_printf(f->r->arena, "x-amz-meta-%.*s", STR_ARG(metadata->members[i].key));
        face_set(res, name.p, json_str(&metadata->members[i].value));
    }
}

/* == answers to forms ===============================================================================================
 */

static bool is_web_address(struct str s) {
    struct url u;
    return s.n && !url_parse(s, &u, NULL) && (str_is(u.scheme, "http") || str_is(u.scheme, "https"));
}

static struct str redirect_to(struct rest *f, struct str etag) {
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

static struct str object_url(struct rest *f) {
    struct buf b = BUF_MAX(16384);
    buf_str(&b, s3_base(f->f->conn->local, f->r->arena, http_header(f->r, "host")));
    buf_byte(&b, '/');
    url_encode(&b, f->bucket, false);
    buf_byte(&b, '/');
    url_encode(&b, f->post.key, true);
    struct str url = arena_str(f->r->arena, buf_view(&b));
    buf_free(&b);
    return url;
}

/* "If the value is not set, or is set to a value that is not valid, the response is 204", likewise for redirects. */
static void form_done(struct rest *f, struct aws_call *c) {
    struct http_response res;
    struct str etag = arena_str(f->r->arena, json_get_s(&c->result, "ETag")), location = object_url(f);
    bool redirected = is_web_address(f->post.redirect);
    int status = str_is(f->post.status, "200") ? 200 : str_is(f->post.status, "201") ? 201 : 204;
    http_response_init(&res, redirected ? 303 : status);
    face_set(&res, "ETag", etag);
    face_set(&res, "Location", redirected ? redirect_to(f, etag) : location);
    if (res.status == 201) {
        face_set(&res, "Content-Type", STR("application/xml"));
        buf_c(&res.body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<PostResponse>");
        face_xml(&res.body, "Location", location);
        face_xml(&res.body, "Bucket", f->bucket);
        face_xml(&res.body, "Key", f->post.key);
        face_xml(&res.body, "ETag", etag);
        buf_c(&res.body, "</PostResponse>");
    }
    aws_call_free(c);
    send(f->f, &res);
}

/* HEAD is answered like GET, with the file: the server sends its length and leaves the bytes out. */
static void done(struct aws_call *c, void *ud) {
    struct rest *f = ud;
    struct http_response res;
    if (c->err.code) {
        struct err e = c->err;
        struct str etag = json_get_s(&c->result, "ETag");
        etag = etag.p ? arena_str(f->r->arena, etag) : etag;
        aws_call_free(c);
        if (f->file.fd >= 0) close(f->file.fd);
        send_error(f->f, &e, etag);
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
    send(f->f, &res);
}

/* == request ========================================================================================================
 */

static int unsupported(const struct rest *f, struct str what, struct err *e) {
    return err_set(e, ERR_NOT_IMPLEMENTED,
                   "%.*s %.*s: %.*s is not supported yet by this endpoint; signed GET, HEAD and PUT of S3 "
                   "objects, and POST of forms, are",
                   STR_ARG(str_take(f->r->method, 20)), STR_ARG(str_take(f->r->path, 200)),
                   STR_ARG(str_take(what, 200)));
}

static int read_path(struct rest *f, struct err *e) {
    struct str rest = str_from(f->r->path, 1), bucket = str_cut(&rest, '/');
    if (url_decode(f->r->arena, bucket, false, &f->bucket, e) ||
        url_decode(f->r->arena, rest.p ? rest : STR(""), false, &f->key, e))
        return err_set(e, ERR_S3_ARGUMENT, "Couldn't parse the specified URI.");
    return 0;
}

/* What a header field cannot hold must not be left out silently. */
static int check_override(const struct rest *f, const struct url_param *q, struct err *e) {
    bool known = false;
    for (size_t i = 0; s3_overrides[i]; i++) known |= str_is(str_from(q->name, 9), s3_overrides[i]);
    if (!known) return unsupported(f, arena_printf(f->r->arena, "the query parameter \"%.*s\"", STR_ARG(q->name)), e);
    for (size_t i = 0; i < q->value.n; i++)
        if ((unsigned char)q->value.p[i] < 0x20 && q->value.p[i] != '\t')
            return err_set(e, ERR_S3_ARGUMENT, "The value of %.*s is not valid.", STR_ARG(q->name));
    return 0;
}

/* Parameters that are no part of the signature and no response-* are sub-resources or options that mean something. */
static int check_query(struct rest *f, struct err *e) {
    for (size_t i = 0; i < f->f->n_query; i++) {
        struct str name = f->f->query[i].name;
        if (str_ieq(str_take(name, 6), STR("x-amz-")) || str_is(name, "x-id")) continue;
        bool reads = str_is(f->r->method, "GET") || str_is(f->r->method, "HEAD");
        if (reads && str_starts(name, STR("response-"))) {
            if (check_override(f, &f->f->query[i], e)) return -1;
            continue;
        }
        return unsupported(f, arena_printf(f->r->arena, "the query parameter \"%.*s\"", STR_ARG(name)), e);
    }
    return 0;
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

static void add_headers(struct rest *f, struct aws_call *c, const struct s3_header *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        struct str v = face_header(f->f, rows[i].header);
        if (v.p) json_set(&c->arena, &c->params, rows[i].member, json_make_str(v));
    }
}

static bool is_known(struct str name) {
    static const char *const known[] = {
        "x-amz-date",       "x-amz-content-sha256",         "x-amz-security-token",
        "x-amz-user-agent", "x-amz-sdk-checksum-algorithm", "x-amz-decoded-content-length",
        "x-amz-trailer"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_ieq(name, str_c(known[i]))) return true;
    for (int i = 0; i < S3_CHECKSUMS; i++)
        if (str_ieq(name, str_c(s3_checksums[i].header))) return true;
    return false;
}

/* x-amz-meta-* becomes Metadata; other x-amz-* that would change what is stored must not be overlooked. */
static int add_put_headers(struct rest *f, struct aws_call *c, struct err *e) {
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
    c->body = f->f->body;
    return 0;
}

/* Forms carry their signature themselves. */
static int begin_form(struct rest *f, struct err *e) {
    struct aws_call *c = NULL;
    if (!f->bucket.n || f->key.n) return unsupported(f, STR("this method"), e);
    if (check_query(f, e) || s3_post_call(f->f->conn->local, f->r, f->bucket, &f->post, &c, e)) return -1;
    f->form = true;
    face_start(f->f, c, done, f);
    return 0;
}

static int begin(struct rest *f, struct err *e) {
    bool put = str_is(f->r->method, "PUT");
    if (read_path(f, e)) return -1;
    if (f->f->form) return begin_form(f, e);
    if (check_query(f, e)) return -1;
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
    face_start(f->f, c, done, f);
    return 0;
}

void face_s3(struct face *face) {
    struct rest *f = ARENA_NEW(face->r->arena, struct rest);
    struct err e = {0};
    *f = (struct rest){.f = face, .r = face->r, .file = {.fd = -1}};
    if (begin(f, &e)) send_error(face, &e, STR_NONE);
}

void face_s3_error(struct face *f, const struct err *e) {
    send_error(f, e, STR_NONE);
}
