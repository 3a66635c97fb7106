/* Queues and their attributes. */
#include "local/sqs/sqs.h"
#include <stdio.h>

#define COLUMNS                                                                                                        \
    "id,visibility,delay,retention,max_size,wait,dlq,max_receives,created_ms,modified_ms,purged_ms,name,redrive"

/* == finding ========================================================================================================
 */

static void read_row(struct db_stmt *s, struct arena *a, struct sqs_queue *q) {
    int64_t *numbers[] = {&q->id,  &q->visibility,   &q->delay,      &q->retention,   &q->max_size, &q->wait,
                          &q->dlq, &q->max_receives, &q->created_ms, &q->modified_ms, &q->purged_ms};
    for (int i = 0; i < 11; i++) *numbers[i] = db_i64(s, i);
    q->name = arena_str(a, db_bytes(s, 11));
    q->redrive = arena_str(a, db_bytes(s, 12));
}

/* 1: found, 0: there is none, -1. */
static int lookup(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT " COLUMNS " FROM queues WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, name);
    int rc = db_step(s, e);
    if (rc == 1) read_row(s, a, ret);
    db_done(s);
    return rc;
}

int sqs_find_name(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret, struct err *e) {
    int rc = lookup(tx, a, name, ret, e);
    if (rc) return rc == 1 ? 0 : -1;
    return err_set(e, ERR_SQS_NO_QUEUE, "The specified queue does not exist: \"%.*s\".", STR_ARG(str_take(name, 100)));
}

int sqs_find(struct local_tx *tx, struct aws_call *c, struct sqs_queue *ret, struct err *e) {
    struct str url;
    if (params_str(&c->params, "QueueUrl", ERR_SQS_PARAMETER, &url, e)) return -1;
    if (!url.n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter QueueUrl.");
    return sqs_find_name(tx, &c->arena, aws_queue_name(url), ret, e);
}

struct str sqs_arn(struct local_tx *tx, struct arena *a, struct str queue_name) {
    return arena_printf(a, "arn:%.*s:sqs:%.*s:%.*s:%.*s", STR_ARG(tx->id.partition), STR_ARG(tx->id.region),
                        STR_ARG(tx->id.account), STR_ARG(queue_name));
}

static void set_url(struct local_tx *tx, struct aws_call *c, struct str name) {
    struct str base = str_c(tx->local->public_url);
    while (base.n && base.p[base.n - 1] == '/') base.n--;
    if (!base.n) base = arena_printf(&c->arena, "http://127.0.0.1:%d", atomic_load(&tx->local->cloud_port));
    json_set(&c->arena, &c->result, "QueueUrl",
             json_make_str(
                 arena_printf(&c->arena, "%.*s/%.*s/%.*s", STR_ARG(base), STR_ARG(tx->id.account), STR_ARG(name))));
}

/* == attributes =====================================================================================================
 */

/* The settable numbers, in the order of the columns. */
static const struct setting {
    const char *name;
    size_t offset;
    int64_t min, max, otherwise;
} settings[] = {{"VisibilityTimeout", offsetof(struct sqs_queue, visibility), 0, SQS_MAX_VISIBILITY, 30},
                {"DelaySeconds", offsetof(struct sqs_queue, delay), 0, SQS_MAX_DELAY, 0},
                {"MessageRetentionPeriod", offsetof(struct sqs_queue, retention), 60, 1209600, 345600},
                {"MaximumMessageSize", offsetof(struct sqs_queue, max_size), 1024, SQS_MAX_BYTES, SQS_MAX_BYTES},
                {"ReceiveMessageWaitTimeSeconds", offsetof(struct sqs_queue, wait), 0, SQS_MAX_WAIT, 0}};
enum { SETTINGS = sizeof settings / sizeof *settings };

static int64_t *setting(struct sqs_queue *q, int i) {
    return (int64_t *)((char *)q + settings[i].offset);
}

/* {"deadLetterTargetArn": arn of a queue that exists, "maxReceiveCount": 1..1000}; "" takes it away. */
static int read_redrive(struct local_tx *tx, struct arena *a, struct str text, struct sqs_queue *q, struct err *e) {
    struct json doc;
    struct sqs_queue dlq;
    struct err why = {0};
    q->redrive = text;
    q->dlq = q->max_receives = 0;
    if (!text.n) return 0;
    if (json_parse(a, text, NULL, &doc, &why) || !json_is(&doc, JSON_OBJ))
        return err_set(e, ERR_SQS_ATTRIBUTE_VALUE, "RedrivePolicy is no JSON object: %.200s", why.msg);
    if (params_only(&doc, "deadLetterTargetArn maxReceiveCount", "RedrivePolicy", ERR_SQS_ATTRIBUTE_VALUE, e))
        return -1;
    if (params_int(&doc, "maxReceiveCount", 1, 1000, 10, ERR_SQS_ATTRIBUTE_VALUE, &q->max_receives, e)) return -1;
    struct str arn = json_get_s(&doc, "deadLetterTargetArn"), name = aws_queue_name(arn);
    int rc = str_eq(arn, sqs_arn(tx, a, name)) ? lookup(tx, a, name, &dlq, e) : 0;
    if (rc < 0) return -1;
    if (!rc)
        return err_set(e, ERR_SQS_PARAMETER,
                       "Value %.*s for parameter RedrivePolicy is invalid. Reason: Dead letter target "
                       "does not exist.",
                       STR_ARG(str_take(text, 300)));
    q->dlq = dlq.id;
    return 0;
}

static int unsupported(struct str name, struct err *e) {
    if (str_is(name, "FifoQueue")) return err_set(e, ERR_SQS_UNSUPPORTED, "FifoQueue is not supported yet");
    return err_set(e, ERR_SQS_ATTRIBUTE, "Attribute %.*s is unknown or not supported yet", STR_ARG(str_take(name, 80)));
}

/* Applies a map of attribute strings to q. */
static int apply(struct local_tx *tx, struct arena *a, const struct json *attrs, struct sqs_queue *q, struct err *e) {
    if (!attrs || json_is(attrs, JSON_NULL)) return 0;
    if (!json_is(attrs, JSON_OBJ))
        return err_set(e, ERR_SQS_PARAMETER, "parameter Attributes is %s, not an object", json_type_name(attrs->type));
    for (uint32_t i = 0; i < attrs->n; i++) {
        struct str name = attrs->members[i].key;
        int k = 0;
        while (k < SETTINGS && !str_is(name, settings[k].name)) k++;
        if (k < SETTINGS) {
            if (params_int(attrs, settings[k].name, settings[k].min, settings[k].max, 0, ERR_SQS_ATTRIBUTE_VALUE,
                           setting(q, k), e))
                return -1;
        } else if (!str_is(name, "RedrivePolicy")) {
            return unsupported(name, e);
        } else if (!json_is(&attrs->members[i].value, JSON_STR)) {
            return err_set(e, ERR_SQS_ATTRIBUTE_VALUE, "RedrivePolicy is not a string of JSON");
        } else if (read_redrive(tx, a, attrs->members[i].value.s, q, e)) {
            return -1;
        }
    }
    return 0;
}

static int save(struct local_tx *tx, struct sqs_queue *q, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(
            tx->db,
            "INSERT INTO queues(name,visibility,delay,retention,max_size,wait,redrive,dlq,max_receives,created_ms,"
            "modified_ms,purged_ms) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,0) ON CONFLICT(name) DO UPDATE SET "
            "visibility=?2,delay=?3,retention=?4,max_size=?5,wait=?6,redrive=?7,dlq=?8,max_receives=?9,modified_ms=?11",
            &s, e))
        return -1;
    db_bind_text(s, 1, q->name);
    for (int i = 0; i < SETTINGS; i++) db_bind_i64(s, 2 + i, *setting(q, i));
    db_bind_text(s, 7, q->redrive);
    db_bind_i64(s, 8, q->dlq);
    db_bind_i64(s, 9, q->max_receives);
    db_bind_i64(s, 10, q->created_ms);
    db_bind_i64(s, 11, q->modified_ms);
    return db_run(s, e) ? -1 : 0;
}

static bool same(struct sqs_queue *a, struct sqs_queue *b) {
    for (int i = 0; i < SETTINGS; i++)
        if (*setting(a, i) != *setting(b, i)) return false;
    return a->dlq == b->dlq && a->max_receives == b->max_receives;
}

/* == operations =====================================================================================================
 */

static int check_name(struct str name, struct err *e) {
    if (!name.n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter QueueName.");
    if (str_ends(name, STR(".fifo"))) return err_set(e, ERR_SQS_UNSUPPORTED, "FifoQueue is not supported yet");
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (ok && name.n <= 80) continue;
        return err_set(e, ERR_SQS_PARAMETER,
                       "Queue name \"%.*s\" can only include alphanumeric characters, hyphens, or "
                       "underscores. 1 to 80 in length",
                       STR_ARG(str_take(name, 100)));
    }
    return 0;
}

int sqs_create(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct sqs_queue q = {.created_ms = tx->now_ms, .modified_ms = tx->now_ms, .redrive = STR("")}, old;
    if (params_only(&c->params, "QueueName Attributes", "CreateQueue", ERR_SQS_PARAMETER, e)) return -1;
    if (params_str(&c->params, "QueueName", ERR_SQS_PARAMETER, &q.name, e) || check_name(q.name, e)) return -1;
    int found = lookup(tx, &c->arena, q.name, &old, e);
    if (found < 0) return -1;
    if (found) q = old;
    for (int i = 0; !found && i < SETTINGS; i++) *setting(&q, i) = settings[i].otherwise;
    if (apply(tx, &c->arena, json_get(&c->params, "Attributes"), &q, e)) return -1;
    if (found && !same(&q, &old))
        return err_set(e, ERR_SQS_QUEUE_EXISTS, "A queue \"%.*s\" already exists with other attributes",
                       STR_ARG(q.name));
    if (!found && save(tx, &q, e)) return -1;
    set_url(tx, c, q.name);
    return 0;
}

int sqs_get_url(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct str name, owner;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueName QueueOwnerAWSAccountId", "GetQueueUrl", ERR_SQS_PARAMETER, e)) return -1;
    if (params_str(&c->params, "QueueName", ERR_SQS_PARAMETER, &name, e)) return -1;
    if (params_str(&c->params, "QueueOwnerAWSAccountId", ERR_SQS_PARAMETER, &owner, e)) return -1;
    if (!name.n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter QueueName.");
    if (owner.n && !str_eq(owner, tx->id.account))
        return err_set(e, ERR_SQS_NO_QUEUE, "The specified queue does not exist in account %.*s.",
                       STR_ARG(str_take(owner, 40)));
    if (sqs_find_name(tx, &c->arena, name, &q, e)) return -1;
    set_url(tx, c, q.name);
    return 0;
}

/* NextToken is the last name of the page before, as it is. */
int sqs_list(struct local_tx *tx, struct aws_call *c) {
    struct db_stmt *s = NULL;
    struct str prefix, after, last = STR_NONE;
    struct json urls = json_make_arr();
    int64_t max, n = 0;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueNamePrefix MaxResults NextToken", "ListQueues", ERR_SQS_PARAMETER, e)) return -1;
    if (params_str(&c->params, "QueueNamePrefix", ERR_SQS_PARAMETER, &prefix, e)) return -1;
    if (params_str(&c->params, "NextToken", ERR_SQS_PARAMETER, &after, e)) return -1;
    if (params_int(&c->params, "MaxResults", 1, 1000, 1000, ERR_SQS_PARAMETER, &max, e)) return -1;
    if (db_stmt(tx->db, "SELECT name FROM queues WHERE name>?1 AND substr(name,1,length(?2))=?2 ORDER BY name LIMIT ?3",
                &s, e))
        return -1;
    db_bind_text(s, 1, after);
    db_bind_text(s, 2, prefix);
    db_bind_i64(s, 3, max + 1);
    int rc;
    while ((rc = db_step(s, e)) == 1 && n < max) {
        last = arena_str(&c->arena, db_bytes(s, 0));
        set_url(tx, c, last);
        json_push(&c->arena, &urls, *json_get(&c->result, "QueueUrl"));
        c->result = json_make_obj();
        n++;
    }
    db_done(s);
    if (rc < 0) return -1;
    if (urls.n) json_set(&c->arena, &c->result, "QueueUrls", urls);
    if (rc == 1) json_set(&c->arena, &c->result, "NextToken", json_make_str(last));
    return 0;
}

int sqs_set_attributes(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl Attributes", "SetQueueAttributes", ERR_SQS_PARAMETER, e)) return -1;
    if (sqs_find(tx, c, &q, e) || apply(tx, &c->arena, json_get(&c->params, "Attributes"), &q, e)) return -1;
    q.modified_ms = tx->now_ms;
    return save(tx, &q, e);
}

/* AWS allows one purge in 60 seconds. */
int sqs_purge(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct db_stmt *s = NULL;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl", "PurgeQueue", ERR_SQS_PARAMETER, e) || sqs_find(tx, c, &q, e)) return -1;
    if (q.purged_ms && tx->now_ms - q.purged_ms < 60000)
        return err_set(e, ERR_SQS_PURGING, "Only one PurgeQueue operation on %.*s is allowed every 60 seconds.",
                       STR_ARG(q.name));
    if (db_stmt(tx->db, "DELETE FROM messages WHERE queue=?1", &s, e)) return -1;
    db_bind_i64(s, 1, q.id);
    if (db_run(s, e)) return -1;
    if (db_stmt(tx->db, "UPDATE queues SET purged_ms=?2 WHERE id=?1", &s, e)) return -1;
    db_bind_i64(s, 1, q.id);
    db_bind_i64(s, 2, tx->now_ms);
    return db_run(s, e) ? -1 : 0;
}

/* == GetQueueAttributes =============================================================================================
 */

static int count_messages(struct local_tx *tx, int64_t queue, int64_t ret[3], struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "SELECT count(*) FILTER (WHERE visible_at<=?2), count(*) FILTER (WHERE visible_at>?2 AND receives>0),"
                " count(*) FILTER (WHERE visible_at>?2 AND receives=0) FROM messages WHERE queue=?1",
                &s, e))
        return -1;
    db_bind_i64(s, 1, queue);
    db_bind_i64(s, 2, tx->now_ms);
    int rc = db_step(s, e);
    for (int i = 0; rc == 1 && i < 3; i++) ret[i] = db_i64(s, i);
    db_done(s);
    return rc == 1 ? 0 : -1;
}

static int all_attributes(struct local_tx *tx, struct arena *a, struct sqs_queue *q, struct json *ret, struct err *e) {
    int64_t n[3] = {0};
    if (count_messages(tx, q->id, n, e)) return -1;
    *ret = json_make_obj();
    json_set(a, ret, "QueueArn", json_make_str(sqs_arn(tx, a, q->name)));
    const struct {
        const char *name;
        int64_t value;
    } numbers[] = {{"ApproximateNumberOfMessages", n[0]},
                   {"ApproximateNumberOfMessagesNotVisible", n[1]},
                   {"ApproximateNumberOfMessagesDelayed", n[2]},
                   {"CreatedTimestamp", q->created_ms / 1000},
                   {"LastModifiedTimestamp", q->modified_ms / 1000}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_set(a, ret, numbers[i].name, json_make_str(arena_printf(a, "%lld", (long long)numbers[i].value)));
    for (int i = 0; i < SETTINGS; i++)
        json_set(a, ret, settings[i].name, json_make_str(arena_printf(a, "%lld", (long long)*setting(q, i))));
    if (q->redrive.n) json_set(a, ret, "RedrivePolicy", json_make_str(q->redrive));
    return 0;
}

int sqs_get_attributes(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct json all, out = json_make_obj();
    const struct json *names = json_get(&c->params, "AttributeNames");
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl AttributeNames", "GetQueueAttributes", ERR_SQS_PARAMETER, e)) return -1;
    if (sqs_find(tx, c, &q, e) || all_attributes(tx, &c->arena, &q, &all, e)) return -1;
    for (uint32_t i = 0; json_is(names, JSON_ARR) && i < names->n; i++) {
        struct str name = json_str(&names->items[i]);
        const struct json *v = json_get_str(&all, name);
        if (str_is(name, "All")) out = all;
        if (str_is(name, "All")) break;
        if (!v && !str_is(name, "RedrivePolicy")) return unsupported(name, e);
        if (v && !json_get_str(&out, name)) json_set_str(&c->arena, &out, name, *v);
    }
    if (out.n) json_set(&c->arena, &c->result, "Attributes", out);
    return 0;
}
