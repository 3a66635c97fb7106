/* Results of S3's operations to answers, and errors. */
#include "local/face/s3.h"
#include <ctype.h>
#include <string.h>
#include <unistd.h>

static void send(struct face *f, struct http_response *res) {
    face_set(res, "x-amz-request-id", f->r->request_id);
    face_send(f, res);
}

/* == errors =========================================================================================================
 */

static const char *error_code(const struct err *e) {
    return e->code == ERR_ACCESS_DENIED ? "AccessDenied" : e->code == ERR_INTERNAL ? "InternalError" : err_name_of(e);
}

static void last_modified(struct http_response *res, const struct json *members) {
    int64_t modified = 0;
    char date[30];
    if (!now_parse_iso(json_get_s(members, "LastModified"), &modified)) return;
    now_http(modified, date);
    face_set(res, "Last-Modified", str_c(date));
}

/* Of what is a delete marker, or not modified. */
static void version_headers(struct http_response *res, const struct json *members) {
    face_set(res, "ETag", json_get_s(members, "ETag"));
    face_set(res, "Cache-Control", json_get_s(members, "CacheControl"));
    face_set(res, "Expires", json_get_s(members, "Expires"));
    last_modified(res, members);
    if (json_is(json_get(members, "DeleteMarker"), JSON_TRUE)) face_set(res, "x-amz-delete-marker", STR("true"));
    face_set(res, "x-amz-version-id", json_get_s(members, "VersionId"));
}

void rest_send_error(struct face *f, const struct err *e, const struct json *members) {
    struct http_response res;
    int status = e->code == ERR_ACCESS_DENIED ? 403 : err_status_of(e);
    http_response_init(&res, status);
    version_headers(&res, members);
    if (status == 405 && members && json_get(members, "DeleteMarker")) face_set(&res, "Allow", STR("DELETE"));
    if (status != 304 && !str_is(f->r->method, "HEAD")) {
        face_set(&res, "Content-Type", STR("application/xml"));
        buf_c(&res.body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
        face_xml(&res.body, "Code", str_c(error_code(e)));
        face_xml(&res.body, "Message", str_c(e->msg));
        face_xml(&res.body, "Resource", str_bad_utf8(f->r->path) < 0 ? f->r->path : STR_NONE);
        face_xml(&res.body, "RequestId", f->r->request_id);
        buf_c(&res.body, "</Error>");
    }
    send(f, &res);
}

/* == header fields ==================================================================================================
 */

static struct str override(const struct rest *f, const char *header_name) {
    char name[64] = "response-";
    for (size_t i = 0, at = strlen(name); header_name[i] && at + 1 < sizeof name; i++) {
        name[at++] = (char)tolower((unsigned char)header_name[i]);
        name[at] = 0;
    }
    return f->route->op == AWS_S3_GetObject ? face_param(f->f, name) : STR_NONE;
}

static void set_or_override(struct rest *f, struct http_response *res, const char *name, struct str value) {
    struct str other = override(f, name);
    face_set(res, name, other.p ? other : value);
}

/* Of every operation that has them in its result's members. */
static const struct s3_header everywhere[] = {{"VersionId", "x-amz-version-id"},
                                              {"CopySourceVersionId", "x-amz-copy-source-version-id"},
                                              {"TagCount", "x-amz-tagging-count"},
                                              {"PartsCount", "x-amz-mp-parts-count"},
                                              {"BucketRegion", "x-amz-bucket-region"}};

static void plain_headers(struct http_response *res, const struct json *r) {
    for (size_t i = 0; i < sizeof everywhere / sizeof *everywhere; i++) {
        const struct json *v = json_get(r, everywhere[i].member);
        if (json_is(v, JSON_STR) || json_is(v, JSON_NUM)) face_set(res, everywhere[i].header, v->s);
    }
    if (json_is(json_get(r, "DeleteMarker"), JSON_TRUE)) face_set(res, "x-amz-delete-marker", STR("true"));
}

/* Unless the document has a place for it. */
static void sum_header(struct rest *f, struct http_response *res, const struct json *r, const struct s3_header *h) {
    if (!aws_s3_has(f->route->gives, str_c(h->member))) face_set(res, h->header, json_get_s(r, h->member));
}

static void sum_headers(struct rest *f, struct http_response *res, const struct json *r) {
    static const struct s3_header more[] = {
        {"ETag", "ETag"}, {"ChecksumAlgorithm", "x-amz-checksum-algorithm"}, {"ChecksumType", "x-amz-checksum-type"}};
    for (size_t i = 0; i < sizeof more / sizeof *more; i++) sum_header(f, res, r, &more[i]);
    for (int i = 0; i < S3_CHECKSUMS; i++) sum_header(f, res, r, &s3_checksums[i]);
}

static void object_headers(struct rest *f, struct http_response *res, struct aws_call *c) {
    const struct json *r = &c->result, *metadata = json_get(r, "Metadata");
    face_set(res, "Accept-Ranges", json_get_s(r, "AcceptRanges"));
    face_set(res, "Content-Range", json_get_s(r, "ContentRange"));
    last_modified(res, r);
    set_or_override(f, res, "Content-Type", json_get_s(r, "ContentType"));
    for (int i = 0; i < S3_HEADERS; i++)
        set_or_override(f, res, s3_headers[i].header, json_get_s(r, s3_headers[i].member));
    for (uint32_t i = 0; json_is(metadata, JSON_OBJ) && i < metadata->n; i++) {
        struct str name = arena_printf(f->r->arena, "x-amz-meta-%.*s", STR_ARG(metadata->members[i].key));
        struct str value = json_str(&metadata->members[i].value);
        /* The server sends no field without a value; space around one is none of it (RFC 9110, 5.5). */
        face_set(res, name.p, value.n ? value : STR(" "));
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

static struct str object_url(struct rest *f, struct str base, bool bucket, struct str key) {
    struct buf b = BUF_MAX(16384);
    buf_str(&b, base);
    if (bucket) buf_byte(&b, '/');
    if (bucket) url_encode(&b, f->bucket, false);
    buf_byte(&b, '/');
    url_encode(&b, key, true);
    struct str url = arena_str(f->r->arena, buf_view(&b));
    buf_free(&b);
    return url;
}

/* "If the value is not set, or is set to a value that is not valid, the response is 204", likewise for redirects. */
static void form_done(struct rest *f, struct aws_call *c) {
    struct http_response res;
    struct str base = s3_base(f->f->conn->local, f->r->arena, http_header(f->r, "host"));
    struct str etag = arena_str(f->r->arena, json_get_s(&c->result, "ETag"));
    struct str location = object_url(f, base, true, f->post.key);
    bool redirected = is_web_address(f->post.redirect);
    int status = str_is(f->post.status, "200") ? 200 : str_is(f->post.status, "201") ? 201 : 204;
    http_response_init(&res, redirected ? 303 : status);
    face_set(&res, "ETag", etag);
    face_set(&res, "Location", redirected ? redirect_to(f, etag) : location);
    plain_headers(&res, &c->result);
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

/* == documents ======================================================================================================
 */

/* The member that is the document, or all that belong into one. */
static struct json document_of(struct rest *f, struct aws_call *c) {
    struct json rest = json_make_obj();
    const struct json *nested = json_get(&c->result, aws_s3_root(f->route->gives));
    if (json_is(nested, JSON_OBJ)) return *nested;
    for (uint32_t i = 0; i < c->result.n; i++) {
        struct str name = c->result.members[i].key;
        struct json v = c->result.members[i].value;
        if (!aws_s3_has(f->route->gives, name)) continue;
        if (str_is(name, "Location"))
            v = json_make_str(object_url(f, face_base_url(f->f), !f->f->host_bucket.n, f->key));
        json_set_str(&c->arena, &rest, name, v);
    }
    return rest;
}

static int write_document(struct rest *f, struct aws_call *c, struct http_response *res, struct err *e) {
    struct json document = document_of(f, c);
    struct err why;
    face_set(res, "Content-Type", STR("application/xml"));
    res->body.max = (size_t)256 << 20;
    if (aws_s3_write_answer(&res->body, f->route->gives, &document, &why))
        return err_set(e, ERR_INTERNAL, "the answer to %s cannot be told in XML: %s", c->row->action, why.msg);
    return buf_check(&res->body, "the answer", e);
}

/* == all ============================================================================================================
 */

static void refused(struct rest *f, struct aws_call *c) {
    struct err e = c->err;
    struct json members = json_copy(f->r->arena, &c->result);
    aws_call_free(c);
    if (f->file.fd >= 0) close(f->file.fd);
    rest_send_error(f->f, &e, &members);
}

/* HEAD is answered like GET, with the file: the server sends its length and leaves the bytes out. */
void rest_done(struct aws_call *c, void *ud) {
    struct rest *f = ud;
    struct http_response res;
    if (c->err.code) {
        refused(f, c);
        return;
    }
    if (f->form) {
        form_done(f, c);
        return;
    }
    http_response_init(&res, json_get(&c->result, "ContentRange") ? 206 : f->route->status);
    plain_headers(&res, &c->result);
    sum_headers(f, &res, &c->result);
    if (f->route->gives && write_document(f, c, &res, &c->err)) {
        http_response_free(&res);
        refused(f, c);
        return;
    }
    if (c->op == AWS_S3_GetObject) object_headers(f, &res, c);
    if (c->op == AWS_S3_CreateBucket) face_set(&res, "Location", json_get_s(&c->result, "Location"));
    if (f->file.fd >= 0) {
        res.file = f->file.fd;
        res.file_off = f->file.off;
        res.file_len = f->file.len;
    }
    aws_call_free(c);
    send(f->f, &res);
}
