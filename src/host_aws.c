/* host_aws.c: what the template cannot say about AWS: the account, and the physical names of what is deployed. */
#include "base/crypto.h"
#include "host.h"
#include <stdlib.h>
#include <string.h>

enum {
    ACCOUNT_MS = 5000, /* STS is waited for so long */
    STACK_MS = 20000,
    NAMES_MAX = 1000, /* CloudFormation's limit is 500 resources a stack */
};

static void add_name(struct deployment *d, struct str logical, struct str name, bool asked) {
    if (!d->names) d->names = ARENA_ARRAY(&d->arena, struct app_name, NAMES_MAX);
    if (d->n_names == NAMES_MAX) return;
    d->names[d->n_names++] = (struct app_name){arena_str(&d->arena, logical), arena_str(&d->arena, name), asked};
}

/* -- --resources A=x,B=y --------------------------------------------------------------------------------------------
 */

static int names_from_option(struct deployment *d, const char *option, struct err *e) {
    struct str rest = str_c(option ? option : "");
    while (rest.n) {
        struct str value = str_cut(&rest, ','), name = str_trim(str_cut(&value, '='));
        value = str_trim(value);
        if (!name.n || !value.n || d->n_names == NAMES_MAX)
            return err_set(e, ERR_CONFIG, "--resources: '%.*s' is not LogicalId=name", STR_ARG(name));
        add_name(d, name, aws_queue_name(value), true);
    }
    return 0;
}

/* -- the stack ------------------------------------------------------------------------------------------------------
 */

/* Query lists come as arrays, or as {member: [...]}. */
static const struct json *rows_of(const struct json *result) {
    const struct json *rows = json_get(result, "StackResourceSummaries");
    const struct json *members = json_is(rows, JSON_OBJ) ? json_get(rows, "member") : NULL;
    return members ? members : rows;
}

static void add_rows(struct deployment *d, const struct json *rows) {
    for (uint32_t i = 0; json_is(rows, JSON_ARR) && i < rows->n; i++) {
        const struct json *r = &rows->items[i];
        struct str logical = json_get_s(r, "LogicalResourceId"), name = json_get_s(r, "PhysicalResourceId");
        bool gone = str_is(json_get_s(r, "ResourceStatus"), "DELETE_COMPLETE");
        if (str_is(json_get_s(r, "ResourceType"), "AWS::SQS::Queue")) name = aws_queue_name(name);
        if (logical.n && name.n && !gone) add_name(d, logical, name, false);
    }
}

static int names_from_stack(struct deployment *d, struct aws_backend *b, struct loop *loop, const char *stack,
                            struct err *e) {
    struct str token = STR_NONE;
    int rc = 0;
    do {
        struct aws_call *c = aws_call_named(AWS_CLOUDFORMATION, STR("ListStackResources"));
        c->params = json_make_obj();
        c->context.deadline_ms = now_mono_ms() + STACK_MS;
        json_set(&c->arena, &c->params, "StackName", json_make_c(stack));
        if (token.n) json_set(&c->arena, &c->params, "NextToken", json_make_str(token));
        aws_call_wait(b, loop, c);
        token = STR_NONE;
        if (c->err.code) {
            *e = c->err;
            rc = err_wrap(e, "--stack %s: its resources cannot be listed (cloudformation:ListStackResources)", stack);
        } else {
            add_rows(d, rows_of(&c->result));
            token = arena_str(&d->arena, json_get_s(&c->result, "NextToken"));
        }
        aws_call_free(c);
    } while (!rc && token.n);
    if (!rc && !d->n_names) return err_set(e, ERR_CONFIG, "--stack %s: the stack has no resources", stack);
    return rc;
}

/* -- the account ----------------------------------------------------------------------------------------------------
 */

/* A host without STS (an engine of somebody else) or without leave to ask goes on under the account of zeroes. */
static void find_account(struct cloud *cloud, struct aws_backend *b, struct loop *loop, const struct log *log,
                         struct deployment *d) {
    struct aws_call *c = aws_call_new(AWS_STS_GetCallerIdentity);
    c->params = json_make_obj();
    c->context.deadline_ms = now_mono_ms() + ACCOUNT_MS;
    aws_call_wait(b, loop, c);
    struct str account = json_get_s(&c->result, "Account");
    if (!c->err.code && account.n) {
        remote_set_account(cloud->remote, account);
        d->caller = arena_str(&d->arena, json_get_s(&c->result, "Arn"));
    } else {
        log_event(log, LOG_WARN, "account unknown, 000000000000 is used (--account N says which)", "s", "error",
                  c->err.code ? c->err.msg : "STS named no account");
    }
    aws_call_free(c);
}

static void note_identity(struct deployment *d, const struct remote *r) {
    struct aws_identity id = remote_identity(r);
    d->region = arena_cstr(&d->arena, id.region);
    d->account = arena_cstr(&d->arena, id.account);
    d->partition = arena_cstr(&d->arena, id.partition);
    d->queue_base = arena_cstr(&d->arena, remote_queue_base(r));
}

int deployment_find(struct cloud *cloud, const struct perigee_config *c, struct loop *loop, const struct log *log,
                    struct deployment *ret, struct err *e) {
    struct cloud_conn conn = {0};
    int rc = -1;
    if (names_from_option(ret, c->resources, e)) return -1;
    ret->stack = c->stack;
    if (c->account) remote_set_account(cloud->remote, str_c(c->account));
    bool known = !str_is(remote_identity(cloud->remote).account, "000000000000");
    if (cloud_attach(cloud, loop, &conn, e)) return -1;
    if (!known && !c->account) find_account(cloud, cloud_backend(&conn), loop, log, ret);
    if (c->stack && names_from_stack(ret, cloud_backend(&conn), loop, c->stack, e)) goto out;
    note_identity(ret, cloud->remote);
    rc = 0;
out:
    cloud_detach(&conn);
    return rc;
}

void deployment_free(struct deployment *d) {
    arena_free(&d->arena);
    *d = (struct deployment){0};
}

/* -- the lease table of schedules -------------------------------------------------------------------------------------
 */

/* The only key of a table, when it is of type S; d: parameters of CreateTable or a TableDescription. */
static struct str string_key(const struct json *d) {
    const struct json *keys = json_get(d, "KeySchema"), *types = json_get(d, "AttributeDefinitions");
    if (!json_is(keys, JSON_ARR) || keys->n != 1) return STR_NONE;
    struct str key = json_get_s(&keys->items[0], "AttributeName");
    for (uint32_t i = 0; json_is(types, JSON_ARR) && i < types->n; i++)
        if (str_eq(json_get_s(&types->items[i], "AttributeName"), key) &&
            str_is(json_get_s(&types->items[i], "AttributeType"), "S"))
            return key;
    return STR_NONE;
}

/* A table that the template does not declare. */
static int describe_lease(struct perigee *p, struct cloud_conn *conn, const char *table, struct err *e) {
    struct aws_call *c = cloud_look(AWS_DYNAMODB_DescribeTable, "TableName", str_c(table));
    c->context.deadline_ms = now_mono_ms() + STACK_MS;
    aws_call_wait(cloud_backend(conn), conn->loop, c);
    int rc = 0;
    if (c->err.code) {
        *e = c->err;
        rc = err_wrap(e, "--lease-table %s cannot be used", table);
    } else {
        p->lease.table = arena_str(&p->arena, str_c(table));
        p->lease.key = arena_str(&p->arena, string_key(json_get(&c->result, "Table")));
    }
    aws_call_free(c);
    return rc;
}

/* What tells our schedules from those of other applications in the table. */
static struct str lease_scope(const struct perigee *p) {
    struct str path = str_c(p->config.template_path), name = path;
    if (p->config.stack) return str_c(p->config.stack);
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] == '/') name = str_from(path, i + 1);
    return name;
}

static bool has_schedules(const struct perigee *p) {
    for (size_t i = 0; i < p->app->n_schedules; i++)
        if (p->app->schedules[i].enabled) return p->config.feeds && !p->embedded;
    return false;
}

int host_find_lease(struct perigee *p, struct cloud_conn *conn, struct err *e) {
    const char *asked = p->config.lease_table;
    const struct app_table *t = asked ? app_table(p->app, str_c(asked)) : p->app->lease_table;
    char id[37];
    if (!has_schedules(p)) return 0;
    if (!t && !asked) {
        log_event(p->log, LOG_WARN,
                  "schedules run on every replica: neither --lease-table nor Metadata.Perigee.LeaseTable names a table",
                  "");
        return 0;
    }
    if (t) {
        p->lease.table = t->name;
        p->lease.key = string_key(&t->create);
        p->lease.ttl = t->ttl_attribute;
    } else if (describe_lease(p, conn, asked, e)) {
        return -1;
    }
    if (!p->lease.key.n)
        return err_set(e, ERR_CONFIG, "--lease-table %s: the table must have one key, a HASH key of type S", asked);
    crypto_uuid7(clock_ms(p->clock), id);
    p->lease.owner = arena_str(&p->arena, str_c(id));
    p->lease.scope = lease_scope(p);
    return 0;
}
