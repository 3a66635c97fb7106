/* function: what the template says of one handler function, in the form script and route need it. Immutable. */
#ifndef PERIGEE_BASE_FUNCTION_H
#define PERIGEE_BASE_FUNCTION_H
#include "base/policy.h"

struct function_env {
    struct str name, value;
};

struct function {
    struct str name;     /* logical id, "CreateOrder" */
    struct str code_dir; /* absolute or relative to the working directory */
    struct str module;   /* "orders" of Handler: orders.create; may hold '/' */
    struct str field;    /* "create" */
    int line;            /* of Handler: in the template */
    uint32_t timeout_ms;
    uint64_t memory_bytes;
    const struct function_env *env;
    size_t n_env;
    struct policy policy;
    bool url;     /* it has a function URL (FunctionUrlConfig) */
    bool stream;  /* its function URL streams answers (InvokeMode: RESPONSE_STREAM) */
    size_t index; /* dense, 0-based, in template order */
};

#endif
