/* transfer: the callbacks of an easy handle. */
#include "base/now.h"
#include "remote/transport_curl.h"
#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void moved(struct transfer *w) {
    w->moved_ms = w->owner->now_ms;
}

static void begin_connecting(struct transfer *w) {
    if (w->connecting_ms) return;
    w->connecting_ms = w->owner->now_ms ? w->owner->now_ms : 1;
    if (w->owner->connecting) w->owner->connecting(w);
}

/* CURLOPT_RESOLVER_START_FUNCTION(3): "gets called by libcurl every time before a new resolve request is started ...
 * 0 to indicate success". Not called for names in the cache: on_open then is the first sign of a connection. */
static int on_resolve(void *resolver, void *reserved, void *ud) {
    struct transfer *w = ud;
    (void)resolver, (void)reserved;
    begin_connecting(w);
    return w->x ? 0 : 1;
}

/* CURLOPT_OPENSOCKETFUNCTION(3): "return a newly created socket or CURL_SOCKET_BAD to indicate an unrecoverable
 * error". */
static curl_socket_t on_open(void *ud, curlsocktype purpose, struct curl_sockaddr *a) {
    struct transfer *w = ud;
    (void)purpose;
    begin_connecting(w);
    int fd = w->x ? socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol) : -1;
    if (fd < 0) {
        w->os_errno = errno;
        return CURL_SOCKET_BAD;
    }
    w->opened = true;
    if (w->owner->opened) w->owner->opened(w, fd);
    return fd;
}

/* CURLOPT_CLOSESOCKETFUNCTION(3): "called ... instead of the close(3) call when sockets are closed (not for any other
 * file descriptors)". Its ud is the owner: connections outlive easy handles. */
static int on_close(void *ud, curl_socket_t fd) {
    struct transfer_owner *o = ud;
    if (o->closing) o->closing(o, fd);
    return close(fd);
}

/* CURLOPT_PREREQFUNCTION(3): "called by libcurl after a connection has been established or a connection has been
 * reused ... but before the actual request is made". A second call is curl's own retry of a reused connection that died
 * before the head of an answer: right when it goes over a fresh connection and really no byte came. */
static int on_request(void *ud, char *ip, char *local_ip, int port, int local_port) {
    struct transfer *w = ud;
    (void)local_ip;
    if (!w->x) return CURL_PREREQFUNC_ABORT;
    bool connected = w->connecting_ms;
    w->connecting_ms = 0;
    moved(w);
    if (connected && w->owner->connecting) w->owner->connecting(w);
    if (++w->attempts > 1) {
        w->verdict = w->answered ? TRANSFER_CUT : !w->opened || w->attempts > 2 ? TRANSFER_AGAIN : TRANSFER_NONE;
        if (w->verdict) return CURL_PREREQFUNC_ABORT;
    }
    if (w->owner->requesting) w->owner->requesting(w, ip, port, local_port);
    return CURL_PREREQFUNC_OK;
}

static size_t clamp(const struct transfer *w, size_t n) {
    int64_t total = w->x->read ? w->x->body_len : (int64_t)w->x->body.n;
    if (total < 0) return n;
    uint64_t left = (uint64_t)total - w->given;
    return left < n ? (size_t)left : n;
}

static ptrdiff_t take_body(struct transfer *w, char *p, size_t n) {
    struct exchange *x = w->x;
    if (x->read) return x->read(x->stream_ud, p, n);
    memcpy(p, x->body.p + w->given, n);
    return (ptrdiff_t)n;
}

/* CURLOPT_READFUNCTION(3): "must return the actual number of bytes that it stored ... Returning 0 signals end-of-file
 * ... CURL_READFUNC_ABORT stops the operation immediately, resulting in a CURLE_ABORTED_BY_CALLBACK". */
static size_t on_read(char *p, size_t size, size_t n, void *ud) {
    struct transfer *w = ud;
    if (!w->x) return CURL_READFUNC_ABORT;
    moved(w);
    size_t room = clamp(w, size * n);
    if (!room) return 0;
    ptrdiff_t got = take_body(w, p, room);
    if (!w->x) return CURL_READFUNC_ABORT; /* it was cancelled in there */
    if (got < 0 || (size_t)got > room) {
        w->verdict = TRANSFER_SOURCE;
        return CURL_READFUNC_ABORT;
    }
    if (got == 0 && w->x->body_len >= 0) {
        w->verdict = TRANSFER_SOURCE_SHORT;
        return CURL_READFUNC_ABORT;
    }
    w->given += (size_t)got;
    return (size_t)got;
}

/* CURLOPT_SEEKFUNCTION(3): "must return CURL_SEEKFUNC_OK on success, CURL_SEEKFUNC_FAIL to cause the upload operation
 * to fail". Asked for before curl's own retry; a stream that was begun cannot be read twice. */
static int on_seek(void *ud, curl_off_t offset, int origin) {
    struct transfer *w = ud;
    if (!w->x || origin != SEEK_SET || offset != 0) return CURL_SEEKFUNC_FAIL;
    if (w->x->read && w->given) return CURL_SEEKFUNC_FAIL;
    w->given = 0;
    return CURL_SEEKFUNC_OK;
}

static void end_head(struct transfer *w) {
    struct exchange *x = w->x;
    if (x->status < 200) { /* 1xx: the answer is still to come */
        w->n_heads = 0;
        return;
    }
    w->head_done = true;
    x->response_headers = arena_alloc(&x->arena, sizeof *w->heads * (w->n_heads ? w->n_heads : 1));
    memcpy(x->response_headers, w->heads, sizeof *w->heads * w->n_heads);
    x->n_response_headers = w->n_heads;
    x->received_ms = clock_ms(NULL);
    w->chunked = exchange_header(x, "transfer-encoding").p;
    struct str date = exchange_header(x, "date");
    if (!date.n || !now_parse_http(date, &x->date_ms)) x->date_ms = -1;
}

static void status_line(struct transfer *w, struct str line) { /* HTTP/1.1 200 OK; curl has checked it */
    str_cut(&line, ' ');
    int64_t status = 0;
    w->n_heads = 0;
    w->x->status = str_i64(str_take(line, 3), &status) ? (int)status : 0;
}

/* RFC 9112 5.2: a line that begins with white space continues the value before, with one space. */
static void fold(struct transfer *w, struct str line) {
    struct str *v = &w->heads[w->n_heads - 1].value;
    *v = arena_printf(&w->x->arena, "%.*s %.*s", STR_ARG(*v), STR_ARG(str_trim(line)));
}

static bool header_line(struct transfer *w, struct str line) {
    ptrdiff_t colon = str_chr(line, ':', 0);
    if ((line.p[0] == ' ' || line.p[0] == '\t') && w->n_heads) {
        fold(w, line);
        return true;
    }
    if (colon < 1) return true;
    if (w->n_heads == TRANSFER_HEADERS) return false;
    line = arena_str(&w->x->arena, line);
    w->heads[w->n_heads++] =
        (struct http_header){str_trim(str_take(line, (size_t)colon)), str_trim(str_from(line, (size_t)colon + 1))};
    return true;
}

/* CURLOPT_HEADERFUNCTION(3): "called once for each header and only complete header lines are passed on ... must return
 * the number of bytes actually taken care of". What comes after the head's end are trailers, which nobody asked for. */
static size_t on_header(char *p, size_t size, size_t n, void *ud) {
    struct transfer *w = ud;
    struct str line = str_n(p, size * n);
    if (!w->x) return 0;
    moved(w);
    w->answered = true;
    w->head_bytes += line.n;
    bool ok = w->head_bytes <= TRANSFER_HEAD_BYTES;
    if (!ok || w->head_done) {
        if (!ok) w->verdict = TRANSFER_HEAD_TOO_LARGE;
        return ok ? size * n : 0;
    }
    while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r')) line.n--;
    if (!line.n)
        end_head(w);
    else if (!str_starts(line, STR("HTTP/")))
        ok = header_line(w, line);
    else
        status_line(w, line);
    if (!ok) w->verdict = TRANSFER_HEAD_TOO_LARGE;
    return ok ? size * n : 0;
}

/* CURLOPT_WRITEFUNCTION(3): "return the number of bytes actually taken care of. If that amount differs ... it signals
 * an error condition and causes the transfer to get aborted". */
static size_t on_body(char *p, size_t size, size_t n, void *ud) {
    struct transfer *w = ud;
    struct exchange *x = w->x;
    if (!x) return 0;
    moved(w);
    w->body_bytes += size * n;
    if (x->write && x->status / 100 == 2) {
        bool ok = x->write(x->stream_ud, str_n(p, size * n));
        if (!ok) w->verdict = TRANSFER_SINK;
        return ok && w->x ? size * n : 0;
    }
    buf_add(&x->body_in, p, size * n);
    if (x->body_in.over) w->verdict = TRANSFER_BODY_TOO_LARGE;
    return x->body_in.over ? 0 : size * n;
}

#define SET(w, option, value) curl_easy_setopt((w)->easy, option, value)

void transfer_set_callbacks(struct transfer *w) {
    SET(w, CURLOPT_RESOLVER_START_FUNCTION, on_resolve);
    SET(w, CURLOPT_RESOLVER_START_DATA, w);
    SET(w, CURLOPT_OPENSOCKETFUNCTION, on_open);
    SET(w, CURLOPT_OPENSOCKETDATA, w);
    SET(w, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    SET(w, CURLOPT_CLOSESOCKETDATA, w->owner);
    SET(w, CURLOPT_PREREQFUNCTION, on_request);
    SET(w, CURLOPT_PREREQDATA, w);
    SET(w, CURLOPT_READFUNCTION, on_read);
    SET(w, CURLOPT_READDATA, w);
    SET(w, CURLOPT_SEEKFUNCTION, on_seek);
    SET(w, CURLOPT_SEEKDATA, w);
    SET(w, CURLOPT_HEADERFUNCTION, on_header);
    SET(w, CURLOPT_HEADERDATA, w);
    SET(w, CURLOPT_WRITEFUNCTION, on_body);
    SET(w, CURLOPT_WRITEDATA, w);
    SET(w, CURLOPT_ERRORBUFFER, w->error);
    SET(w, CURLOPT_PRIVATE, w);
}
