/* dynamo (private to local/dynamo/): the DynamoDB engine.
 *
 * Flow of a call:
 *   params (json) -> shapes (shape.h) -> struct av values and expression trees (every static error; no store touched)
 *   -> ddb_table -> struct ddb_write, ddb_get or ddb_plan -> SQLite rows -> result (json).
 *
 * Tables of the store:
 *   ddb_meta(k, v)           'version': random, new at each schema change; caches compare it once an operation
 *   ddb_table(id, name, def, created_ms, ttl)   def: the CreateTable request as JSON
 *   ddb_token(token, at_ms, hash)               ClientRequestTokens of the last 10 minutes
 *   d<id>(pk, sk, item)      one a table; pk, sk: order-preserving key bytes (see key.c), sk empty without a sort key
 *   i<id>_<n>(h, r, pk, sk)  one a secondary index: keys only, the item is looked up in d<id>
 *   x<id>(at, pk, sk)        one a table with TTL: items by expiry, in seconds
 *   ddb_index(table_id, number, name, state, pk, sk)
 *                            indexes of tables that UpdateTable changed (others have their place as number);
 *                            pk, sk: how far a new one is filled; number 0: the same of x<id>
 *   ddb_tag(table_id, k, v)  tags
 *   ddb_count(table_id, items, bytes, at_ms)    items of tables, counted little by little
 *   ddb_trash(name, cols)    what is no longer used of all this, emptied step by step; cols: its key
 *
 * An item's blob, version 1 (all lengths are LEB128 varints):
 *   0x01, n, n times { length, name, value }
 *   value: tag byte (enum av_type; AV_BOOL is followed by 0 or 1), then
 *     S, N, B: length, bytes (N: canonical decimal text)   M: n, { length, name, value }   L: n, values
 *     SS, NS, BS: n, { length, bytes }                     NULL: nothing */
#ifndef PERIGEE_LOCAL_DYNAMO_H
#define PERIGEE_LOCAL_DYNAMO_H
#include "base/map.h"
#include "local/engine.h"

/* ==== number.c: exact decimals of 38 digits ==== */

enum { NUM_DIGITS = 38, NUM_TEXT = 176, NUM_KEY = 24 };
/* (neg ? -1 : 1) * 0.d[0]d[1]..d[n-1] * 10^exp; d[0] and d[n-1] are not 0, exp in -129..126;
 * zero: n == 0 and the rest 0. */
struct num {
    bool neg;
    int exp, n;
    uint8_t d[NUM_DIGITS];
};
int num_parse(struct str s, struct num *ret, struct err *e);
/* Plain notation without exponent ("-0.001", "1000"), NUL behind it; returns the length. */
size_t num_text(const struct num *v, char out[NUM_TEXT]);
int num_cmp(const struct num *a, const struct num *b);
int num_add(const struct num *a, const struct num *b, bool subtract, struct num *ret, struct err *e);
/* memcmp order of the bytes (shorter first) is the order of the numbers. */
size_t num_key(const struct num *v, uint8_t out[NUM_KEY]);

/* ==== value.c, value_json.c, value_blob.c: attribute values ==== */

enum av_type {
    AV_S = 1,
    AV_N,
    AV_B,
    AV_BOOL,
    AV_NULL,
    AV_M,
    AV_L,
    AV_SS,
    AV_NS,
    AV_BS,
    AV_GONE /* removed list element */
};
struct av_member;
struct av {
    enum av_type type;
    uint32_t n;   /* members, elements */
    uint32_t cap; /* of a map or list that is being changed */
    bool boolean;
    union {
        struct str s; /* S, B: bytes; N: canonical text */
        struct av *items;
        struct av_member *members;
    };
};
struct av_member {
    struct str name;
    struct av value;
};
enum { ITEM_MAX = 409600, NESTING_MAX = 32, HASH_MAX = 2048, RANGE_MAX = 1024, TOKEN_MS = 10 * 60 * 1000 };

const char *av_type_name(enum av_type t); /* "S", "NS", ... */
bool av_type_find(struct str s, enum av_type *ret);
bool av_equal(const struct av *a, const struct av *b); /* sets without order; NULL equals nothing */
/* Order of S, N, B of one type; false when they have none. */
bool av_order(const struct av *a, const struct av *b, int *ret);
size_t av_size(const struct av *v);      /* as AWS counts a value */
size_t av_item_size(const struct av *m); /* names and values */
struct av *av_get(const struct av *map, struct str name);
bool av_set_has(const struct av *set, struct str member);
void av_put(struct arena *a, struct av *map, struct str name, struct av v); /* replaces or appends */
void av_del(struct av *map, struct str name);
void av_push(struct arena *a, struct av *list, struct av v);
void av_number(struct arena *a, const struct num *n, struct av *ret);
static inline bool av_is_set(enum av_type t) {
    return t == AV_SS || t == AV_NS || t == AV_BS;
}

/* {"S":"x"} and the like; depth: containers around it. */
int av_from_json(struct arena *a, const struct json *j, int depth, struct av *ret, struct err *e);
/* An object of attributes (Item, Key). */
int av_item_from_json(struct arena *a, const struct json *j, const char *what, struct av *ret, struct err *e);
struct json av_to_json(struct arena *a, const struct av *v);
struct json av_item_to_json(struct arena *a, const struct av *m);

struct str av_encode(struct arena *a, const struct av *m);
/* Views point into `blob`. CORRUPT when it is no item of a version known here. */
int av_decode(struct arena *a, struct str blob, struct av *ret, struct err *e);

/* ==== table.c, table_check.c, table_ops.c: schema ==== */

struct ddb_attr {
    struct str name;
    enum av_type type; /* S, N or B; 0: there is none */
};
enum ddb_projection { PROJECT_ALL, PROJECT_KEYS, PROJECT_INCLUDE };
struct ddb_index {
    struct str name;
    bool global;
    int number;    /* n of i<id>_<n> */
    bool creating; /* items that were there before it are not all in it yet */
    struct ddb_attr hash, range;
    enum ddb_projection projection;
    struct str *include;
    size_t n_include;
    const char *sql_put, *sql_del; /* of an entry */
};
struct ddb_table {
    struct arena arena;
    int64_t id, created_ms;
    struct str name, ttl; /* ttl: attribute name, empty: off */
    struct ddb_attr hash, range;
    struct ddb_index *indexes;
    size_t n_indexes;
    struct json def;
    const char *sql_get, *sql_new, *sql_put, *sql_del, *sql_put_expiry, *sql_del_expiry;
};
struct ddb_key {
    struct str pk, sk;
};
struct ddb_counting { /* how far the writer is with one table */
    struct arena arena;
    int64_t table; /* 0: none */
    struct ddb_key at;
    int64_t items, bytes;
};
struct ddb_state { /* tx->service[AWS_DYNAMODB] */
    struct db *db;
    int64_t version;
    struct map tables; /* name -> struct ddb_table */
    struct ddb_counting counting;
    bool terse; /* this operation is a client's, on items: AWS does not name the table that is not there */
};
/* Looks whether the schema changed; tables got before in another operation may be gone then. */
int ddb_table(struct local_tx *tx, struct str name, struct ddb_table **ret, struct err *e);
/* The next table of an operation that has called ddb_table before. */
int ddb_table_more(struct local_tx *tx, struct str name, struct ddb_table **ret, struct err *e);
/* Reads table `name` afresh; *ret NULL when there is none. The caller frees it. */
int ddb_table_load(struct db *db, struct str name, struct ddb_table **ret, struct err *e);
void ddb_table_free(struct ddb_table *t);
/* To be called in the transaction that changes a table. */
int ddb_touch_schema(struct local_tx *tx, struct err *e);
enum index_state { INDEX_ACTIVE, INDEX_CREATING, INDEX_DELETED };
/* Numbers and states of t's indexes, from ddb_index. */
int ddb_index_states(struct db *db, struct ddb_table *t, struct err *e);
/* Fills hash, range, indexes from t->def, which was checked. */
int ddb_table_shape(struct ddb_table *t, struct err *e);
int ddb_check_settings(const struct json *p, struct err *e);
int ddb_create_index_rows(struct local_tx *tx, struct arena *a, int64_t id, int number, struct err *e);
int ddb_check_throughput(const struct json *owner, struct err *e);
int ddb_check_definition(struct arena *a, const struct json *p, struct err *e);
/* Makes room for CreateTable's and UpdateTable's answers; `status` of the table, NULL: as it is. */
int ddb_describe(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const char *member,
                 const char *status, struct json *ret, struct err *e);
/* The table of an ARN, or of a name. */
struct str ddb_arn_name(struct str arn);
int ddb_put_tags(struct local_tx *tx, const struct ddb_table *t, const struct json *tags, struct err *e);
int ddb_check_tags(const struct json *tags, struct err *e);
/* Of the store's own tables: to be emptied and dropped by the sweep. index NULL: all that belong to the table. */
int ddb_discard(struct local_tx *tx, const struct ddb_table *t, const struct ddb_index *x, struct err *e);
int ddb_discard_rows(struct local_tx *tx, struct str name, const char *columns, struct err *e); /* any other */
/* Rows of ddb_index with this number are no index, but the expiry of tables whose TTL was switched on. */
enum { EXPIRY_NUMBER = 0 };
#define EXPIRY_COLUMNS "at, pk, sk"
/* One step: fills new indexes, empties what was discarded. At most max rows. */
int ddb_sweep_tables(struct local_tx *tx, struct arena *a, int max, int *ret_n, struct err *e);
/* One step of counting; its rows are few, as the writer has other things to do. */
int ddb_sweep_counts(struct local_tx *tx, struct err *e);
const struct ddb_index *ddb_index(const struct ddb_table *t, struct str name);

/* ==== key.c ==== */

/* One key attribute's bytes; the type is known to fit. */
struct str key_bytes(struct arena *a, const struct av *v);
/* Of a whole item (Put) or of a Key (exactly the key attributes). */
int key_of_item(struct arena *a, const struct ddb_table *t, const struct av *item, struct ddb_key *ret, struct err *e);
int key_of_key(struct arena *a, const struct ddb_table *t, const struct av *key, struct ddb_key *ret, struct err *e);
/* The same for an item that was there before the index: then an attribute that cannot be a key keeps it out. */
bool key_of_indexed(struct arena *a, const struct ddb_index *x, const struct av *item, struct str *ret_h,
                    struct str *ret_r);
/* *ret_in: the item has the index's keys and so an entry. An attribute of another type is an error. */
int key_of_index(struct arena *a, const struct ddb_index *x, const struct av *item, bool *ret_in, struct str *ret_h,
                 struct str *ret_r, struct err *e);
int key_limits(struct str bytes, bool hash, struct err *e);
/* The attributes that LastEvaluatedKey consists of; x may be NULL. */
struct av key_attributes(struct arena *a, const struct ddb_table *t, const struct ddb_index *x, const struct av *item);

/* ==== lex.c, expr_parse.c, expr_eval.c, expr_path.c: expressions ==== */

struct path_step {
    bool is_index;
    uint32_t index;
    struct str name;
};
struct path {
    uint32_t n;
    struct path_step *steps;
};
enum expr_op {
    EX_PATH = 1,
    EX_VALUE,
    EX_SIZE,
    EX_IF_NOT_EXISTS,
    EX_LIST_APPEND,
    EX_PLUS,
    EX_MINUS,
    EX_CONDITIONS, /* from here on: boolean */
    EX_AND,
    EX_OR,
    EX_NOT,
    EX_EQ,
    EX_NE,
    EX_LT,
    EX_LE,
    EX_GT,
    EX_GE,
    EX_BETWEEN,
    EX_IN,
    EX_EXISTS,
    EX_NOT_EXISTS,
    EX_TYPE,
    EX_BEGINS,
    EX_CONTAINS,
};
struct expr {
    enum expr_op op;
    bool paren; /* written in parentheses of its own */
    uint32_t n;
    struct expr **args;
    struct path path;       /* EX_PATH */
    const struct av *value; /* EX_VALUE */
};

/* The ExpressionAttributeNames and Values of one request, shared by its expressions. */
struct expr_name {
    struct str key, name;
    bool used;
};
struct expr_value {
    struct str key;
    struct av value;
    bool used;
};
struct expr_names {
    struct expr_name *names;
    struct expr_value *values;
    uint32_t n_names, n_values;
};
/* Names without any expression, values without one that takes them (no_values: "FilterExpression is null", else NULL).
 */
int expr_wanted(const struct json *params, bool any, const char *no_values, struct err *e);
int expr_names(struct arena *a, const struct json *params, struct expr_names *ret, struct err *e);
int expr_unused(const struct expr_names *x, struct err *e);

/* `what` names the parameter in messages. */
int expr_condition(struct arena *a, struct expr_names *x, const char *what, struct str text, struct expr **ret,
                   struct err *e);
enum update_kind { UP_SET, UP_REMOVE, UP_ADD, UP_DELETE };
struct update_action {
    enum update_kind kind;
    struct path path;
    struct expr *value; /* not REMOVE */
};
struct update {
    struct update_action *actions;
    uint32_t n;
    bool legacy; /* made of AttributeUpdates: other messages */
};
int expr_update(struct arena *a, struct expr_names *x, struct str text, struct update *ret, struct err *e);
struct projection {
    struct path *paths;
    uint32_t n;
};
int expr_projection(struct arena *a, struct expr_names *x, struct str text, struct projection *ret, struct err *e);
const char *expr_op_name(enum expr_op op);

/* item may be NULL: then it is one without attributes. */
bool expr_test(struct arena *a, const struct expr *x, const struct av *item);
const struct av *path_get(const struct path *p, const struct av *item);
bool path_equal(const struct path *a, const struct path *b);
struct str path_str(struct arena *a, const struct path *p); /* "[a, [0], b]" */
/* Message of overlap, or NULL; which: "overlap" / "conflict" text chosen inside. */
const char *path_clash(const struct path *a, const struct path *b);
struct av project(struct arena *a, const struct projection *p, const struct av *item);

/* ==== legacy.c: parameters older than expressions ==== */

/* Mixing with expressions, ConditionalOperator; `filter`: the parameter it belongs to, may be NULL. */
int legacy_check(struct arena *a, const struct json *p, const char *filter, struct err *e);
/* Expected, QueryFilter, ScanFilter; *ret NULL: there are none. */
int legacy_conditions(struct arena *a, const struct json *p, const char *member, struct expr **ret, struct err *e);
int legacy_keys(struct arena *a, const struct json *p, struct expr **ret, struct err *e);
int legacy_updates(struct arena *a, const struct json *p, struct update *ret, struct err *e);
int legacy_projection(struct arena *a, const struct json *p, struct projection *ret, struct err *e);

/* Attributes that are keys of t or its indexes are scalars: no expression may look inside them. */
int check_scalar_keys(const struct ddb_table *t, const struct expr *x, struct err *e);
int check_scalar_paths(const struct ddb_table *t, const struct projection *p, struct err *e);
int check_scalar_update(const struct ddb_table *t, const struct update *u, struct err *e);

/* ==== update.c ==== */

/* Applies u to *next (a private copy of old; old may be NULL). *ret_new: the touched paths as they are afterwards,
 * *ret_old: as they were (both maps, maybe empty). Both may be NULL. Errors are VALIDATION. */
int update_apply(struct arena *a, const struct update *u, const struct av *old, struct av *next, struct av *ret_new,
                 struct av *ret_old, struct err *e);
bool update_only_removes(const struct update *u);

/* ==== write.c, store_item.c: one item written ==== */

enum write_kind { W_PUT, W_UPDATE, W_DELETE, W_CHECK };
struct ddb_write {
    enum write_kind kind;
    struct ddb_table *table;
    struct str table_name;
    struct ddb_key key;
    struct av given; /* the Item of a Put, the Key of the others */
    struct expr *condition;
    struct update update;
    bool want_old;       /* ReturnValues or the capacity report needs the old item */
    bool want_touched;   /* UPDATED_OLD, UPDATED_NEW */
    bool old_on_failure; /* ReturnValuesOnConditionCheckFailure=ALL_OLD */
    /* filled by write_prepare */
    bool knows_old;                     /* the old item was looked for */
    struct av *old;                     /* NULL: there was none, or it was not looked for */
    struct av *next;                    /* NULL: none will be there */
    struct av touched_new, touched_old; /* W_UPDATE */
    struct str blob;
    size_t size; /* of next, as AWS counts */
};
/* The static part, from the members TableName, Item or Key and the expressions; p has passed ddb_params. */
int write_parse(struct arena *a, const struct json *p, enum write_kind kind, struct ddb_write *w, struct err *e);
/* Of a Put: the size of its item. */
int write_sized(struct ddb_write *w, struct err *e);
/* The key and the touched attributes against the table's schema (w->table is set). */
int write_bind(struct arena *a, struct ddb_write *w, struct err *e);
/* Reads the old item, tests the condition, makes the new item and its blob. Writes nothing. DDB_CONDITION or
 * VALIDATION. */
int write_prepare(struct local_tx *tx, struct arena *a, struct ddb_write *w, struct err *e);
int write_apply(struct local_tx *tx, struct arena *a, struct ddb_write *w, struct err *e);

/* *ret NULL: there is none. */
int item_read(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct ddb_key *k, struct av **ret,
              struct err *e);
/* Puts `next` (its blob) in the place of `old`, either may be NULL; indexes and expiry follow. knows_old: old is the
 * truth. */
int item_replace(struct local_tx *tx, struct arena *a, const struct ddb_table *t, const struct ddb_key *k,
                 bool knows_old, const struct av *old, const struct av *next, struct str blob, struct err *e);
/* Index keys of the right type, so that item_replace will not fail for them. */
int item_check_indexes(struct arena *a, const struct ddb_table *t, const struct av *item, struct err *e);
/* Unix seconds; false: the item never expires. */
bool item_expiry(const struct ddb_table *t, const struct av *item, int64_t *ret);

/* ==== check.c: parameters ==== */

/* The request against its shape, see shape.h; what follows reads what has passed. */
int ddb_params(struct local_tx *tx, struct aws_call *c);
const struct json *param(const struct json *obj, const char *name); /* NULL when absent or null */
struct str param_table(const struct json *p);                       /* TableName, which may be an ARN */
/* Index into `set` (ended by NULL), or dflt. */
int param_enum(const struct json *p, const char *name, const char *const *set, int dflt);
bool param_flag(const struct json *p, const char *name);
struct str clip(struct str s); /* at most 200 bytes, at a character's end: for messages */

/* ==== capacity.c: what a request consumed ==== */

struct table_usage {
    const struct ddb_table *table;
    int64_t halves, *index; /* of units; of each index */
    bool *touched;
};
struct usage {
    struct arena *a;
    bool wanted, indexes;     /* by ReturnConsumedCapacity */
    bool transaction, writes; /* set by the operation */
    struct table_usage *tables;
    size_t n;
};
void usage_open(struct arena *a, const struct json *p, struct usage *ret);
/* x NULL: of the table itself. */
void usage_read(struct usage *u, const struct ddb_table *t, const struct ddb_index *x, size_t bytes, bool consistent);
/* w was prepared with want_usage. */
void usage_write(struct usage *u, const struct ddb_write *w);
void usage_report(struct usage *u, bool list, struct json *result);
bool index_projects(const struct ddb_table *t, const struct ddb_index *x, struct str name);
/* As AWS counts what the index holds of an item. */
size_t index_size(const struct ddb_table *t, const struct ddb_index *x, const struct av *item);
bool metrics_wanted(const struct json *p);
/* *ret null: the table has no local index. */
int metrics_of(struct local_tx *tx, struct arena *a, const struct ddb_write *w, struct json *ret, struct err *e);
int metrics_of_all(struct local_tx *tx, struct arena *a, const struct ddb_write *w, uint32_t n, struct json *result,
                   struct err *e);

/* ==== read.c ==== */

/* One item asked for by its key: GetItem and the members of BatchGetItem and TransactGetItems. */
struct ddb_get {
    struct ddb_table *table;
    struct str table_name;
    struct av given;
    struct ddb_key key;
    struct projection projection;
};
/* Parameters that do not go together. */
int get_legacy(struct arena *a, const struct json *p, struct err *e);
/* TableName, Key, ProjectionExpression. */
int get_parse(struct arena *a, const struct json *p, struct ddb_get *g, struct err *e);
int get_projection(struct arena *a, const struct json *p, struct projection *ret, struct err *e);
/* *ret NULL: there is none. *ret_size: of the whole item, as AWS counts. */
int get_one(struct local_tx *tx, struct arena *a, const struct ddb_get *g, struct av **ret, size_t *ret_size,
            struct err *e);

/* ==== query_plan.c: which rows ==== */

struct key_range {
    struct str lo, hi; /* p NULL: unbounded */
    bool lo_open, hi_open;
};
struct ddb_start {   /* where ExclusiveStartKey stands */
    struct str h, r; /* of the index */
    struct ddb_key key;
};
struct ddb_plan {
    const struct ddb_table *table;
    const struct ddb_index *index; /* NULL: the table itself */
    const struct ddb_attr *hash, *range;
    bool scan, backward, has_start;
    struct str pk; /* Query: value of the hash key */
    struct key_range bounds;
    struct ddb_start start;
    int64_t segment, segments; /* segments 0: not a parallel scan */
    struct str beyond;         /* of a parallel scan: hash keys up to this one are done; p NULL: none */
};
int plan_target(struct ddb_plan *q, const struct ddb_table *t, const struct json *p, struct err *e);
int plan_keys(struct arena *a, struct ddb_plan *q, const struct expr *x, struct err *e);
int plan_start(struct arena *a, struct ddb_plan *q, const struct av *key, struct err *e);
/* A pure function of the hash key and TotalSegments: what is written between two pages moves nothing. */
bool plan_in_segment(const struct ddb_plan *q, struct str pk);

/* ==== token.c ==== */

struct ddb_token {
    struct str token; /* empty: none was given */
    uint8_t hash[32];
    bool replay; /* done before: nothing is to be done */
};
int token_check(struct local_tx *tx, struct arena *a, const struct json *params, struct ddb_token *ret, struct err *e);
int token_keep(struct local_tx *tx, const struct ddb_token *t, struct err *e);

local_fn ddb_delete_table, ddb_update_table, ddb_tag, ddb_untag, ddb_list_tags, ddb_limits, ddb_endpoints, ddb_backups;
local_fn ddb_create_table, ddb_describe_table, ddb_list_tables, ddb_update_ttl, ddb_describe_ttl, ddb_put_item,
    ddb_get_item, ddb_update_item, ddb_delete_item, ddb_query, ddb_scan, ddb_batch_get, ddb_batch_write,
    ddb_transact_write, ddb_transact_get;

#endif
