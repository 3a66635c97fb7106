#include "base/log.h"
#include "base/json.h"
#include "base/now.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 256 * 1024, VALUE_MAX = 32 * 1024 };

static const char *const names[] = {"debug", "info", "warn", "error", "off"};

/* Pieces between bad bytes stay, each bad byte becomes U+FFFD. Long values are cut, with "..." to show it. */
static void write_text(struct buf *b, struct str s) {
    struct buf clean = BUF_MAX(4 * VALUE_MAX);
    struct str rest = str_take(s, VALUE_MAX);
    if (s.n <= VALUE_MAX && str_bad_utf8(s) < 0) {
        json_write_str(b, s);
        return;
    }
    for (ptrdiff_t bad; (bad = str_bad_utf8(rest)) >= 0; rest = str_from(rest, (size_t)bad + 1)) {
        buf_add(&clean, rest.p, (size_t)bad);
        buf_c(&clean, "\xef\xbf\xbd");
    }
    buf_str(&clean, rest);
    if (s.n > VALUE_MAX) buf_c(&clean, "...");
    json_write_str(b, buf_view(&clean));
    buf_free(&clean);
}

void log_begin(struct buf *b, enum log_level level, struct str msg) {
    char time[25];
    now_iso(clock_ms(NULL), time);
    buf_c(b, "{\"time\":\"");
    buf_c(b, time);
    buf_c(b, "\",\"level\":\"");
    buf_c(b, names[level]);
    buf_c(b, "\",\"msg\":");
    write_text(b, msg);
}

static void write_all(int fd, struct str line) {
    while (line.n) {
        ssize_t n = write(fd, line.p, line.n);
        if (n > 0) {
            line = str_from(line, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 100);
        } else if (n == 0 || errno != EINTR) {
            return; /* nobody is left to tell */
        }
    }
}

/* A line cut anywhere would be no JSON: it is replaced by one that says so. */
static void too_long(struct buf *b) {
    size_t max = b->max;
    buf_free(b);
    buf_init(b, LINE_MAX_BYTES);
    log_begin(b, LOG_ERROR, STR("a log line was too long and was dropped"));
    buf_printf(b, ",\"limit\":%zu}", max);
}

void log_end(const struct log *l, enum log_level level, struct buf *b) {
    buf_byte(b, '}');
    if (b->over) too_long(b);
    if (level >= l->level && level < LOG_OFF) {
        if (l->sink) {
            l->sink(l->ud, level, buf_view(b));
        } else {
            b->max = b->n + 1;
            buf_byte(b, '\n');
            write_all(l->fd, buf_view(b));
        }
    }
    buf_free(b);
}

/* Three decimals at most, which durations have: true when v is such a number. */
static bool write_thousandths(struct buf *b, double v) {
    if (!(v >= 0 && v < 1e12)) return false;
    int64_t n = (int64_t)(v * 1000 + 0.5);
    if ((double)n / 1000 != v) return false;
    buf_i64(b, n / 1000);
    if (n %= 1000) {
        char text[4] = {'.', (char)('0' + n / 100), (char)('0' + n / 10 % 10), (char)('0' + n % 10)};
        buf_add(b, text, n % 10 ? 4 : n % 100 ? 3 : 2);
    }
    return true;
}

/* JSON has no infinities. */
static void write_double(struct buf *b, double v) {
    if (write_thousandths(b, v)) return;
    if (isfinite(v))
        buf_printf(b, "%.15g", v);
    else
        buf_printf(b, "\"%s\"", isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

static void write_name(struct buf *b, const char *name) {
    buf_c(b, ",\"");
    buf_c(b, name);
    buf_c(b, "\":");
}

static void write_text_field(struct buf *b, const char *name, struct str value) {
    if (!value.p) return;
    write_name(b, name);
    write_text(b, value);
}

static void write_fields(struct buf *b, const char *fields, va_list *ap) {
    for (; *fields; fields++) {
        const char *name = va_arg(*ap, const char *);
        if (*fields == 's') {
            write_text_field(b, name, str_c(va_arg(*ap, const char *)));
            continue;
        }
        if (*fields == 'S') {
            write_text_field(b, name, va_arg(*ap, struct str));
            continue;
        }
        write_name(b, name);
        if (*fields == 'i')
            buf_i64(b, va_arg(*ap, int64_t));
        else if (*fields == 'u')
            buf_u64(b, va_arg(*ap, uint64_t));
        else if (*fields == 'f')
            write_double(b, va_arg(*ap, double));
        else if (*fields == 'b')
            buf_c(b, va_arg(*ap, int) ? "true" : "false");
        else
            fatal("log_event: unknown field type '%c'", *fields);
    }
}

void log_event(const struct log *l, enum log_level level, const char *msg, const char *fields, ...) {
    if (!l || level < l->level || level >= LOG_OFF) return;
    struct buf b = BUF_MAX(LINE_MAX_BYTES);
    va_list ap;
    va_start(ap, fields);
    log_begin(&b, level, str_c(msg));
    if (fields) write_fields(&b, fields, &ap);
    va_end(ap);
    log_end(l, level, &b);
}

bool log_level_parse(struct str s, enum log_level *ret) {
    for (int i = LOG_DEBUG; i <= LOG_OFF; i++) {
        if (!str_ieq(s, str_c(names[i]))) continue;
        *ret = (enum log_level)i;
        return true;
    }
    return false;
}
