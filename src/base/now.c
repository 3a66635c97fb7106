#include "base/now.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

int64_t clock_ms(const struct clock *c) {
    int64_t frozen = c ? atomic_load_explicit(&c->frozen_ms, memory_order_relaxed) : 0;
    int64_t offset = c ? atomic_load_explicit(&c->offset_ms, memory_order_relaxed) : 0;
    if (frozen) return frozen + offset;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000 + offset;
}

uint64_t now_mono_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t now_mono_ms(void) {
    return now_mono_ns() / 1000000;
}

/* Years outside 0..9999 do not fit the texts: such times are shown as the nearest that does. */
static struct tm split(int64_t unix_ms, int *ret_ms) {
    static const int64_t min = -62167219200, max = 253402300799;
    int64_t s = unix_ms / 1000, ms = unix_ms % 1000;
    if (ms < 0) {
        ms += 1000;
        s--;
    }
    if (s < min) s = min;
    if (s > max) s = max;
    time_t t = (time_t)s;
    struct tm tm;
    gmtime_r(&t, &tm);
    if (ret_ms) *ret_ms = (int)ms;
    return tm;
}

static void digits(char *out, int n, int v) {
    while (n--) {
        out[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void now_iso(int64_t unix_ms, char out[25]) {
    int ms;
    struct tm tm = split(unix_ms, &ms);
    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    digits(out, 4, tm.tm_year + 1900);
    digits(out + 5, 2, tm.tm_mon + 1);
    digits(out + 8, 2, tm.tm_mday);
    digits(out + 11, 2, tm.tm_hour);
    digits(out + 14, 2, tm.tm_min);
    digits(out + 17, 2, tm.tm_sec);
    digits(out + 20, 3, ms);
}

void now_amz(int64_t unix_ms, char out[17]) {
    struct tm tm = split(unix_ms, NULL);
    memcpy(out, "00000000T000000Z", 17);
    digits(out, 4, tm.tm_year + 1900);
    digits(out + 4, 2, tm.tm_mon + 1);
    digits(out + 6, 2, tm.tm_mday);
    digits(out + 9, 2, tm.tm_hour);
    digits(out + 11, 2, tm.tm_min);
    digits(out + 13, 2, tm.tm_sec);
}

void now_http(int64_t unix_ms, char out[30]) {
    struct tm tm = split(unix_ms, NULL);
    memcpy(out, "---, 00 --- 0000 00:00:00 GMT", 30);
    memcpy(out, days[tm.tm_wday], 3);
    digits(out + 5, 2, tm.tm_mday);
    memcpy(out + 8, months[tm.tm_mon], 3);
    digits(out + 12, 4, tm.tm_year + 1900);
    digits(out + 17, 2, tm.tm_hour);
    digits(out + 20, 2, tm.tm_min);
    digits(out + 23, 2, tm.tm_sec);
}

/* Takes n digits off the front. */
static bool number(struct str *s, size_t n, int *ret) {
    int v = 0;
    if (s->n < n) return false;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_from(*s, n);
    *ret = v;
    return true;
}

static bool literal(struct str *s, const char *text) {
    if (!str_starts(*s, str_c(text))) return false;
    *s = str_from(*s, strlen(text));
    return true;
}

/* Refuses dates that do not exist: the round trip through timegm must give the same fields. */
static bool joined(struct tm *tm, int64_t *ret_unix_ms) {
    struct tm want = *tm;
    time_t t = timegm(tm);
    if (tm->tm_mday != want.tm_mday || tm->tm_mon != want.tm_mon || tm->tm_hour != want.tm_hour ||
        tm->tm_min != want.tm_min || tm->tm_sec != want.tm_sec)
        return false;
    *ret_unix_ms = (int64_t)t * 1000;
    return true;
}

bool now_parse_amz(struct str s, int64_t *ret_unix_ms) {
    struct tm tm = {0};
    if (!number(&s, 4, &tm.tm_year) || !number(&s, 2, &tm.tm_mon) || !number(&s, 2, &tm.tm_mday) || !literal(&s, "T") ||
        !number(&s, 2, &tm.tm_hour) || !number(&s, 2, &tm.tm_min) || !number(&s, 2, &tm.tm_sec) || !str_is(s, "Z"))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return joined(&tm, ret_unix_ms);
}

/* time-offset of RFC 3339 5.6, in minutes. */
static bool zone(struct str s, int *ret_minutes) {
    if (str_is(s, "Z") || str_is(s, "z")) {
        *ret_minutes = 0;
        return true;
    }
    int h, m, sign = s.n && s.p[0] == '-' ? -1 : 1;
    if (!literal(&s, "+") && !literal(&s, "-")) return false;
    if (!number(&s, 2, &h) || !literal(&s, ":") || !number(&s, 2, &m) || s.n || h > 23 || m > 59) return false;
    *ret_minutes = sign * (h * 60 + m);
    return true;
}

/* ".123456": the milliseconds, further digits are dropped. */
static bool fraction(struct str *s, int *ret_ms) {
    int ms = 0, scale = 100;
    if (!literal(s, ".")) return true;
    if (!s->n || s->p[0] < '0' || s->p[0] > '9') return false;
    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9'; *s = str_from(*s, 1), scale /= 10) ms += (s->p[0] - '0') * scale;
    *ret_ms = ms;
    return true;
}

bool now_parse_iso(struct str s, int64_t *ret_unix_ms) {
    struct tm tm = {0};
    int ms = 0, minutes = 0;
    int64_t t = 0;
    if (!number(&s, 4, &tm.tm_year) || !literal(&s, "-") || !number(&s, 2, &tm.tm_mon) || !literal(&s, "-") ||
        !number(&s, 2, &tm.tm_mday) || !(literal(&s, "T") || literal(&s, "t") || literal(&s, " ")) ||
        !number(&s, 2, &tm.tm_hour) || !literal(&s, ":") || !number(&s, 2, &tm.tm_min) || !literal(&s, ":") ||
        !number(&s, 2, &tm.tm_sec) || !fraction(&s, &ms) || !zone(s, &minutes))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (!joined(&tm, &t)) return false;
    *ret_unix_ms = t + ms - (int64_t)minutes * 60000;
    return true;
}

static bool name(struct str *s, const char *const *names, int n, int *ret) {
    for (int i = 0; i < n; i++)
        if (literal(s, names[i])) {
            *ret = i;
            return true;
        }
    return false;
}

bool now_parse_http(struct str s, int64_t *ret_unix_ms) {
    struct tm tm = {0};
    int day;
    if (!name(&s, days, 7, &day) || !literal(&s, ", ") || !number(&s, 2, &tm.tm_mday) || !literal(&s, " ") ||
        !name(&s, months, 12, &tm.tm_mon) || !literal(&s, " ") || !number(&s, 4, &tm.tm_year) || !literal(&s, " ") ||
        !number(&s, 2, &tm.tm_hour) || !literal(&s, ":") || !number(&s, 2, &tm.tm_min) || !literal(&s, ":") ||
        !number(&s, 2, &tm.tm_sec) || !str_is(s, " GMT"))
        return false;
    tm.tm_year -= 1900;
    return joined(&tm, ret_unix_ms);
}
