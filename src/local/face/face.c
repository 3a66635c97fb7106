/* The cloud port: tells services and protocols apart, then hands over to the one that is meant.
 *
 * In order: X-Amz-Target, the service of the credential scope, the host's first label, the path, Action; else S3. */
#include "base/xml.h"
#include "local/face/control.h"
#include "local/face/query.h"
#include <string.h>

enum { MAX_QUERY = 2000, MAX_FORM = 20000 };

/* == what protocols share ===========================================================================================
 */

void face_set(struct http_response *res, const char *name, struct str value) {
    struct err ignored = {0};
    if (value.p) http_set(res, str_c(name), value, &ignored);
}

void face_xml(struct buf *b, const char *tag, struct str s) {
    buf_printf(b, "<%s>", tag);
    for (struct str rest = s; rest.p;) { /* line ends stay as they are */
        xml_escape(b, str_cut(&rest, '\n'));
        if (rest.p) buf_byte(b, '\n');
    }
    buf_printf(b, "</%s>", tag);
}

void face_send(struct face *f, struct http_response *res) {
    if (f->ended) *f->ended = true;
    f->reply(f->ud, res);
}

struct str face_param(const struct face *f, const char *name) {
    for (size_t i = 0; i < f->n_query; i++)
        if (str_is(f->query[i].name, name)) return f->query[i].value;
    return STR_NONE;
}

struct str face_header(const struct face *f, const char *name) {
    for (size_t i = 0; i < f->n_trailers; i++)
        if (str_ieq(f->trailers[i].name, str_c(name))) return f->trailers[i].value;
    return !strcmp(name, "content-encoding") ? f->content_encoding : http_header(f->r, name);
}

struct str face_base_url(const struct face *f) {
    struct str host = http_header(f->r, "host");
    if (!host.n || str_bad_utf8(host) >= 0)
        return arena_printf(f->r->arena, "http://127.0.0.1:%d", atomic_load(&f->conn->local->cloud_port));
    return arena_printf(f->r->arena, "http://%.*s", STR_ARG(host));
}

/* A parked call outlives its request when the client goes: it must not point into it. */
static void detach_from_request(struct face *f, struct aws_call *c) {
    c->params = json_copy(&c->arena, &c->params);
    c->context.request_id = arena_str(&c->arena, c->context.request_id);
    c->context.trace_id = arena_str(&c->arena, c->context.trace_id);
    f->waiting = c;
}

void face_start(struct face *f, struct aws_call *c, void (*done)(struct aws_call *c, void *ud), void *ud) {
    c->context.request_id = f->r->request_id;
    c->context.trace_id = f->r->trace_id;
    c->done = done;
    c->ud = ud;
    if (c->row->flags & AWS_LONG) detach_from_request(f, c);
    if (aws_start(&f->conn->backend, f->conn->loop, c) == AWS_PENDING) return;
    f->waiting = NULL;
    done(c, ud);
}

void local_face_cancel(void *ticket) {
    struct face *f = ticket;
    aws_cancel(f->waiting);
}

/* Without a row: the same in both protocols. */
static const char *const sqs_codes[][2] = {
    {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"},
    {"QueueNameExists", "QueueAlreadyExists"},
    {"MessageNotInflight", "AWS.SimpleQueueService.MessageNotInflight"},
    {"EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest"},
    {"TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"},
    {"BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"},
    {"InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId"},
    {"BatchRequestTooLong", "AWS.SimpleQueueService.BatchRequestTooLong"},
    {"PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress"},
    {"QueueDeletedRecently", "AWS.SimpleQueueService.QueueDeletedRecently"},
    {"UnsupportedOperation", "AWS.SimpleQueueService.UnsupportedOperation"},
    {"UnknownOperationException", "InvalidAction"},
    {"AccessDeniedException", "AccessDenied"},
    {"InternalServerError", "InternalFailure"}};

const char *face_sqs_query_code(const struct err *e) {
    const char *name = err_name_of(e), *auth = face_auth_query_name(e->code);
    if (auth) return auth;
    for (size_t i = 0; i < sizeof sqs_codes / sizeof *sqs_codes; i++)
        if (!strcmp(name, sqs_codes[i][0])) return sqs_codes[i][1];
    return name;
}

static void fix_queue_url(const struct face *f, struct aws_call *c, struct json *url) {
    if (!json_is(url, JSON_STR)) return;
    *url = json_make_str(arena_printf(&c->arena, "%.*s/%.*s/%.*s", STR_ARG(face_base_url(f)),
                                      STR_ARG(f->conn->backend.id.account), STR_ARG(aws_queue_name(url->s))));
}

void face_fix_queue_urls(const struct face *f, struct aws_call *c) {
    struct json *r = &c->result;
    for (uint32_t i = 0; json_is(r, JSON_OBJ) && i < r->n; i++) {
        struct json *v = &r->members[i].value;
        struct str key = r->members[i].key;
        if (str_is(key, "QueueUrl")) fix_queue_url(f, c, v);
        if (!str_ieq(key, STR("QueueUrls")) || !json_is(v, JSON_ARR)) continue;
        for (uint32_t k = 0; k < v->n; k++) fix_queue_url(f, c, &v->items[k]);
    }
}

/* == which service ==================================================================================================
 */

static bool engine_service(struct str name, enum aws_service *ret) {
    if (str_is(name, "email")) name = STR("ses");
    for (int i = 0; i < AWS_ENGINE_SERVICES; i++) {
        if (!str_is(name, aws_service_name(i))) continue;
        *ret = i;
        return true;
    }
    return false;
}

/* "AmazonSQS.SendMessage" */
static bool by_target(struct face *f) {
    struct str rest = http_header(f->r, "x-amz-target"), prefix;
    if (!rest.p) return false;
    f->protocol = FACE_JSON;
    prefix = str_cut(&rest, '.');
    f->action = rest.p ? rest : STR("");
    f->service = str_is(prefix, aws_service_row(AWS_SQS)->target) ? AWS_SQS : AWS_DYNAMODB;
    if (!str_is(prefix, aws_service_row(f->service)->target)) f->action = http_header(f->r, "x-amz-target");
    return true;
}

static struct str last_segment(struct str s) {
    size_t at = s.n;
    while (at && s.p[at - 1] != '/') at--;
    return str_from(s, at);
}

/* "AKID/20130524/us-east-1/s3/aws4_request" -> "s3" */
static struct str scope_service(struct str credential) {
    size_t tail = last_segment(credential).n + 1;
    return credential.n > tail ? last_segment(str_take(credential, credential.n - tail)) : STR_NONE;
}

static struct str claimed_service(const struct face *f) {
    struct str credential = face_param(f, "X-Amz-Credential");
    struct str header = http_header(f->r, "authorization");
    ptrdiff_t at = str_find(header, STR("Credential="), 0);
    if (at >= 0) {
        struct str rest = str_from(header, (size_t)at + 11);
        credential = str_cut(&rest, ',');
    }
    return scope_service(str_trim(credential));
}

static struct str host_name(const struct face *f) {
    struct str host = http_header(f->r, "host");
    ptrdiff_t colon = host.n && host.p[0] != '[' ? str_chr(host, ':', 0) : -1;
    return colon >= 0 ? str_take(host, (size_t)colon) : host;
}

/* "sqs.localhost", "dynamodb.us-east-1.amazonaws.test" */
static bool by_host(struct face *f) {
    struct str rest = host_name(f), label = str_cut(&rest, '.');
    return rest.n && engine_service(label, &f->service);
}

static bool is_form(const struct face *f) {
    struct str type = http_header(f->r, "content-type");
    return str_ieq(str_take(type, 33), STR("application/x-www-form-urlencoded"));
}

/* The parameter Action of the query, or of the form in the body. */
static struct str action_of(const struct face *f) {
    struct str found = face_param(f, "Action");
    for (struct str rest = is_form(f) ? f->r->body : STR_NONE; rest.n && !found.p;) {
        struct str value = str_cut(&rest, '&'), name = str_cut(&value, '=');
        if (str_is(name, "Action")) found = value.p ? value : STR("");
    }
    return found;
}

/* Nobody signed, and the host says nothing: actions have one service each. Queues have paths of their own. */
static enum aws_service by_action(const struct face *f, struct str action) {
    bool root = str_is(f->r->path, "/");
    if (str_starts(f->r->path, STR("/v2/email"))) return AWS_SES;
    if (action.p && query_sqs_knows(action)) return AWS_SQS;
    if (action.p && root) return query_ses_knows(action) ? AWS_SES : AWS_STS;
    return AWS_S3;
}

static void choose_service(struct face *f) {
    f->claimed = claimed_service(f);
    if (by_target(f)) return;
    struct str action = action_of(f);
    f->service = AWS_S3;
    if (f->claimed.n) {
        if (!engine_service(f->claimed, &f->service)) f->service = action.p ? AWS_STS : AWS_S3;
    } else if (!by_host(f)) {
        f->service = by_action(f, action);
    }
    f->protocol = f->service == AWS_S3                 ? FACE_S3
                  : f->service == AWS_DYNAMODB         ? FACE_JSON
                  : f->service == AWS_SES && !action.p ? FACE_SES
                                                       : FACE_QUERY;
}

/* == buckets in the host's name =====================================================================================
 */

/* The part of host before ".base", or empty. */
static struct str before(struct str host, struct str base) {
    if (host.n <= base.n + 1 || !base.n || !str_ieq(str_from(host, host.n - base.n), base)) return STR_NONE;
    if (host.p[host.n - base.n - 1] != '.') return STR_NONE;
    return str_take(host, host.n - base.n - 1);
}

static void read_host_bucket(struct face *f) {
    struct str host = host_name(f), bucket;
    struct url u = {0};
    enum aws_service s;
    if (f->conn->local->public_url && !url_parse(str_c(f->conn->local->public_url), &u, NULL))
        bucket = before(host, u.host);
    else
        bucket = STR_NONE;
    if (!bucket.n) bucket = before(host, STR("localhost"));
    if (bucket.n > 3 && str_ieq(str_from(bucket, bucket.n - 3), STR(".s3"))) bucket = str_take(bucket, bucket.n - 3);
    if (bucket.n && !engine_service(bucket, &s)) f->host_bucket = bucket;
}

/* == one request ====================================================================================================
 */

static const struct face_doors {
    void (*begin)(struct face *f);
    void (*refuse)(struct face *f, const struct err *e);
} doors[FACE_PROTOCOLS] = {
    [FACE_JSON] = {face_json, face_json_error},
    [FACE_QUERY] = {face_query, face_query_error},
    [FACE_SES] = {face_ses, face_ses_error},
    [FACE_S3] = {face_s3, face_s3_error},
};

static bool is_health(const struct face *f) {
    bool reads = str_is(f->r->method, "GET") || str_is(f->r->method, "HEAD");
    return reads && str_is(f->r->path, "/") && !f->r->raw_query.n && !f->host_bucket.n &&
           !http_header(f->r, "authorization").p && !http_header(f->r, "x-amz-target").p;
}

static void send_health(struct face *f) {
    struct http_response res;
    http_response_init(&res, 200);
    face_set(&res, "Content-Type", STR("application/json"));
    buf_c(&res.body, "{\"status\":\"ok\",\"services\":[\"dynamodb\",\"sqs\",\"s3\",\"ses\",\"sts\"]}\n");
    face_send(f, &res);
}

static bool is_browser_form(const struct face *f) {
    return f->protocol == FACE_S3 && str_is(f->r->method, "POST") && !http_header(f->r, "authorization").p &&
           !face_param(f, "X-Amz-Algorithm").p && !face_param(f, "AWSAccessKeyId").p;
}

static int read_query(struct face *f, struct err *e) {
    if (!url_query(f->r->arena, f->r->raw_query, MAX_QUERY, &f->query, &f->n_query, e)) return 0;
    e->code = ERR_S3_ARGUMENT;
    return -1;
}

/* The parameters of a form in the body go behind those of the query. */
static int read_form(struct face *f, struct err *e) {
    struct url_param *form = NULL, *all;
    size_t n = 0;
    if (is_form(f) && url_query(f->r->arena, f->body, MAX_FORM, &form, &n, e)) return -1;
    all = ARENA_ARRAY(f->r->arena, struct url_param, f->n_query + n + 1);
    if (f->n_query) memcpy(all, f->query, f->n_query * sizeof *all);
    if (n) memcpy(all + f->n_query, form, n * sizeof *all);
    f->query = all;
    f->n_query += n;
    f->action = face_param(f, "Action");
    return 0;
}

static void answer(struct face *f) {
    struct err e = {0};
    int rc = read_query(f, &e);
    choose_service(f);
    if (!doors[f->protocol].begin) f->protocol = FACE_S3;
    if (f->protocol == FACE_S3) read_host_bucket(f);
    if (is_health(f)) {
        send_health(f);
        return;
    }
    if (face_control(f)) return;
    f->form = is_browser_form(f);
    if (!rc && f->protocol == FACE_JSON) rc = face_json_check(f, &e);
    if (!rc && !f->form) rc = face_authenticate(f, &e);
    if (!rc && f->protocol == FACE_QUERY) rc = read_form(f, &e);
    if (rc)
        doors[f->protocol].refuse(f, &e);
    else
        doors[f->protocol].begin(f);
}

void *local_face(struct local_conn *c, struct http_request *r, http_reply_fn *reply, void *ud) {
    struct face *f = ARENA_NEW(r->arena, struct face);
    bool ended = false;
    *f = (struct face){.conn = c, .r = r, .reply = reply, .ud = ud, .body = r->body, .ended = &ended};
    f->content_encoding = http_header(r, "content-encoding");
    answer(f);
    if (ended) return NULL;
    f->ended = NULL;
    return f->waiting ? f : NULL;
}
