/* runtime_api_report: what Lambda writes to a function's log beside the function, and the documents of errors. */
#include "base/json.h"
#include "base/now.h"
#include "in/runtime_api.h"
#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TAIL_BYTES = 4096 };

/* == the log ======================================================================================================= */

static void write_all(int fd, struct str s) {
    while (s.n) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EAGAIN) {
            struct pollfd p = {.fd = fd, .events = POLLOUT};
            poll(&p, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return; /* nobody reads it any more */
        } else if (n > 0) {
            s = str_from(s, (size_t)n);
        }
    }
}

static void keep_tail(struct buf *tail, struct str s) {
    if (s.n > TAIL_BYTES) s = str_from(s, s.n - TAIL_BYTES);
    if (tail->n + s.n > TAIL_BYTES) {
        size_t drop = tail->n + s.n - TAIL_BYTES;
        memmove(tail->p, tail->p + drop, tail->n - drop);
        tail->n -= drop;
    }
    buf_str(tail, s);
}

void report_bytes(struct runtime_api *r, struct str bytes) {
    keep_tail(&r->tail, bytes);
    write_all(r->cfg.output_fd, bytes);
}

void report_line(struct runtime_api *r, const char *fmt, ...) {
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line - 1, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n > sizeof line - 2) n = (int)sizeof line - 2;
    line[n] = '\n';
    report_bytes(r, str_n(line, (size_t)n + 1));
}

void report_start(const struct invocation *v) {
    report_line(v->api, "START RequestId: %s Version: $LATEST", v->id);
}

static void put_status(char *out, size_t n, const char *status, const char *type) {
    out[0] = 0;
    if (status) snprintf(out, n, "\tStatus: %s%s%s", status, type && *type ? "\tError Type: " : "", type ? type : "");
}

static uint64_t ceil_div(uint64_t n, uint64_t by) {
    return n / by + (n % by != 0);
}

/* "Billed Duration": the initialisation is billed too, since August 2025. */
void report_end(struct invocation *v) {
    struct runtime_api *r = v->api;
    uint64_t ns = now_mono_ns() - v->start_ns;
    char init[64] = "", status[128];
    if (v->init_ns) snprintf(init, sizeof init, "\tInit Duration: %.2f ms", (double)v->init_ns / 1e6);
    put_status(status, sizeof status, v->status, v->error_type);
    report_line(r, "END RequestId: %s", v->id);
    report_line(r,
                "REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %llu ms\tMemory Size: %u MB\t"
                "Max Memory Used: %zu MB%s%s",
                v->id, (double)ns / 1e6, (unsigned long long)ceil_div(ns + v->init_ns, 1000000),
                r->cfg.memory_mb ? r->cfg.memory_mb : 128, (size_t)ceil_div(program_peak_kb(r), 1024), init, status);
}

void report_init(struct runtime_api *r, const char *status, const char *error_type) {
    char text[128];
    put_status(text, sizeof text, status, error_type);
    report_line(r, "INIT_REPORT Init Duration: %.2f ms\tPhase: %s%s", (double)(now_mono_ns() - r->spawned_ns) / 1e6,
                r->init_late ? "invoke" : "init", text);
}

/* == errors ======================================================================================================== */

void report_error(struct buf *b, const char *type, struct str message) {
    buf_c(b, "{\"errorMessage\":");
    json_write_str(b, message);
    buf_c(b, ",\"errorType\":");
    json_write_str(b, str_c(type));
    buf_c(b, "}");
}

void report_exit_reason(int status, char *out, size_t n) {
    if (WIFSIGNALED(status))
        snprintf(out, n, "Runtime exited with error: signal: %s", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        snprintf(out, n, "Runtime exited with error: exit status %d", WEXITSTATUS(status));
    else
        snprintf(out, n, "Runtime exited without providing a reason");
    for (char *p = strstr(out, "signal: "); p && *p; p++) *p = (char)tolower((unsigned char)*p);
}

static bool all_letters(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (!isalpha((unsigned char)s.p[i])) return false;
    return s.n > 1 && isupper((unsigned char)s.p[0]);
}

void report_error_type(struct str given, char out[80]) {
    struct str name = given, prefix = str_cut(&name, '.');
    bool function = str_is(prefix, "Function");
    if ((function || str_is(prefix, "Runtime")) && all_letters(name) && given.n < 80)
        snprintf(out, 80, "%.*s", STR_ARG(given));
    else
        snprintf(out, 80, function ? "Function.Unknown" : "Runtime.Unknown");
}
