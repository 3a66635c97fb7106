/* shape (private to local/dynamo): what a request may look like, as data, and its basic validation.
 *
 * As in AWS, JSON types are looked at first, in the order of the document, and the first that is wrong ends it
 * (SerializationException); then every constraint, in the order of the shape, and all that fail are told in one
 * ValidationException. Null members count as absent. Members that no shape knows are dropped from documents of clients
 * (json.open), and are errors in those of handlers. */
#ifndef PERIGEE_LOCAL_DYNAMO_SHAPE_H
#define PERIGEE_LOCAL_DYNAMO_SHAPE_H
#include "local/dynamo/dynamo.h"

enum shape_kind {
    SHAPE_STRING,
    SHAPE_NAME,  /* a string of [a-zA-Z0-9_.-]+ */
    SHAPE_TABLE, /* such a name, or an ARN that ends with it */
    SHAPE_INTEGER,
    SHAPE_LONG,
    SHAPE_BOOLEAN,
    SHAPE_BLOB,
    SHAPE_LIST,
    SHAPE_MAP,
    SHAPE_TABLE_MAP, /* its keys are names of tables */
    SHAPE_STRUCT,
    SHAPE_ABSENT, /* known to AWS, refused here */
};
struct shape {
    enum shape_kind kind;
    const char *name;                   /* in type errors: of a structure, or of what a map holds */
    const struct shape *of;             /* elements of lists and maps */
    const struct shape_member *members; /* of a structure, ended by one without name */
    const char *const *set;             /* of a string, ended by NULL; in the order of AWS's message */
    int64_t min, max;                   /* of numbers; of the length of others; max 0: none */
    uint32_t min_value, max_value;      /* length of a map's values */
    bool parameterized;                 /* a collection that is an element of another */
    bool unconstrained;                 /* nothing below can fail */
};
enum shape_need {
    SHAPE_OPTIONAL,
    SHAPE_NOT_NULL,
    SHAPE_REQUIRED, /* looked for, and its length tested, before everything else */
};
struct shape_member {
    const char *name;
    const struct shape *shape;
    enum shape_need need;
};

/* Makes `params` what `s`, a structure, describes; what: the operation, for messages. *ret_long: on errors, the message
 * that e has no room for, else unset. */
int shape_check(struct arena *a, struct json *params, const struct shape *s, const char *what, struct str *ret_long,
                struct err *e);

/* shapes.c: of op, which is one of DynamoDB's. */
const struct shape *shape_of(enum aws_op op);

#endif
