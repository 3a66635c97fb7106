/* perigee_load: an HTTP/1.1 keep-alive load generator for one server on this machine. One thread, epoll; each
 * connection has one request under way. Orders have unique ids (UUIDv7). Ends after a number of requests or seconds, at
 * the latest at its deadline, and prints one line of JSON. Exit status: 0 when something was answered and nothing
 * failed, else 1; 2 for wrong options. */
#include "bench/load.h"
#include "base/crypto.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/now.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_MAX = 64 << 10, OUT_MAX = 4096, SAMPLES_MAX = 10000000, RETRY_NS = 20000000 };
enum state { IDLE, CONNECTING, SENDING, READING };

struct client {
    int fd;
    enum state state;
    uint64_t since_ns, again_ns; /* when the request was begun; not to be connected before */
    size_t out_n, out_at, in_n;
    char out[OUT_MAX], in[IN_MAX];
};

struct load {
    struct load_options o;
    struct sockaddr_in address;
    int epoll, acks;
    struct client *clients;
    uint64_t begin_ns, count_from_ns, end_ns, deadline_ns;
    int64_t started, answered, counted, ok, accepted, refused, errors, first_status;
    bool look;         /* some connection is idle: see what it can do */
    uint32_t *samples; /* microseconds of counted answers */
    size_t n_samples;
    struct str ids; /* of --ids-from, what is left */
    struct buf ids_text;
    bool ids_over;
};

/* ==== requests ==== */

static size_t order_body(const struct load *l, const char *id, char *out, size_t max) {
    unsigned n = (unsigned)(l->started % 1000);
    char own[64] = "";
    if (!l->o.server_ids) snprintf(own, sizeof own, "\"order_id\":\"%s\",", id);
    return (size_t)snprintf(
        out, max,
        "{%s\"user_id\":\"user-%u\",\"customer_name\":\"José Ñandú\",\"item\":\"Espresso machine, chrome\","
        "\"quantity\":%u,\"total_price\":%u,\"currency\":\"EUR\"}",
        own, n, n % 9 + 1, (n % 9 + 1) * 12990);
}

static bool write_get(struct load *l, struct client *c) {
    struct str id = STR_NONE;
    while (l->ids.n && !id.n) id = str_trim(str_cut(&l->ids, '\n'));
    l->ids_over = !id.n;
    if (l->ids_over) return false;
    char path[1024], text[128];
    const char *at = strstr(l->o.path, "%s");
    snprintf(text, sizeof text, "%.*s", (int)(id.n < 100 ? id.n : 100), id.p);
    snprintf(path, sizeof path, "%.*s%s%s", (int)(at - l->o.path), l->o.path, text, at + 2);
    c->out_n =
        (size_t)snprintf(c->out, OUT_MAX, "GET %s HTTP/1.1\r\nHost: %s:%d\r\n\r\n", path, l->o.host, (int)l->o.port);
    return true;
}

static void write_post(struct load *l, struct client *c) {
    char id[37], body[1024], key[64] = "";
    crypto_uuid7(clock_ms(NULL), id);
    size_t n = order_body(l, id, body, sizeof body);
    if (l->o.key) snprintf(key, sizeof key, "Idempotency-Key: %s\r\n", id);
    c->out_n = (size_t)snprintf(
        c->out, OUT_MAX,
        "POST %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Type: application/json\r\n%sContent-Length: %zu\r\n\r\n%s",
        l->o.path, l->o.host, (int)l->o.port, key, n, body);
}

static bool wanted(const struct load *l) {
    uint64_t now = now_mono_ns();
    if (now >= l->deadline_ns || l->ids_over) return false;
    if (l->o.ids_from) return true;
    if (!l->o.requests) return !l->end_ns || now < l->end_ns;
    return l->o.retry ? l->ok + l->refused < l->o.requests : l->started < l->o.requests + l->o.warmup;
}

/* ==== connections ==== */

static void watch(struct load *l, struct client *c, int op, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    if (epoll_ctl(l->epoll, op, c->fd, &e)) fatal("epoll_ctl: %s", strerror(errno));
}

static void hang_up(struct load *l, struct client *c) {
    l->look = true;
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    c->state = IDLE;
}

static void lose(struct load *l, struct client *c) {
    l->errors++;
    hang_up(l, c);
    c->again_ns = now_mono_ns() + RETRY_NS;
}

static void send_more(struct load *l, struct client *c) {
    while (c->out_at < c->out_n) {
        ssize_t n = send(c->fd, c->out + c->out_at, c->out_n - c->out_at, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            watch(l, c, EPOLL_CTL_MOD, EPOLLOUT);
            return;
        }
        if (n < 0) {
            lose(l, c);
            return;
        }
        c->out_at += (size_t)n;
    }
    if (c->state == SENDING && c->out_at == c->out_n) {
        c->state = READING;
        watch(l, c, EPOLL_CTL_MOD, EPOLLIN);
    }
}

static void begin(struct load *l, struct client *c) {
    c->state = IDLE;
    l->look = true;
    if (!wanted(l) || (l->o.ids_from && !write_get(l, c))) return;
    if (!l->o.ids_from) write_post(l, c);
    l->started++;
    c->out_at = c->in_n = 0;
    c->state = SENDING;
    c->since_ns = now_mono_ns();
    send_more(l, c);
}

static void dial(struct load *l, struct client *c) {
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) fatal("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->state = CONNECTING;
    if (connect(c->fd, (struct sockaddr *)&l->address, sizeof l->address) && errno != EINPROGRESS) {
        lose(l, c);
        return;
    }
    watch(l, c, EPOLL_CTL_ADD, EPOLLOUT);
}

static void connected(struct load *l, struct client *c) {
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (error)
        lose(l, c);
    else
        begin(l, c);
}

/* ==== answers ==== */

struct answer {
    int status;
    struct str body;
    bool close;
};

static struct str header_of(struct str head, const char *name) {
    while (head.n) {
        struct str line = str_cut(&head, '\n'), key = str_cut(&line, ':');
        if (str_ieq(str_trim(key), str_c(name))) return str_trim(line);
    }
    return STR_NONE;
}

/* 1: whole answer; 0: more to come; -1: not understood. */
static int parse(const struct client *c, struct answer *a) {
    struct str in = str_n(c->in, c->in_n);
    int64_t status, length;
    ptrdiff_t end = str_find(in, STR("\r\n\r\n"), 0);
    if (end < 0) return in.n == IN_MAX ? -1 : 0;
    struct str head = str_take(in, (size_t)end + 2);
    if (!str_starts(head, STR("HTTP/1.1 ")) || !str_i64(str_take(str_from(head, 9), 3), &status)) return -1;
    if (!str_i64(header_of(head, "Content-Length"), &length) || length < 0 || end + 4 + length > IN_MAX) return -1;
    if (in.n < (size_t)(end + 4 + length)) return 0;
    a->status = (int)status;
    a->body = str_take(str_from(in, (size_t)end + 4), (size_t)length);
    a->close = str_ieq(header_of(head, "Connection"), STR("close"));
    return in.n == (size_t)(end + 4 + length) ? 1 : -1;
}

/* The id is on its way to the disk's cache before the answer counts: a reader of the file never misses an acknowledged
 * order. */
static void acknowledge(const struct load *l, struct str body) {
    struct arena a = {0};
    struct json v;
    struct err e;
    if (json_parse(&a, body, NULL, &v, &e)) fatal("an answer is no JSON: %s", e.msg);
    struct str id = json_get_s(&v, "order_id");
    if (!id.n) fatal("an answer without order_id: %.*s", STR_ARG(str_take(body, 200)));
    struct str line = arena_printf(&a, "%.*s\n", STR_ARG(id));
    if (write(l->acks, line.p, line.n) != (ssize_t)line.n) fatal("--acks: %s", strerror(errno));
    arena_free(&a);
}

static void count(struct load *l, const struct client *c, const struct answer *a) {
    uint64_t now = now_mono_ns();
    bool good = a->status >= 200 && a->status < 300;
    if (good && l->acks >= 0) acknowledge(l, a->body);
    if (++l->answered <= l->o.warmup) return;
    if (!l->counted++) {
        l->count_from_ns = c->since_ns;
        l->end_ns = c->since_ns + (uint64_t)l->o.seconds * 1000000000u;
    }
    if (good)
        l->ok++;
    else if (!l->refused++)
        l->first_status = a->status;
    l->accepted += a->status == 202;
    if (l->n_samples < SAMPLES_MAX) l->samples[l->n_samples++] = (uint32_t)((now - c->since_ns) / 1000);
}

static void read_more(struct load *l, struct client *c) {
    struct answer a;
    ssize_t n = recv(c->fd, c->in + c->in_n, IN_MAX - c->in_n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        lose(l, c);
        return;
    }
    c->in_n += (size_t)n;
    int rc = parse(c, &a);
    if (rc < 0) fatal("an answer that is not understood: %.*s", STR_ARG(str_take(str_n(c->in, c->in_n), 300)));
    if (rc == 0) return;
    count(l, c, &a);
    if (a.close)
        hang_up(l, c);
    else
        begin(l, c);
}

/* ==== the loop ==== */

/* Sets idle connections to work. False when all is done. */
static bool busy(struct load *l) {
    bool any = false, more = wanted(l);
    uint64_t now = now_mono_ns();
    if (!l->look) return true;
    l->look = false;
    for (int64_t i = 0; i < l->o.connections; i++) {
        struct client *c = &l->clients[i];
        if (c->state == IDLE && more) {
            any = l->look = true;
            if (c->fd >= 0)
                begin(l, c);
            else if (now >= c->again_ns)
                dial(l, c);
        }
        any |= c->state != IDLE && !(c->state == CONNECTING && !more);
    }
    l->look |= !more;
    return any;
}

static void turn(struct load *l) {
    struct epoll_event events[256];
    int n = epoll_wait(l->epoll, events, 256, 5);
    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;
        if (c->state == CONNECTING)
            connected(l, c);
        else if (c->state == SENDING)
            send_more(l, c);
        else if (c->state == READING)
            read_more(l, c);
        else
            hang_up(l, c); /* the server closed an idle connection */
    }
}

static void run(struct load *l) {
    l->look = true;
    l->begin_ns = l->count_from_ns = now_mono_ns();
    l->deadline_ns = l->begin_ns + (uint64_t)l->o.deadline * 1000000000u;
    while (now_mono_ns() < l->deadline_ns) {
        if (!busy(l)) return;
        if (l->errors && !l->o.retry) return;
        turn(l);
    }
}

/* ==== result ==== */

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double at(const struct load *l, double quantile) {
    if (!l->n_samples) return 0;
    size_t i = (size_t)(quantile * (double)(l->n_samples - 1) + 0.5);
    return l->samples[i] / 1000.0;
}

static void print(struct load *l) {
    double seconds = (double)(now_mono_ns() - l->count_from_ns) / 1e9;
    qsort(l->samples, l->n_samples, sizeof *l->samples, by_value);
    printf("{\"connections\":%lld,\"answers\":%lld,\"ok\":%lld,\"accepted\":%lld,\"non2xx\":%lld,\"first_non2xx\":%lld,"
           "\"errors\":%lld,"
           "\"seconds\":%.3f,\"rate\":%.1f,\"p50_ms\":%.3f,\"p90_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":"
           "%.3f}\n",
           (long long)l->o.connections, (long long)l->counted, (long long)l->ok, (long long)l->accepted,
           (long long)l->refused, (long long)l->first_status, (long long)l->errors, seconds,
           seconds > 0 ? (double)l->ok / seconds : 0, at(l, 0.5), at(l, 0.9), at(l, 0.99), at(l, 0.999), at(l, 1));
}

static int open_files(struct load *l, struct err *e) {
    l->ids_text = BUF_MAX(1 << 30);
    if (l->o.ids_from && fs_read(l->o.ids_from, &l->ids_text, e)) return -1;
    l->ids = buf_view(&l->ids_text);
    if (l->o.acks) l->acks = open(l->o.acks, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (l->o.acks && l->acks < 0) return err_sys(e, ERR_IO, errno, "%s", l->o.acks);
    return 0;
}

int main(int argc, char **argv) {
    struct load l = {.acks = -1};
    struct err e = {0};
    int rc = load_options(argc, argv, &l.o, &e);
    if (rc == 1) return 0;
    if (rc || open_files(&l, &e)) {
        fprintf(stderr, "perigee_load: %s\n", e.msg);
        return 2;
    }
    l.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)l.o.port)};
    inet_pton(AF_INET, l.o.host, &l.address.sin_addr);
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    l.clients = calloc((size_t)l.o.connections, sizeof *l.clients);
    l.samples = malloc(SAMPLES_MAX * sizeof *l.samples);
    if (l.epoll < 0 || !l.clients || !l.samples) fatal("out of memory or descriptors");
    for (int64_t i = 0; i < l.o.connections; i++) l.clients[i].fd = -1;
    run(&l);
    print(&l);
    for (int64_t i = 0; i < l.o.connections; i++) hang_up(&l, &l.clients[i]);
    free(l.clients);
    free(l.samples);
    buf_free(&l.ids_text);
    return l.ok > 0 && (l.o.retry || (l.refused == 0 && l.errors == 0)) ? 0 : 1;
}
