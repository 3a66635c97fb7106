/* err: the one error value of the C side.
 * int f(in..., T *ret_x, struct err *e): 0, or -1 with *e filled. The caller owns *e and may reuse it.
 * err.def maps each code to the AWS error name, HTTP status and whether a retry can help. */
#ifndef PERIGEE_BASE_ERR_H
#define PERIGEE_BASE_ERR_H
#include <stdbool.h>

enum err_code {
    ERR_NONE = 0,
#define ERR(code, name, status, retryable) ERR_##code,
#include "base/err.def"
#undef ERR
    ERR_CODES
};

struct err {
    enum err_code code;
    char msg[1024]; /* a sentence with nouns: what, where (file:line or field), why; UTF-8: other bytes are '?' */
    char name[64];  /* not empty: the error of a remote service, which has this name, status and retryability */
    int status;
    bool retryable;
};

/* Fills *e (which may be NULL) and returns -1. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Appends ": strerror(errnum)". */
int err_sys(struct err *e, enum err_code code, int errnum, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Puts "prefix: " before the message that is there; returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A remote service's error, with name, status and retryable as given; its code is the one of that name, else
 * ERR_SERVICE. Returns -1. */
int err_service(struct err *e, const char *name, int status, bool retryable, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* Name, HTTP status and retryability of this error. */
const char *err_name_of(const struct err *e);
int err_status_of(const struct err *e);
bool err_retryable_of(const struct err *e);
const char *err_name(enum err_code code); /* AWS's name, as in "ConditionalCheckFailedException" */
int err_status(enum err_code code);       /* HTTP status */
bool err_retryable(enum err_code code);
/* For what cannot go on: prints "perigee: fatal: ..." on stderr and aborts. Only for failed allocations
 * outside any limit and for broken invariants. */
_Noreturn void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
