#include "base/log.h"
#include "base/json.h"
#include "base/now.h"
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 256 * 1024, VALUE_MAX = 32 * 1024 };

static const char *const names[] = {"debug", "info", "warn", "error", "off"};
static const char *const lambda_levels[] = {"DEBUG", "INFO", "WARN", "ERROR", "OFF"};
/* What members are called on Lambda; lines of handlers have the first five. */
static const char *const lambda_names[][2] = {
    {"time", "timestamp"},     {"level", "level"},        {"msg", "message"},    {"request_id", "requestId"},
    {"tenant_id", "tenantId"}, {"error", "errorMessage"}, {"code", "errorType"}, {"traceback", "stackTrace"},
};
enum { OWN_NAMES = 5, LAMBDA_NAMES = sizeof lambda_names / sizeof *lambda_names };

static bool is_lambda(const struct log *l) {
    return l && l->style != LOG_PLAIN;
}

const char *log_name(const struct log *l, const char *name) {
    if (!is_lambda(l)) return name;
    for (int i = 0; i < LAMBDA_NAMES; i++)
        if (!strcmp(name, lambda_names[i][0])) return lambda_names[i][1];
    return name;
}

bool log_has(const struct log *l, struct str name) {
    for (int i = 0; i < OWN_NAMES - !is_lambda(l); i++)
        if (str_is(name, lambda_names[i][is_lambda(l)])) return true;
    return false;
}

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

void log_begin(const struct log *l, struct buf *b, enum log_level level, struct str msg) {
    char time[25];
    now_iso(clock_ms(NULL), time);
    buf_c(b, is_lambda(l) ? "{\"timestamp\":\"" : "{\"time\":\"");
    buf_c(b, time);
    buf_c(b, "\",\"level\":\"");
    buf_c(b, (is_lambda(l) ? lambda_levels : names)[level]);
    buf_c(b, is_lambda(l) ? "\",\"message\":" : "\",\"msg\":");
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
static void too_long(const struct log *l, struct buf *b) {
    size_t max = b->max;
    buf_free(b);
    buf_init(b, LINE_MAX_BYTES);
    log_begin(l, b, LOG_ERROR, STR("a log line was too long and was dropped"));
    buf_printf(b, ",\"limit\":%zu}", max);
}

static void add_line(struct buf *b, struct str s) {
    for (size_t i = 0; i < s.n; i++) buf_byte(b, s.p[i] == '\n' ? '\r' : s.p[i]);
}

static void add_rest(struct buf *b, const struct json *line) {
    const char *between = " {";
    for (uint32_t i = 0; i < line->n; i++) {
        struct str key = line->members[i].key;
        if (str_is(key, "timestamp") || str_is(key, "level") || str_is(key, "message") || str_is(key, "requestId"))
            continue;
        buf_c(b, between);
        json_write_str(b, key);
        buf_byte(b, ':');
        json_write(b, &line->members[i].value);
        between = ",";
    }
    if (*between == ',') buf_byte(b, '}');
}

/* The JSON line as one of text. */
static void make_text(struct buf *b) {
    struct arena a = {0};
    struct json line;
    struct buf text = BUF_MAX(2 * LINE_MAX_BYTES);
    struct json_limits limits = {.duplicate_keys = true};
    if (!json_parse(&a, buf_view(b), &limits, &line, NULL)) {
        buf_str(&text, json_get_s(&line, "timestamp"));
        buf_byte(&text, '\t');
        buf_str(&text, json_get_s(&line, "requestId"));
        buf_byte(&text, '\t');
        buf_str(&text, json_get_s(&line, "level"));
        buf_byte(&text, '\t');
        add_line(&text, json_get_s(&line, "message"));
        add_rest(&text, &line);
        buf_free(b);
        *b = text;
    }
    arena_free(&a);
}

void log_end(const struct log *l, enum log_level level, struct buf *b) {
    buf_byte(b, '}');
    if (b->over) too_long(l, b);
    if (level >= l->level && level < LOG_OFF) {
        if (l->style == LOG_LAMBDA_TEXT) make_text(b);
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

static void write_lines(struct buf *b, struct str text) {
    for (char before = '['; text.p; before = ',') {
        buf_byte(b, before);
        write_text(b, str_cut(&text, '\n'));
    }
    buf_byte(b, ']');
}

static void write_text_field(const struct log *l, struct buf *b, const char *name, struct str value) {
    if (!value.p) return;
    write_name(b, log_name(l, name));
    if (is_lambda(l) && !strcmp(name, "traceback"))
        write_lines(b, value);
    else
        write_text(b, value);
}

static void write_fields(const struct log *l, struct buf *b, const char *fields, va_list *ap) {
    for (; *fields; fields++) {
        const char *name = va_arg(*ap, const char *);
        if (*fields == 's') {
            write_text_field(l, b, name, str_c(va_arg(*ap, const char *)));
            continue;
        }
        if (*fields == 'S') {
            write_text_field(l, b, name, va_arg(*ap, struct str));
            continue;
        }
        write_name(b, log_name(l, name));
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
    log_begin(l, &b, level, str_c(msg));
    if (fields) write_fields(l, &b, fields, &ap);
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

void log_lambda(struct log *l, const char *format, const char *level) {
    static const struct {
        const char *name;
        enum log_level level;
    } levels[] = {{"TRACE", LOG_DEBUG}, {"DEBUG", LOG_DEBUG}, {"INFO", LOG_INFO},
                  {"WARN", LOG_WARN},   {"ERROR", LOG_ERROR}, {"FATAL", LOG_ERROR}};
    if (str_ieq(str_c(format), STR("JSON"))) l->style = LOG_LAMBDA_JSON;
    if (str_ieq(str_c(format), STR("Text"))) l->style = LOG_LAMBDA_TEXT;
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        if (str_ieq(str_c(level), str_c(levels[i].name))) l->level = levels[i].level;
}
