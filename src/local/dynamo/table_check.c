/* CreateTable's request: what AWS checks of it. */
#include "local/dynamo/dynamo.h"

enum { GSI_MAX = 20, LSI_MAX = 5, INCLUDE_MAX = 100 };
static const int64_t UNITS_MAX = 1000000000000;

static const char *const bad = "One or more parameter values were invalid";

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
    for (uint32_t i = 0; i < all->n; i++) {
        struct str name = json_get_s(&all->items[i], "AttributeName"), shown = clip(name);
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
    static const char *const kinds[] = {"HASH", "RANGE"};
    for (uint32_t i = 0; i < schema->n; i++) {
        if (!str_is(json_get_s(&schema->items[i], "KeyType"), kinds[i]))
            return err_set(e, ERR_VALIDATION, "Invalid KeySchema: The %s KeySchemaElement is not a %s key type",
                           i ? "second" : "first", kinds[i]);
    }
    return 0;
}

static int check_schema(struct arena *a, const struct json *p, const struct json *owner, struct err *e) {
    const struct json *schema = param(owner, "KeySchema"), *all = param(p, "AttributeDefinitions");
    if (owner == p && schema->n > all->n)
        return err_set(e, ERR_VALIDATION, "Invalid KeySchema: Some index key attribute have no definition");
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
    return check_key_elements(schema, e);
}

static int check_projection(const struct json *x, struct err *e) {
    static const char *const kinds[] = {"ALL", "INCLUDE", "KEYS_ONLY", NULL};
    const struct json *projection = param(x, "Projection"), *include = param(projection, "NonKeyAttributes");
    int kind = param_enum(projection, "ProjectionType", kinds, 0);
    if (!param(projection, "ProjectionType"))
        return err_set(e, ERR_VALIDATION, "%s: Unknown ProjectionType: null", bad);
    if (include && kind != 1)
        return err_set(e, ERR_VALIDATION, "%s: ProjectionType is %s, but NonKeyAttributes is specified", bad,
                       kinds[kind]);
    if (!include && kind == 1)
        return err_set(e, ERR_VALIDATION, "%s: ProjectionType is INCLUDE, but NonKeyAttributes is not specified", bad);
    if (include && include->n > INCLUDE_MAX)
        return err_set(e, ERR_VALIDATION, "%s: NonKeyAttributes must have 1 to %d names", bad, INCLUDE_MAX);
    return 0;
}

int ddb_check_throughput(const struct json *owner, struct err *e) {
    static const char *const units[] = {"ReadCapacityUnits", "WriteCapacityUnits"};
    int64_t v;
    for (int i = 0; i < 2; i++) {
        const struct json *n = param(param(owner, "ProvisionedThroughput"), units[i]);
        if (json_i64(n, &v) && v <= UNITS_MAX) continue;
        struct str shown = clip(n->s);
        return err_set(e, ERR_VALIDATION, "Given value %.*s for %s is out of bounds", STR_ARG(shown), units[i]);
    }
    return 0;
}

static int check_billing(const struct json *p, struct err *e) {
    static const char *const modes[] = {"PROVISIONED", "PAY_PER_REQUEST", NULL};
    int mode = param_enum(p, "BillingMode", modes, 0);
    bool given = param(p, "ProvisionedThroughput") != NULL;
    if (mode && given)
        return err_set(e, ERR_VALIDATION,
                       "%s: Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is "
                       "PAY_PER_REQUEST",
                       bad);
    if (!mode && !given)
        return err_set(e, ERR_VALIDATION,
                       "%s: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is "
                       "PROVISIONED",
                       bad);
    return given ? ddb_check_throughput(p, e) : 0;
}

static int check_index_billing(const struct json *p, const struct json *x, struct err *e) {
    bool by_request = str_is(json_get_s(p, "BillingMode"), "PAY_PER_REQUEST");
    bool own = param(x, "ProvisionedThroughput") != NULL;
    struct str name = clip(json_get_s(x, "IndexName"));
    if (by_request && own)
        return err_set(e, ERR_VALIDATION,
                       "%s: ProvisionedThroughput should not be specified for index: %.*s when BillingMode is "
                       "PAY_PER_REQUEST",
                       bad, STR_ARG(name));
    if (!by_request && !own)
        return err_set(e, ERR_VALIDATION, "%s: ProvisionedThroughput must be specified for index: %.*s", bad,
                       STR_ARG(name));
    return own ? ddb_check_throughput(x, e) : 0;
}

/* A local index shares the table's hash key and has a range key. */
static int check_local(const struct json *p, const struct json *x, struct err *e) {
    const struct json *own = param(x, "KeySchema"), *table = param(p, "KeySchema");
    struct str name = clip(json_get_s(x, "IndexName"));
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
    const struct json *list = param(p, member), *others = param(p, "LocalSecondaryIndexes");
    if (!list) return 0;
    if (!list->n) return err_set(e, ERR_VALIDATION, "%s: List of %s is empty", bad, member);
    if (!global && param(p, "KeySchema")->n != 2)
        return err_set(e, ERR_VALIDATION,
                       "%s: Table KeySchema does not have a range key, which is required when specifying a "
                       "LocalSecondaryIndex",
                       bad);
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *x = &list->items[i];
        struct str name = json_get_s(x, "IndexName");
        if (check_schema(a, p, x, e) || (!global && check_local(p, x, e)) || check_projection(x, e)) return -1;
        if (global && check_index_billing(p, x, e)) return -1;
        if (named(list, "IndexName", name, i) || (global && others && named(others, "IndexName", name, others->n)))
            return err_set(e, ERR_VALIDATION, "%s: Duplicate index name: %.*s", bad, STR_ARG(name));
    }
    if (list->n <= (global ? GSI_MAX : LSI_MAX)) return 0;
    return global ? err_set(e, ERR_VALIDATION, "%s: GlobalSecondaryIndex count exceeds the per-table limit of %d", bad,
                            GSI_MAX)
                  : err_set(e, ERR_VALIDATION, "%s: Number of %s exceeds per-table limit of %d", bad, member, LSI_MAX);
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
    const struct json *all = param(p, "AttributeDefinitions"), *schema = param(p, "KeySchema");
    if (!param(p, "GlobalSecondaryIndexes") && !param(p, "LocalSecondaryIndexes") && all->n != schema->n)
        return err_set(e, ERR_VALIDATION,
                       "%s: Number of attributes in KeySchema does not exactly match number of attributes defined in "
                       "AttributeDefinitions",
                       bad);
    for (uint32_t i = 0; i < all->n; i++) {
        struct str name = json_get_s(&all->items[i], "AttributeName");
        if (uses(p, name) || any_uses(param(p, "GlobalSecondaryIndexes"), name) ||
            any_uses(param(p, "LocalSecondaryIndexes"), name))
            continue;
        struct str defs = names_of(a, all), keys = names_of(a, schema);
        return err_set(e, ERR_VALIDATION,
                       "%s: Some AttributeDefinitions are not used. AttributeDefinitions: [%.*s], keys used: [%.*s]",
                       bad, STR_ARG(defs), STR_ARG(keys));
    }
    return 0;
}

int ddb_check_settings(const struct json *p, struct err *e) {
    if (!param_flag(param(p, "StreamSpecification"), "StreamEnabled")) return 0;
    return err_set(e, ERR_VALIDATION,
                   "StreamSpecification: streams are not supported here; StreamEnabled can only be false");
}

int ddb_check_definition(struct arena *a, const struct json *p, struct err *e) {
    if (check_billing(p, e) || check_attributes(param(p, "AttributeDefinitions"), e) || check_schema(a, p, p, e))
        return -1;
    if (check_indexes(a, p, "LocalSecondaryIndexes", false, e)) return -1;
    if (check_indexes(a, p, "GlobalSecondaryIndexes", true, e)) return -1;
    return check_spare(a, p, e);
}
