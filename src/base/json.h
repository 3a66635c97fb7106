/* json: an exact JSON document (RFC 8259) in an arena. Numbers stay text, so that int64 and DynamoDB's
 * 38 digits survive; strings are decoded views. Used for request bodies, AWS parameters and results, schemas. */
#ifndef PERIGEE_BASE_JSON_H
#define PERIGEE_BASE_JSON_H
#include "base/arena.h"
#include "base/buf.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUM, JSON_STR, JSON_ARR, JSON_OBJ };

struct json {
    enum json_type type;
    uint32_t n; /* elements of JSON_ARR, members of JSON_OBJ */
    union {
        struct str s; /* JSON_STR decoded; JSON_NUM as written */
        struct {
            union {
                struct json *items;          /* JSON_ARR */
                struct json_member *members; /* JSON_OBJ, in document order */
            };
            uint32_t cap; /* private */
            bool open;    /* JSON_OBJ: members that the reader does not know are no error */
        };
    };
};

struct json_member {
    struct str key;
    struct json value;
};

struct json_limits {
    uint32_t depth;      /* 0: JSON_DEPTH */
    bool duplicate_keys; /* true: last one wins; false: an error that names the key */
    bool open;           /* of the objects read */
};
#define JSON_DEPTH 64

/* Parses the whole of `text`; views point into `text` where nothing was escaped, else into the arena: `text` must
 * live as long as the document. Errors: ERR_SYNTAX "... at line L column C". Invalid UTF-8, NUL bytes in the
 * text, lone surrogates, depth and duplicate keys are errors; "\u0000" is legal. */
int json_parse(struct arena *a, struct str text, const struct json_limits *limits, struct json *ret, struct err *e);

/* Reading. All accept NULL and wrong types and then answer NULL / false / STR_NONE. */
const struct json *json_get(const struct json *obj, const char *key);
const struct json *json_get_str(const struct json *obj, struct str key);
struct str json_str(const struct json *v); /* JSON_STR only */
struct str json_get_s(const struct json *obj, const char *key);
bool json_i64(const struct json *v, int64_t *ret); /* JSON_NUM that is an integer literal in range */
bool json_is(const struct json *v, enum json_type t);
bool json_bool(const struct json *v, bool *ret);
const char *json_type_name(enum json_type t);                /* "object", "string", ... */
bool json_equal(const struct json *a, const struct json *b); /* objects as sets, numbers by their text */

/* Building. Keys and strings are borrowed: they must live as long as the document (use arena_str). */
struct json json_make_obj(void);
struct json json_make_arr(void);
struct json json_make_str(struct str s);
struct json json_make_c(const char *cstr);
struct json json_make_bool(bool b);
struct json json_make_null(void);
struct json json_make_num(struct str literal);
struct json json_make_i64(struct arena *a, int64_t v);
/* Appends a member without looking for an older one of the same name; returns the stored value. */
struct json *json_set(struct arena *a, struct json *obj, const char *key, struct json v);
struct json *json_set_str(struct arena *a, struct json *obj, struct str key, struct json v);
struct json *json_push(struct arena *a, struct json *arr, struct json v);
/* Deep copy into another arena, strings included. */
struct json json_copy(struct arena *a, const struct json *v);

/* Writing: compact, UTF-8, "/" unescaped, control characters as \u00XX or the short forms. */
void json_write(struct buf *b, const struct json *v);
void json_write_str(struct buf *b, struct str s); /* with the quotes */

#endif
