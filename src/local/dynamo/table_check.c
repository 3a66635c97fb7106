/* CreateTable's request: what AWS checks of it. */
#include "local/dynamo/dynamo.h"

enum { GSI_MAX = 20, LSI_MAX = 5, INCLUDE_MAX = 100 };

static const char *const bad = "One or more parameter values were invalid";

static const struct ddb_param throughput_params[] = {{"ReadCapacityUnits", P_NUM}, {"WriteCapacityUnits", P_NUM}, {0}};
static const struct ddb_param attribute_params[] = {{"AttributeName", P_STR}, {"AttributeType", P_STR}, {0}};
static const struct ddb_param key_params[] = {{"AttributeName", P_STR}, {"KeyType", P_STR}, {0}};
static const struct ddb_param projection_params[] = {{"ProjectionType", P_STR}, {"NonKeyAttributes", P_ARR}, {0}};
static const struct ddb_param gsi_params[] = {{"IndexName", P_STR},
                                              {"KeySchema", P_ARR},
                                              {"Projection", P_OBJ},
                                              {"ProvisionedThroughput", P_OBJ},
                                              {"OnDemandThroughput", P_ABSENT},
                                              {"WarmThroughput", P_ABSENT},
                                              {0}};
static const struct ddb_param lsi_params[] = {{"IndexName", P_STR}, {"KeySchema", P_ARR}, {"Projection", P_OBJ}, {0}};

static struct str names_of(struct arena *a, const struct json *list) {
    struct buf b = BUF_MAX(400);
    for (uint32_t i = 0; i < list->n; i++) {
        struct str s = clip(json_get_s(&list->items[i], "AttributeName"));
        buf_printf(&b, "%s%.*s", i ? ", " : "", STR_ARG(s));
    }
    struct str text = arena_str(a, buf_view(&b));
    buf_free(&b);
    return text;
}

static const struct json *named(const struct json *list, const char *member, struct str name, uint32_t before) {
    for (uint32_t i = 0; i < before; i++)
        if (str_eq(json_get_s(&list->items[i], member), name)) return &list->items[i];
    return NULL;
}

static int check_attributes(const struct json *all, struct err *e) {
    static const char *const types[] = {"B", "N", "S", NULL};
    for (uint32_t i = 0; i < all->n; i++) {
        const struct json *k = &all->items[i], *v;
        int t;
        if (check_params(k, "AttributeDefinitions", attribute_params, e)) return -1;
        if (check_required(k, "AttributeName", &v, e) || check_required(k, "AttributeType", &v, e)) return -1;
        if (check_enum(k, "AttributeType", types, 0, &t, e)) return -1;
        struct str name = json_get_s(k, "AttributeName"), shown = clip(name);
        if (!name.n || name.n > 255)
            return err_set(e, ERR_VALIDATION, "%s: AttributeName '%.*s' must be 1 to 255 bytes long", bad,
                           STR_ARG(shown));
        if (named(all, "AttributeName", name, i))
            return err_set(e, ERR_VALIDATION, "%s: Duplicate AttributeName in AttributeDefinitions: %.*s", bad,
                           STR_ARG(shown));
    }
    return 0;
}

static int check_key_elements(const struct json *schema, struct err *e) {
    static const char *const kinds[] = {"HASH", "RANGE", NULL};
    for (uint32_t i = 0; i < schema->n; i++) {
        const struct json *v;
        int kind;
        if (check_params(&schema->items[i], "KeySchema", key_params, e)) return -1;
        if (check_required(&schema->items[i], "AttributeName", &v, e)) return -1;
        if (check_required(&schema->items[i], "KeyType", &v, e)) return -1;
        if (check_enum(&schema->items[i], "KeyType", kinds, 0, &kind, e)) return -1;
        if (kind != (int)i)
            return err_set(e, ERR_VALIDATION, "Invalid KeySchema: The %s KeySchemaElement is not a %s key type",
                           i ? "second" : "first", kinds[i]);
    }
    return 0;
}

static int check_schema(struct arena *a, const struct json *p, const struct json *owner, struct err *e) {
    const struct json *schema, *all = param(p, "AttributeDefinitions");
    if (check_required(owner, "KeySchema", &schema, e)) return -1;
    if (schema->n < 1 || schema->n > 2)
        return err_set(
            e, ERR_VALIDATION,
            "1 validation error detected: Value at 'keySchema' failed to satisfy constraint: Member must have length "
            "%s",
            schema->n ? "less than or equal to 2" : "greater than or equal to 1");
    if (check_key_elements(schema, e)) return -1;
    for (uint32_t i = 0; i < schema->n; i++) {
        if (named(all, "AttributeName", json_get_s(&schema->items[i], "AttributeName"), all->n)) continue;
        struct str keys = names_of(a, schema), defs = names_of(a, all);
        return err_set(e, ERR_VALIDATION,
                       "%s: Some index key attributes are not defined in AttributeDefinitions. Keys: [%.*s], "
                       "AttributeDefinitions: [%.*s]",
                       bad, STR_ARG(keys), STR_ARG(defs));
    }
    if (schema->n == 2 &&
        str_eq(json_get_s(&schema->items[0], "AttributeName"), json_get_s(&schema->items[1], "AttributeName")))
        return err_set(e, ERR_VALIDATION,
                       "Both the Hash Key and the Range Key element in the KeySchema have the same name");
    return 0;
}

static int check_projection(const struct json *x, struct err *e) {
    static const char *const kinds[] = {"ALL", "INCLUDE", "KEYS_ONLY", NULL};
    const struct json *projection, *include;
    int kind;
    if (check_required(x, "Projection", &projection, e) || check_params(projection, "Projection", projection_params, e))
        return -1;
    if (!param(projection, "ProjectionType"))
        return err_set(e, ERR_VALIDATION, "%s: Unknown ProjectionType: null", bad);
    if (check_enum(projection, "ProjectionType", kinds, 0, &kind, e)) return -1;
    include = param(projection, "NonKeyAttributes");
    if (include && kind != 1)
        return err_set(e, ERR_VALIDATION, "%s: ProjectionType is %s, but NonKeyAttributes is specified", bad,
                       kinds[kind]);
    if (!include && kind == 1)
        return err_set(e, ERR_VALIDATION, "%s: ProjectionType is INCLUDE, but NonKeyAttributes is not specified", bad);
    if (include && (!include->n || include->n > INCLUDE_MAX))
        return err_set(e, ERR_VALIDATION, "%s: NonKeyAttributes must have 1 to %d names", bad, INCLUDE_MAX);
    for (uint32_t i = 0; include && i < include->n; i++)
        if (!json_str(&include->items[i]).n)
            return err_set(e, ERR_SERIALIZATION, "NonKeyAttributes must be a list of strings");
    return 0;
}

int ddb_check_throughput(const struct json *owner, struct err *e) {
    static const char *const units[] = {"ReadCapacityUnits", "WriteCapacityUnits"};
    const struct json *t = param(owner, "ProvisionedThroughput");
    int64_t v;
    if (check_params(t, "ProvisionedThroughput", throughput_params, e)) return -1;
    for (int i = 0; i < 2; i++)
        if (!json_i64(param(t, units[i]), &v) || v < 1)
            return err_set(e, ERR_VALIDATION, "%s: %s must be a whole number greater than or equal to 1", bad,
                           units[i]);
    return 0;
}

static int check_billing(const struct json *p, const struct json *gsi, struct err *e) {
    static const char *const modes[] = {"PROVISIONED", "PAY_PER_REQUEST", NULL};
    int mode;
    if (check_enum(p, "BillingMode", modes, 0, &mode, e)) return -1;
    bool given = param(p, "ProvisionedThroughput") != NULL;
    if (mode && given)
        return err_set(e, ERR_VALIDATION,
                       "%s: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is "
                       "PAY_PER_REQUEST",
                       bad);
    if (!mode && !given)
        return err_set(
            e, ERR_VALIDATION,
            "%s: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED", bad);
    if (given && ddb_check_throughput(p, e)) return -1;
    for (uint32_t i = 0; gsi && i < gsi->n; i++) {
        struct str name = clip(json_get_s(&gsi->items[i], "IndexName"));
        bool own = param(&gsi->items[i], "ProvisionedThroughput") != NULL;
        if (mode && own)
            return err_set(e, ERR_VALIDATION,
                           "%s: ProvisionedThroughput should not be specified for index: %.*s when BillingMode is "
                           "PAY_PER_REQUEST",
                           bad, STR_ARG(name));
        if (!mode && !own)
            return err_set(e, ERR_VALIDATION, "%s: ProvisionedThroughput must be specified for index: %.*s", bad,
                           STR_ARG(name));
        if (own && ddb_check_throughput(&gsi->items[i], e)) return -1;
    }
    return 0;
}

/* A local index shares the table's hash key and has a range key. */
static int check_local(const struct json *p, const struct json *x, struct err *e) {
    const struct json *own = param(x, "KeySchema"), *table = param(p, "KeySchema");
    struct str name = clip(json_get_s(x, "IndexName"));
    if (table->n != 2)
        return err_set(e, ERR_VALIDATION,
                       "%s: Table KeySchema does not have a range key, which is required when specifying a "
                       "LocalSecondaryIndex",
                       bad);
    if (own->n != 2)
        return err_set(e, ERR_VALIDATION, "%s: Index KeySchema does not have a range key for index: %.*s", bad,
                       STR_ARG(name));
    struct str h = json_get_s(&own->items[0], "AttributeName"), th = json_get_s(&table->items[0], "AttributeName");
    if (!str_eq(h, th))
        return err_set(
            e, ERR_VALIDATION,
            "%s: Index KeySchema does not have the same leading hash key as table KeySchema for index: %.*s. index "
            "hash key: %.*s, table hash key: %.*s",
            bad, STR_ARG(name), STR_ARG(h), STR_ARG(th));
    return 0;
}

static int check_indexes(struct arena *a, const struct json *p, const char *member, bool global, struct err *e) {
    const struct json *list = param(p, member), *others = param(p, "LocalSecondaryIndexes"), *v;
    uint32_t max = global ? GSI_MAX : LSI_MAX;
    if (!list) return 0;
    if (!list->n) return err_set(e, ERR_VALIDATION, "%s: List of %s is empty", bad, member);
    if (list->n > max)
        return err_set(e, ERR_VALIDATION, "%s: Number of %s exceeds per-table limit of %u", bad, member, max);
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *x = &list->items[i];
        if (check_params(x, member, global ? gsi_params : lsi_params, e)) return -1;
        if (check_required(x, "IndexName", &v, e) || check_name(v->s, "IndexName", e)) return -1;
        if (check_schema(a, p, x, e) || check_projection(x, e)) return -1;
        if (!global && check_local(p, x, e)) return -1;
        if (named(list, "IndexName", v->s, i) || (global && others && named(others, "IndexName", v->s, others->n)))
            return err_set(e, ERR_VALIDATION, "%s: Duplicate index name: %.*s", bad, STR_ARG(v->s));
    }
    return 0;
}

static bool uses(const struct json *owner, struct str name) {
    const struct json *schema = param(owner, "KeySchema");
    return named(schema, "AttributeName", name, schema->n) != NULL;
}

static bool any_uses(const struct json *list, struct str name) {
    for (uint32_t i = 0; list && i < list->n; i++)
        if (uses(&list->items[i], name)) return true;
    return false;
}

/* Attributes are defined for keys only. */
static int check_spare(struct arena *a, const struct json *p, struct err *e) {
    const struct json *all = param(p, "AttributeDefinitions");
    for (uint32_t i = 0; i < all->n; i++) {
        struct str name = json_get_s(&all->items[i], "AttributeName");
        if (uses(p, name) || any_uses(param(p, "GlobalSecondaryIndexes"), name) ||
            any_uses(param(p, "LocalSecondaryIndexes"), name))
            continue;
        struct str defs = names_of(a, all), keys = names_of(a, param(p, "KeySchema"));
        return err_set(e, ERR_VALIDATION,
                       "%s: Some AttributeDefinitions are not used. AttributeDefinitions: [%.*s], keys used: [%.*s]",
                       bad, STR_ARG(defs), STR_ARG(keys));
    }
    return 0;
}

/* StreamSpecification, SSESpecification, TableClass. */
int ddb_check_settings(const struct json *p, struct err *e) {
    static const struct ddb_param stream_params[] = {{"StreamEnabled", P_BOOL}, {"StreamViewType", P_STR}, {0}};
    static const struct ddb_param sse_params[] = {
        {"Enabled", P_BOOL}, {"SSEType", P_STR}, {"KMSMasterKeyId", P_STR}, {0}};
    static const char *const classes[] = {"STANDARD", "STANDARD_INFREQUENT_ACCESS", NULL};
    static const char *const sse_types[] = {"AES256", "KMS", NULL};
    const struct json *stream = param(p, "StreamSpecification"), *sse = param(p, "SSESpecification");
    int i;
    if (stream && check_params(stream, "StreamSpecification", stream_params, e)) return -1;
    if (stream && check_flag(stream, "StreamEnabled"))
        return err_set(e, ERR_VALIDATION,
                       "StreamSpecification: streams are not supported here; StreamEnabled can only be false");
    if (sse && check_params(sse, "SSESpecification", sse_params, e)) return -1;
    if (sse && check_enum(sse, "SSEType", sse_types, 1, &i, e)) return -1;
    return check_enum(p, "TableClass", classes, 0, &i, e);
}

int ddb_check_definition(struct arena *a, const struct json *p, struct err *e) {
    const struct json *all;
    if (check_required(p, "AttributeDefinitions", &all, e) || check_attributes(all, e) || check_schema(a, p, p, e))
        return -1;
    if (check_indexes(a, p, "LocalSecondaryIndexes", false, e)) return -1;
    if (check_indexes(a, p, "GlobalSecondaryIndexes", true, e)) return -1;
    if (check_billing(p, param(p, "GlobalSecondaryIndexes"), e)) return -1;
    return check_spare(a, p, e);
}
