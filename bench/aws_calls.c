/* DynamoDB calls against perigee_aws_stub, so many waiting at a time, by our client (src/remote) or by curl's own
 * CURLOPT_AWS_SIGV4 on its multi-socket interface; and big S3 objects by our client.
 *
 *   perigee_aws_calls perigee|curl PORT CONCURRENT MS [PutItem|GetItem]
 *   perigee_aws_calls s3 PORT BYTES DIRECTORY
 *
 * Prints {"calls":N,"per_second":N,"cpu_us":N}, cpu_us being user and system time of this process per call; for s3
 * {"put_mib_s":N,"get_mib_s":N,"rss_mib":N}, the most memory there ever was. */
#include "aws/aws.h"
#include "base/now.h"
#include "remote/remote.h"
#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CONCURRENT_MAX = 1024 };

static const char put_params[] = "{\"TableName\":\"Orders\",\"Item\":{\"order_id\":{\"S\":\"0193514e-5b4c-7cc1-a2b3-"
                                 "6f1f2f0e8a11\"},\"user_id\":{\"S\":\"u-42\"},"
                                 "\"status\":{\"S\":\"PENDING\"},\"total\":{\"N\":\"1250\"},\"created_at\":{\"S\":"
                                 "\"2026-11-22T05:30:00.000Z\"},\"items\":{\"L\":[{\"M\":"
                                 "{\"sku\":{\"S\":\"tea\"},\"quantity\":{\"N\":\"2\"}}}]}}}";
static const char get_params[] =
    "{\"TableName\":\"Orders\",\"Key\":{\"order_id\":{\"S\":\"0193514e-5b4c-7cc1-a2b3-6f1f2f0e8a11\"}}}";

struct run {
    struct str params;
    enum aws_op op;
    uint64_t until_ns, calls, started, waiting;
    char url[64];
    /* ours */
    struct loop *loop;
    struct remote *remote;
    struct remote_conn *conn;
    struct loop_task starts[CONCURRENT_MAX];
    /* curl's */
    CURLM *multi;
    int epoll;
    int64_t timer_ns; /* when curl wants to be called; -1: not */
    struct curl_slist *headers;
};

static double cpu_us(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static int64_t number(const char *text, int64_t min, int64_t max) {
    int64_t v;
    if (str_i64(str_c(text), &v) && v >= min && v <= max) return v;
    fprintf(stderr, "perigee_aws_calls: '%s' is no number from %lld to %lld\n", text, (long long)min, (long long)max);
    exit(2);
}

/* ==== our client ==== */

static const char *no_env(void *ud, const char *name) {
    (void)ud;
    return !strcmp(name, "AWS_CONFIG_FILE") || !strcmp(name, "AWS_SHARED_CREDENTIALS_FILE") ? "/dev/null" : NULL;
}

static void open_remote(struct run *r) {
    static const struct log log = {.fd = 2, .level = LOG_ERROR};
    struct err e = {0};
    struct remote_config c = {.log = &log,
                              .region = "us-east-1",
                              .endpoint_url = r->url,
                              .access_key = "AKIDEXAMPLE",
                              .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                              .env.get = no_env};
    if (loop_open(&r->loop, &e) || remote_open(&c, &r->remote, &e) || remote_prepare(r->remote, &e) ||
        remote_attach(r->remote, r->loop, &r->conn, &e))
        fatal("%s", e.msg);
}

static void close_remote(struct run *r) {
    remote_detach(r->conn);
    remote_close(r->remote);
    loop_close(r->loop);
}

static void start_call(struct run *r);

static void finish_call(struct run *r, struct aws_call *c) {
    if (c->err.code) fatal("a call failed: %s", c->err.msg);
    aws_call_free(c);
    r->calls++;
    r->waiting--;
}

static void on_done(struct aws_call *c, void *ud) {
    finish_call(ud, c);
    start_call(ud);
}

static void start_call(struct run *r) {
    if (now_mono_ns() >= r->until_ns) {
        if (!r->waiting) loop_stop(r->loop);
        return;
    }
    struct aws_call *c = aws_call_new(r->op);
    struct err e;
    if (json_parse(&c->arena, r->params, NULL, &c->params, &e)) fatal("%s", e.msg);
    c->done = on_done;
    c->ud = r;
    r->waiting++;
    if (aws_start(remote_backend(r->conn), r->loop, c) == AWS_DONE) fatal("a call ended at once: %s", c->err.msg);
}

static void start_task(void *ud) {
    start_call(ud);
}

static void run_ours(struct run *r, int concurrent) {
    for (int i = 0; i < concurrent; i++) {
        loop_task_init(&r->starts[i], start_task, r);
        loop_defer(r->loop, &r->starts[i]);
    }
    loop_run(r->loop);
}

/* ==== curl's own signing ==== */

static size_t swallow(char *p, size_t size, size_t n, void *ud) {
    (void)p, (void)ud;
    return size * n;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ud, void *known) {
    struct run *r = ud;
    struct epoll_event ev = {.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0),
                             .data.fd = fd};
    (void)easy;
    epoll_ctl(r->epoll, what == CURL_POLL_REMOVE ? EPOLL_CTL_DEL : known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &ev);
    if (what != CURL_POLL_REMOVE && !known) curl_multi_assign(r->multi, fd, r);
    return 0;
}

static int on_timer(CURLM *multi, long ms, void *ud) {
    struct run *r = ud;
    (void)multi;
    r->timer_ns = ms < 0 ? -1 : (int64_t)now_mono_ns() + ms * 1000000;
    return 0;
}

static void add_easy(struct run *r) {
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, r->url);
    curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:dynamodb");
    curl_easy_setopt(easy, CURLOPT_USERPWD, "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)r->params.n);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, r->params.p);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_multi_add_handle(r->multi, easy);
    r->waiting++;
}

static void collect(struct run *r) {
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(r->multi, &left));) {
        CURL *easy = m->easy_handle;
        long status = 0;
        if (m->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
        if (m->data.result || status != 200)
            fatal("a call failed: %s, %ld", curl_easy_strerror(m->data.result), status);
        curl_multi_remove_handle(r->multi, easy);
        r->calls++;
        if (now_mono_ns() < r->until_ns) {
            curl_multi_add_handle(r->multi, easy); /* the same handle again: what costs curl least */
            continue;
        }
        curl_easy_cleanup(easy);
        r->waiting--;
    }
}

static void run_curl(struct run *r, int concurrent) {
    struct epoll_event events[256];
    int running;
    for (int i = 0; i < concurrent; i++) add_easy(r);
    while (r->waiting) {
        int64_t left = r->timer_ns < 0 ? 100 : (r->timer_ns - (int64_t)now_mono_ns()) / 1000000;
        int n = epoll_wait(r->epoll, events, sizeof events / sizeof *events, left < 0 ? 0 : (int)left);
        for (int i = 0; i < n; i++) {
            int what = (events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                       (events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0);
            curl_multi_socket_action(r->multi, events[i].data.fd, what, &running);
        }
        if (r->timer_ns >= 0 && (int64_t)now_mono_ns() >= r->timer_ns) {
            r->timer_ns = -1;
            curl_multi_socket_action(r->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        collect(r);
    }
}

static void open_curl(struct run *r, int concurrent) {
    char target[64];
    snprintf(target, sizeof target, "X-Amz-Target: DynamoDB_20120810.%s",
             r->op == AWS_DYNAMODB_PutItem ? "PutItem" : "GetItem");
    curl_global_init(CURL_GLOBAL_ALL);
    r->multi = curl_multi_init();
    r->epoll = epoll_create1(EPOLL_CLOEXEC);
    r->timer_ns = -1;
    r->headers = curl_slist_append(curl_slist_append(NULL, "Content-Type: application/x-amz-json-1.0"), target);
    curl_multi_setopt(r->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(r->multi, CURLMOPT_SOCKETDATA, r);
    curl_multi_setopt(r->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(r->multi, CURLMOPT_TIMERDATA, r);
    curl_multi_setopt(r->multi, CURLMOPT_MAXCONNECTS, (long)concurrent);
}

static void close_curl(struct run *r) {
    curl_multi_cleanup(r->multi);
    curl_slist_free_all(r->headers);
    curl_global_cleanup();
    close(r->epoll);
}

/* ==== the measurement ==== */

static void measure(struct run *r, void (*run)(struct run *, int), int concurrent, int64_t ms) {
    r->until_ns = now_mono_ns() + 200000000; /* warm: connections, credentials */
    run(r, concurrent);
    r->calls = 0;
    uint64_t start = now_mono_ns();
    double cpu = cpu_us();
    r->until_ns = start + (uint64_t)ms * 1000000;
    run(r, concurrent);
    double seconds = (double)(now_mono_ns() - start) / 1e9;
    printf("{\"calls\":%llu,\"per_second\":%.0f,\"cpu_us\":%.1f}\n", (unsigned long long)r->calls,
           (double)r->calls / seconds, (cpu_us() - cpu) / (double)r->calls);
}

/* ==== big objects ==== */

/* A new file with so many bytes in it, on the disk and in memory, so that reading it costs no more than copying. */
static int file_in(const char *dir, const char *name, int64_t bytes) {
    static char block[1 << 20];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) fatal("cannot make %s: %m", path);
    for (size_t i = 0; i < sizeof block; i++) block[i] = (char)(i * 2654435761u >> 13);
    for (int64_t left = bytes, n; left > 0; left -= n) {
        n = left < (int64_t)sizeof block ? left : (int64_t)sizeof block;
        if (write(fd, block, (size_t)n) != n) fatal("cannot write %s: %m", path);
    }
    if (fdatasync(fd)) fatal("cannot sync %s: %m", path);
    return fd;
}

/* MiB a second of one S3 call with files at both ends. */
static double transfer(struct run *r, enum aws_op op, int64_t bytes, int fd) {
    struct aws_call *c = aws_call_new(op);
    struct err e;
    char params[128];
    uint64_t start = now_mono_ns();
    snprintf(params, sizeof params, "{\"Bucket\":\"bench\",\"Key\":\"%lld\"}", (long long)bytes);
    if (json_parse(&c->arena, str_c(params), NULL, &c->params, &e)) fatal("%s", e.msg);
    if (op == AWS_S3_PutObject) {
        c->body_fd = fd;
        c->body_len = (uint64_t)bytes;
    } else {
        c->result_fd = fd;
    }
    aws_call_wait(remote_backend(r->conn), r->loop, c);
    if (c->err.code) fatal("%s failed: %s", c->row->action, c->err.msg);
    aws_call_free(c);
    return (double)bytes / (1 << 20) / ((double)(now_mono_ns() - start) / 1e9);
}

static void big_objects(struct run *r, int64_t bytes, const char *dir) {
    struct rusage u;
    double put = transfer(r, AWS_S3_PutObject, bytes, file_in(dir, "put", bytes));
    double get = transfer(r, AWS_S3_GetObject, bytes, file_in(dir, "get", 0));
    getrusage(RUSAGE_SELF, &u);
    printf("{\"put_mib_s\":%.0f,\"get_mib_s\":%.0f,\"rss_mib\":%.1f}\n", put, get, (double)u.ru_maxrss / 1024);
}

int main(int argc, char **argv) {
    static struct run r;
    bool s3 = argc == 5 && !strcmp(argv[1], "s3"), get = argc == 6 && !strcmp(argv[5], "GetItem");
    if (!s3 && (argc < 5 || argc > 6 || (strcmp(argv[1], "perigee") && strcmp(argv[1], "curl"))))
        return fprintf(stderr, "usage: perigee_aws_calls perigee|curl PORT CONCURRENT MS [PutItem|GetItem]\n"
                               "       perigee_aws_calls s3 PORT BYTES DIRECTORY\n"),
               2;
    snprintf(r.url, sizeof r.url, "http://127.0.0.1:%d", (int)number(argv[2], 1, 65535));
    r.op = get ? AWS_DYNAMODB_GetItem : AWS_DYNAMODB_PutItem;
    r.params = get ? STR(get_params) : STR(put_params);
    if (!strcmp(argv[1], "curl")) {
        int concurrent = (int)number(argv[3], 1, CONCURRENT_MAX);
        open_curl(&r, concurrent);
        measure(&r, run_curl, concurrent, number(argv[4], 1, 60000));
        close_curl(&r);
        return 0;
    }
    open_remote(&r);
    if (s3)
        big_objects(&r, number(argv[3], 0, INT64_C(1) << 36), argv[4]);
    else
        measure(&r, run_ours, (int)number(argv[3], 1, CONCURRENT_MAX), number(argv[4], 1, 60000));
    close_remote(&r);
    return 0;
}
