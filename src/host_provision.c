/* host_provision.c: what the template declares is looked for, all at once; what is missing is created (in the embedded
 * engine, and on AWS with --create) or refused in one message. With leave to create, queue attributes and TTLs follow
 * the template too. A table that exists with other keys or indexes is refused: tables are not migrated. */
#include "host.h"
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_MS = 20000,    /* all looks together */
    ACTIVE_MS = 120000, /* a new table becomes ACTIVE within */
    PAUSE_MS = 500,     /* between looks at it */
    MESSAGE_ROOM = 700, /* of struct err's message, for names */
};

struct look {
    struct provision *v;
    const char *what; /* "table" */
    struct str name, logical_id;
    int line;
    struct aws_call *call;
    bool missing, unseen; /* unseen: no leave to look */
};
struct provision {
    struct perigee *p;
    struct aws_backend *backend;
    struct loop *loop;
    struct arena arena;
    struct look *looks; /* tables, then queues, then buckets, in the template's order */
    size_t n, pending;
    bool create;
};

/* -- calls ------------------------------------------------------------------------------------------------------ */

/* Runs one call to its end. On success *ret (may be NULL) is its result copied into the arena. */
static int call(struct provision *v, enum aws_op op, const struct json *params, struct json *ret, struct err *e) {
    struct aws_call *c = aws_call_new(op);
    c->params = json_copy(&c->arena, params);
    aws_call_wait(v->backend, v->loop, c);
    int rc = 0;
    if (c->err.code) {
        if (e) *e = c->err;
        rc = -1;
    } else if (ret) {
        *ret = json_copy(&v->arena, &c->result);
    }
    aws_call_free(c);
    return rc;
}

static struct json named(struct arena *a, const char *member, struct str name) {
    struct json o = json_make_obj();
    json_set(a, &o, member, json_make_str(name));
    return o;
}

static const char *place(const struct provision *v) {
    const struct deployment *d = &v->p->deployment;
    const struct perigee_config *c = &v->p->config;
    if (c->aws) return arena_printf(&v->p->arena, "account %s, region %s", d->account, d->region).p;
    return c->memory ? "memory" : c->data ? c->data : PERIGEE_DATA;
}

static int at(const struct provision *v, const struct look *l, const char *verb, struct err *e) {
    if (e->code == ERR_CONFIG) return -1;
    return err_wrap(e, "%s:%d: cannot %s %s %.*s", v->p->config.template_path, l->line, verb, l->what,
                    STR_ARG(l->name));
}

/* -- looking ---------------------------------------------------------------------------------------------------- */

static void looked(struct aws_call *c, void *ud) {
    struct look *l = ud;
    l->v->pending--;
    l->missing = c->err.code && cloud_is_missing(&c->err);
    l->unseen = c->err.code && !l->missing && cloud_is_denied(&c->err);
}

static void look(struct provision *v, const char *what, struct str name, struct str logical_id, int line,
                 enum aws_op op, const char *member) {
    struct look *l = &v->looks[v->n++];
    *l = (struct look){v, what, name, logical_id, line, cloud_look(op, member, name)};
    l->call->done = looked;
    l->call->ud = l;
    l->call->context.deadline_ms = now_mono_ms() + LOOK_MS;
    v->pending++;
    if (aws_start(v->backend, v->loop, l->call) == AWS_DONE) looked(l->call, l);
}

static int look_all(struct provision *v, struct err *e) {
    const struct app *app = v->p->app;
    v->looks = ARENA_ARRAY(&v->arena, struct look, app->n_tables + app->n_queues + app->n_buckets + 1);
    for (size_t i = 0; i < app->n_tables; i++)
        look(v, "table", app->tables[i].name, app->tables[i].logical_id, app->tables[i].line,
             AWS_DYNAMODB_DescribeTable, "TableName");
    for (size_t i = 0; i < app->n_queues; i++)
        look(v, "queue", app->queues[i].name, app->queues[i].logical_id, app->queues[i].line, AWS_SQS_GetQueueUrl,
             "QueueName");
    for (size_t i = 0; i < app->n_buckets; i++)
        look(v, "bucket", app->buckets[i].name, app->buckets[i].logical_id, app->buckets[i].line, AWS_S3_HeadBucket,
             "Bucket");
    while (v->pending) loop_once(v->loop, -1);
    for (size_t i = 0; i < v->n; i++) {
        struct look *l = &v->looks[i];
        if (l->unseen)
            log_event(v->p->log, LOG_WARN, "no leave to look whether it exists", "sSs", "kind", l->what, "name",
                      l->name, "error", l->call->err.msg);
        if (!l->call->err.code || l->missing || l->unseen) continue;
        *e = l->call->err;
        return at(v, l, "look for", e);
    }
    return 0;
}

/* One line a missing resource, as many as the message holds. */
static int refuse_missing(struct provision *v, struct err *e) {
    struct buf b = BUF_MAX(MESSAGE_ROOM);
    size_t missing = 0, named_ones = 0;
    for (size_t i = 0; i < v->n; i++) {
        const struct look *l = &v->looks[i];
        size_t before = b.n;
        if (!l->missing || !++missing) continue;
        buf_printf(&b, "\n  %s:%d: %s %.*s", v->p->config.template_path, l->line, l->what, STR_ARG(l->name));
        if (!str_eq(l->name, l->logical_id)) buf_printf(&b, " (%.*s)", STR_ARG(l->logical_id));
        if (b.over)
            b.n = before;
        else
            named_ones++;
    }
    if (missing)
        err_set(e, ERR_CONFIG,
                "%zu declared resource%s missing in %s:%.*s%s\ndeploy the template (sam deploy), say what the deployed "
                "ones are called (--stack NAME or --resources Logical=name,...), or let them be made (--create)",
                missing, missing == 1 ? " is" : "s are", place(v), (int)b.n, b.p ? b.p : "",
                named_ones < missing ? "\n  ..." : "");
    buf_free(&b);
    return missing ? -1 : 0;
}

/* -- tables ----------------------------------------------------------------------------------------------------- */

static const struct json *index_named(const struct json *list, struct str name) {
    for (uint32_t i = 0; list && i < list->n; i++)
        if (str_eq(json_get_s(&list->items[i], "IndexName"), name)) return &list->items[i];
    return NULL;
}

static bool same_indexes(const struct json *want, const struct json *have) {
    uint32_t n_want = want ? want->n : 0, n_have = json_is(have, JSON_ARR) ? have->n : 0;
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
                   "%s:%d: table %.*s exists in %s with other %s; tables are not migrated: name a new table%s",
                   v->p->config.template_path, t->line, STR_ARG(t->name), place(v), differs,
                   v->p->config.aws ? "" : " or start with another --data directory");
}

static void pass(void *ud) {
    bool *passed = ud;
    *passed = true;
}

static void pause_ms(struct loop *loop, uint64_t ms) {
    struct loop_timer timer = {0};
    bool passed = false;
    loop_timer_start(loop, &timer, ms, pass, &passed);
    while (!passed) loop_once(loop, -1);
}

/* `have`: {Table} or {TableDescription}. */
static int await_active(struct provision *v, const struct app_table *t, const struct json *have, struct err *e) {
    struct json name = named(&v->arena, "TableName", t->name), now = *have;
    uint64_t end = now_mono_ms() + ACTIVE_MS;
    for (;;) {
        const struct json *d = json_get(&now, "Table");
        struct str status = json_get_s(d ? d : json_get(&now, "TableDescription"), "TableStatus");
        if (str_is(status, "ACTIVE") || str_is(status, "UPDATING")) return 0;
        if (!str_is(status, "CREATING"))
            return err_set(e, ERR_CONFIG, "%s:%d: table %.*s is %.*s", v->p->config.template_path, t->line,
                           STR_ARG(t->name), STR_ARG(status));
        if (now_mono_ms() > end)
            return err_set(e, ERR_TIMEOUT, "it is still being created after %d s", ACTIVE_MS / 1000);
        pause_ms(v->loop, PAUSE_MS);
        if (call(v, AWS_DYNAMODB_DescribeTable, &name, &now, e)) return -1;
    }
}

static bool is_already(const struct err *e) {
    return str_find(str_c(e->msg), STR("TimeToLive is already"), 0) >= 0;
}

static int set_ttl(struct provision *v, const struct app_table *t, struct err *e) {
    struct arena *a = &v->arena;
    struct json name = named(a, "TableName", t->name), have = json_make_obj();
    if (call(v, AWS_DYNAMODB_DescribeTimeToLive, &name, &have, e)) return -1;
    const struct json *d = json_get(&have, "TimeToLiveDescription");
    struct str status = json_get_s(d, "TimeToLiveStatus"), attribute = json_get_s(d, "AttributeName");
    bool enabled = str_is(status, "ENABLED") || str_is(status, "ENABLING");
    if (enabled ? str_eq(attribute, t->ttl_attribute) : !t->ttl_attribute.n) return 0;
    struct json spec = named(a, "AttributeName", t->ttl_attribute.n ? t->ttl_attribute : attribute);
    json_set(a, &spec, "Enabled", json_make_bool(t->ttl_attribute.n > 0));
    json_set(a, &name, "TimeToLiveSpecification", spec);
    struct err why = {0};
    if (!call(v, AWS_DYNAMODB_UpdateTimeToLive, &name, NULL, &why) || is_already(&why)) return 0;
    *e = why;
    return -1;
}

/* Creation is asked for of all before any is waited for. */
static int create_tables(struct provision *v, struct err *e) {
    const struct app *app = v->p->app;
    struct json *states = ARENA_ARRAY(&v->arena, struct json, app->n_tables + 1);
    for (size_t i = 0; i < app->n_tables; i++) {
        const struct look *l = &v->looks[i];
        states[i] = l->call->result;
        if (!l->missing) continue;
        if (call(v, AWS_DYNAMODB_CreateTable, &app->tables[i].create, &states[i], e)) return at(v, l, "create", e);
    }
    for (size_t i = 0; i < app->n_tables; i++) {
        const struct look *l = &v->looks[i];
        if (l->unseen) continue;
        if (await_active(v, &app->tables[i], &states[i], e)) return at(v, l, "use", e);
        if (v->create && set_ttl(v, &app->tables[i], e)) return at(v, l, "set the TTL of", e);
    }
    return 0;
}

/* -- queues and buckets ----------------------------------------------------------------------------------------- */

static int provision_queue(struct provision *v, const struct app_queue *q, struct err *e) {
    struct arena *a = &v->arena;
    struct err exists = {0};
    if (!call(v, AWS_SQS_CreateQueue, &q->create, NULL, &exists)) return 0;
    if (exists.code != ERR_SQS_QUEUE_EXISTS && strcmp(err_name_of(&exists), "QueueAlreadyExists")) {
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

static int create_queues(struct provision *v, struct err *e) {
    const struct app *app = v->p->app;
    for (size_t i = 0; i < app->n_queues; i++) {
        const struct look *l = &v->looks[app->n_tables + i];
        if (!l->unseen && provision_queue(v, &app->queues[i], e)) return at(v, l, "create", e);
    }
    return 0;
}

static int create_buckets(struct provision *v, struct err *e) {
    const struct app *app = v->p->app;
    for (size_t i = 0; i < app->n_buckets; i++) {
        const struct look *l = &v->looks[app->n_tables + app->n_queues + i];
        struct err exists = {0};
        if (!l->missing || !call(v, AWS_S3_CreateBucket, &app->buckets[i].create, NULL, &exists)) continue;
        if (exists.code == ERR_S3_BUCKET_EXISTS) continue;
        *e = exists;
        return at(v, l, "create", e);
    }
    return 0;
}

/* -- all -------------------------------------------------------------------------------------------------------- */

static int compare_tables(struct provision *v, struct err *e) {
    const struct app *app = v->p->app;
    for (size_t i = 0; i < app->n_tables; i++)
        if (!v->looks[i].call->err.code && compare_table(v, &app->tables[i], &v->looks[i].call->result, e)) return -1;
    return 0;
}

int host_provision(struct perigee *p, struct cloud_conn *conn, struct err *e) {
    struct provision v = {.p = p, .backend = cloud_backend(conn), .loop = conn->loop};
    int rc = -1;
    v.create = !p->config.aws || p->config.create;
    if (look_all(&v, e) || compare_tables(&v, e)) goto out;
    if (!v.create && refuse_missing(&v, e)) goto out;
    if (create_tables(&v, e)) goto out;
    if (v.create && (create_queues(&v, e) || create_buckets(&v, e))) goto out;
    rc = 0;
out:
    for (size_t i = 0; i < v.n; i++) aws_call_free(v.looks[i].call);
    arena_free(&v.arena);
    return rc;
}
