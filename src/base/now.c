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

uint64_t clock_mono_ms(const struct clock *c) {
    bool simulated = c && atomic_load_explicit(&c->simulated, memory_order_relaxed);
    return simulated ? atomic_load_explicit(&c->mono_ms, memory_order_relaxed) : now_mono_ms();
}

void clock_simulate(struct clock *c, int64_t unix_ms) {
    atomic_store(&c->frozen_ms, unix_ms);
    atomic_store(&c->offset_ms, 0);
    if (!atomic_load(&c->mono_ms)) atomic_store(&c->mono_ms, 1000); /* 0 means "none" to those who keep deadlines */
    atomic_store(&c->simulated, true);
}

void clock_pass(struct clock *c, uint64_t ms) {
    atomic_fetch_add(&c->mono_ms, ms);
    atomic_fetch_add(&c->offset_ms, (int64_t)ms);
}

uint64_t now_mono_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t now_mono_ms(void) {
    return now_mono_ns() / 1000000;
}

/* Year, month and day of the proleptic Gregorian calendar; day: since 0000-01-01. Counted in years that begin in March,
 * 146097 days to 400 of them, from 400 years earlier (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms"):
 * gmtime_r takes a lock and looks at the time zone at each call. */
static void civil(uint32_t day, struct tm *tm) {
    uint32_t z = day + 146097 - 60, era = z / 146097, of_era = z % 146097;
    uint32_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint32_t of_year = of_era - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    tm->tm_mday = (int)(of_year - (153 * month + 2) / 5 + 1);
    tm->tm_mon = (int)(month < 10 ? month + 2 : month - 10);
    tm->tm_year = (int)(year + era * 400 + (month >= 10)) - 400 - 1900;
    tm->tm_wday = (int)((day + 6) % 7); /* 0000-01-01 was a Saturday */
}

/* Years outside 0..9999 do not fit the texts: such times are shown as the nearest that does. */
static struct tm split(int64_t unix_ms, int *ret_ms) {
    static const int64_t min = -62167219200000, max = 253402300799999;
    int64_t ms = (unix_ms < min ? min : unix_ms > max ? max : unix_ms) - min;
    uint32_t rest = (uint32_t)(ms / 1000 % 86400);
    struct tm tm = {.tm_hour = (int)(rest / 3600), .tm_min = (int)(rest / 60 % 60), .tm_sec = (int)(rest % 60)};
    civil((uint32_t)(ms / 86400000), &tm);
    if (ret_ms) *ret_ms = (int)(ms % 1000);
    return tm;
}

static void two_digits(char *out, int v) {
    out[0] = (char)('0' + v / 10);
    out[1] = (char)('0' + v % 10);
}

static void four_digits(char *out, int v) {
    two_digits(out, v / 100);
    two_digits(out + 2, v % 100);
}

void now_iso(int64_t unix_ms, char out[25]) {
    int ms;
    struct tm tm = split(unix_ms, &ms);
    memcpy(out, "0000-00-00T00:00:00.000Z", 25);
    four_digits(out, tm.tm_year + 1900);
    two_digits(out + 5, tm.tm_mon + 1);
    two_digits(out + 8, tm.tm_mday);
    two_digits(out + 11, tm.tm_hour);
    two_digits(out + 14, tm.tm_min);
    two_digits(out + 17, tm.tm_sec);
    out[20] = (char)('0' + ms / 100);
    two_digits(out + 21, ms % 100);
}

void now_amz(int64_t unix_ms, char out[17]) {
    struct tm tm = split(unix_ms, NULL);
    memcpy(out, "00000000T000000Z", 17);
    four_digits(out, tm.tm_year + 1900);
    two_digits(out + 4, tm.tm_mon + 1);
    two_digits(out + 6, tm.tm_mday);
    two_digits(out + 9, tm.tm_hour);
    two_digits(out + 11, tm.tm_min);
    two_digits(out + 13, tm.tm_sec);
}

void now_http(int64_t unix_ms, char out[30]) {
    struct tm tm = split(unix_ms, NULL);
    memcpy(out, "---, 00 --- 0000 00:00:00 GMT", 30);
    memcpy(out, days[tm.tm_wday], 3);
    two_digits(out + 5, tm.tm_mday);
    memcpy(out + 8, months[tm.tm_mon], 3);
    four_digits(out + 12, tm.tm_year + 1900);
    two_digits(out + 17, tm.tm_hour);
    two_digits(out + 20, tm.tm_min);
    two_digits(out + 23, tm.tm_sec);
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
