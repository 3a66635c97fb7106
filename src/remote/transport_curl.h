/* transport_curl (private to remote/): a transfer, which is one curl easy handle and the exchange it carries. Shared by
 * transport.c (on a loop) and blocking.c (on a thread); no file but these and transport_{curl,callbacks,end}.c includes
 * curl.
 *
 * Options are set once, when a transfer is opened; an exchange changes only what differs from the one before. Callbacks
 * never raise and never touch the handle they run in: they note what happened and end the transfer by their result. */
#ifndef PERIGEE_REMOTE_TRANSPORT_CURL_H
#define PERIGEE_REMOTE_TRANSPORT_CURL_H
#include "remote/transport.h"

struct transfer;
/* Whoever runs transfers. Must outlive the connections they made. */
struct transfer_owner {
    char *ca_bundle, *ca_path; /* one of them, or both NULL */
    char *proxy[2];            /* for http, for https; "": none */
    char *no_proxy;            /* never NULL */
    uint64_t connect_ms;
    uint64_t now_ms;                            /* monotonic; the owner sets it before it calls into curl */
    void (*connecting)(struct transfer *w);     /* begins or ends: other limits hold now; may be NULL */
    void (*opened)(struct transfer *w, int fd); /* a socket for a connection; may be NULL */
    /* A request is about to go out over the connection with these addresses; may be NULL. */
    void (*requesting)(struct transfer *w, const char *ip, int port, int local_port);
    void (*closing)(struct transfer_owner *o, int fd); /* a socket that was opened; may be NULL */
};
int transfer_owner_init(struct transfer_owner *o, const char *ca_bundle, const struct proxies *proxies, struct err *e);
void transfer_owner_free(struct transfer_owner *o);

/* Why a callback ended the transfer. */
enum transfer_verdict {
    TRANSFER_NONE,
    TRANSFER_AGAIN, /* the request should go over a fresh connection */
    TRANSFER_CUT,   /* the answer broke off inside its first line */
    TRANSFER_HEAD_TOO_LARGE,
    TRANSFER_BODY_TOO_LARGE,
    TRANSFER_SOURCE,
    TRANSFER_SOURCE_SHORT,
    TRANSFER_SINK,
};
enum { TRANSFER_HEADERS = 256, TRANSFER_HEAD_BYTES = 64 << 10, EXCHANGE_IDLE_MS = 60000, EXCHANGE_PEER = 160 };

struct transfer {
    struct list node; /* of the owner's pool */
    void *easy;       /* CURL * */
    struct transfer_owner *owner;
    void *ud;           /* the owner's */
    struct exchange *x; /* NULL: abandoned, the next callback ends the transfer */

    uint64_t moved_ms;      /* when bytes were last seen to move */
    uint64_t connecting_ms; /* since when; 0: not connecting */
    unsigned attempts;      /* requests begun in this transfer: more than one when curl tries again by itself */
    bool opened;            /* a socket was opened for the present attempt */
    bool answered;          /* answer bytes came */
    bool head_done;
    int os_errno;
    enum transfer_verdict verdict;
    int fd;       /* of its connection as far as known, else -1 */
    bool chunked; /* the answer */
    size_t head_bytes, n_heads;
    uint64_t body_bytes;
    uint64_t given; /* bytes of the body handed to curl by our read callback */
    char error[256];

    /* what the handle is set to */
    struct buf url, lines;
    struct curl_slist *nodes;
    size_t cap_nodes;
    const char *custom;
    int shape, secure, streams, fresh;
    struct http_header heads[TRANSFER_HEADERS];
};
void transfer_set_callbacks(struct transfer *w); /* when it is opened */
struct transfer *transfer_open(struct transfer_owner *o);
void transfer_close(struct transfer *w);
void transfer_release(struct transfer *w); /* lets go of the exchange, and wipes the credentials among its headers */
/* Sets the handle up for x, which has passed exchange_check. */
void transfer_prepare(struct transfer *w, struct exchange *x, bool fresh_connection);
/* The transfer ended with this CURLcode. True: it went over a connection used before and nothing of an answer came,
 * so the request may be given once more. */
bool transfer_may_retry(const struct transfer *w, int code);
/* Fills in the outcome and lets go of the exchange. */
void transfer_finish(struct transfer *w, int code);
/* Its owner ends it at `due` at the latest; the time limits of an exchange. started_ms: of the whole. */
uint64_t transfer_due(const struct transfer *w, uint64_t started_ms);
/* Says which limit has passed, when one has. */
bool transfer_timed_out(struct transfer *w, uint64_t started_ms);

/* -- exchanges ---------------------------------------------------------------------------------------------------- */
void exchange_empty(struct exchange *x); /* before a start */
/* Checks method, URL, headers; false: the failure is set. ret_origin: "http://host:port" as written. */
bool exchange_check(struct exchange *x, struct str *ret_origin);
void exchange_fail(struct exchange *x, enum exchange_failure failure, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *exchange_peer(const struct exchange *x, char out[EXCHANGE_PEER]); /* "host:port" */

#endif
