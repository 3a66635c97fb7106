/* perigee_lambda_drive: starts one Lambda runtime, gives it events, and says what it cost.
 *
 *   perigee_lambda_drive EVENTS WARMUP EVENT_FILE HANDLER TASK_ROOT PROGRAM [ARGUMENT...]
 *
 * It is a Runtime API on a loopback port: one event at a time, the next as soon as it is asked for. Prints one JSON
 * line: init_us (spawn until /next was read), init_cpu_us, init_hwm_kb (peak resident memory by then), init_faults,
 * first_us, p50_us and p99_us (event written until answer read), cpu_us (the process's CPU time an event), hwm_kb.
 * An answer that is not 2xx to /response, or no progress for 20 s, ends it with status 1. */
#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/now.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CONNS = 16, STALL_MS = 20000, REQUEST_MAX = 8 << 20, ENV_MAX = 24 };

struct conn {
    int fd;
    struct buf in;
};

struct drive {
    int events, warmup;
    struct buf event, answer; /* answer: the event as /next sends it */
    int listen_fd, port;
    pid_t pid;
    struct conn conns[CONNS];
    size_t n_conns;
    uint64_t spawned_ns, sent_ns, *rtt;
    int sent, answered;
    /* measured */
    uint64_t init_ns, init_cpu, first_cpu, end_cpu;
    long init_hwm, init_faults;
};

_Noreturn static void fail(const struct drive *d, const char *what) {
    fprintf(stderr, "lambda_drive: %s (event %d)\n", what, d->sent);
    if (d->pid > 0) kill(d->pid, SIGKILL);
    exit(1);
}

// ---- the process ----

static uint64_t cpu_ns(const struct drive *d) {
    clockid_t clock;
    struct timespec t = {0};
    if (clock_getcpuclockid(d->pid, &clock) || clock_gettime(clock, &t)) fail(d, "the program has ended");
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static long peak_kb(const struct drive *d) {
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)d->pid);
    FILE *f = fopen(path, "r");
    if (!f) fail(d, "the program has ended");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kb) == 1) break;
    fclose(f);
    return kb;
}

/* proc(5): the 10th and 12th field of stat. */
static long faults(const struct drive *d) {
    char path[64], text[1024];
    long minor = 0, major = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)d->pid);
    FILE *f = fopen(path, "r");
    if (!f) fail(d, "the program has ended");
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    char *p = strrchr(text, ')');
    if (p && sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %ld %*d %ld", &minor, &major) != 2) return 0;
    return minor + major;
}

static void spawn(struct drive *d, const char *handler, const char *root, char **argv) {
    char api[64], named[256], task[4096 + 32];
    posix_spawn_file_actions_t actions;
    const char *python = getenv("PYTHONDONTWRITEBYTECODE");
    snprintf(api, sizeof api, "AWS_LAMBDA_RUNTIME_API=127.0.0.1:%d", d->port);
    snprintf(named, sizeof named, "_HANDLER=%s", handler);
    snprintf(task, sizeof task, "LAMBDA_TASK_ROOT=%s", root);
    char *env[ENV_MAX] = {api,
                          named,
                          task,
                          "AWS_REGION=us-east-1",
                          "AWS_DEFAULT_REGION=us-east-1",
                          "AWS_LAMBDA_FUNCTION_NAME=echo",
                          "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
                          "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128",
                          "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/echo",
                          "AWS_LAMBDA_LOG_STREAM_NAME=bench",
                          "AWS_LAMBDA_LOG_LEVEL=WARN",
                          "AWS_LAMBDA_LOG_FORMAT=JSON",
                          "TZ=:UTC",
                          "LANG=en_US.UTF-8",
                          "PATH=/usr/local/bin:/usr/bin:/bin",
                          python ? "PYTHONDONTWRITEBYTECODE=1" : NULL};
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    d->spawned_ns = now_mono_ns();
    int rc = posix_spawn(&d->pid, argv[0], &actions, NULL, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    if (!rc) return;
    fprintf(stderr, "lambda_drive: cannot start %s: %s\n", argv[0], strerror(rc));
    exit(1);
}

// ---- the API ----

static void open_port(struct drive *d) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    d->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (d->listen_fd < 0 || bind(d->listen_fd, (struct sockaddr *)&a, n) || listen(d->listen_fd, 16) ||
        getsockname(d->listen_fd, (struct sockaddr *)&a, &n))
        fail(d, strerror(errno));
    d->port = ntohs(a.sin_port);
}

static void make_answer(struct drive *d) {
    buf_printf(&d->answer,
               "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: "
               "8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\nLambda-Runtime-Deadline-Ms: 4102444800000\r\n"
               "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:us-east-1:123456789012:function:echo\r\n"
               "Lambda-Runtime-Trace-Id: Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1\r\n"
               "Date: Sun, 22 Nov 2026 12:00:00 GMT\r\n");
    if (d->event.n > 2048) /* as Lambda frames it: Go's net/http, no length given */
        buf_printf(&d->answer, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n", d->event.n,
                   buf_cstr(&d->event));
    else
        buf_printf(&d->answer, "Content-Length: %zu\r\n\r\n%s", d->event.n, buf_cstr(&d->event));
}

static void put(const struct drive *d, int fd, const char *p, size_t n) {
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) fail(d, "the runtime closed its connection");
        p += k;
        n -= (size_t)k;
    }
}

static void note_init(struct drive *d) {
    d->init_ns = now_mono_ns() - d->spawned_ns;
    d->init_cpu = cpu_ns(d);
    d->init_hwm = peak_kb(d);
    d->init_faults = faults(d);
}

static void next(struct drive *d, struct conn *c) {
    if (!d->sent) note_init(d);
    if (d->answered == d->warmup) d->first_cpu = cpu_ns(d);
    if (d->sent == d->events + d->warmup) {
        d->end_cpu = cpu_ns(d);
        return;
    }
    d->sent++;
    d->sent_ns = now_mono_ns();
    put(d, c->fd, d->answer.p, d->answer.n);
}

static void response(struct drive *d, struct conn *c) {
    static const char accepted[] =
        "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"status\":\"OK\"}\n";
    d->rtt[d->answered++] = now_mono_ns() - d->sent_ns;
    put(d, c->fd, accepted, sizeof accepted - 1);
}

/* Bytes of the first request in `s`, 0 when it is not complete. */
static size_t request_length(struct str s, struct str *ret_line) {
    const char *end = memmem(s.p, s.n, "\r\n\r\n", 4), *line = memchr(s.p, '\r', s.n);
    if (!end) return 0;
    size_t head = (size_t)(end - s.p) + 4;
    *ret_line = str_n(s.p, (size_t)(line - s.p));
    for (const char *p = s.p; p < end; p = (const char *)memchr(p, '\n', (size_t)(s.p + head - p)) + 1) {
        if (!strncasecmp(p, "content-length:", 15)) {
            size_t n = head + (size_t)strtoul(p + 15, NULL, 10);
            return n <= s.n ? n : 0;
        }
        if (!strncasecmp(p, "transfer-encoding:", 18)) {
            const char *last = memmem(end, s.n - (size_t)(end - s.p), "\r\n0\r\n\r\n", 7);
            return last ? (size_t)(last - s.p) + 7 : 0;
        }
    }
    return head;
}

static void handle(struct drive *d, struct conn *c) {
    struct str line;
    for (size_t n; c->in.n && (n = request_length(buf_view(&c->in), &line));) {
        if (str_find(line, STR("/invocation/next"), 0) > 0)
            next(d, c);
        else if (str_find(line, STR("/response"), 0) > 0)
            response(d, c);
        else
            fail(d, "the runtime asked for something else than /next and /response");
        memmove(c->in.p, c->in.p + n, c->in.n - n);
        c->in.n -= n;
    }
}

static void receive(struct drive *d, size_t i) {
    struct conn *c = &d->conns[i];
    char bytes[65536];
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n <= 0) {
        close(c->fd);
        buf_free(&c->in);
        d->conns[i] = d->conns[--d->n_conns];
        return;
    }
    buf_str(&c->in, str_n(bytes, (size_t)n));
    handle(d, c);
}

static void take_in(struct drive *d) {
    int fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC), on = 1;
    if (fd < 0 || d->n_conns == CONNS) fail(d, "too many connections");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    d->conns[d->n_conns++] = (struct conn){fd, BUF_MAX(REQUEST_MAX)};
}

static void turn(struct drive *d) {
    struct pollfd p[CONNS + 1] = {{.fd = d->listen_fd, .events = POLLIN}};
    size_t n = d->n_conns;
    for (size_t i = 0; i < n; i++) p[i + 1] = (struct pollfd){.fd = d->conns[i].fd, .events = POLLIN};
    if (poll(p, n + 1, STALL_MS) <= 0) fail(d, "nothing happened for 20 s");
    for (size_t i = n; i-- > 0;)
        if (p[i + 1].revents) receive(d, i);
    if (p[0].revents) take_in(d);
    if (waitpid(d->pid, NULL, WNOHANG)) {
        d->pid = 0;
        fail(d, "the program has ended");
    }
}

// ---- the report ----

static int compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void report(const struct drive *d) {
    uint64_t first = d->rtt[0], *rtt = d->rtt + d->warmup;
    size_t n = (size_t)d->events;
    qsort(rtt, n, sizeof *rtt, compare);
    printf("{\"init_us\":%.0f,\"init_cpu_us\":%.0f,\"init_hwm_kb\":%ld,\"init_faults\":%ld,\"first_us\":%.1f,"
           "\"p50_us\":%.1f,\"p99_us\":%.1f,\"cpu_us\":%.1f,\"hwm_kb\":%ld}\n",
           (double)d->init_ns / 1e3, (double)d->init_cpu / 1e3, d->init_hwm, d->init_faults, (double)first / 1e3,
           (double)rtt[n / 2] / 1e3, (double)rtt[n * 99 / 100] / 1e3,
           (double)(d->end_cpu - d->first_cpu) / 1e3 / (double)n, peak_kb(d));
}

int main(int argc, char **argv) {
    struct drive d = {.event = BUF_MAX(REQUEST_MAX), .answer = BUF_MAX(REQUEST_MAX)};
    struct err e = {0};
    if (argc < 7 || (d.events = atoi(argv[1])) < 1 || (d.warmup = atoi(argv[2])) < 1) {
        fprintf(stderr,
                "usage: perigee_lambda_drive EVENTS WARMUP EVENT_FILE HANDLER TASK_ROOT PROGRAM [ARGUMENT...]\n");
        return 2;
    }
    if (fs_read(argv[3], &d.event, &e)) {
        fprintf(stderr, "lambda_drive: %s\n", e.msg);
        return 1;
    }
    d.rtt = calloc((size_t)(d.events + d.warmup), sizeof *d.rtt);
    if (!d.rtt) return 1;
    make_answer(&d);
    open_port(&d);
    spawn(&d, argv[4], argv[5], argv + 6);
    while (!d.end_cpu) turn(&d);
    report(&d);
    kill(d.pid, SIGKILL);
    return 0;
}
