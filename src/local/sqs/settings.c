/* The attributes of queues: what each may be, what is kept, what is told. */
#include "local/sqs/sqs.h"

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

/* Attributes of FIFO queues that choose between two words. */
static const struct choice {
    const char *name, *off, *on;
    enum sqs_fifo bit;
} choices[] = {{"ContentBasedDeduplication", "false", "true", SQS_BY_CONTENT},
               {"DeduplicationScope", "queue", "messageGroup", SQS_SCOPE_GROUP},
               {"FifoThroughputLimit", "perQueue", "perMessageGroupId", SQS_LIMIT_GROUP}};
enum { CHOICES = sizeof choices / sizeof *choices };

/* Attributes that are checked, kept and given back. There is one account, and nothing is encrypted at rest: policies
 * and keys have no further effect. */
static const char *const kept[] = {"Policy", "RedriveAllowPolicy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds",
                                   "SqsManagedSseEnabled"};
enum { KEPT = sizeof kept / sizeof *kept, POLICY = 0, ALLOW, KMS_KEY, KMS_SECONDS, SSE };

static int64_t *setting(struct sqs_queue *q, int i) {
    return (int64_t *)((char *)q + settings[i].offset);
}

void sqs_settings_default(struct sqs_queue *q) {
    for (int i = 0; i < SETTINGS; i++) *setting(q, i) = settings[i].otherwise;
    q->redrive = STR("");
    q->extra = STR("{}");
}

bool sqs_settings_same(struct sqs_queue *a, struct sqs_queue *b) {
    for (int i = 0; i < SETTINGS; i++)
        if (*setting(a, i) != *setting(b, i)) return false;
    return a->dlq == b->dlq && a->max_receives == b->max_receives && a->fifo == b->fifo && str_eq(a->extra, b->extra);
}

/* == one attribute ==================================================================================================
 */

static int bad_value(const char *name, struct str value, struct err *e) {
    return err_set(e, ERR_SQS_ATTRIBUTE_VALUE, "Invalid value for the parameter %s: \"%.*s\".", name,
                   STR_ARG(str_take(value, 200)));
}

static int parse_object(struct arena *a, const char *name, struct str text, struct json *ret, struct err *e) {
    struct err why = {0};
    if (!json_parse(a, text, NULL, ret, &why) && json_is(ret, JSON_OBJ)) return 0;
    return err_set(e, ERR_SQS_ATTRIBUTE_VALUE, "%s is no JSON object: %.200s", name, why.msg);
}

/* May q name a queue with this RedriveAllowPolicy as its dead-letter queue? */
static bool may_bury(struct local_tx *tx, struct arena *a, const struct sqs_queue *dlq, const struct sqs_queue *q) {
    struct json extra, allow;
    if (json_parse(a, dlq->extra, NULL, &extra, NULL)) return true;
    struct str text = json_get_s(&extra, kept[ALLOW]);
    if (!text.n || json_parse(a, text, NULL, &allow, NULL)) return true;
    struct str permission = json_get_s(&allow, "redrivePermission");
    const struct json *sources = json_get(&allow, "sourceQueueArns");
    if (!str_is(permission, "byQueue")) return !str_is(permission, "denyAll");
    for (uint32_t i = 0; json_is(sources, JSON_ARR) && i < sources->n; i++)
        if (str_eq(json_str(&sources->items[i]), sqs_arn(tx, a, q->name))) return true;
    return false;
}

static int bad_redrive(struct str text, const char *why, struct err *e) {
    return err_set(e, ERR_SQS_PARAMETER, "Value %.*s for parameter RedrivePolicy is invalid. Reason: %s",
                   STR_ARG(str_take(text, 300)), why);
}

/* {"deadLetterTargetArn": arn of a queue that exists, "maxReceiveCount": 1..1000}; "" takes it away. */
static int read_redrive(struct local_tx *tx, struct arena *a, struct str text, struct sqs_queue *q, struct err *e) {
    struct json doc;
    struct sqs_queue dlq;
    q->redrive = text;
    q->dlq = q->max_receives = 0;
    if (!text.n) return 0;
    if (parse_object(a, "RedrivePolicy", text, &doc, e)) return -1;
    if (params_only(&doc, "deadLetterTargetArn maxReceiveCount", "RedrivePolicy", ERR_SQS_ATTRIBUTE_VALUE, e))
        return -1;
    if (params_int(&doc, "maxReceiveCount", 1, 1000, 10, ERR_SQS_ATTRIBUTE_VALUE, &q->max_receives, e)) return -1;
    int rc = sqs_lookup_arn(tx, a, json_get_s(&doc, "deadLetterTargetArn"), &dlq, e);
    if (rc < 0) return -1;
    if (!rc) return bad_redrive(text, "Dead letter target does not exist.", e);
    if (dlq.id == q->id) return bad_redrive(text, "A queue cannot be its own dead-letter queue.", e);
    if (!dlq.fifo != !q->fifo)
        return bad_redrive(text, "Dead-letter queue must be same type of queue as the source.", e);
    if (!may_bury(tx, a, &dlq, q))
        return bad_redrive(text, "The RedriveAllowPolicy of the dead letter target does not permit this queue.", e);
    q->dlq = dlq.id;
    return 0;
}

/* {"redrivePermission": allowAll | denyAll | byQueue, "sourceQueueArns": up to ten, with byQueue only} */
static int check_allow(struct arena *a, struct str text, struct err *e) {
    struct json doc;
    if (parse_object(a, kept[ALLOW], text, &doc, e)) return -1;
    if (params_only(&doc, "redrivePermission sourceQueueArns", kept[ALLOW], ERR_SQS_ATTRIBUTE_VALUE, e)) return -1;
    struct str permission = json_get_s(&doc, "redrivePermission");
    const struct json *sources = json_get(&doc, "sourceQueueArns");
    bool by_queue = str_is(permission, "byQueue");
    if (!by_queue && !str_is(permission, "allowAll") && !str_is(permission, "denyAll"))
        return bad_value(kept[ALLOW], text, e);
    if (by_queue != json_is(sources, JSON_ARR) || (by_queue && (!sources->n || sources->n > 10)))
        return bad_value(kept[ALLOW], text, e);
    return 0;
}

static int check_kept(struct arena *a, int k, struct str text, struct err *e) {
    struct json doc;
    int64_t seconds = 0;
    if (!text.n) return 0;
    if (k == POLICY) return parse_object(a, kept[k], text, &doc, e);
    if (k == ALLOW) return check_allow(a, text, e);
    bool ok = k == KMS_KEY       ? text.n <= 2048
              : k == KMS_SECONDS ? str_i64(text, &seconds) && seconds >= 60 && seconds <= 86400
                                 : str_is(text, "true") || str_is(text, "false");
    return ok ? 0 : bad_value(kept[k], text, e);
}

/* The object is always written in the order of the table, so that equal ones are equal texts; "" takes a value away. */
static int apply_kept(struct arena *a, int k, struct str text, struct sqs_queue *q, struct err *e) {
    struct json old, now = json_make_obj();
    struct buf b = BUF_MAX(1 << 20);
    if (check_kept(a, k, text, e)) return -1;
    if (json_parse(a, q->extra, NULL, &old, e)) return err_wrap(e, "attributes of queue %.*s", STR_ARG(q->name));
    for (int i = 0; i < KEPT; i++) {
        struct str v = i == k ? text : json_get_s(&old, kept[i]);
        if (v.n) json_set(a, &now, kept[i], json_make_str(v));
    }
    json_write(&b, &now);
    int rc = buf_check(&b, "the attributes of a queue", e);
    q->extra = arena_str(a, buf_view(&b));
    buf_free(&b);
    return rc;
}

int sqs_settings_policy(struct arena *a, const struct sqs_queue *q, struct str *ret, struct err *e) {
    struct json all;
    if (json_parse(a, q->extra, NULL, &all, e)) return err_wrap(e, "attributes of queue %.*s", STR_ARG(q->name));
    *ret = json_get_s(&all, kept[POLICY]);
    return 0;
}

int sqs_settings_set_policy(struct arena *a, struct str text, struct sqs_queue *q, struct err *e) {
    return apply_kept(a, POLICY, text, q, e);
}

static int unknown(struct str name, struct err *e) {
    return err_set(e, ERR_SQS_ATTRIBUTE, "Unknown Attribute %.*s.", STR_ARG(str_take(name, 80)));
}

static int apply_choice(const struct choice *c, struct str value, struct sqs_queue *q, struct err *e) {
    if (!q->fifo) return unknown(str_c(c->name), e);
    if (str_is(value, c->on))
        q->fifo |= c->bit;
    else if (str_is(value, c->off))
        q->fifo &= ~(int64_t)c->bit;
    else
        return bad_value(c->name, value, e);
    return 0;
}

/* == all ============================================================================================================
 */

static int apply_text(struct local_tx *tx, struct arena *a, struct str name, const struct json *v, struct sqs_queue *q,
                      struct err *e) {
    int c = 0, k = 0;
    while (c < CHOICES && !str_is(name, choices[c].name)) c++;
    while (k < KEPT && !str_is(name, kept[k])) k++;
    bool redrive = str_is(name, "RedrivePolicy"), fifo = str_is(name, "FifoQueue");
    if (c == CHOICES && k == KEPT && !redrive && !(fifo && q->fifo)) return unknown(name, e);
    if (!json_is(v, JSON_STR))
        return err_set(e, ERR_SQS_ATTRIBUTE_VALUE, "%.*s is %s, not a string", STR_ARG(name), json_type_name(v->type));
    if (fifo) return str_is(v->s, "true") ? 0 : bad_value("FifoQueue", v->s, e);
    if (redrive) return read_redrive(tx, a, v->s, q, e);
    return c < CHOICES ? apply_choice(&choices[c], v->s, q, e) : apply_kept(a, k, v->s, q, e);
}

int sqs_settings_apply(struct local_tx *tx, struct arena *a, const struct json *attrs, struct sqs_queue *q,
                       struct err *e) {
    if (!attrs || json_is(attrs, JSON_NULL)) return 0;
    if (!json_is(attrs, JSON_OBJ))
        return err_set(e, ERR_SQS_PARAMETER, "parameter Attributes is %s, not an object", json_type_name(attrs->type));
    for (uint32_t i = 0; i < attrs->n; i++) {
        struct str name = attrs->members[i].key;
        int k = 0;
        while (k < SETTINGS && !str_is(name, settings[k].name)) k++;
        if (k == SETTINGS) {
            if (apply_text(tx, a, name, &attrs->members[i].value, q, e)) return -1;
        } else if (params_int(attrs, settings[k].name, settings[k].min, settings[k].max, *setting(q, k),
                              ERR_SQS_ATTRIBUTE_VALUE, setting(q, k), e)) {
            return -1;
        }
    }
    if ((q->fifo & SQS_LIMIT_GROUP) && !(q->fifo & SQS_SCOPE_GROUP))
        return err_set(e, ERR_SQS_PARAMETER,
                       "FifoThroughputLimit perMessageGroupId is allowed only with DeduplicationScope messageGroup.");
    return 0;
}

int sqs_settings_save(struct local_tx *tx, struct sqs_queue *q, struct err *e) {
    struct db_stmt *s = NULL;
    sqs_forget(tx);
    if (db_stmt(tx->db,
                "INSERT INTO queues(name,visibility,delay,retention,max_size,wait,redrive,dlq,max_receives,created_ms,"
                "modified_ms,purged_ms,fifo,extra) VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,0,?12,?13) ON "
                "CONFLICT(name) DO UPDATE SET visibility=?2,delay=?3,retention=?4,max_size=?5,wait=?6,redrive=?7,"
                "dlq=?8,max_receives=?9,modified_ms=?11,fifo=?12,extra=?13",
                &s, e))
        return -1;
    db_bind_text(s, 1, q->name);
    for (int i = 0; i < SETTINGS; i++) db_bind_i64(s, 2 + i, *setting(q, i));
    db_bind_text(s, 7, q->redrive);
    db_bind_i64(s, 8, q->dlq);
    db_bind_i64(s, 9, q->max_receives);
    db_bind_i64(s, 10, q->created_ms);
    db_bind_i64(s, 11, q->modified_ms);
    db_bind_i64(s, 12, q->fifo);
    db_bind_text(s, 13, q->extra);
    return db_run(s, e) ? -1 : 0;
}

int sqs_set_attributes(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl Attributes", "SetQueueAttributes", ERR_SQS_PARAMETER, e)) return -1;
    if (!json_get(&c->params, "Attributes"))
        return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter Attributes.");
    if (sqs_find(tx, c, &q, e) || sqs_settings_apply(tx, &c->arena, json_get(&c->params, "Attributes"), &q, e))
        return -1;
    q.modified_ms = tx->now_ms;
    if (sqs_settings_save(tx, &q, e)) return -1;
    local_touch(tx, q.id);
    return 0;
}

/* == GetQueueAttributes =============================================================================================
 */

static void set_number(struct arena *a, struct json *ret, const char *name, int64_t v) {
    json_set(a, ret, name, json_make_str(arena_printf(a, "%lld", (long long)v)));
}

static int count_attributes(struct local_tx *tx, struct arena *a, const struct sqs_queue *q, struct json *ret,
                            struct err *e) {
    struct sqs_counts n = {0};
    if (sqs_count(tx, q->id, &n, e)) return -1;
    set_number(a, ret, "ApproximateNumberOfMessages", n.visible);
    set_number(a, ret, "ApproximateNumberOfMessagesNotVisible", n.in_flight);
    set_number(a, ret, "ApproximateNumberOfMessagesDelayed", n.delayed);
    return 0;
}

static int own_attributes(struct local_tx *tx, struct arena *a, struct sqs_queue *q, struct json *ret, struct err *e) {
    struct json extra;
    json_set(a, ret, "QueueArn", json_make_str(sqs_arn(tx, a, q->name)));
    set_number(a, ret, "CreatedTimestamp", q->created_ms / 1000);
    set_number(a, ret, "LastModifiedTimestamp", q->modified_ms / 1000);
    for (int i = 0; i < SETTINGS; i++) set_number(a, ret, settings[i].name, *setting(q, i));
    if (q->redrive.n) json_set(a, ret, "RedrivePolicy", json_make_str(q->redrive));
    if (q->fifo) json_set(a, ret, "FifoQueue", json_make_c("true"));
    for (int i = 0; q->fifo && i < CHOICES; i++)
        json_set(a, ret, choices[i].name, json_make_c(q->fifo & choices[i].bit ? choices[i].on : choices[i].off));
    if (json_parse(a, q->extra, NULL, &extra, e)) return err_wrap(e, "attributes of queue %.*s", STR_ARG(q->name));
    for (uint32_t i = 0; i < extra.n; i++) json_set_str(a, ret, extra.members[i].key, extra.members[i].value);
    return 0;
}

/* Names that exist, whether or not the queue has a value. */
static bool is_name(struct str name) {
    if (str_is(name, "RedrivePolicy") || str_is(name, "FifoQueue")) return true;
    for (int i = 0; i < CHOICES; i++)
        if (str_is(name, choices[i].name)) return true;
    for (int i = 0; i < KEPT; i++)
        if (str_is(name, kept[i])) return true;
    return false;
}

static bool needs_counts(const struct json *names) {
    for (uint32_t i = 0; json_is(names, JSON_ARR) && i < names->n; i++) {
        struct str name = json_str(&names->items[i]);
        if (str_is(name, "All") || str_starts(name, STR("ApproximateNumberOf"))) return true;
    }
    return false;
}

int sqs_get_attributes(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct arena *a = &c->arena;
    struct json all = json_make_obj(), out = json_make_obj();
    bool every = false;
    const struct json *names = json_get(&c->params, "AttributeNames");
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl AttributeNames", "GetQueueAttributes", ERR_SQS_PARAMETER, e)) return -1;
    if (sqs_find(tx, c, &q, e) || own_attributes(tx, a, &q, &all, e)) return -1;
    if (needs_counts(names) && count_attributes(tx, a, &q, &all, e)) return -1;
    for (uint32_t i = 0; json_is(names, JSON_ARR) && i < names->n; i++) {
        struct str name = json_str(&names->items[i]);
        const struct json *v = json_get_str(&all, name);
        every |= str_is(name, "All");
        if (!v && !is_name(name) && !str_is(name, "All")) return unknown(name, e);
        if (v && !json_get_str(&out, name)) json_set_str(a, &out, name, *v);
    }
    if (every) out = all;
    if (out.n) json_set(a, &c->result, "Attributes", out);
    return 0;
}
