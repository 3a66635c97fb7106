/* Queues: made, found, listed, purged, deleted. */
#include "local/sqs/sqs.h"
#include <stdio.h>

#define COLUMNS                                                                                                        \
    "id,visibility,delay,retention,max_size,wait,dlq,max_receives,created_ms,modified_ms,purged_ms,fifo,name,"         \
    "redrive,extra"

/* == finding ========================================================================================================
 */

static void read_row(struct db_stmt *s, struct arena *a, struct sqs_queue *q) {
    int64_t *numbers[] = {&q->id,  &q->visibility,   &q->delay,      &q->retention,   &q->max_size,  &q->wait,
                          &q->dlq, &q->max_receives, &q->created_ms, &q->modified_ms, &q->purged_ms, &q->fifo};
    for (int i = 0; i < 12; i++) *numbers[i] = db_i64(s, i);
    q->name = arena_str(a, db_bytes(s, 12));
    q->redrive = arena_str(a, db_bytes(s, 13));
    q->extra = arena_str(a, db_bytes(s, 14));
}

int sqs_lookup(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (sqs_recall(tx, a, name, ret)) return 1;
    if (db_stmt(tx->db, "SELECT " COLUMNS " FROM queues WHERE name=?1 AND gone=0", &s, e)) return -1;
    db_bind_text(s, 1, name);
    int rc = db_step(s, e);
    if (rc == 1) read_row(s, a, ret);
    db_done(s);
    if (rc == 1) sqs_remember(tx, ret);
    return rc;
}

int sqs_find_name(struct local_tx *tx, struct arena *a, struct str name, struct sqs_queue *ret, struct err *e) {
    int rc = sqs_lookup(tx, a, name, ret, e);
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

int sqs_lookup_arn(struct local_tx *tx, struct arena *a, struct str arn, struct sqs_queue *ret, struct err *e) {
    struct str name = aws_queue_name(arn);
    return str_eq(arn, sqs_arn(tx, a, name)) ? sqs_lookup(tx, a, name, ret, e) : 0;
}

static void set_url(struct local_tx *tx, struct aws_call *c, struct str name) {
    struct str base = str_c(tx->local->public_url);
    while (base.n && base.p[base.n - 1] == '/') base.n--;
    if (!base.n) base = arena_printf(&c->arena, "http://127.0.0.1:%d", atomic_load(&tx->local->cloud_port));
    json_set(&c->arena, &c->result, "QueueUrl",
             json_make_str(
                 arena_printf(&c->arena, "%.*s/%.*s/%.*s", STR_ARG(base), STR_ARG(tx->id.account), STR_ARG(name))));
}

/* == operations =====================================================================================================
 */

bool sqs_is_word(struct str name) {
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        if (!ok) return false;
    }
    return name.n > 0;
}

/* A queue is a FIFO queue exactly when its name ends in .fifo and FifoQueue says so. */
static int check_name(struct str name, bool fifo, struct err *e) {
    const struct str suffix = STR(".fifo");
    if (!name.n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter QueueName.");
    if (fifo && (!str_ends(name, suffix) || name.n > 80 || !sqs_is_word(str_take(name, name.n - suffix.n))))
        return err_set(e, ERR_SQS_PARAMETER,
                       "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
                       "must end with .fifo suffix and be 1 to 80 in length: \"%.*s\"",
                       STR_ARG(str_take(name, 100)));
    if (!fifo && (name.n > 80 || !sqs_is_word(name)))
        return err_set(e, ERR_SQS_PARAMETER,
                       "Queue name \"%.*s\" can only include alphanumeric characters, hyphens, or underscores. 1 to "
                       "80 in length%s",
                       STR_ARG(str_take(name, 100)),
                       str_ends(name, suffix) ? "; a FIFO queue needs the attribute FifoQueue=true" : "");
    return 0;
}

/* A policy names its dead-letter queue by ARN: it holds again for a queue that was made anew. */
static int link_sources(struct local_tx *tx, struct arena *a, const struct sqs_queue *q, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                "UPDATE queues SET dlq=(SELECT id FROM queues WHERE name=?1) WHERE dlq=0 AND max_receives>0 AND "
                "fifo&1=?3 AND json_extract(redrive,'$.deadLetterTargetArn')=?2",
                &s, e))
        return -1;
    struct str arn = sqs_arn(tx, a, q->name);
    sqs_forget(tx);
    db_bind_text(s, 1, q->name);
    db_bind_text(s, 2, arn);
    db_bind_i64(s, 3, q->fifo & SQS_FIFO);
    return db_run(s, e) ? -1 : 0;
}

static int add_queue(struct local_tx *tx, struct arena *a, struct sqs_queue *q, const struct json *tags,
                     struct err *e) {
    if (sqs_settings_save(tx, q, e) || sqs_tags_save(tx, q->name, tags, e)) return -1;
    return link_sources(tx, a, q, e);
}

/* Tags of an existing queue are not compared, and not changed. */
int sqs_create(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct sqs_queue q = {.created_ms = tx->now_ms, .modified_ms = tx->now_ms}, old;
    const struct json *attrs = json_get(&c->params, "Attributes"), *tags = json_get(&c->params, "tags");
    if (params_only(&c->params, "QueueName Attributes tags", "CreateQueue", ERR_SQS_PARAMETER, e)) return -1;
    if (params_str(&c->params, "QueueName", ERR_SQS_PARAMETER, &q.name, e)) return -1;
    q.fifo = str_is(json_get_s(attrs, "FifoQueue"), "true") ? SQS_FIFO : 0;
    if (check_name(q.name, q.fifo, e)) return -1;
    int found = sqs_lookup(tx, &c->arena, q.name, &old, e);
    if (found < 0) return -1;
    if (found)
        q = old;
    else
        sqs_settings_default(&q);
    if (sqs_settings_apply(tx, &c->arena, attrs, &q, e)) return -1;
    if (found && !sqs_settings_same(&q, &old))
        return err_set(e, ERR_SQS_QUEUE_EXISTS, "A queue \"%.*s\" already exists with other attributes",
                       STR_ARG(q.name));
    if (!found && add_queue(tx, &c->arena, &q, tags, e)) return -1;
    set_url(tx, c, q.name);
    return 0;
}

/* The row stays behind without a name until housekeeping has deleted its messages: ids are not used twice. */
int sqs_delete_queue(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct db_stmt *s = NULL;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl", "DeleteQueue", ERR_SQS_PARAMETER, e) || sqs_find(tx, c, &q, e)) return -1;
    sqs_forget(tx);
    if (db_stmt(tx->db, "UPDATE queues SET name='/'||id, gone=1 WHERE id=?1", &s, e)) return -1;
    db_bind_i64(s, 1, q.id);
    if (db_run(s, e)) return -1;
    if (db_stmt(tx->db, "UPDATE queues SET dlq=0 WHERE dlq=?1", &s, e)) return -1;
    db_bind_i64(s, 1, q.id);
    if (db_run(s, e)) return -1;
    local_touch(tx, q.id);
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

/* The names that s yields, as URLs; NextToken is the last name of a page, as it is. */
static int list_page(struct local_tx *tx, struct aws_call *c, struct db_stmt *s, int64_t max, const char *member) {
    struct json urls = json_make_arr();
    struct str last = STR_NONE;
    int rc;
    while ((rc = db_step(s, &c->err)) == 1 && urls.n < max) {
        last = arena_str(&c->arena, db_bytes(s, 0));
        set_url(tx, c, last);
        json_push(&c->arena, &urls, *json_get(&c->result, "QueueUrl"));
        c->result = json_make_obj();
    }
    db_done(s);
    if (rc < 0) return -1;
    if (urls.n || !str_is(str_c(member), "QueueUrls")) json_set(&c->arena, &c->result, member, urls);
    if (rc == 1) json_set(&c->arena, &c->result, "NextToken", json_make_str(last));
    return 0;
}

static int read_page(const struct json *p, struct str *ret_after, int64_t *ret_max, struct err *e) {
    if (params_str(p, "NextToken", ERR_SQS_PARAMETER, ret_after, e)) return -1;
    return params_int(p, "MaxResults", 1, 1000, 1000, ERR_SQS_PARAMETER, ret_max, e);
}

int sqs_list(struct local_tx *tx, struct aws_call *c) {
    struct db_stmt *s = NULL;
    struct str prefix, after;
    int64_t max;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueNamePrefix MaxResults NextToken", "ListQueues", ERR_SQS_PARAMETER, e)) return -1;
    if (params_str(&c->params, "QueueNamePrefix", ERR_SQS_PARAMETER, &prefix, e)) return -1;
    if (read_page(&c->params, &after, &max, e)) return -1;
    if (db_stmt(tx->db,
                "SELECT name FROM queues WHERE name>?1 AND gone=0 AND substr(name,1,length(?2))=?2 ORDER BY name LIMIT "
                "?3",
                &s, e))
        return -1;
    db_bind_text(s, 1, after);
    db_bind_text(s, 2, prefix);
    db_bind_i64(s, 3, max + 1);
    return list_page(tx, c, s, max, "QueueUrls");
}

int sqs_list_sources(struct local_tx *tx, struct aws_call *c) {
    struct db_stmt *s = NULL;
    struct sqs_queue q;
    struct str after;
    int64_t max;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl MaxResults NextToken", "ListDeadLetterSourceQueues", ERR_SQS_PARAMETER, e))
        return -1;
    if (read_page(&c->params, &after, &max, e) || sqs_find(tx, c, &q, e)) return -1;
    if (db_stmt(tx->db, "SELECT name FROM queues WHERE name>?1 AND gone=0 AND dlq=?2 ORDER BY name LIMIT ?3", &s, e))
        return -1;
    db_bind_text(s, 1, after);
    db_bind_i64(s, 2, q.id);
    db_bind_i64(s, 3, max + 1);
    return list_page(tx, c, s, max, "queueUrls");
}

static int run_purge(struct local_tx *tx, const char *sql, int64_t queue, int64_t arg, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_i64(s, 1, queue);
    db_bind_i64(s, 2, arg);
    return db_run(s, e) ? -1 : 0;
}

/* AWS allows one purge in 60 seconds, and takes as long: "messages sent to the queue before you call PurgeQueue might
 * be received but are deleted within the next minute". What is too much for one transaction is left to housekeeping. */
int sqs_purge(struct local_tx *tx, struct aws_call *c) {
    enum { AT_ONCE = 10000 };
    struct sqs_queue q;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl", "PurgeQueue", ERR_SQS_PARAMETER, e) || sqs_find(tx, c, &q, e)) return -1;
    if (q.purged_ms && tx->now_ms - q.purged_ms < 60000)
        return err_set(e, ERR_SQS_PURGING, "Only one PurgeQueue operation on %.*s is allowed every 60 seconds.",
                       STR_ARG(q.name));
    if (run_purge(tx, "DELETE FROM sqs_groups WHERE queue=?1 AND ?2", q.id, 1, e)) return -1;
    if (run_purge(tx, "DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE queue=?1 LIMIT ?2)", q.id,
                  AT_ONCE, e))
        return -1;
    bool more = db_changes(tx->db) == AT_ONCE;
    sqs_forget(tx);
    if (run_purge(tx, "UPDATE queues SET purged_ms=?2 WHERE id=?1", q.id, tx->now_ms, e)) return -1;
    if (!more) return 0;
    return run_purge(tx, "UPDATE queues SET purge_to=(SELECT max(id) FROM messages) WHERE id=?1 AND ?2", q.id, 1, e);
}
