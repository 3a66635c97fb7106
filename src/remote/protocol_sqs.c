/* SQS: MD5 sums of what was sent and received, names of errors, lists as the engine gives them. Source: SQS Developer
 * Guide, "Amazon SQS message attributes", "Calculating the MD5 message digest for message attributes". */
#include "base/crypto.h"
#include "remote/wire.h"
#include <endian.h>
#include <stdlib.h>

/* The query protocol's names of errors, as the JSON protocol calls them. */
struct str wire_sqs_error_name(struct str name) {
    const struct str prefix = STR("AWS.SimpleQueueService.");
    if (str_starts(name, prefix)) name = str_from(name, prefix.n);
    if (str_is(name, "NonExistentQueue")) return STR("QueueDoesNotExist");
    return str_is(name, "QueueAlreadyExists") ? STR("QueueNameExists") : name;
}

/* == MD5 ============================================================================================================
 */

static bool md5_is(struct str want, struct str data) {
    uint8_t md5[16];
    char hex[32];
    crypto_md5(data, md5);
    crypto_hex_to(hex, md5, sizeof md5);
    return str_ieq(want, str_n(hex, sizeof hex));
}

static void add_sized(struct buf *b, struct str s) {
    uint32_t n = htobe32((uint32_t)s.n);
    buf_add(b, &n, sizeof n);
    buf_str(b, s);
}

static void add_attribute(struct buf *b, struct str name, const struct json *v) {
    struct str type = json_get_s(v, "DataType");
    struct buf raw = BUF_MAX(WIRE_BODY_MAX);
    bool binary = str_starts(type, STR("Binary"));
    if (binary) crypto_unbase64(&raw, json_get_s(v, "BinaryValue"));
    add_sized(b, name);
    add_sized(b, type);
    buf_byte(b, binary ? 2 : 1);
    add_sized(b, binary ? buf_view(&raw) : json_get_s(v, "StringValue"));
    buf_free(&raw);
}

static int by_name(const void *x, const void *y) {
    const struct json_member *const *a = x, *const *b = y;
    return str_cmp((*a)->key, (*b)->key);
}

static bool attributes_md5_is(struct arena *a, struct str want, const struct json *attrs) {
    uint32_t n = json_is(attrs, JSON_OBJ) ? attrs->n : 0;
    const struct json_member **sorted = ARENA_ARRAY(a, const struct json_member *, n + 1);
    struct buf all = BUF_MAX(WIRE_BODY_MAX);
    for (uint32_t i = 0; i < n; i++) sorted[i] = &attrs->members[i];
    qsort(sorted, n, sizeof *sorted, by_name);
    for (uint32_t i = 0; i < n; i++) add_attribute(&all, sorted[i]->key, &sorted[i]->value);
    bool same = !all.over && md5_is(want, buf_view(&all));
    buf_free(&all);
    return same;
}

/* == what was sent ==================================================================================================
 */

static int differs(struct aws_call *c, const char *member, struct str id) {
    return wire_bad(c, "is about another message: %s of %.*s is not that of the message %s", member,
                    STR_ARG(str_take(id, 100)), c->op == AWS_SQS_ReceiveMessage ? "received" : "sent");
}

static int check_sent(struct aws_call *c, const struct json *sent, const struct json *row) {
    struct str body = json_get_s(row, "MD5OfMessageBody"), attrs = json_get_s(row, "MD5OfMessageAttributes");
    struct str id = json_get_s(row, "MessageId");
    if (body.n && !md5_is(body, json_get_s(sent, "MessageBody"))) return differs(c, "MD5OfMessageBody", id);
    if (attrs.n && !attributes_md5_is(&c->arena, attrs, json_get(sent, "MessageAttributes")))
        return differs(c, "MD5OfMessageAttributes", id);
    return 0;
}

static const struct json *entry_of(const struct json *entries, struct str id) {
    for (uint32_t i = 0; json_is(entries, JSON_ARR) && i < entries->n; i++)
        if (str_eq(json_get_s(&entries->items[i], "Id"), id)) return &entries->items[i];
    return NULL;
}

static int check_batch(struct aws_call *c) {
    const struct json *good = json_get(&c->result, "Successful"), *entries = json_get(&c->params, "Entries");
    for (uint32_t i = 0; json_is(good, JSON_ARR) && i < good->n; i++) {
        struct str id = json_get_s(&good->items[i], "Id");
        const struct json *sent = entry_of(entries, id);
        if (!sent) return wire_bad(c, "names an entry that was not sent: \"%.*s\"", STR_ARG(str_take(id, 100)));
        if (check_sent(c, sent, &good->items[i])) return -1;
    }
    return 0;
}

/* == what was received ==============================================================================================
 */

/* The sum of the attributes is only known to be that of all. */
static bool asked_all(const struct aws_call *c) {
    const struct json *names = json_get(&c->params, "MessageAttributeNames");
    for (uint32_t i = 0; json_is(names, JSON_ARR) && i < names->n; i++)
        if (str_is(json_str(&names->items[i]), "All") || str_is(json_str(&names->items[i]), ".*")) return true;
    return false;
}

static int check_received(struct aws_call *c) {
    const struct json *all = json_get(&c->result, "Messages");
    for (uint32_t i = 0; json_is(all, JSON_ARR) && i < all->n; i++) {
        const struct json *m = &all->items[i], *attrs = json_get(m, "MessageAttributes");
        struct str body = json_get_s(m, "MD5OfBody"), sum = json_get_s(m, "MD5OfMessageAttributes");
        struct str id = json_get_s(m, "MessageId");
        if (body.n && !md5_is(body, json_get_s(m, "Body"))) return differs(c, "MD5OfBody", id);
        if (sum.n && attrs && asked_all(c) && !attributes_md5_is(&c->arena, sum, attrs))
            return differs(c, "MD5OfMessageAttributes", id);
    }
    return 0;
}

/* == shape ==========================================================================================================
 */

static void drop_if_empty(struct json *obj, const char *name) {
    const struct json *v = json_get(obj, name);
    if (!v || (!json_is(v, JSON_ARR) && !json_is(v, JSON_OBJ)) || v->n) return;
    uint32_t n = 0;
    for (uint32_t i = 0; i < obj->n; i++)
        if (&obj->members[i].value != v) obj->members[n++] = obj->members[i];
    obj->n = n;
}

static bool is_batch(enum aws_op op) {
    return op == AWS_SQS_SendMessageBatch || op == AWS_SQS_DeleteMessageBatch ||
           op == AWS_SQS_ChangeMessageVisibilityBatch;
}

/* Failures' codes as those of single calls. */
static void name_failures(struct json *failed) {
    for (uint32_t i = 0; json_is(failed, JSON_ARR) && i < failed->n; i++) {
        struct json *code = (struct json *)json_get(&failed->items[i], "Code");
        if (json_is(code, JSON_STR)) *code = json_make_str(wire_sqs_error_name(code->s));
    }
}

static void shape(struct aws_call *c) {
    static const char *const lists[] = {"Messages", "QueueUrls", "Attributes", "Failed"};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) drop_if_empty(&c->result, lists[i]);
    if (!is_batch(c->op)) return;
    if (!json_get(&c->result, "Successful")) json_set(&c->arena, &c->result, "Successful", json_make_arr());
    name_failures((struct json *)json_get(&c->result, "Failed"));
}

int wire_sqs_check(struct aws_call *c) {
    shape(c);
    switch (c->op) {
    case AWS_SQS_SendMessage:
        return check_sent(c, &c->params, &c->result);
    case AWS_SQS_SendMessageBatch:
        return check_batch(c);
    case AWS_SQS_ReceiveMessage:
        return check_received(c);
    default:
        return 0;
    }
}
