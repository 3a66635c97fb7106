/* Tags of queues: an object of strings beside the queue's row. */
#include "local/sqs/sqs.h"

enum { MAX_TAGS = 50, MAX_KEY = 128, MAX_VALUE = 256 };

static int check_tag(struct str key, const struct json *value, struct err *e) {
    if (!json_is(value, JSON_STR))
        return err_set(e, ERR_SQS_PARAMETER, "the value of tag %.*s is %s, not a string", STR_ARG(str_take(key, 80)),
                       json_type_name(value->type));
    if (!key.n || key.n > MAX_KEY || str_ieq(str_take(key, 4), STR("aws:")))
        return err_set(e, ERR_SQS_PARAMETER,
                       "Tag keys must be between 1 and %d characters and cannot begin with \"aws:\": \"%.*s\"", MAX_KEY,
                       STR_ARG(str_take(key, 200)));
    if (value->s.n > MAX_VALUE)
        return err_set(e, ERR_SQS_PARAMETER, "Tag values must be between 0 and %d characters, that of %.*s is %zu",
                       MAX_VALUE, STR_ARG(key), value->s.n);
    return 0;
}

static int check_tags(const struct json *tags, const char *what, struct err *e) {
    if (!json_is(tags, JSON_OBJ))
        return err_set(e, ERR_SQS_PARAMETER, "parameter %s is %s, not an object", what, json_type_name(tags->type));
    for (uint32_t i = 0; i < tags->n; i++)
        if (check_tag(tags->members[i].key, &tags->members[i].value, e)) return -1;
    if (tags->n > MAX_TAGS)
        return err_set(e, ERR_SQS_PARAMETER, "Too many tags: %u, the most are %d", tags->n, MAX_TAGS);
    return 0;
}

static int write_tags(struct local_tx *tx, struct str queue_name, const struct json *tags, struct err *e) {
    struct db_stmt *s = NULL;
    struct buf b = BUF_MAX(256 * 1024);
    int rc = -1;
    json_write(&b, tags);
    if (buf_check(&b, "the tags", e) || db_stmt(tx->db, "UPDATE queues SET tags=?2 WHERE name=?1", &s, e)) goto out;
    db_bind_text(s, 1, queue_name);
    db_bind_text(s, 2, buf_view(&b));
    rc = db_run(s, e) ? -1 : 0;
out:
    buf_free(&b);
    return rc;
}

int sqs_tags_save(struct local_tx *tx, struct str queue_name, const struct json *tags, struct err *e) {
    if (!tags || json_is(tags, JSON_NULL)) return 0;
    return check_tags(tags, "tags", e) ? -1 : write_tags(tx, queue_name, tags, e);
}

static int read_tags(struct local_tx *tx, struct arena *a, struct str queue_name, struct json *ret, struct err *e) {
    struct db_stmt *s = NULL;
    struct str text = STR("{}");
    if (db_stmt(tx->db, "SELECT tags FROM queues WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, queue_name);
    int rc = db_step(s, e);
    if (rc == 1) text = arena_str(a, db_bytes(s, 0));
    db_done(s);
    if (rc < 0) return -1;
    return json_parse(a, text, NULL, ret, e) ? err_wrap(e, "tags of queue %.*s", STR_ARG(queue_name)) : 0;
}

static bool listed(const struct json *names, struct str name) {
    for (uint32_t i = 0; i < names->n; i++)
        if (str_eq(json_str(&names->items[i]), name)) return true;
    return false;
}

/* old without the keys of `names` or `tags`, and with `tags`. */
static struct json merged(struct arena *a, const struct json *old, const struct json *tags, const struct json *names) {
    struct json out = json_make_obj();
    for (uint32_t i = 0; i < old->n; i++) {
        struct str key = old->members[i].key;
        if ((tags && json_get_str(tags, key)) || (names && listed(names, key))) continue;
        json_set_str(a, &out, key, old->members[i].value);
    }
    for (uint32_t i = 0; tags && i < tags->n; i++) json_set_str(a, &out, tags->members[i].key, tags->members[i].value);
    return out;
}

int sqs_tag(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct json old;
    const struct json *tags = json_get(&c->params, "Tags");
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl Tags", "TagQueue", ERR_SQS_PARAMETER, e)) return -1;
    if (!tags) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter Tags.");
    if (check_tags(tags, "Tags", e) || sqs_find(tx, c, &q, e) || read_tags(tx, &c->arena, q.name, &old, e)) return -1;
    struct json all = merged(&c->arena, &old, tags, NULL);
    return check_tags(&all, "Tags", e) ? -1 : write_tags(tx, q.name, &all, e);
}

int sqs_untag(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct json old;
    const struct json *keys = json_get(&c->params, "TagKeys");
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl TagKeys", "UntagQueue", ERR_SQS_PARAMETER, e)) return -1;
    if (!keys) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter TagKeys.");
    if (!json_is(keys, JSON_ARR))
        return err_set(e, ERR_SQS_PARAMETER, "parameter TagKeys is %s, not an array", json_type_name(keys->type));
    if (sqs_find(tx, c, &q, e) || read_tags(tx, &c->arena, q.name, &old, e)) return -1;
    struct json all = merged(&c->arena, &old, NULL, keys);
    return write_tags(tx, q.name, &all, e);
}

int sqs_list_tags(struct local_tx *tx, struct aws_call *c) {
    struct sqs_queue q;
    struct json tags;
    struct err *e = &c->err;
    if (params_only(&c->params, "QueueUrl", "ListQueueTags", ERR_SQS_PARAMETER, e)) return -1;
    if (sqs_find(tx, c, &q, e) || read_tags(tx, &c->arena, q.name, &tags, e)) return -1;
    if (tags.n) json_set(&c->arena, &c->result, "Tags", tags);
    return 0;
}
