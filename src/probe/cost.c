/* What calls are billed as.
 *
 * DynamoDB: capacity units, as the service tells them itself when asked. SQS: a request for each started 64 KiB of
 * payload (Amazon SQS pricing, "How are Amazon SQS requests priced?"). S3: by the class of the request; DELETE and
 * CANCEL are free (Amazon S3 pricing, "Requests & data retrievals"). SES: each recipient is a message. */
#include "base/buf.h"
#include "probe/state.h"
#include <stdlib.h>
#include <string.h>

enum { SQS_CHUNK = 64 << 10 };

/* How the call was changed, to be undone. */
enum { ASKED_NOT, ASKED_ADDED, ASKED_INSTEAD };

#define CAPACITY "ReturnConsumedCapacity"

/* == capacity units =================================================================================================
 */

/* A caller that asked for NONE, or for what there is not, is not in the way of the latter's error. */
void cost_ask(struct passing *x) {
    struct aws_call *c = x->call;
    x->asked = ASKED_NOT;
    if (!x->p->price || !aws_op_has_items(c->op)) return;
    struct json *there = (struct json *)json_get(&c->params, CAPACITY);
    if (there && !str_is(json_str(there), "NONE")) return;
    x->asked = there ? ASKED_INSTEAD : ASKED_ADDED;
    if (there)
        *there = json_make_c("TOTAL");
    else
        json_set(&c->arena, &c->params, CAPACITY, json_make_c("TOTAL"));
}

static void remove_member(struct json *o, const char *key) {
    const struct json *v = json_get(o, key);
    if (!v) return;
    struct json_member *m = CONTAINER(v, struct json_member, value);
    memmove(m, m + 1, (size_t)(o->members + o->n - (m + 1)) * sizeof *m);
    o->n--;
}

static void restore(struct passing *x) {
    struct aws_call *c = x->call;
    if (x->asked == ASKED_NOT) return;
    if (x->asked == ASKED_ADDED)
        remove_member(&c->params, CAPACITY);
    else
        *(struct json *)json_get(&c->params, CAPACITY) = json_make_c("NONE");
    remove_member(&c->result, "ConsumedCapacity");
}

static double number(const struct json *o, const char *key) {
    char text[64];
    const struct json *v = json_get(o, key);
    if (!json_is(v, JSON_NUM) || v->s.n >= sizeof text) return 0;
    memcpy(text, v->s.p, v->s.n);
    text[v->s.n] = '\0';
    return strtod(text, NULL);
}

/* One table's. Only transactions say which units they are. */
static void add_units(struct probe_cost *cost, const struct json *one, bool writes) {
    if (json_get(one, "ReadCapacityUnits") || json_get(one, "WriteCapacityUnits")) {
        cost->rcu += number(one, "ReadCapacityUnits");
        cost->wcu += number(one, "WriteCapacityUnits");
    } else {
        *(writes ? &cost->wcu : &cost->rcu) += number(one, "CapacityUnits");
    }
}

/* Errors tell no units, but a write whose condition does not hold consumes them as well (Developer guide, "DynamoDB
 * read and write operations"): one for each KB of the item, at least one; in transactions twice that. The least. */
static void refused_condition(const struct aws_call *c, struct probe_cost *cost) {
    const struct json *items = json_get(&c->params, "TransactItems");
    if (c->err.code == ERR_DDB_CONDITION) cost->wcu += 1;
    if (c->err.code == ERR_DDB_CANCELLED && c->row->flags & AWS_WRITE && json_is(items, JSON_ARR))
        cost->wcu += 2.0 * items->n;
}

static void dynamodb(const struct aws_call *c, bool asked, struct probe_cost *cost) {
    const struct json *used = json_get(&c->result, "ConsumedCapacity");
    bool writes = c->row->flags & AWS_WRITE;
    if (asked && c->err.code) refused_condition(c, cost);
    if (json_is(used, JSON_OBJ)) add_units(cost, used, writes);
    for (uint32_t i = 0; json_is(used, JSON_ARR) && i < used->n; i++) add_units(cost, &used->items[i], writes);
}

/* == requests =======================================================================================================
 */

static size_t attributes_size(const struct json *attributes) {
    size_t n = 0;
    for (uint32_t i = 0; json_is(attributes, JSON_OBJ) && i < attributes->n; i++) {
        const struct json *v = &attributes->members[i].value;
        struct str binary = json_get_s(v, "BinaryValue");
        n += attributes->members[i].key.n + json_get_s(v, "DataType").n + json_get_s(v, "StringValue").n;
        n += binary.n / 4 * 3;
    }
    return n;
}

static size_t message_size(const struct json *m, const char *body) {
    return json_get_s(m, body).n + attributes_size(json_get(m, "MessageAttributes"));
}

static size_t list_size(const struct json *list, const char *body) {
    size_t n = 0;
    for (uint32_t i = 0; json_is(list, JSON_ARR) && i < list->n; i++) n += message_size(&list->items[i], body);
    return n;
}

static uint64_t sqs_requests(const struct aws_call *c) {
    size_t n = 0;
    if (c->op == AWS_SQS_SendMessage) n = message_size(&c->params, "MessageBody");
    if (c->op == AWS_SQS_SendMessageBatch) n = list_size(json_get(&c->params, "Entries"), "MessageBody");
    if (c->op == AWS_SQS_ReceiveMessage) n = list_size(json_get(&c->result, "Messages"), "Body");
    return n ? (n + SQS_CHUNK - 1) / SQS_CHUNK : 1;
}

static void s3(const struct aws_call *c, struct probe_cost *cost) {
    static const char *const free_of_charge[] = {"Delete", "Abort"};
    static const char *const dear[] = {"Put", "Copy", "Create", "Upload", "Complete", "List"};
    struct str action = str_c(c->row->action);
    for (size_t i = 0; i < sizeof free_of_charge / sizeof *free_of_charge; i++)
        if (str_starts(action, str_c(free_of_charge[i]))) return;
    for (size_t i = 0; i < sizeof dear / sizeof *dear; i++) {
        if (!str_starts(action, str_c(dear[i]))) continue;
        cost->s3_puts = 1;
        return;
    }
    cost->s3_gets = 1;
}

static uint64_t recipients(const struct aws_call *c) {
    static const char *const lists[] = {"ToAddresses", "CcAddresses", "BccAddresses"};
    const struct json *to = json_get(&c->params, "Destination");
    uint64_t n = 0;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        const struct json *list = json_get(to, lists[i]);
        n += json_is(list, JSON_ARR) ? list->n : 0;
    }
    return n ? n : 1;
}

/* What came out of the inner backend; of calls that failed there, SES takes nothing. */
void cost_take(struct passing *x) {
    const struct aws_call *c = x->call;
    struct probe_cost *cost = &x->seen.cost;
    cost->calls = 1;
    switch (c->row->service) {
    case AWS_DYNAMODB:
        dynamodb(c, x->p->price, cost);
        break;
    case AWS_SQS:
        cost->sqs = sqs_requests(c);
        break;
    case AWS_S3:
        s3(c, cost);
        break;
    case AWS_SES:
        if (c->op == AWS_SES_SendEmail) cost->ses = c->err.code ? 0 : recipients(c);
        break;
    default:
        cost->other = 1;
    }
    restore(x);
}

void probe_cost_add(struct probe_cost *to, const struct probe_cost *c) {
    to->rcu += c->rcu;
    to->wcu += c->wcu;
    to->sqs += c->sqs;
    to->s3_puts += c->s3_puts;
    to->s3_gets += c->s3_gets;
    to->ses += c->ses;
    to->other += c->other;
    to->calls += c->calls;
}
