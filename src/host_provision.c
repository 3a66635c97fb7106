/* host_provision.c: makes the store hold what the template declares. Creates what is missing, applies changed queue
 * attributes and TTLs, refuses what would need a migration (other keys or indexes of a table that exists). */
#include "host.h"
#include <string.h>

struct provision {
    struct perigee *p;
    struct local_conn *conn;
    struct loop *loop;
};

/* Runs one call to its end. On success *ret (may be NULL) is its result copied into the host's arena. */
static int call(struct provision *v, enum aws_op op, const struct json *params, struct json *ret, struct err *e) {
    struct aws_call *c = aws_call_new(op);
    c->params = json_copy(&c->arena, params);
    aws_call_wait(local_backend(v->conn), v->loop, c);
    int rc = 0;
    if (c->err.code) {
        if (e) *e = c->err;
        rc = -1;
    } else if (ret) {
        *ret = json_copy(&v->p->arena, &c->result);
    }
    aws_call_free(c);
    return rc;
}

static struct json named(struct arena *a, const char *member, struct str name) {
    struct json o = json_make_obj();
    json_set(a, &o, member, json_make_str(name));
    return o;
}

/* -- tables ----------------------------------------------------------------------------------------------------- */

static const struct json *index_named(const struct json *list, struct str name) {
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(json_get_s(&list->items[i], "IndexName"), name)) return &list->items[i];
    return NULL;
}

static bool same_indexes(const struct json *want, const struct json *have) {
    uint32_t n_want = want ? want->n : 0, n_have = have ? have->n : 0;
    if (n_want != n_have) return false;
    for (uint32_t i = 0; i < n_want; i++) {
        const struct json *w = &want->items[i];
        const struct json *h = index_named(have, json_get_s(w, "IndexName"));
        if (!h || !json_equal(json_get(w, "KeySchema"), json_get(h, "KeySchema"))) return false;
        if (!str_eq(json_get_s(json_get(w, "Projection"), "ProjectionType"),
                    json_get_s(json_get(h, "Projection"), "ProjectionType")))
            return false;
    }
    return true;
}

static int compare_table(const struct provision *v, const struct app_table *t, const struct json *have, struct err *e) {
    const struct json *d = json_get(have, "Table");
    const char *differs = NULL;
    if (!json_equal(json_get(&t->create, "KeySchema"), json_get(d, "KeySchema"))) differs = "KeySchema";
    if (!same_indexes(json_get(&t->create, "GlobalSecondaryIndexes"), json_get(d, "GlobalSecondaryIndexes")))
        differs = "GlobalSecondaryIndexes";
    if (!same_indexes(json_get(&t->create, "LocalSecondaryIndexes"), json_get(d, "LocalSecondaryIndexes")))
        differs = "LocalSecondaryIndexes";
    if (!differs) return 0;
    return err_set(e, ERR_CONFIG,
                   "%s:%d: table %.*s exists in %s with other %s; tables are not migrated: name a new table or start "
                   "with another --data directory",
                   v->p->config.template_path, t->line, STR_ARG(t->name), v->p->config.data, differs);
}

static int set_ttl(struct provision *v, const struct app_table *t, struct err *e) {
    struct arena *a = &v->p->arena;
    struct json name = named(a, "TableName", t->name), have = json_make_obj();
    if (call(v, AWS_DYNAMODB_DescribeTimeToLive, &name, &have, e)) return -1;
    const struct json *d = json_get(&have, "TimeToLiveDescription");
    bool enabled = str_is(json_get_s(d, "TimeToLiveStatus"), "ENABLED");
    struct str attribute = json_get_s(d, "AttributeName");
    if (enabled ? str_eq(attribute, t->ttl_attribute) : !t->ttl_attribute.n) return 0;
    struct json spec = named(a, "AttributeName", t->ttl_attribute.n ? t->ttl_attribute : attribute);
    json_set(a, &spec, "Enabled", json_make_bool(t->ttl_attribute.n > 0));
    json_set(a, &name, "TimeToLiveSpecification", spec);
    return call(v, AWS_DYNAMODB_UpdateTimeToLive, &name, NULL, e);
}

static int provision_table(struct provision *v, const struct app_table *t, struct err *e) {
    struct json name = named(&v->p->arena, "TableName", t->name), have = json_make_obj();
    struct err missing = {0};
    int rc;
    if (!call(v, AWS_DYNAMODB_DescribeTable, &name, &have, &missing))
        rc = compare_table(v, t, &have, e);
    else if (missing.code == ERR_DDB_NOT_FOUND)
        rc = call(v, AWS_DYNAMODB_CreateTable, &t->create, NULL, e);
    else {
        *e = missing;
        return -1;
    }
    return rc ? rc : set_ttl(v, t, e);
}

/* -- queues and buckets ----------------------------------------------------------------------------------------- */

static int provision_queue(struct provision *v, const struct app_queue *q, struct err *e) {
    struct arena *a = &v->p->arena;
    struct err exists = {0};
    if (!call(v, AWS_SQS_CreateQueue, &q->create, NULL, &exists)) return 0;
    if (exists.code != ERR_SQS_QUEUE_EXISTS) {
        *e = exists;
        return -1;
    }
    struct json name = named(a, "QueueName", q->name), url = json_make_obj();
    if (call(v, AWS_SQS_GetQueueUrl, &name, &url, e)) return -1;
    struct json set = named(a, "QueueUrl", json_get_s(&url, "QueueUrl"));
    const struct json *attributes = json_get(&q->create, "Attributes");
    json_set(a, &set, "Attributes", attributes ? *attributes : json_make_obj());
    return call(v, AWS_SQS_SetQueueAttributes, &set, NULL, e);
}

static int provision_bucket(struct provision *v, const struct app_bucket *b, struct err *e) {
    struct err exists = {0};
    if (!call(v, AWS_S3_CreateBucket, &b->create, NULL, &exists)) return 0;
    if (exists.code == ERR_S3_BUCKET_EXISTS) return 0;
    *e = exists;
    return -1;
}

static int at(const struct perigee *p, int line, struct str name, struct err *e) {
    if (e->code == ERR_CONFIG) return -1;
    return err_wrap(e, "%s:%d: cannot create %.*s", p->config.template_path, line, STR_ARG(name));
}

int host_provision(struct perigee *p, struct local_conn *conn, struct loop *loop, struct err *e) {
    struct provision v = {p, conn, loop};
    const struct app *app = p->app;
    for (size_t i = 0; i < app->n_tables; i++)
        if (provision_table(&v, &app->tables[i], e)) return at(p, app->tables[i].line, app->tables[i].name, e);
    for (size_t i = 0; i < app->n_queues; i++)
        if (provision_queue(&v, &app->queues[i], e)) return at(p, app->queues[i].line, app->queues[i].name, e);
    for (size_t i = 0; i < app->n_buckets; i++)
        if (provision_bucket(&v, &app->buckets[i], e)) return at(p, app->buckets[i].line, app->buckets[i].name, e);
    return 0;
}
