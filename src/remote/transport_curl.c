/* transfer: the options of an easy handle. */
#include "remote/transport_curl.h"
#include "base/fs.h"
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BODY_INLINE = 64 << 10, /* larger ones go through on_read, which sees progress */
    STREAM_BUFFER = 256 << 10,
    KEEP_LINES = 64 << 10,
    IDLE_CONNECTION_S = 60,
    CA_CACHE_S = 86400,
};
enum { SHAPE_UNSET, SHAPE_GET, SHAPE_HEAD, SHAPE_POST };

#define SET(w, option, value) curl_easy_setopt((w)->easy, option, value)

static void global_init(void) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT)) fatal("cannot initialise the HTTP client");
}

static char *copy(const char *s) {
    char *p = strdup(s ? s : "");
    if (!p) fatal("out of memory for a setting of the HTTP client");
    return p;
}

/* One store for all connections is possible (CURLOPT_CA_CACHE_TIMEOUT(3)) only without a directory beside the file. A
 * directory is as c_rehash(1) leaves it: nothing is read before a certificate's issuer is looked for. */
static void choose_ca(struct transfer_owner *o, const char *ca_bundle) {
    const curl_version_info_data *v = curl_version_info(CURLVERSION_NOW);
    if (ca_bundle && fs_is_dir(ca_bundle))
        o->ca_path = copy(ca_bundle);
    else if (ca_bundle)
        o->ca_bundle = copy(ca_bundle);
    else if (v->cainfo && access(v->cainfo, R_OK) == 0)
        o->ca_bundle = copy(v->cainfo);
    else if (v->capath)
        o->ca_path = copy(v->capath);
}

int transfer_owner_init(struct transfer_owner *o, const char *ca_bundle, const struct proxies *proxies, struct err *e) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, global_init);
    *o = (struct transfer_owner){0};
    if (ca_bundle && !*ca_bundle) ca_bundle = NULL;
    if (ca_bundle && access(ca_bundle, R_OK))
        return err_sys(e, ERR_CONFIG, errno, "cannot read the bundle of certificates %s", ca_bundle);
    choose_ca(o, ca_bundle);
    o->proxy[0] = copy(proxies->http);
    o->proxy[1] = copy(proxies->https);
    o->no_proxy = copy(proxies->except);
    return 0;
}

void transfer_owner_free(struct transfer_owner *o) {
    free(o->ca_bundle);
    free(o->ca_path);
    free(o->proxy[0]);
    free(o->proxy[1]);
    free(o->no_proxy);
}

/* All time limits are the owner's; those of curl are only farther ones behind them. CURLOPT_QUICK_EXIT: a handle whose
 * name is still being resolved must not make its owner wait for the resolver's thread. */
static void set_constants(struct transfer *w) {
    const struct transfer_owner *o = w->owner;
    SET(w, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(w, CURLOPT_FOLLOWLOCATION, 0L);
    SET(w, CURLOPT_PATH_AS_IS, 1L);
    SET(w, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    SET(w, CURLOPT_HTTP09_ALLOWED, 0L);
    SET(w, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(w, CURLOPT_HEADEROPT, (long)CURLHEADER_SEPARATE);
    SET(w, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    SET(w, CURLOPT_NOSIGNAL, 1L);
    SET(w, CURLOPT_QUICK_EXIT, 1L);
    SET(w, CURLOPT_TCP_NODELAY, 1L);
    SET(w, CURLOPT_TCP_KEEPALIVE, 1L);
    SET(w, CURLOPT_MAXAGE_CONN, (long)IDLE_CONNECTION_S);
    SET(w, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(w, CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
    SET(w, CURLOPT_CAINFO, o->ca_bundle);
    SET(w, CURLOPT_CAPATH, o->ca_path);
    SET(w, CURLOPT_PROXY_CAINFO, o->ca_bundle);
    SET(w, CURLOPT_PROXY_CAPATH, o->ca_path);
    SET(w, CURLOPT_PROXY_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(w, CURLOPT_NOPROXY, o->no_proxy);
}

struct transfer *transfer_open(struct transfer_owner *o) {
    struct transfer *w = calloc(1, sizeof *w);
    if (!w || !(w->easy = curl_easy_init())) fatal("out of memory for an HTTP exchange");
    w->owner = o;
    w->fd = w->secure = w->streams = -1;
    list_init(&w->node);
    buf_init(&w->url, 1 << 20);
    buf_init(&w->lines, 1 << 20);
    transfer_set_callbacks(w);
    set_constants(w);
    return w;
}

void transfer_release(struct transfer *w) {
    w->x = NULL;
    w->ud = NULL;
    if (w->lines.n) explicit_bzero(w->lines.p, w->lines.n);
}

void transfer_close(struct transfer *w) {
    transfer_release(w);
    curl_easy_cleanup(w->easy);
    buf_free(&w->url);
    buf_free(&w->lines);
    free(w->nodes);
    free(w);
}

// ---- a request ----

static void set_url(struct transfer *w, struct str url) {
    if (str_eq(buf_view(&w->url), url)) return;
    buf_clear(&w->url);
    buf_str(&w->url, url);
    SET(w, CURLOPT_URL, buf_cstr(&w->url));
    int secure = url.n > 4 && (url.p[4] | 32) == 's';
    if (secure != w->secure) SET(w, CURLOPT_PROXY, w->owner->proxy[secure]);
    w->secure = secure;
}

static void set_shape(struct transfer *w, int shape, const char *custom) {
    if (w->shape != shape) {
        if (shape == SHAPE_GET) SET(w, CURLOPT_HTTPGET, 1L);
        if (shape == SHAPE_POST) SET(w, CURLOPT_POST, 1L);
        if (shape == SHAPE_HEAD) SET(w, CURLOPT_NOBODY, 1L);
    }
    if (w->custom != custom) SET(w, CURLOPT_CUSTOMREQUEST, custom);
    w->shape = shape;
    w->custom = custom;
}

/* What the request line says and whether there is a body are told to curl apart from each other. */
static void set_method(struct transfer *w, const struct exchange *x) {
    static const struct {
        const char *name, *custom_get, *custom_post;
        bool always_body; /* "Content-Length: 0" is sent (RFC 9110 8.6) */
    } methods[] = {{"GET", NULL, "GET", false},
                   {"POST", NULL, NULL, true},
                   {"PUT", NULL, "PUT", true},
                   {"HEAD", NULL, NULL, false},
                   {"DELETE", "DELETE", "DELETE", false},
                   {"PATCH", NULL, "PATCH", true},
                   {"OPTIONS", "OPTIONS", "OPTIONS", false}};
    size_t i = 0;
    while (!str_is(x->method, methods[i].name)) i++; /* exchange_check has found it */
    if (str_is(x->method, "HEAD"))
        set_shape(w, SHAPE_HEAD, NULL);
    else if (x->read || x->body.n || methods[i].always_body)
        set_shape(w, SHAPE_POST, methods[i].custom_post);
    else
        set_shape(w, SHAPE_GET, methods[i].custom_get);
}

static void set_body(struct transfer *w, const struct exchange *x) {
    if (w->shape != SHAPE_POST) return;
    SET(w, CURLOPT_POSTFIELDSIZE_LARGE, x->read ? (curl_off_t)x->body_len : (curl_off_t)x->body.n);
    bool streamed = x->read || x->body.n > BODY_INLINE;
    SET(w, CURLOPT_POSTFIELDS, streamed ? NULL : x->body.n ? x->body.p : "");
}

/* CURLOPT_HTTPHEADER(3): "Name: value"; "Name;" for an empty value; "Name:" takes one of curl's own away. */
static void add_line(struct transfer *w, size_t *n, struct str name, struct str value) {
    struct curl_slist *node = &w->nodes[*n];
    *node = (struct curl_slist){.data = w->lines.p + w->lines.n};
    if (*n) w->nodes[*n - 1].next = node;
    ++*n;
    buf_str(&w->lines, name);
    buf_c(&w->lines, value.n ? ": " : ";");
    buf_str(&w->lines, value);
    buf_byte(&w->lines, '\0');
}

static void drop_own(struct transfer *w, size_t *n, const char *name) {
    w->nodes[*n] = (struct curl_slist){.data = (char *)(uintptr_t)name};
    if (*n) w->nodes[*n - 1].next = &w->nodes[*n];
    ++*n;
}

static void reserve_lines(struct transfer *w, const struct exchange *x) {
    size_t bytes = 0, nodes = x->n_headers + 3;
    for (size_t i = 0; i < x->n_headers; i++) bytes += x->headers[i].name.n + x->headers[i].value.n + 4;
    if (w->lines.cap > KEEP_LINES) buf_free(&w->lines);
    buf_clear(&w->lines);
    buf_reserve(&w->lines, bytes + 1); /* the nodes point into it: it must not move */
    if (nodes <= w->cap_nodes) return;
    w->nodes = realloc(w->nodes, nodes * sizeof *w->nodes);
    if (!w->nodes) fatal("out of memory for %zu header lines", nodes);
    w->cap_nodes = nodes;
}

static void set_headers(struct transfer *w, const struct exchange *x) {
    bool accept = false, type = false;
    size_t n = 0;
    reserve_lines(w, x);
    for (size_t i = 0; i < x->n_headers; i++) {
        struct str name = x->headers[i].name;
        if (str_ieq(name, STR("content-length"))) continue; /* the same as curl's */
        accept = accept || str_ieq(name, STR("accept"));
        type = type || str_ieq(name, STR("content-type"));
        add_line(w, &n, name, str_trim(x->headers[i].value));
    }
    drop_own(w, &n, "Expect:");
    if (!accept) drop_own(w, &n, "Accept:");
    if (!type) drop_own(w, &n, "Content-Type:");
    SET(w, CURLOPT_HTTPHEADER, w->nodes);
}

static void set_rest(struct transfer *w, const struct exchange *x, bool fresh) {
    bool streams = x->write || x->read;
    if (streams != w->streams) {
        SET(w, CURLOPT_BUFFERSIZE, streams ? (long)STREAM_BUFFER : 16384L);
        SET(w, CURLOPT_UPLOAD_BUFFERSIZE, streams ? (long)STREAM_BUFFER : 65536L);
        w->streams = streams;
    }
    if (fresh != w->fresh) SET(w, CURLOPT_FRESH_CONNECT, (long)fresh);
    w->fresh = fresh;
}

void transfer_prepare(struct transfer *w, struct exchange *x, bool fresh_connection) {
    w->x = x;
    w->attempts = 0;
    w->opened = w->answered = w->head_done = false;
    w->os_errno = 0;
    w->verdict = TRANSFER_NONE;
    w->chunked = false;
    w->head_bytes = w->n_heads = 0;
    w->body_bytes = 0;
    w->given = 0;
    w->connecting_ms = 0;
    w->error[0] = '\0';
    w->moved_ms = w->owner->now_ms;
    set_url(w, x->url);
    set_method(w, x);
    set_body(w, x);
    set_headers(w, x);
    set_rest(w, x, fresh_connection);
}
