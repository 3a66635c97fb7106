#include "base/err.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int status;
    bool retryable;
} codes[ERR_CODES] = {
    [ERR_NONE] = {"None", 200, false},
#define ERR(code, name, status, retryable) [ERR_##code] = {name, status, retryable},
#include "base/err.def"
#undef ERR
};

int err_set(struct err *e, enum err_code code, const char *fmt, ...) {
    if (!e) return -1;
    char msg[sizeof e->msg]; /* the arguments may point into e->msg */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    e->code = code;
    memcpy(e->msg, msg, sizeof msg);
    return -1;
}

int err_sys(struct err *e, enum err_code code, int errnum, const char *fmt, ...) {
    if (!e) return -1;
    char what[sizeof e->msg], why[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return err_set(e, code, "%s: %s", what, strerror_r(errnum, why, sizeof why));
}

int err_wrap(struct err *e, const char *fmt, ...) {
    if (!e) return -1;
    char prefix[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(prefix, sizeof prefix, fmt, ap);
    va_end(ap);
    return err_set(e, e->code, "%s: %s", prefix, e->msg);
}

const char *err_name(enum err_code code) {
    return (unsigned)code < ERR_CODES ? codes[code].name : "InternalFailure";
}

int err_status(enum err_code code) {
    return (unsigned)code < ERR_CODES ? codes[code].status : 500;
}

bool err_retryable(enum err_code code) {
    return (unsigned)code < ERR_CODES && codes[code].retryable;
}

_Noreturn void fatal(const char *fmt, ...) {
    char msg[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    fprintf(stderr, "perigee: fatal: %s\n", msg);
    abort();
}
