/* http1 (private to in/): HTTP/1.1 messages on a byte stream (RFC 9112), for the Runtime API and its server: both ends
 * are programs on the same machine, yet nothing they send may harm. server.c is the one for everybody else.
 *
 * A parser is fed bytes as they come and reports head, body and end of one message after the other. It owns what it
 * keeps: method, target and headers live until the feed after HTTP1_END (or http1_free); `part` points into what was
 * fed. Feed until HTTP1_MORE, also with no bytes: a message without a body ends without a further one. */
#ifndef PERIGEE_IN_HTTP1_H
#define PERIGEE_IN_HTTP1_H
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/http.h"

enum http1_kind { HTTP1_REQUEST, HTTP1_RESPONSE };
enum http1_event {
    HTTP1_MORE, /* all bytes are used up: feed the next */
    HTTP1_HEAD, /* method and target, or status, and the headers are there */
    HTTP1_BODY, /* `part` holds bytes of the body, framing removed */
    HTTP1_END,  /* the message is complete; trailers are in headers too. The next feed begins another */
    HTTP1_BAD,  /* e says what is wrong; the connection is useless */
};

struct http1 {
    enum http1_kind kind;
    size_t head_max; /* 0: 64 KiB of head or trailers */
    /* of the message at hand */
    struct str method, target;
    int status;
    struct http_header *headers;
    size_t n_headers;
    struct str part;
    bool close;              /* the connection does not outlive this message */
    bool chunked;            /* Transfer-Encoding: chunked */
    uint64_t content_length; /* UINT64_MAX: not given */
    bool until_close;        /* a response whose body ends with the connection */
    bool no_body;            /* set by the caller before the head: an answer to HEAD */
    /* private */
    int state;
    struct arena arena;
    struct buf line;
    size_t cap_headers;
    uint64_t left;
    size_t used;
    bool old, must_close; /* HTTP/1.0; Connection: close */
};

void http1_init(struct http1 *p, enum http1_kind kind);
void http1_free(struct http1 *p);
/* Consumes from the front of *in (moves it) until something is to be told. 1xx responses are skipped. */
enum http1_event http1_feed(struct http1 *p, struct str *in, struct err *e);
/* The connection was closed by the peer: HTTP1_END when that ends the body, HTTP1_MORE between messages (or within
 * nothing), HTTP1_BAD in the middle of one. */
enum http1_event http1_eof(struct http1 *p, struct err *e);
struct str http1_header(const struct http1 *p, const char *name); /* first of that name, or STR_NONE */
bool http1_fresh(const struct http1 *p);                          /* no byte of the next message has come */

#endif
