/* AWS JSON 1.0 and 1.1: one path, the operation in a header, JSON both ways. */
#include "base/crypto.h"
#include "remote/wire.h"
#include <inttypes.h>
#include <string.h>

/* DynamoDB nests values 32 deep, each of them two levels of JSON, inside at most seven of the answer's own. */
enum { ANSWER_DEPTH = 110, ERROR_MAX = 16 << 20 };

/* == requests =======================================================================================================
 */

/* Tokens by which the service knows a retry: they are made once a call. Source: the members with the idempotencyToken
 * trait in the services' models; as the SDKs do, only where the member is absent. */
static const char *token_member(const struct aws_call *c) {
    static const struct {
        enum aws_service service;
        const char *actions, *member;
    } rows[] = {
        {AWS_DYNAMODB, "TransactWriteItems ExecuteTransaction", "ClientRequestToken"},
        {AWS_DYNAMODB, "ExportTableToPointInTime ImportTable", "ClientToken"},
        {AWS_SECRETSMANAGER, "CreateSecret PutSecretValue RotateSecret UpdateSecret", "ClientRequestToken"},
        {AWS_SSM,
         "CreateMaintenanceWindow CreatePatchBaseline DeleteInventory RegisterTargetWithMaintenanceWindow "
         "RegisterTaskWithMaintenanceWindow",
         "ClientToken"},
        {AWS_STATES, "RedriveExecution", "clientToken"},
        {AWS_LOGS, "PutQueryDefinition", "clientToken"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].service != c->row->service) continue;
        for (struct str rest = str_c(rows[i].actions); rest.p;)
            if (str_is(str_cut(&rest, ' '), c->row->action)) return rows[i].member;
    }
    return NULL;
}

int wire_json_encode(struct aws_call *c, struct arena *a, struct wire_request *r, struct err *e) {
    const struct aws_service_row *service = aws_service_row(c->row->service);
    struct buf body = BUF_MAX(WIRE_BODY_MAX);
    wire_token(c, token_member(c));
    json_write(&body, &c->params);
    if (wire_take(a, &body, "the request", &r->body, e)) return -1;
    wire_header(a, r, "Content-Type",
                service->protocol == AWS_JSON_1_0 ? STR("application/x-amz-json-1.0")
                                                  : STR("application/x-amz-json-1.1"));
    wire_header(a, r, "X-Amz-Target", arena_printf(a, "%s.%s", service->target, c->row->action));
    if (c->row->service == AWS_SQS) wire_header(a, r, "x-amzn-query-mode", STR("true"));
    return 0;
}

/* == answers ========================================================================================================
 */

bool wire_json_body(struct aws_call *c, struct str body, struct json *ret, struct err *why) {
    const struct json_limits limits = {.depth = ANSWER_DEPTH};
    if (json_parse(&c->arena, arena_str(&c->arena, body), &limits, ret, why)) return false;
    if (json_is(ret, JSON_OBJ)) return true;
    err_set(why, ERR_SYNTAX, "it is %s, not an object", json_type_name(ret->type));
    return false;
}

/* Members that are null are absent. */
static void drop_nulls(struct json *obj) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < obj->n; i++)
        if (!json_is(&obj->members[i].value, JSON_NULL)) obj->members[n++] = obj->members[i];
    obj->n = n;
}

/* -- errors -- */

static void further_members(struct aws_call *c, const struct json *error) {
    static const char *const own[] = {"__type", "message", "Message", "code", "Code"};
    for (uint32_t i = 0; i < error->n; i++) {
        const struct json_member *m = &error->members[i];
        bool skip = json_is(&m->value, JSON_NULL);
        for (size_t k = 0; k < sizeof own / sizeof *own; k++) skip |= str_is(m->key, own[k]);
        if (!skip) json_set_str(&c->arena, &c->result, m->key, m->value);
    }
    struct json *reasons = (struct json *)json_get(&c->result, "CancellationReasons");
    for (uint32_t i = 0; json_is(reasons, JSON_ARR) && i < reasons->n; i++)
        if (json_is(&reasons->items[i], JSON_OBJ)) drop_nulls(&reasons->items[i]);
}

static struct str text_member(const struct json *obj, const char *name, const char *other) {
    struct str v = json_get_s(obj, name);
    return v.n ? v : json_get_s(obj, other);
}

/* SQS: "AWS.SimpleQueueService.NonExistentQueue;Sender", the name that the query protocol had. */
static struct str query_code(const struct wire_response *r) {
    struct str v = wire_answer_header(r, "x-amzn-query-error");
    return wire_error_name(str_cut(&v, ';'));
}

int wire_json_error(struct aws_call *c, const struct wire_response *r) {
    struct json error;
    struct err why = {0};
    struct str code = wire_answer_header(r, "x-amzn-errortype"), query = query_code(r);
    bool readable = wire_json_body(c, str_take(r->body, ERROR_MAX), &error, &why);
    if (readable && !code.n) code = json_get_s(&error, "__type");
    if (readable && !code.n) code = text_member(&error, "code", "Code");
    code = wire_error_name(code);
    if (!code.n) code = query;
    if (c->row->service == AWS_SQS) code = wire_sqs_error_name(code);
    if (!readable && !code.n) return wire_unreadable(c, r, "JSON object");
    if (readable) further_members(c, &error);
    if (query.n) json_set(&c->arena, &c->result, "query_code", json_make_str(arena_str(&c->arena, query)));
    return wire_refused(c, r, code, readable ? text_member(&error, "message", "Message") : r->body);
}

/* -- successes -- */

/* x-amz-crc32: CRC-32 of the body as sent, in decimal. */
static int check_crc32(struct aws_call *c, const struct wire_response *r) {
    struct str v = wire_answer_header(r, "x-amz-crc32");
    int64_t want;
    if (c->row->service != AWS_DYNAMODB || !v.n) return 0;
    uint32_t have = crypto_crc32(r->body);
    if (str_i64(v, &want) && want == have) return 0;
    return wire_bad(c, "is damaged: its CRC-32 is %" PRIu32 ", the header x-amz-crc32 says %.*s", have,
                    STR_ARG(str_take(v, 20)));
}

int wire_json_decode(struct aws_call *c, const struct wire_response *r) {
    struct err why = {0};
    struct json result = json_make_obj();
    if (check_crc32(c, r)) return -1;
    if (!wire_ok(r)) return wire_json_error(c, r);
    if (r->body.n && !wire_json_body(c, r->body, &result, &why))
        return wire_bad(c, "is no JSON object (%.200s)", why.msg);
    drop_nulls(&result);
    c->result = result;
    return c->row->service == AWS_SQS ? wire_sqs_check(c) : 0;
}
