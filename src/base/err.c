#include "base/err.h"
#include "base/str.h"
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

/* Messages repeat bytes from outside, and are cut. */
static void make_text(char *msg) {
    size_t at = 0;
    for (ptrdiff_t bad; (bad = str_bad_utf8(str_c(msg + at))) >= 0;) {
        msg[at += (size_t)bad] = '?';
        at++;
    }
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...) {
    if (!e) return -1;
    char msg[sizeof e->msg]; /* the arguments may point into e->msg */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    make_text(msg);
    e->code = code;
    e->name[0] = '\0';
    memcpy(e->msg, msg, sizeof msg);
    return -1;
}

static enum err_code code_named(const char *name) {
    for (int i = 1; i < ERR_CODES; i++)
        if (strcmp(codes[i].name, name) == 0) return (enum err_code)i;
    return ERR_SERVICE;
}

int err_service(struct err *e, const char *name, int status, bool retryable, const char *fmt, ...) {
    if (!e) return -1;
    char msg[sizeof e->msg];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    err_set(e, code_named(name), "%s", msg);
    snprintf(e->name, sizeof e->name, "%s", name);
    e->status = status;
    e->retryable = retryable;
    return -1;
}

const char *err_name_of(const struct err *e) {
    return e->name[0] ? e->name : err_name(e->code);
}

int err_status_of(const struct err *e) {
    return e->name[0] ? e->status : err_status(e->code);
}

bool err_retryable_of(const struct err *e) {
    return e->name[0] ? e->retryable : err_retryable(e->code);
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
    char name[sizeof e->name];
    memcpy(name, e->name, sizeof name);
    err_set(e, e->code, "%s: %s", prefix, e->msg);
    memcpy(e->name, name, sizeof name);
    return -1;
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
