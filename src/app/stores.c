/* Tables, queues, buckets and mail identities: the parameters of the calls that create them. */
#include "app/template.h"
#include <string.h>

static bool only(struct str s, const char *also) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (!c || !strchr(also, c))) return false;
    }
    return true;
}

static struct json text_json(struct template *t, struct str s) {
    return json_make_str(arena_str(t->a, s));
}

/* ==== tables ==== */

struct keys {
    struct str names[64]; /* attribute names that some key uses */
    size_t n;
};

static struct json definitions(struct template *t, const struct yaml *list, struct str where) {
    struct json out = json_make_arr();
    for (size_t i = 0; list && i < list->n; i++) {
        const struct yaml *d = list->items[i];
        struct str name = STR(""), type = STR("");
        template_check_keys(t, d, where, "AttributeName AttributeType", NULL);
        template_text(t, d, "AttributeName", where, &name);
        template_text(t, d, "AttributeType", where, &type);
        if (!name.n || !template_word("S N B", type)) {
            template_problem(t, d->line, where, "needs AttributeName and AttributeType S, N or B");
            continue;
        }
        struct json *row = json_push(t->a, &out, json_make_obj());
        json_set(t->a, row, "AttributeName", json_make_str(name));
        json_set(t->a, row, "AttributeType", json_make_str(type));
    }
    return out;
}

static bool defined(const struct json *definitions, struct str name) {
    for (uint32_t i = 0; i < definitions->n; i++)
        if (str_eq(json_get_s(&definitions->items[i], "AttributeName"), name)) return true;
    return false;
}

static void note_key(struct keys *used, struct str name) {
    if (used->n < sizeof used->names / sizeof *used->names) used->names[used->n++] = name;
}

static struct json key_schema(struct template *t, const struct yaml *of, struct str where, const struct json *defs,
                              struct keys *used) {
    struct json out = json_make_arr();
    const struct yaml *list = template_seq(t, of, "KeySchema", where);
    if (!list || list->n < 1 || list->n > 2) {
        template_problem(t, list ? list->line : of->line, where, "needs a KeySchema of one or two keys");
        return out;
    }
    where = template_path(t, where, "KeySchema");
    for (size_t i = 0; i < list->n; i++) {
        struct str name = STR(""), type = STR("");
        const char *want = i ? "RANGE" : "HASH";
        template_check_keys(t, list->items[i], where, "AttributeName KeyType", NULL);
        template_text(t, list->items[i], "AttributeName", where, &name);
        template_text(t, list->items[i], "KeyType", where, &type);
        if (!str_is(type, want))
            template_problem(t, list->items[i]->line, where, "key %zu needs KeyType %s", i + 1, want);
        if (!defined(defs, name))
            template_problem(t, list->items[i]->line, where, "'%.*s' is not in AttributeDefinitions", STR_ARG(name));
        note_key(used, name);
        struct json *row = json_push(t->a, &out, json_make_obj());
        json_set(t->a, row, "AttributeName", json_make_str(name));
        json_set(t->a, row, "KeyType", json_make_c(want));
    }
    return out;
}

static struct json projection(struct template *t, const struct yaml *index, struct str where) {
    struct json out = json_make_obj();
    const struct yaml *p = template_map(t, index, "Projection", where);
    struct str type = STR("");
    if (!p || !template_text(t, p, "ProjectionType", where, &type) || !template_word("ALL KEYS_ONLY INCLUDE", type)) {
        template_problem(t, index->line, where, "needs a Projection with ProjectionType ALL, KEYS_ONLY or INCLUDE");
        return out;
    }
    template_check_keys(t, p, template_path(t, where, "Projection"), "ProjectionType NonKeyAttributes", NULL);
    json_set(t->a, &out, "ProjectionType", json_make_str(type));
    const struct yaml *list = template_seq(t, p, "NonKeyAttributes", where);
    if (str_is(type, "INCLUDE") != (list != NULL))
        template_problem(t, p->line, where, "NonKeyAttributes goes with ProjectionType INCLUDE, and only with it");
    struct str *names;
    size_t n;
    if (!list || template_texts(t, list, where, &names, &n)) return out;
    struct json *included = json_set(t->a, &out, "NonKeyAttributes", json_make_arr());
    for (size_t i = 0; i < n; i++) json_push(t->a, included, json_make_str(names[i]));
    return out;
}

/* {"ReadCapacityUnits":n,"WriteCapacityUnits":n} below the map's ProvisionedThroughput. */
static void throughput(struct template *t, const struct yaml *of, struct str where, struct json *out) {
    const struct yaml *p = template_map(t, of, "ProvisionedThroughput", where);
    int64_t read = 0, write = 0;
    if (!p) return;
    where = template_path(t, where, "ProvisionedThroughput");
    template_check_keys(t, p, where, "ReadCapacityUnits WriteCapacityUnits", NULL);
    if (!template_int(t, p, "ReadCapacityUnits", where, 1, INT32_MAX, &read) ||
        !template_int(t, p, "WriteCapacityUnits", where, 1, INT32_MAX, &write))
        return;
    struct json *row = json_set(t->a, out, "ProvisionedThroughput", json_make_obj());
    json_set(t->a, row, "ReadCapacityUnits", json_make_i64(t->a, read));
    json_set(t->a, row, "WriteCapacityUnits", json_make_i64(t->a, write));
}

static void indexes(struct template *t, const struct yaml *props, const char *key, struct str where,
                    const struct json *defs, struct keys *used, struct json *create) {
    const struct yaml *list = template_seq(t, props, key, where);
    if (!list || !list->n) return;
    struct json *out = json_set(t->a, create, key, json_make_arr());
    where = template_path(t, where, key);
    for (size_t i = 0; i < list->n; i++) {
        const struct yaml *index = list->items[i];
        struct str name = STR("");
        bool global = str_is(str_c(key), "GlobalSecondaryIndexes");
        template_check_keys(t, index, where, "IndexName KeySchema Projection",
                            global ? "ProvisionedThroughput OnDemandThroughput ContributorInsightsSpecification "
                                     "WarmThroughput"
                                   : NULL);
        if (!template_text(t, index, "IndexName", where, &name) || name.n < 3 || name.n > 255 || !only(name, "_.-"))
            template_problem(t, index->line, where, "needs an IndexName of 3 to 255 letters, digits, '_', '.', '-'");
        struct json *row = json_push(t->a, out, json_make_obj());
        json_set(t->a, row, "IndexName", json_make_str(name));
        json_set(t->a, row, "KeySchema", key_schema(t, index, where, defs, used));
        json_set(t->a, row, "Projection", projection(t, index, where));
        if (global) throughput(t, index, where, row);
    }
}

static void check_unused(struct template *t, int line, struct str where, const struct json *defs,
                         const struct keys *used) {
    for (uint32_t i = 0; i < defs->n; i++) {
        struct str name = json_get_s(&defs->items[i], "AttributeName");
        size_t k = 0;
        while (k < used->n && !str_eq(used->names[k], name)) k++;
        if (k == used->n) template_problem(t, line, where, "AttributeDefinitions: no key uses '%.*s'", STR_ARG(name));
    }
}

static void billing(struct template *t, const struct yaml *props, struct str where, struct json *create) {
    struct str mode = STR("PROVISIONED");
    template_text(t, props, "BillingMode", where, &mode);
    bool provisioned = str_is(mode, "PROVISIONED");
    if (!provisioned && !str_is(mode, "PAY_PER_REQUEST"))
        template_problem(t, props->line, where, "BillingMode must be PROVISIONED or PAY_PER_REQUEST");
    if (provisioned != (yaml_get(props, "ProvisionedThroughput") != NULL))
        template_problem(t, props->line, where,
                         "ProvisionedThroughput goes with BillingMode PROVISIONED (the default), and only with it");
    json_set(t->a, create, "BillingMode", json_make_str(mode));
    throughput(t, props, where, create);
}

static void time_to_live(struct template *t, const struct yaml *props, struct str where, struct str *ret) {
    const struct yaml *ttl = template_map(t, props, "TimeToLiveSpecification", where);
    bool enabled = false;
    struct str attribute = STR("");
    if (!ttl) return;
    where = template_path(t, where, "TimeToLiveSpecification");
    template_check_keys(t, ttl, where, "AttributeName Enabled", NULL);
    template_bool(t, ttl, "Enabled", where, &enabled);
    if (!template_text(t, ttl, "AttributeName", where, &attribute) && enabled)
        template_problem(t, ttl->line, where, "needs an AttributeName");
    if (enabled) *ret = attribute;
}

static void read_table(struct template *t, const struct yaml *props, struct str where, struct app_table *out) {
    struct keys used = {.n = 0};
    const struct yaml *list = template_seq(t, props, "AttributeDefinitions", where);
    struct json defs = definitions(t, list, template_path(t, where, "AttributeDefinitions"));
    json_set(t->a, &out->create, "AttributeDefinitions", defs);
    json_set(t->a, &out->create, "KeySchema", key_schema(t, props, where, &defs, &used));
    indexes(t, props, "GlobalSecondaryIndexes", where, &defs, &used, &out->create);
    indexes(t, props, "LocalSecondaryIndexes", where, &defs, &used, &out->create);
    check_unused(t, list ? list->line : props->line, where, &defs, &used);
    billing(t, props, where, &out->create);
    time_to_live(t, props, where, &out->ttl_attribute);
}

/* One HASH key, "id" of type String unless PrimaryKey says otherwise. */
static void read_simple_table(struct template *t, const struct yaml *props, struct str where, struct app_table *out) {
    const struct yaml *key = template_map(t, props, "PrimaryKey", where);
    struct str name = STR("id"), type = STR("String");
    if (key) {
        where = template_path(t, where, "PrimaryKey");
        template_check_keys(t, key, where, "Name Type", NULL);
        template_text(t, key, "Name", where, &name);
        template_text(t, key, "Type", where, &type);
    }
    if (!template_word("String Number Binary", type))
        template_problem(t, props->line, where, "Type must be String, Number or Binary");
    struct json *defs = json_set(t->a, &out->create, "AttributeDefinitions", json_make_arr());
    struct json *def = json_push(t->a, defs, json_make_obj());
    json_set(t->a, def, "AttributeName", json_make_str(name));
    json_set(t->a, def, "AttributeType", json_make_str(str_take(type, 1)));
    struct json *schema = json_set(t->a, &out->create, "KeySchema", json_make_arr());
    struct json *row = json_push(t->a, schema, json_make_obj());
    json_set(t->a, row, "AttributeName", json_make_str(name));
    json_set(t->a, row, "KeyType", json_make_c("HASH"));
    bool provisioned = yaml_get(props, "ProvisionedThroughput") != NULL;
    json_set(t->a, &out->create, "BillingMode", json_make_c(provisioned ? "PROVISIONED" : "PAY_PER_REQUEST"));
    throughput(t, props, where, &out->create);
}

static struct app_table table(struct template *t, enum template_kind kind, struct str id, int line) {
    struct str where;
    struct yaml *props = template_properties(t, id, &where);
    struct app_table out = {.name = template_name(t, id), .logical_id = id, .create = json_make_obj(), .line = line};
    out.ttl_attribute = STR("");
    if (out.name.n < 3 || out.name.n > 255 || !only(out.name, "_.-"))
        template_problem(t, line, where, "table name '%.*s' is not 3 to 255 letters, digits, '_', '.', '-'",
                         STR_ARG(str_take(out.name, 300)));
    json_set(t->a, &out.create, "TableName", json_make_str(out.name));
    if (kind == KIND_TABLE)
        read_table(t, props, where, &out);
    else
        read_simple_table(t, props, where, &out);
    return out;
}

/* ==== queues ==== */

static void queue_number(struct template *t, const struct yaml *props, struct str where, const char *key, int64_t min,
                         int64_t max, struct json *attributes) {
    int64_t v;
    if (template_int(t, props, key, where, min, max, &v))
        json_set(t->a, attributes, key, text_json(t, json_make_i64(t->a, v).s));
}

static void redrive(struct template *t, const struct yaml *props, struct str where, struct app_queue *q,
                    struct json *attributes) {
    const struct yaml *p = template_map(t, props, "RedrivePolicy", where);
    struct str target = STR("");
    int64_t count = 0;
    if (!p) return;
    where = template_path(t, where, "RedrivePolicy");
    template_check_keys(t, p, where, "deadLetterTargetArn maxReceiveCount", NULL);
    if (!template_text(t, p, "deadLetterTargetArn", where, &target) ||
        !template_int(t, p, "maxReceiveCount", where, 1, 1000, &count)) {
        if (!template_broken(yaml_get(p, "deadLetterTargetArn")))
            template_problem(t, p->line, where, "needs deadLetterTargetArn and maxReceiveCount");
        return;
    }
    struct str own = template_arn(t, q->logical_id);
    struct str prefix = str_take(own, own.n - q->name.n);
    if (!str_starts(target, prefix)) {
        template_problem(t, p->line, where, "deadLetterTargetArn %.*s is no queue of this template", STR_ARG(target));
        return;
    }
    q->dead_letter = str_from(target, prefix.n);
    struct buf b = BUF_MAX(4096);
    struct json policy = json_make_obj();
    json_set(t->a, &policy, "deadLetterTargetArn", json_make_str(target));
    json_set(t->a, &policy, "maxReceiveCount", json_make_i64(t->a, count));
    json_write(&b, &policy);
    json_set(t->a, attributes, "RedrivePolicy", text_json(t, buf_view(&b)));
    buf_free(&b);
}

static void queue_word(struct template *t, const struct yaml *props, struct str where, const char *key, const char *one,
                       const char *other, struct json *attributes) {
    struct str v = STR("");
    if (!yaml_get(props, key) || !template_text(t, props, key, where, &v)) return;
    if (str_is(v, one) || str_is(v, other))
        json_set(t->a, attributes, key, json_make_str(v));
    else
        template_problem(t, yaml_get(props, key)->line, template_path(t, where, key), "is neither %s nor %s", one,
                         other);
}

/* The name is checked without its ".fifo". */
static struct str queue_kind(struct template *t, const struct yaml *props, struct str where, struct str name, int line,
                             struct json *attributes) {
    const struct str suffix = STR(".fifo");
    bool fifo = false, by_content = false;
    template_bool(t, props, "FifoQueue", where, &fifo);
    template_bool(t, props, "ContentBasedDeduplication", where, &by_content);
    if (fifo && !str_ends(name, suffix))
        template_problem(t, line, where, "the name '%.*s' of a FIFO queue does not end in .fifo",
                         STR_ARG(str_take(name, 100)));
    if (!fifo && str_ends(name, suffix))
        template_problem(t, line, where, "a queue whose name ends in .fifo needs FifoQueue: true");
    if (fifo) json_set(t->a, attributes, "FifoQueue", json_make_c("true"));
    if (by_content) json_set(t->a, attributes, "ContentBasedDeduplication", json_make_c("true"));
    queue_word(t, props, where, "DeduplicationScope", "queue", "messageGroup", attributes);
    queue_word(t, props, where, "FifoThroughputLimit", "perQueue", "perMessageGroupId", attributes);
    for (uint32_t i = 0; !fifo && i < attributes->n; i++)
        template_problem(t, line, where, "%.*s is for queues with FifoQueue: true",
                         STR_ARG(attributes->members[i].key));
    return fifo && str_ends(name, suffix) ? str_take(name, name.n - suffix.n) : name;
}

static struct app_queue queue(struct template *t, struct str id, int line) {
    struct str where;
    struct yaml *props = template_properties(t, id, &where);
    struct app_queue q = {.name = template_name(t, id), .logical_id = id, .create = json_make_obj(), .line = line};
    q.dead_letter = STR("");
    struct json attributes = json_make_obj();
    struct str bare = queue_kind(t, props, where, q.name, line, &attributes);
    if (q.name.n > 80 || !bare.n || !only(bare, "_-"))
        template_problem(t, line, where, "queue name '%.*s' is not 1 to 80 letters, digits, '_', '-'",
                         STR_ARG(str_take(q.name, 100)));
    json_set(t->a, &q.create, "QueueName", json_make_str(q.name));
    queue_number(t, props, where, "VisibilityTimeout", 0, 43200, &attributes);
    queue_number(t, props, where, "DelaySeconds", 0, 900, &attributes);
    queue_number(t, props, where, "MaximumMessageSize", 1024, 1048576, &attributes);
    queue_number(t, props, where, "MessageRetentionPeriod", 60, 1209600, &attributes);
    queue_number(t, props, where, "ReceiveMessageWaitTimeSeconds", 0, 20, &attributes);
    redrive(t, props, where, &q, &attributes);
    json_set(t->a, &q.create, "Attributes", attributes);
    return q;
}

static size_t queue_at(const struct app_queue *list, size_t n, struct str name) {
    size_t i = 0;
    while (i < n && !str_eq(list[i].name, name)) i++;
    return i;
}

/* Dead-letter queues first. A round that moves nothing means a circle or a queue that is not there. */
static struct app_queue *ordered(struct template *t, const struct app_queue *list, size_t n) {
    struct app_queue *out = ARENA_ARRAY(t->a, struct app_queue, n);
    size_t done = 0;
    for (bool moved = true; moved && done < n;) {
        moved = false;
        for (size_t i = 0; i < n; i++) {
            if (queue_at(out, done, list[i].name) < done) continue;
            if (list[i].dead_letter.n && queue_at(out, done, list[i].dead_letter) == done) continue;
            out[done++] = list[i];
            moved = true;
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (queue_at(out, done, list[i].name) < done) continue;
        bool exists = queue_at(list, n, list[i].dead_letter) < n;
        template_problem(t, list[i].line, template_path(t, STR("Resources"), list[i].logical_id.p),
                         exists ? "its dead-letter queue %.*s leads back to it"
                                : "dead-letter queue %.*s is no queue of this template",
                         STR_ARG(list[i].dead_letter));
    }
    return out;
}

/* ==== buckets and identities ==== */

static struct app_bucket bucket(struct template *t, struct str id, int line) {
    struct str where;
    template_properties(t, id, &where);
    struct app_bucket b = {.name = template_name(t, id), .logical_id = id, .create = json_make_obj(), .line = line};
    bool lower = true;
    for (size_t i = 0; i < b.name.n; i++) lower = lower && !(b.name.p[i] >= 'A' && b.name.p[i] <= 'Z');
    bool ends = b.name.n && only(str_take(b.name, 1), "") && only(str_from(b.name, b.name.n - 1), "");
    if (b.name.n < 3 || b.name.n > 63 || !lower || !ends || !only(b.name, ".-"))
        template_problem(t, line, where,
                         "bucket name '%.*s' is not 3 to 63 lower-case letters, digits, '.', '-' (give a BucketName)",
                         STR_ARG(str_take(b.name, 100)));
    json_set(t->a, &b.create, "Bucket", json_make_str(b.name));
    return b;
}

static struct str identity(struct template *t, struct str id, int line) {
    struct str where, name = STR("");
    struct yaml *props = template_properties(t, id, &where);
    if (template_text(t, props, "EmailIdentity", where, &name) && !name.n)
        template_problem(t, line, where, "EmailIdentity is empty");
    if (!yaml_get(props, "EmailIdentity")) template_problem(t, line, where, "needs an EmailIdentity");
    return name;
}

/* ==== all ==== */

static void check_twice(struct template *t, const char *what, struct str name, struct str id, struct str other,
                        int line) {
    template_problem(t, line, template_path(t, STR("Resources"), id.p), "%s %.*s is declared by %.*s too", what,
                     STR_ARG(name), STR_ARG(other));
}

static void check_names(struct template *t) {
    const struct app *a = t->app;
    for (size_t i = 0; i < a->n_tables; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(a->tables[i].name, a->tables[k].name))
                check_twice(t, "table", a->tables[i].name, a->tables[i].logical_id, a->tables[k].logical_id,
                            a->tables[i].line);
    for (size_t i = 0; i < a->n_queues; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(a->queues[i].name, a->queues[k].name))
                check_twice(t, "queue", a->queues[i].name, a->queues[i].logical_id, a->queues[k].logical_id,
                            a->queues[i].line);
    for (size_t i = 0; i < a->n_buckets; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(a->buckets[i].name, a->buckets[k].name))
                check_twice(t, "bucket", a->buckets[i].name, a->buckets[i].logical_id, a->buckets[k].logical_id,
                            a->buckets[i].line);
}

void template_read_stores(struct template *t) {
    size_t room = t->resources ? t->resources->n : 0;
    struct app_table *tables = ARENA_ARRAY(t->a, struct app_table, room);
    struct app_queue *queues = ARENA_ARRAY(t->a, struct app_queue, room);
    struct app_bucket *buckets = ARENA_ARRAY(t->a, struct app_bucket, room);
    struct str *identities = ARENA_ARRAY(t->a, struct str, room);
    struct app *a = t->app;
    for (size_t i = 0; i < room; i++) {
        const struct yaml *r = t->resources->items[i];
        const struct template_type *type = template_type(r);
        struct str id = t->resources->keys[i]->text;
        int line = t->resources->keys[i]->line;
        if (!type || !template_included(t, r, id)) continue;
        if (type->kind == KIND_TABLE || type->kind == KIND_SIMPLE_TABLE)
            tables[a->n_tables++] = table(t, type->kind, id, line);
        if (type->kind == KIND_QUEUE) queues[a->n_queues++] = queue(t, id, line);
        if (type->kind == KIND_BUCKET) buckets[a->n_buckets++] = bucket(t, id, line);
        if (type->kind == KIND_IDENTITY) identities[a->n_identities++] = identity(t, id, line);
    }
    a->tables = tables;
    a->queues = queues;
    a->buckets = buckets;
    a->identities = identities;
    check_names(t);
    a->queues = ordered(t, queues, a->n_queues);
}
