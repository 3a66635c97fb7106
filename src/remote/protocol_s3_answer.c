/* S3: answers -> results and errors. */
#include "base/now.h"
#include "base/url.h"
#include "remote/endpoint.h"
#include "remote/wire_s3.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* == errors =========================================================================================================
 */

/* Answers to HEAD have no body: their errors are told from the status. The engine calls what it does not find NoSuchKey
 * or NoSuchBucket there too; S3 tells no difference between the two in HeadObject. */
static const char *name_without_body(enum s3_operation op, int status) {
    switch (status) {
    case 301:
    case 308:
        return "PermanentRedirect";
    case 302:
    case 307:
        return "TemporaryRedirect";
    case 400:
        return "BadRequest";
    case 404:
        return op & S3_READ ? "NoSuchKey" : "NoSuchBucket";
    case 405:
        return "MethodNotAllowed";
    default:
        return "";
    }
}

static struct str message_without_body(struct aws_call *c, const char *name) {
    struct arena *a = &c->arena;
    if (!strcmp(name, "NoSuchKey"))
        return arena_printf(a, "The specified key does not exist: %.*s",
                            STR_ARG(str_take(json_get_s(&c->params, "Key"), 200)));
    if (!strcmp(name, "NoSuchBucket"))
        return arena_printf(a, "The specified bucket does not exist: %.*s",
                            STR_ARG(str_take(json_get_s(&c->params, "Bucket"), 80)));
    return STR_NONE;
}

static int refused_without_body(struct aws_call *c, const struct wire_response *r) {
    struct str code = wire_answer_header(r, "x-amz-error-code"), message = wire_answer_header(r, "x-amz-error-message");
    const char *name = name_without_body(s3_operation(c->op), r->status);
    if (r->status == 304) return wire_refused(c, r, STR("NotModified"), STR("Not Modified"));
    if (!code.n) code = str_c(name);
    return wire_refused(c, r, code, message.n ? message : message_without_body(c, name));
}

static bool is_blank(struct str s) {
    return !str_trim(s).n;
}

static int decode_error(struct aws_call *c, const struct wire_response *r) {
    struct xml *root = NULL;
    struct err why;
    struct str etag = wire_answer_header(r, "etag");
    if (is_blank(r->body)) {
        refused_without_body(c, r);
    } else {
        bool ok = !xml_parse(&c->arena, str_take(r->body, WIRE_ERROR_MAX), &root, &why);
        const struct xml *error = ok ? wire_xml_error(root) : NULL;
        if (!error) return wire_unreadable(c, r, "XML error");
        wire_refused_xml(c, r, error);
    }
    if (etag.n && (r->status == 304 || r->status == 412) && !json_get(&c->result, "ETag"))
        json_set(&c->arena, &c->result, "ETag", json_make_str(wire_clean(&c->arena, etag, etag.n)));
    return -1;
}

/* 200 with an <Error> body: S3 had answered before it failed. The status is the one that the error has elsewhere. */
static int refused_late(struct aws_call *c, const struct wire_response *r, const struct xml *error) {
    struct wire_response late = *r;
    struct err known = {0};
    struct str name = wire_error_name(xml_text(error, "Code"));
    err_service(&known, arena_cstr(&c->arena, name), 500, false, "late");
    bool busy = str_is(name, "SlowDown");
    late.status = known.code != ERR_SERVICE ? err_status(known.code) : busy ? 503 : 500;
    return wire_refused_xml(c, &late, error);
}

/* Whether the body is what an operation without one may have: nothing, or XML that is no error and no web page. */
static int check_empty(struct aws_call *c, const struct wire_response *r) {
    struct xml *root = NULL;
    struct err why;
    if (is_blank(r->body)) return 0;
    if (xml_parse(&c->arena, str_take(r->body, WIRE_ERROR_MAX), &root, &why) || str_ieq(root->name, STR("html")))
        return wire_bad(c, "has a body that is none of S3: %.*s", STR_ARG(wire_clean(&c->arena, r->body, 200)));
    const struct xml *error = wire_xml_error(root);
    return error ? refused_late(c, r, error) : 0;
}

/* == header fields ==================================================================================================
 */

static struct json header_value(struct arena *a, const struct s3_member *m, struct str v) {
    char *when = arena_alloc(a, 25);
    int64_t n;
    v = wire_clean(a, v, v.n);
    switch (m->type) {
    case S3_INT:
        if (str_i64(v, &n)) return json_make_i64(a, n);
        break;
    case S3_BOOL:
        return json_make_bool(str_ieq(v, STR("true")));
    case S3_DATE:
    case S3_ISO:
        if (!now_parse_http(v, &n) && !now_parse_iso(v, &n)) break;
        now_iso(n, when);
        return json_make_c(when);
    case S3_TEXT:
        break;
    }
    return json_make_str(v);
}

/* Streams in signed chunks are said to be "aws-chunked"; some services keep that with the object. */
static struct str without_framing(struct str encoding) {
    const struct str framing = STR("aws-chunked"), first = STR("aws-chunked,"), last = STR(",aws-chunked");
    if (str_eq(encoding, framing)) return STR_NONE;
    if (str_starts(encoding, first)) return str_trim(str_from(encoding, first.n));
    return str_ends(encoding, last) ? str_trim(str_take(encoding, encoding.n - last.n)) : encoding;
}

/* Sums of objects are always asked for but shown only to who asked, as the engine does. */
static bool is_shown(const struct aws_call *c, const struct s3_member *m) {
    return !(s3_operation(c->op) & S3_READ) || strncmp(m->name, "Checksum", 8) ||
           str_is(json_get_s(&c->params, "ChecksumMode"), "ENABLED");
}

static void add_headers(struct aws_call *c, const struct wire_response *r) {
    enum s3_operation op = s3_operation(c->op);
    for (const struct s3_member *m = s3_members(); m->name; m++) {
        if (!(m->gives & op) || !is_shown(c, m)) continue;
        struct str v = wire_answer_header(r, m->wire);
        if (str_is(str_c(m->name), "ContentEncoding")) v = without_framing(v);
        if (v.n && !json_get(&c->result, m->name))
            json_set(&c->arena, &c->result, m->name, header_value(&c->arena, m, v));
    }
}

static void add_metadata(struct aws_call *c, const struct wire_response *r) {
    const struct str prefix = STR("x-amz-meta-");
    struct arena *a = &c->arena;
    struct json all = json_make_obj();
    for (size_t i = 0; i < r->n_headers; i++) {
        if (!str_ieq(str_take(r->headers[i].name, prefix.n), prefix)) continue;
        struct str name = str_from(r->headers[i].name, prefix.n);
        name = wire_clean(a, name, name.n);
        for (size_t k = 0; k < name.n; k++)
            if (name.p[k] >= 'A' && name.p[k] <= 'Z') ((char *)name.p)[k] += 32;
        struct str value = wire_clean(a, r->headers[i].value, r->headers[i].value.n);
        json_set_str(a, &all, name, json_make_str(s3_words_decode(a, value)));
    }
    json_set(a, &c->result, "Metadata", all);
}

/* == objects ========================================================================================================
 */

static int check_length(struct aws_call *c, const struct wire_response *r, uint64_t have) {
    struct str v = wire_answer_header(r, "content-length");
    int64_t want;
    if (!v.n) {
        json_set(&c->arena, &c->result, "ContentLength", json_make_i64(&c->arena, (int64_t)have));
        return 0;
    }
    if (str_i64(v, &want) && want >= 0 && (uint64_t)want == have) return 0;
    return wire_bad(c, "is truncated: %" PRIu64 " bytes came, Content-Length is %.*s", have, STR_ARG(str_take(v, 20)));
}

/* Sums "of sums" (of objects made of parts: "...-3") cannot be told from the object. */
static bool is_of_whole(struct str sum, struct str type) {
    return sum.n && str_chr(sum, '-', 0) < 0 && !str_ieq(type, STR("COMPOSITE"));
}

static int check_sums(struct aws_call *c, const struct wire_response *r) {
    struct str type = wire_answer_header(r, "x-amz-checksum-type");
    for (int i = 0; r->status == 200 && i < S3_SUMS; i++) {
        struct str want = wire_answer_header(r, s3_sum_row(i)->header);
        if (!is_of_whole(want, type) || (r->streamed && i != S3_CRC32)) continue;
        struct str have = r->streamed ? wire_base64_crc32(&c->arena, r->streamed_crc32) : s3_sum(&c->arena, i, r->body);
        if (!str_eq(want, have))
            return wire_bad(c, "is damaged: the %s of the object is %.*s, S3 says %.*s", s3_sum_row(i)->algorithm,
                            STR_ARG(have), STR_ARG(str_take(want, 60)));
    }
    return 0;
}

static int decode_object(struct aws_call *c, const struct wire_response *r) {
    if (!wire_answer_header(r, "etag").n) return wire_bad(c, "has no ETag: it is none of S3");
    add_headers(c, r);
    add_metadata(c, r);
    if (c->op == AWS_S3_HeadObject) return 0;
    if (check_length(c, r, r->streamed ? r->streamed_len : r->body.n) || check_sums(c, r)) return -1;
    if (!r->streamed) c->result_body = arena_str(&c->arena, r->body);
    return 0;
}

static int decode_put(struct aws_call *c, const struct wire_response *r) {
    if (check_empty(c, r)) return -1;
    if (!wire_answer_header(r, "etag").n) return wire_bad(c, "has no ETag: it is none of S3");
    add_headers(c, r);
    return 0;
}

static int decode_plain(struct aws_call *c, const struct wire_response *r) {
    if (c->op != AWS_S3_HeadBucket && check_empty(c, r)) return -1;
    add_headers(c, r);
    return 0;
}

/* == documents======================================================================================================
 */

/* Other services name it "<Action>Response" or "<Action>Result". */
static bool is_root(const struct aws_call *c, struct str root, const char *name) {
    struct str action = str_c(c->row->action);
    if (str_is(root, name)) return true;
    if (!str_starts(root, action)) return false;
    struct str rest = str_from(root, action.n);
    return str_is(rest, "Response") || str_is(rest, "Result");
}

static int parse(struct aws_call *c, const struct wire_response *r, const char *name, struct xml **ret) {
    struct err why = {0};
    if (xml_parse(&c->arena, r->body, ret, &why)) return wire_bad(c, "is no XML (%.200s)", why.msg);
    const struct xml *error = wire_xml_error(*ret);
    if (error) return refused_late(c, r, error);
    if (is_root(c, (*ret)->name, name)) return 0;
    return wire_bad(c, "is <%.*s>, not <%s>", STR_ARG(str_take((*ret)->name, 80)), name);
}

static void without_member(struct json *obj, const char *name) {
    for (uint32_t i = 0; i < obj->n; i++) {
        if (!str_is(obj->members[i].key, name)) continue;
        memmove(&obj->members[i], &obj->members[i + 1], (obj->n - i - 1) * sizeof *obj->members);
        obj->n--;
        return;
    }
}

static void add_count(struct aws_call *c) {
    const struct json *contents = json_get(&c->result, "Contents"), *prefixes = json_get(&c->result, "CommonPrefixes");
    int64_t n = (int64_t)(contents ? contents->n : 0) + (prefixes ? prefixes->n : 0);
    json_set(&c->arena, &c->result, "KeyCount", json_make_i64(&c->arena, n));
}

/* Copies' results are members of the result, the others are it. */
static int decode_document(struct aws_call *c, const struct wire_response *r, enum s3_shape shape) {
    struct arena *a = &c->arena;
    struct xml *root = NULL;
    struct json document;
    struct err why = {0};
    if (parse(c, r, aws_s3_root(shape), &root)) return -1;
    bool encoded = str_is(str_trim(xml_text(root, "EncodingType")), "url");
    bool decode = encoded && !json_get_s(&c->params, "EncodingType").n;
    if (aws_s3_read_answer(a, shape, root, decode, &document, &why))
        return wire_bad(c, "is not as S3 gives it: %s", why.msg);
    if (shape == S3_OF_CopyObjectResult || shape == S3_OF_CopyPartResult)
        json_set(a, &c->result, aws_s3_root(shape), document);
    else
        c->result = document;
    if (decode) without_member(&c->result, "EncodingType");
    if (c->op == AWS_S3_ListObjectsV2 && !json_get(&c->result, "KeyCount")) add_count(c);
    add_headers(c, r);
    return 0;
}

/* == all ============================================================================================================
 */

int wire_s3_decode(const struct settings *s, struct aws_call *c, const struct wire_response *r) {
    (void)s;
    const struct s3_plan *plan = s3_plan(c->op);
    if (!wire_ok(r)) return decode_error(c, r);
    if (plan->answer) return decode_document(c, r, plan->answer);
    switch (plan->operation) {
    case S3_GET:
    case S3_HEAD:
        return decode_object(c, r);
    case S3_PUT:
    case S3_PART:
        return decode_put(c, r);
    default:
        return decode_plain(c, r);
    }
}

/* A bucket elsewhere answers 301 or 307, a signature for another region 400. */
struct str protocol_redirect_region(const struct wire_response *r, struct arena *a) {
    struct xml *root = NULL;
    struct err why;
    if ((r->status < 300 || r->status > 308 || r->status == 304) && r->status != 400) return STR_NONE;
    struct str region = str_trim(wire_answer_header(r, "x-amz-bucket-region"));
    if (!region.n && r->body.n && !xml_parse(a, str_take(r->body, WIRE_ERROR_MAX), &root, &why))
        region = xml_text(wire_xml_error(root), "Region");
    return endpoint_region_ok(region) ? arena_str(a, region) : STR_NONE;
}
