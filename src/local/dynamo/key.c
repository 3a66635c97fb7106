/* Keys: attribute values as bytes whose memcmp order is DynamoDB's order (SQLite compares BLOBs so), and what a key may
 * be. S: the UTF-8 bytes; B: the bytes; N: num_key. */
#include "local/dynamo/dynamo.h"

struct str key_bytes(struct arena *a, const struct av *v) {
    if (v->type != AV_N) return v->s.n ? v->s : STR("");
    struct num n;
    if (num_parse(v->s, &n, NULL)) fatal("dynamo: a number that was checked is none");
    uint8_t *p = arena_alloc(a, NUM_KEY);
    return str_n((char *)p, num_key(&n, p));
}

int key_limits(struct str bytes, bool hash, struct err *e) {
    if (hash && bytes.n > HASH_MAX)
        return err_set(e, ERR_VALIDATION,
                       "One or more parameter values were invalid: Size of hashkey has exceeded the maximum size limit "
                       "of2048 bytes");
    if (!hash && bytes.n > RANGE_MAX)
        return err_set(
            e, ERR_VALIDATION,
            "One or more parameter values were invalid: Aggregated size of all range keys has exceeded the size "
            "limit of 1024 bytes");
    return 0;
}

/* A key attribute of the right type: not empty, not too long. */
static int part(struct arena *a, const struct ddb_attr *k, const struct av *v, bool hash, struct str *ret,
                struct err *e) {
    if (v->type != AV_N && !v->s.n) {
        struct str name = clip(k->name);
        return err_set(
            e, ERR_VALIDATION,
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an "
            "empty %s value. Key: %.*s",
            v->type == AV_S ? "string" : "binary", STR_ARG(name));
    }
    struct str bytes = key_bytes(a, v);
    if (key_limits(bytes, hash, e)) return -1;
    *ret = bytes;
    return 0;
}

static int item_part(struct arena *a, const struct ddb_attr *k, const struct av *item, bool hash, struct str *ret,
                     struct err *e) {
    struct str name = clip(k->name);
    const struct av *v = av_get(item, k->name);
    if (!v)
        return err_set(e, ERR_VALIDATION, "One or more parameter values were invalid: Missing the key %.*s in the item",
                       STR_ARG(name));
    if (v->type != k->type)
        return err_set(e, ERR_VALIDATION,
                       "One or more parameter values were invalid: Type mismatch for key %.*s expected: %s actual: %s",
                       STR_ARG(name), av_type_name(k->type), av_type_name(v->type));
    return part(a, k, v, hash, ret, e);
}

int key_of_item(struct arena *a, const struct ddb_table *t, const struct av *item, struct ddb_key *ret, struct err *e) {
    struct ddb_key k = {.sk = STR("")};
    if (item_part(a, &t->hash, item, true, &k.pk, e)) return -1;
    if (t->range.type && item_part(a, &t->range, item, false, &k.sk, e)) return -1;
    *ret = k;
    return 0;
}

static int mismatch(struct err *e) {
    return err_set(e, ERR_VALIDATION, "The provided key element does not match the schema");
}

int key_of_key(struct arena *a, const struct ddb_table *t, const struct av *key, struct ddb_key *ret, struct err *e) {
    struct ddb_key k = {.sk = STR("")};
    const struct av *h = av_get(key, t->hash.name), *r = t->range.type ? av_get(key, t->range.name) : NULL;
    if (key->n != (t->range.type ? 2u : 1u)) return mismatch(e);
    if (!h || h->type != t->hash.type) return mismatch(e);
    if (t->range.type && (!r || r->type != t->range.type)) return mismatch(e);
    if (part(a, &t->hash, h, true, &k.pk, e)) return -1;
    if (r && part(a, &t->range, r, false, &k.sk, e)) return -1;
    *ret = k;
    return 0;
}

static int index_part(struct arena *a, const struct ddb_index *x, const struct ddb_attr *k, bool hash,
                      const struct av *v, struct str *ret, struct err *e) {
    struct str name = clip(k->name), index = clip(x->name);
    if (v->type != k->type)
        return err_set(
            e, ERR_VALIDATION,
            "One or more parameter values were invalid: Type mismatch for Index Key %.*s Expected: %s Actual: %s "
            "IndexName: %.*s",
            STR_ARG(name), av_type_name(k->type), av_type_name(v->type), STR_ARG(index));
    if (v->type != AV_N && !v->s.n)
        return err_set(
            e, ERR_VALIDATION,
            "One or more parameter values are not valid. A value specified for a secondary index key is not "
            "supported. The AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %.*s, "
            "IndexKey: %.*s",
            v->type == AV_S ? "string" : "binary", STR_ARG(index), STR_ARG(name));
    struct str bytes = key_bytes(a, v);
    if (key_limits(bytes, hash, e)) return -1;
    *ret = bytes;
    return 0;
}

int key_of_index(struct arena *a, const struct ddb_index *x, const struct av *item, bool *ret_in, struct str *ret_h,
                 struct str *ret_r, struct err *e) {
    const struct av *h = av_get(item, x->hash.name), *r = x->range.type ? av_get(item, x->range.name) : NULL;
    *ret_r = STR("");
    if (h && index_part(a, x, &x->hash, true, h, ret_h, e)) return -1;
    if (r && index_part(a, x, &x->range, false, r, ret_r, e)) return -1;
    *ret_in = h && (r || !x->range.type);
    return 0;
}

bool key_of_indexed(struct arena *a, const struct ddb_index *x, const struct av *item, struct str *ret_h,
                    struct str *ret_r) {
    bool in;
    return !key_of_index(a, x, item, &in, ret_h, ret_r, NULL) && in;
}

static void add_attribute(struct arena *a, struct av *to, const struct ddb_attr *k, const struct av *item) {
    const struct av *v = k->type ? av_get(item, k->name) : NULL;
    if (v) av_put(a, to, k->name, *v);
}

struct av key_attributes(struct arena *a, const struct ddb_table *t, const struct ddb_index *x, const struct av *item) {
    struct av key = {.type = AV_M};
    add_attribute(a, &key, &t->hash, item);
    add_attribute(a, &key, &t->range, item);
    if (x) add_attribute(a, &key, &x->hash, item);
    if (x) add_attribute(a, &key, &x->range, item);
    return key;
}
