/* Tags; what AWS tells about the account, the endpoint and backups. */
#include "local/dynamo/dynamo.h"
#include "local/store.h"
#include <stdatomic.h>

enum { TAGS_MAX = 50, TAG_KEY = 128, TAG_VALUE = 256 };

struct str ddb_arn_name(struct str arn) {
    ptrdiff_t at = str_starts(arn, STR("arn:")) ? str_find(arn, STR(":table/"), 0) : -1;
    return at < 0 ? arn : str_from(arn, (size_t)at + 7);
}

/* ==== tags ==== */

int ddb_check_tags(const struct json *tags, struct err *e) {
    for (uint32_t i = 0; i < tags->n; i++) {
        struct str key = json_get_s(&tags->items[i], "Key"), shown = clip(key);
        if (!key.n || key.n > TAG_KEY || json_get_s(&tags->items[i], "Value").n > TAG_VALUE)
            return err_set(e, ERR_VALIDATION,
                           "One or more parameter values were invalid: the tag '%.*s' must have a key of 1 to %d and a "
                           "value of at most %d characters",
                           STR_ARG(shown), TAG_KEY, TAG_VALUE);
        if (str_starts(key, STR("aws:")))
            return err_set(e, ERR_VALIDATION,
                           "One or more parameter values were invalid: the tag key '%.*s' begins "
                           "with aws:, which is reserved",
                           STR_ARG(shown));
        for (uint32_t k = 0; k < i; k++)
            if (str_eq(json_get_s(&tags->items[k], "Key"), key))
                return err_set(e, ERR_VALIDATION, "One or more parameter values were invalid: Duplicate tag key: %.*s",
                               STR_ARG(shown));
    }
    return 0;
}

static int count_tags(struct local_tx *tx, int64_t id, int64_t *ret, struct err *e) {
    struct db_stmt *s;
    if (db_stmt(tx->db, "SELECT count(*) FROM ddb_tag WHERE table_id = ?1", &s, e)) return -1;
    db_bind_i64(s, 1, id);
    int row = db_step(s, e);
    if (row == 1) *ret = db_i64(s, 0);
    db_done(s);
    return row < 0 ? -1 : 0;
}

int ddb_put_tags(struct local_tx *tx, const struct ddb_table *t, const struct json *tags, struct err *e) {
    int64_t n = 0;
    for (uint32_t i = 0; i < tags->n; i++) {
        struct db_stmt *s;
        if (db_stmt(tx->db, "REPLACE INTO ddb_tag VALUES(?1, ?2, ?3)", &s, e)) return -1;
        db_bind_i64(s, 1, t->id);
        db_bind_text(s, 2, json_get_s(&tags->items[i], "Key"));
        db_bind_text(s, 3, json_get_s(&tags->items[i], "Value"));
        if (db_run(s, e)) return -1;
    }
    if (count_tags(tx, t->id, &n, e)) return -1;
    if (n > TAGS_MAX)
        return err_set(e, ERR_VALIDATION,
                       "One or more parameter values were invalid: Too many tags: a table can have %d", TAGS_MAX);
    return 0;
}

/* Six parts between colons, the last of them with a slash: what AWS takes for an ARN at all. */
static bool is_arn(struct str s) {
    int colons = 0;
    for (size_t i = 0; i < s.n; i++) colons += s.p[i] == ':';
    ptrdiff_t slash = str_chr(s, '/', 0);
    return colons >= 5 && slash > 0 && (size_t)slash + 1 < s.n;
}

static int check_table_arn(struct local_tx *tx, struct aws_call *c, struct str arn) {
    struct str name = ddb_arn_name(arn), shown = clip(arn);
    struct str wanted = arena_printf(&c->arena, "arn:%.*s:dynamodb:%.*s:%.*s:table/", STR_ARG(tx->id.partition),
                                     STR_ARG(tx->id.region), STR_ARG(tx->id.account));
    if (str_starts(arn, wanted) && name.n >= 3 && str_chr(name, '/', 0) < 0) return 0;
    return err_set(&c->err, ERR_VALIDATION, "Invalid TableArn: Invalid ResourceArn provided as input %.*s",
                   STR_ARG(shown));
}

/* ResourceArn and the list beside it, in AWS's order. list: "Tags"; place: "tags"; one: "Tag"; or all NULL. */
static int check_tagging(struct local_tx *tx, struct aws_call *c, const char *list, const char *place,
                         const char *one) {
    const struct json *arn = param(&c->params, "ResourceArn"), *given = list ? param(&c->params, list) : NULL;
    struct err *e = &c->err;
    if (!arn) return err_set(e, ERR_VALIDATION, "Invalid TableArn");
    struct str shown = arn->s.n ? clip(arn->s) : STR("*");
    if (!is_arn(arn->s))
        return err_set(e, ERR_ACCESS_DENIED,
                       "User: arn:%.*s:iam::%.*s:root is not authorized to perform: dynamodb:%s on resource: %.*s",
                       STR_ARG(tx->id.partition), STR_ARG(tx->id.account), c->row->action, STR_ARG(shown));
    if (list && !given)
        return err_set(e, ERR_VALIDATION,
                       "1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not "
                       "be null",
                       place);
    if (check_table_arn(tx, c, arn->s)) return -1;
    if (given && !given->n) return err_set(e, ERR_VALIDATION, "Atleast one %s needs to be provided as Input.", one);
    return 0;
}

/* The table that ResourceArn names. */
static int tagged(struct local_tx *tx, struct aws_call *c, struct ddb_table **ret) {
    struct err *e = &c->err;
    struct str arn = json_get_s(&c->params, "ResourceArn"), shown = clip(arn);
    if (!ddb_table(tx, ddb_arn_name(arn), ret, e)) return 0;
    if (e->code != ERR_DDB_NOT_FOUND) return -1;
    return err_set(e, ERR_DDB_NOT_FOUND, "Requested resource not found: ResourcArn: %.*s not found", STR_ARG(shown));
}

int ddb_tag(struct local_tx *tx, struct aws_call *c) {
    struct ddb_table *t;
    if (ddb_params(tx, c) || check_tagging(tx, c, "Tags", "tags", "Tag")) return -1;
    const struct json *tags = param(&c->params, "Tags");
    if (ddb_check_tags(tags, &c->err) || tagged(tx, c, &t) || ddb_put_tags(tx, t, tags, &c->err)) return -1;
    c->result = json_make_obj();
    return 0;
}

int ddb_untag(struct local_tx *tx, struct aws_call *c) {
    struct ddb_table *t;
    struct err *e = &c->err;
    if (ddb_params(tx, c) || check_tagging(tx, c, "TagKeys", "tagKeys", "Tag Key") || tagged(tx, c, &t)) return -1;
    const struct json *keys = param(&c->params, "TagKeys");
    for (uint32_t i = 0; i < keys->n; i++) {
        struct db_stmt *s;
        if (db_stmt(tx->db, "DELETE FROM ddb_tag WHERE table_id = ?1 AND k = ?2", &s, e)) return -1;
        db_bind_i64(s, 1, t->id);
        db_bind_text(s, 2, keys->items[i].s);
        if (db_run(s, e)) return -1;
    }
    c->result = json_make_obj();
    return 0;
}

/* All in one answer: there are at most 50. */
int ddb_list_tags(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct json tags = json_make_arr();
    struct ddb_table *t;
    struct db_stmt *s;
    int row;
    if (ddb_params(tx, c) || check_tagging(tx, c, NULL, NULL, NULL)) return -1;
    if (param(&c->params, "NextToken"))
        return err_set(&c->err, ERR_VALIDATION, "ListTagsOfResource: NextToken is none that was given out");
    if (tagged(tx, c, &t)) return -1;
    if (db_stmt(tx->db, "SELECT k, v FROM ddb_tag WHERE table_id = ?1", &s, &c->err)) return -1;
    db_bind_i64(s, 1, t->id);
    while ((row = db_step(s, &c->err)) == 1) {
        struct json o = json_make_obj();
        json_set(a, &o, "Key", json_make_str(arena_str(a, db_bytes(s, 0))));
        json_set(a, &o, "Value", json_make_str(arena_str(a, db_bytes(s, 1))));
        json_push(a, &tags, o);
    }
    db_done(s);
    if (row < 0) return -1;
    c->result = json_make_obj();
    json_set(a, &c->result, "Tags", tags);
    return 0;
}

/* ==== account, endpoint, backups ==== */

int ddb_limits(struct local_tx *tx, struct aws_call *c) {
    static const struct {
        const char *name;
        int n;
    } limits[] = {{"AccountMaxReadCapacityUnits", 80000},
                  {"AccountMaxWriteCapacityUnits", 80000},
                  {"TableMaxReadCapacityUnits", 40000},
                  {"TableMaxWriteCapacityUnits", 40000}};
    (void)tx;
    if (ddb_params(tx, c)) return -1;
    c->result = json_make_obj();
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        json_set(&c->arena, &c->result, limits[i].name, json_make_i64(&c->arena, limits[i].n));
    return 0;
}

/* Clients that discover their endpoint stay here. */
int ddb_endpoints(struct local_tx *tx, struct aws_call *c) {
    struct json o = json_make_obj(), list = json_make_arr();
    int port = atomic_load(&tx->local->cloud_port);
    if (ddb_params(tx, c)) return -1;
    struct str address = port ? arena_printf(&c->arena, "localhost:%d", port) : STR("localhost");
    json_set(&c->arena, &o, "Address", json_make_str(address));
    json_set(&c->arena, &o, "CachePeriodInMinutes", json_make_i64(&c->arena, 1440));
    json_push(&c->arena, &list, o);
    c->result = json_make_obj();
    json_set(&c->arena, &c->result, "Endpoints", list);
    return 0;
}

/* There are none, and it says so. */
int ddb_backups(struct local_tx *tx, struct aws_call *c) {
    struct json d = json_make_obj(), in_time = json_make_obj();
    struct arena *a = &c->arena;
    struct ddb_table *t;
    if (ddb_params(tx, c)) return -1;
    struct str name = param_table(&c->params);
    if (ddb_table(tx, name, &t, &c->err))
        return c->err.code == ERR_DDB_NOT_FOUND
                   ? err_service(&c->err, "TableNotFoundException", 400, false, "Table not found: %.*s", STR_ARG(name))
                   : -1;
    json_set(a, &in_time, "PointInTimeRecoveryStatus", json_make_c("DISABLED"));
    json_set(a, &d, "ContinuousBackupsStatus", json_make_c("DISABLED"));
    json_set(a, &d, "PointInTimeRecoveryDescription", in_time);
    c->result = json_make_obj();
    json_set(a, &c->result, "ContinuousBackupsDescription", d);
    return 0;
}
