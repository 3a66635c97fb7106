/* Schedule expressions of EventBridge: rate(value unit) and cron(minutes hours day-of-month month day-of-week year),
 * UTC. */
#include "app/app.h"
#include <string.h>

enum { YEAR_MIN = 1970, YEAR_MAX = 2199, MINUTE_MS = 60000 };
enum field_id { MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS, YEARS, FIELDS };

static const struct {
    const char *name;
    int min, max;
    const char *words; /* three letters each, for min, min + 1, ... */
} fields[FIELDS] = {
    {"minutes", 0, 59, ""},
    {"hours", 0, 23, ""},
    {"day-of-month", 1, 31, ""},
    {"month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"},
    {"day-of-week", 1, 7, "SUNMONTUEWEDTHUFRISAT"},
    {"year", YEAR_MIN, YEAR_MAX, ""},
};

struct cron {
    uint64_t sets[FIELDS][4]; /* bit v - min of each field */
    bool any[FIELDS];         /* '?' */
    bool last_day;            /* L in day-of-month */
    int near_day;             /* nW: n; LW: 31 with last_day */
    int last_weekday;         /* nL in day-of-week */
    int nth_weekday, nth;     /* n#k */
};

/* ==== dates ==== */

/* Days since 1970-01-01 of a date of the proleptic Gregorian calendar. */
static int64_t days_of(int y, int m, int d) {
    y -= m <= 2;
    int era = y / 400, yoe = y - era * 400, doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return (int64_t)era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static int month_length(int y, int m) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return m == 2 && ((y % 4 == 0 && y % 100 != 0) || y % 400 == 0) ? 29 : lengths[m - 1];
}

/* 1 = Sunday, as in day-of-week. */
static int weekday_of(int y, int m, int d) {
    return (int)((days_of(y, m, d) + 4) % 7) + 1;
}

/* ==== parsing ==== */

static int bad(struct err *e, struct str expression, const char *field, struct str item, const char *why) {
    return err_set(e, ERR_CONFIG, "%.*s: %s '%.*s' %s", STR_ARG(str_take(expression, 100)), field,
                   STR_ARG(str_take(item, 40)), why);
}

static bool number_of(enum field_id f, struct str s, int *ret) {
    int64_t v;
    if (str_i64(s, &v) && s.p[0] != '-' && v >= fields[f].min && v <= fields[f].max) {
        *ret = (int)v;
        return true;
    }
    struct str words = str_c(fields[f].words);
    for (int i = 0; s.n == 3 && words.n; i++, words = str_from(words, 3)) {
        if (!str_ieq(s, str_take(words, 3))) continue;
        *ret = fields[f].min + i;
        return true;
    }
    return false;
}

static void add(struct cron *c, enum field_id f, int from, int to, int step) {
    for (int v = from - fields[f].min; v <= to - fields[f].min; v += step) c->sets[f][v / 64] |= UINT64_C(1) << v % 64;
}

static bool has(const struct cron *c, enum field_id f, int v) {
    v -= fields[f].min;
    return c->sets[f][v / 64] >> v % 64 & 1;
}

/* L, W and # forms; they stand alone in their field. */
static bool special(struct cron *c, enum field_id f, struct str s) {
    struct str rest = s, before = str_cut(&rest, '#');
    if (f == WEEKDAYS && rest.p)
        return number_of(f, before, &c->nth_weekday) && str_is(rest, "0") == false && rest.n == 1 &&
               (c->nth = rest.p[0] - '0') >= 1 && c->nth <= 5;
    if (f == DAYS && (str_is(s, "L") || str_is(s, "LW"))) {
        c->last_day = true;
        c->near_day = s.n == 2 ? 31 : 0;
        return true;
    }
    if (f == WEEKDAYS && str_is(s, "L")) {
        add(c, f, 7, 7, 1);
        return true;
    }
    if (f == DAYS && str_ends(s, STR("W"))) return number_of(f, str_take(s, s.n - 1), &c->near_day);
    if (f == WEEKDAYS && str_ends(s, STR("L"))) return number_of(f, str_take(s, s.n - 1), &c->last_weekday);
    return false;
}

/* "*", "5", "MON-FRI", "0/15", "10-30/5", "*" "/5". */
static bool range(struct cron *c, enum field_id f, struct str s) {
    struct str step_text = s, span = str_cut(&step_text, '/'), to_text = span, from_text = str_cut(&to_text, '-');
    int from = fields[f].min, to = fields[f].max;
    int64_t step = 1;
    if (step_text.p && (!str_i64(step_text, &step) || step < 1 || step > fields[f].max)) return false;
    if (!str_is(span, "*")) {
        if (!number_of(f, from_text, &from)) return false;
        if (to_text.p && !number_of(f, to_text, &to)) return false;
        if (!to_text.p && !step_text.p) to = from;
    }
    if (from <= to) {
        add(c, f, from, to, (int)step);
    } else if (step == 1) { /* FRI-MON goes over the end */
        add(c, f, from, fields[f].max, 1);
        add(c, f, fields[f].min, to, 1);
    } else {
        return false;
    }
    return true;
}

static int field(struct cron *c, enum field_id f, struct str s, struct str expression, struct err *e) {
    struct str rest = s;
    if (str_is(s, "?")) {
        c->any[f] = true;
        if (f == DAYS || f == WEEKDAYS) return 0;
        return bad(e, expression, fields[f].name, s, "may not be '?'");
    }
    if (special(c, f, s)) return 0;
    while (rest.p) {
        struct str item = str_cut(&rest, ',');
        if (!range(c, f, item)) return bad(e, expression, fields[f].name, item, "is not understood or out of range");
    }
    return 0;
}

static int parse_cron(struct str inner, struct str expression, struct cron *ret, struct err *e) {
    struct cron c = {0};
    int n = 0;
    for (struct str rest = inner; rest.p;) {
        struct str item = str_cut(&rest, ' ');
        if (!item.n) continue;
        if (n < FIELDS && field(&c, (enum field_id)n, item, expression, e)) return -1;
        n++;
    }
    if (n != FIELDS)
        return bad(e, expression, "cron", inner, "needs six fields: minutes hours day-of-month month day-of-week year");
    if (c.any[DAYS] == c.any[WEEKDAYS])
        return bad(e, expression, "cron", inner, "needs '?' in exactly one of day-of-month and day-of-week");
    *ret = c;
    return 0;
}

static int parse_rate(struct str inner, struct str expression, int64_t *ret_ms, struct err *e) {
    static const struct {
        const char *one, *many;
        int64_t ms;
    } units[] = {{"minute", "minutes", MINUTE_MS}, {"hour", "hours", 3600000}, {"day", "days", 86400000}};
    struct str unit = str_trim(inner), number = str_cut(&unit, ' ');
    int64_t n;
    unit = str_trim(unit);
    if (!str_i64(number, &n) || n < 1 || n > 1000000)
        return bad(e, expression, "rate", number, "must be a whole number from 1 to 1000000");
    for (size_t i = 0; i < 3; i++) {
        if (!str_is(unit, n == 1 ? units[i].one : units[i].many)) continue;
        *ret_ms = n * units[i].ms;
        return 0;
    }
    return bad(e, expression, "rate unit", unit,
               n == 1 ? "must be minute, hour or day" : "must be minutes, hours or days");
}

/* ==== the next time ==== */

/* The weekday (Monday to Friday) nearest to day d of the month, without leaving the month. */
static int nearest_weekday(int y, int m, int d) {
    int last = month_length(y, m), w;
    if (d > last) d = last;
    w = weekday_of(y, m, d);
    if (w == 7) return d > 1 ? d - 1 : d + 2;
    if (w == 1) return d < last ? d + 1 : d - 2;
    return d;
}

static bool day_matches(const struct cron *c, int y, int m, int d) {
    int w = weekday_of(y, m, d), last = month_length(y, m);
    if (!c->any[DAYS]) {
        if (c->near_day) return (c->last_day || c->near_day <= last) && d == nearest_weekday(y, m, c->near_day);
        return c->last_day ? d == last : has(c, DAYS, d);
    }
    if (c->nth) return w == c->nth_weekday && (d - 1) / 7 + 1 == c->nth;
    if (c->last_weekday) return w == c->last_weekday && d + 7 > last;
    return has(c, WEEKDAYS, w);
}

/* First matching minute of the day at or after `from`, or -1. */
static int minute_of_day(const struct cron *c, int from) {
    for (int h = from / 60; h < 24; h++) {
        if (!has(c, HOURS, h)) continue;
        for (int m = h == from / 60 ? from % 60 : 0; m < 60; m++)
            if (has(c, MINUTES, m)) return h * 60 + m;
    }
    return -1;
}

/* First matching minute since the epoch at or after `from` (>= 0), or -1. */
static int64_t next_minute(const struct cron *c, int64_t from) {
    for (int y = YEAR_MIN; y <= YEAR_MAX; y++) {
        if (!has(c, YEARS, y) || days_of(y + 1, 1, 1) * 1440 <= from) continue;
        for (int m = 1; m <= 12; m++) {
            if (!has(c, MONTHS, m)) continue;
            for (int d = 1; d <= month_length(y, m); d++) {
                int64_t day = days_of(y, m, d) * 1440;
                if (day + 1440 <= from || !day_matches(c, y, m, d)) continue;
                int minute = minute_of_day(c, from > day ? (int)(from - day) : 0);
                if (minute >= 0) return day + minute;
            }
        }
    }
    return -1;
}

static struct str inside(struct str s, const char *prefix) {
    size_t n = strlen(prefix);
    if (!str_starts(s, str_c(prefix)) || !str_ends(s, STR(")"))) return STR_NONE;
    return str_n(s.p + n, s.n - n - 1);
}

int64_t app_schedule_next(struct str expression, int64_t start_ms, int64_t after_ms, struct err *e) {
    struct str rate = inside(expression, "rate("), cron = inside(expression, "cron(");
    struct cron c = {0};
    int64_t period = 0, minute;
    if (rate.p) {
        if (parse_rate(rate, expression, &period, e)) return -1;
        if (after_ms < start_ms) return start_ms + period;
        return start_ms + ((after_ms - start_ms) / period + 1) * period;
    }
    if (!cron.p) return bad(e, expression, "schedule", expression, "is neither rate(...) nor cron(...)");
    if (parse_cron(cron, expression, &c, e)) return -1;
    minute = next_minute(&c, after_ms < 0 ? 0 : after_ms / MINUTE_MS + 1);
    if (minute < 0) return bad(e, expression, "schedule", expression, "names no time that is still to come");
    return minute * MINUTE_MS;
}
