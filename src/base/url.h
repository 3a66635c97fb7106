/* url: percent-coding and splitting of request targets and URLs (RFC 3986). Pure functions. */
#ifndef PERIGEE_BASE_URL_H
#define PERIGEE_BASE_URL_H
#include "base/arena.h"
#include "base/buf.h"

struct url {
    struct str scheme, host, path, query; /* host without port; path raw, "" becomes "/"; query raw without '?' */
    int port;                             /* default port of http/https when none was written */
};
int url_parse(struct str s, struct url *ret, struct err *e);
/* Unreserved characters stay (A-Z a-z 0-9 - . _ ~), `keep_slash` keeps '/'; others become %XX, upper case. */
void url_encode(struct buf *b, struct str s, bool keep_slash);
/* %XX to bytes; '+' to space when `plus`. -1 on a bad escape or a NUL result. */
int url_decode(struct arena *a, struct str s, bool plus, struct str *ret, struct err *e);

struct url_param {
    struct str name, value; /* decoded */
};
/* Decodes a query string in order of appearance. At most `max` parameters, more is an error. */
int url_query(struct arena *a, struct str query, size_t max, struct url_param **ret, size_t *ret_n, struct err *e);

#endif
