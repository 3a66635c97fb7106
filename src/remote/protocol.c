#include "base/crypto.h"
#include "remote/retry.h"
#include "remote/wire.h"
#include <stdio.h>
#include <string.h>

/* == requests =======================================================================================================
 */

void wire_header(struct arena *a, struct wire_request *r, const char *name, struct str value) {
    size_t n = r->n_headers;
    if (n == 0 || (n >= 8 && (n & (n - 1)) == 0)) { /* full at 0, 8, 16, 32, ... */
        struct http_header *more = ARENA_ARRAY(a, struct http_header, n ? 2 * n : 8);
        if (n) memcpy(more, r->headers, n * sizeof *more);
        r->headers = more;
    }
    r->headers[r->n_headers++] = (struct http_header){str_c(name), value};
}

struct str wire_base64(struct arena *a, const void *p, size_t n) {
    struct buf b = BUF_MAX(2 * n + 8);
    crypto_base64(&b, str_n(p, n));
    struct str s = arena_str(a, buf_view(&b));
    buf_free(&b);
    return s;
}

struct str wire_base64_crc32(struct arena *a, uint32_t crc) {
    uint8_t d[4] = {(uint8_t)(crc >> 24), (uint8_t)(crc >> 16), (uint8_t)(crc >> 8), (uint8_t)crc};
    return wire_base64(a, d, sizeof d);
}

int wire_take(struct arena *a, struct buf *b, const char *what, struct str *ret, struct err *e) {
    int rc = buf_check(b, what, e);
    if (!rc) *ret = arena_str(a, buf_view(b));
    buf_free(b);
    return rc;
}

void wire_token(struct aws_call *c, const char *member) {
    struct json *old = member ? (struct json *)json_get(&c->params, member) : NULL;
    if (!member || (old && !json_is(old, JSON_NULL))) return;
    char *token = arena_alloc(&c->arena, 37);
    crypto_uuid4(token);
    if (old)
        *old = json_make_str(str_n(token, 36));
    else
        json_set(&c->arena, &c->params, member, json_make_str(str_n(token, 36)));
}

/* The action becomes part of a header or of a form. */
static bool is_action(const char *s) {
    size_t n = strlen(s);
    return n && n <= 128 && strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == n;
}

static int check(struct aws_call *c, struct err *e) {
    enum aws_service service = c->row->service;
    enum aws_op op;
    if (!json_is(&c->params, JSON_OBJ))
        return err_set(e, ERR_VALIDATION, "the parameters of %.128s are %s, not an object", c->row->action,
                       json_type_name(c->params.type));
    if (c->op == AWS_OTHER && (service == AWS_S3 || service == AWS_SES))
        return aws_op_find(service, str_c(c->row->action), &op, e);
    if (!is_action(c->row->action))
        return err_set(e, ERR_UNKNOWN_OPERATION, "\"%.80s\" is no name of an operation of %s", c->row->action,
                       aws_service_name(service));
    return 0;
}

static int encode(const struct settings *s, struct aws_call *c, struct arena *a, struct wire_request *r,
                  struct err *e) {
    switch (aws_service_row(c->row->service)->protocol) {
    case AWS_JSON_1_0:
    case AWS_JSON_1_1:
        return wire_json_encode(c, a, r, e);
    case AWS_QUERY:
        return wire_query_encode(c, a, r, e);
    case AWS_REST_XML:
        return wire_s3_encode(s, c, a, r, e);
    case AWS_REST_JSON:
        return wire_ses_encode(c, a, r, e);
    }
    return err_set(e, ERR_INTERNAL, "%s has no protocol", aws_service_name(c->row->service));
}

int protocol_encode(const struct settings *s, struct aws_call *c, struct arena *a, struct wire_request *ret,
                    struct err *e) {
    struct wire_request r = {.method = STR("POST"), .path = STR("/"), .raw_query = STR(""), .body = STR("")};
    uint8_t sha[32];
    if (check(c, e) || encode(s, c, a, &r, e)) return -1;
    if (!r.has_body_file) {
        char *hex = arena_alloc(a, 64);
        crypto_sha256(r.body, sha);
        crypto_hex_to(hex, sha, sizeof sha);
        r.body_sha256 = str_n(hex, 64);
    }
    *ret = r;
    return 0;
}

/* == answers ========================================================================================================
 */

struct str wire_answer_header(const struct wire_response *r, const char *name) {
    for (size_t i = 0; i < r->n_headers; i++)
        if (str_ieq(r->headers[i].name, str_c(name))) return r->headers[i].value;
    return STR_NONE;
}

bool wire_ok(const struct wire_response *r) {
    return r->status >= 200 && r->status <= 299;
}

struct str wire_clean(struct arena *a, struct str text, size_t max) {
    struct str copy = arena_str(a, str_take(text, max));
    char *p = (char *)copy.p;
    ptrdiff_t bad = str_bad_utf8(copy);
    if (bad >= 0 && text.n > max && copy.n - (size_t)bad < 4) copy.n = (size_t)bad; /* cut inside a character */
    for (struct str rest = copy; (bad = str_bad_utf8(rest)) >= 0; rest = str_from(rest, (size_t)bad + 1))
        ((char *)rest.p)[bad] = '?';
    for (size_t i = 0; i < copy.n; i++)
        if ((unsigned char)p[i] < 0x20 || p[i] == 0x7f) p[i] = ' ';
    return str_trim(copy);
}

int wire_bad(struct aws_call *c, const char *fmt, ...) {
    struct str why;
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    why = wire_clean(&c->arena, str_c(text), sizeof text);
    c->result = json_make_obj();
    c->result_body = STR_NONE;
    return err_set(&c->err, ERR_BAD_ANSWER, "the answer to %s.%.128s %.*s", aws_service_name(c->row->service),
                   c->row->action, STR_ARG(why));
}

/* -- errors of the service -- */

struct str wire_error_name(struct str code) {
    ptrdiff_t colon = str_chr(code, ':', 0), hash;
    if (colon >= 0) code = str_take(code, (size_t)colon);
    while ((hash = str_chr(code, '#', 0)) >= 0) code = str_from(code, (size_t)hash + 1);
    code = str_take(str_trim(code), 63);
    for (size_t i = 0; i < code.n; i++) {
        char ch = code.p[i];
        bool ok = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9');
        if (!ok && (!ch || !strchr("._-", ch))) return STR_NONE;
    }
    return code;
}

static const char *name_of_status(const struct aws_call *c, int status) {
    bool s3 = c->row->service == AWS_S3;
    switch (status) {
    case 304:
        return "NotModified";
    case 403:
        return s3 ? "AccessDenied" : "AccessDeniedException";
    case 408:
        return "RequestTimeout";
    case 412:
        return "PreconditionFailed";
    case 413:
        return "RequestEntityTooLarge";
    case 416:
        return "InvalidRange";
    case 429:
        return "TooManyRequestsException";
    case 501:
        return "NotImplemented";
    case 502:
        return "BadGateway";
    case 503:
        return "ServiceUnavailable";
    case 504:
        return "GatewayTimeout";
    default:
        return status >= 500 ? "InternalServerError" : "InvalidServiceResponse";
    }
}

/* A signature that does not match is explained with the whole request, its token included: only the first line of that
 * is for others' eyes. */
static struct str without_secrets(struct str name, struct str message) {
    static const char *const from[] = {"\n", "Authorization=", "(This authorization"};
    if (str_find(name, STR("Signature"), 0) < 0 && str_find(name, STR("Authorization"), 0) < 0) return message;
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        ptrdiff_t at = str_find(message, str_c(from[i]), 0);
        if (at >= 0) message = str_take(message, (size_t)at);
    }
    return message;
}

/* Whether trying again later can help: what retries are made for, what err.def says, and transactions that only met
 * others on their way. */
static bool may_help(const struct aws_call *c) {
    const struct json *reasons = json_get(&c->result, "CancellationReasons");
    enum retry_class class = retry_classify(EXCHANGE_OK, &c->err, INT64_MIN);
    bool passing = false;
    if (class == RETRY_TRANSIENT || class == RETRY_THROTTLING) return true;
    if (!strncmp(c->err.name, "ExpiredToken", 12)) return true;
    if (!strcmp(c->err.name, "OperationAborted") || !strcmp(c->err.name, "ConditionalRequestConflict")) return true;
    if (c->err.code != ERR_DDB_CANCELLED) return c->err.code != ERR_BAD_ANSWER && err_retryable(c->err.code);
    for (uint32_t i = 0; json_is(reasons, JSON_ARR) && i < reasons->n; i++) {
        struct str code = json_get_s(&reasons->items[i], "Code");
        bool once = str_is(code, "TransactionConflict") || str_is(code, "ThrottlingError") ||
                    str_is(code, "ProvisionedThroughputExceeded");
        if (!once && !str_is(code, "None")) return false;
        passing |= once;
    }
    return passing;
}

static int refuse(struct aws_call *c, int status, struct str name, struct str message) {
    char text[64];
    snprintf(text, sizeof text, "%.*s", STR_ARG(name));
    message = wire_clean(&c->arena, without_secrets(name, message), sizeof c->err.msg - 1);
    if (message.n)
        err_service(&c->err, text, status, false, "%.*s", STR_ARG(message));
    else
        err_service(&c->err, text, status, false, "%s answered %d %s", aws_service_name(c->row->service), status,
                    http_reason(status));
    c->err.retryable = may_help(c);
    c->result_body = STR_NONE;
    return -1;
}

int wire_refused(struct aws_call *c, const struct wire_response *r, struct str code, struct str message) {
    struct str name = wire_error_name(code);
    return refuse(c, r->status, name.n ? name : str_c(name_of_status(c, r->status)), message);
}

int wire_unreadable(struct aws_call *c, const struct wire_response *r, const char *expected) {
    struct str body = wire_clean(&c->arena, r->body, 300);
    const char *name = name_of_status(c, r->status), *reason = http_reason(r->status);
    c->result = json_make_obj();
    if (!body.n) return refuse(c, r->status, str_c(name), STR_NONE);
    return refuse(c, r->status, str_c(name),
                  arena_printf(&c->arena, "%s answered %d %s with a body that is no %s: %.*s",
                               aws_service_name(c->row->service), r->status, reason, expected, STR_ARG(body)));
}

/* -- XML errors -- */

const struct xml *wire_xml_error(const struct xml *root) {
    if (!root) return NULL;
    if (str_is(root->name, "Error")) return root;
    if (str_is(root->name, "ErrorResponse") || str_is(root->name, "Response")) {
        const struct xml *inner = xml_child(root, "Errors");
        return xml_child(inner ? inner : root, "Error");
    }
    return NULL;
}

/* What S3 tells of a wrong signature is the signed request itself. */
static bool is_private(struct str name) {
    static const char *const names[] = {"Code",           "Message",          "RequestId",
                                        "HostId",         "StringToSign",     "StringToSignBytes",
                                        "AWSAccessKeyId", "CanonicalRequest", "CanonicalRequestBytes",
                                        "Token-0",        "SignatureProvided"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i])) return true;
    return false;
}

int wire_refused_xml(struct aws_call *c, const struct wire_response *r, const struct xml *error) {
    struct str message = xml_text(error, "Message");
    for (const struct xml *x = error->first; x; x = x->next)
        if (!x->first && !is_private(x->name)) json_set_str(&c->arena, &c->result, x->name, json_make_str(x->text));
    return wire_refused(c, r, xml_text(error, "Code"), message.n ? message : xml_text(error, "message"));
}

/* -- ids -- */

static struct str first_header(const struct wire_response *r, const char *const *names) {
    for (; *names; names++) {
        struct str v = wire_answer_header(r, *names);
        if (v.n) return v;
    }
    return STR_NONE;
}

static void read_ids(struct aws_call *c, const struct wire_response *r) {
    static const char *const names[] = {"x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id", NULL};
    struct str id = wire_clean(&c->arena, first_header(r, names), sizeof c->request_id - 1);
    memcpy(c->request_id, id.n ? id.p : "", id.n);
    c->request_id[id.n] = '\0';
    id = wire_answer_header(r, "x-amz-id-2");
    c->extended_id = id.n ? wire_clean(&c->arena, id, 256) : STR_NONE;
}

static int decode(const struct settings *s, struct aws_call *c, const struct wire_response *r) {
    switch (aws_service_row(c->row->service)->protocol) {
    case AWS_JSON_1_0:
    case AWS_JSON_1_1:
        return wire_json_decode(c, r);
    case AWS_QUERY:
        return wire_query_decode(c, r);
    case AWS_REST_XML:
        return wire_s3_decode(s, c, r);
    case AWS_REST_JSON:
        return wire_ses_decode(c, r);
    }
    return wire_bad(c, "has no protocol");
}

int protocol_decode(const struct settings *s, struct aws_call *c, const struct wire_response *r) {
    c->err = (struct err){0};
    c->result = json_make_obj();
    c->result_body = STR_NONE;
    read_ids(c, r);
    return decode(s, c, r);
}
