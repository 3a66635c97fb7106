/* DynamoDB's numbers: two literals, a line each, against plain school arithmetic on columns of digits. Texts and keys
 * of what parses come back equal; order, sum and difference are those of the columns; too many digits, too large and
 * too small are refused, and nothing else is. */
#include "local/dynamo/dynamo.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Columns from 10^HIGH down; wide enough for what is in range, its sums and whatever is judged here. */
enum { HIGH = 420, COLUMNS = 2 * HIGH + 1, EXPONENT_MAX = 100, LITERAL_MAX = 300 };

struct columns {
    int sign; /* -1, 0, 1 */
    uint8_t d[COLUMNS];
};

static bool is_zero(const struct columns *c) {
    for (int i = 0; i < COLUMNS; i++)
        if (c->d[i]) return false;
    return true;
}

static size_t digits_end(struct str s, size_t i) {
    while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9') i++;
    return i;
}

/* Where the parts of [+-]digits[.digits][e[+-]digits] end; false: it is none. */
static bool split(struct str s, size_t *ret_from, size_t *ret_point, size_t *ret_end) {
    size_t from = s.n && (s.p[0] == '-' || s.p[0] == '+'), point = digits_end(s, from), end = point;
    if (end < s.n && s.p[end] == '.') end = digits_end(s, end + 1);
    if (point == from && end <= point + 1) return false;
    *ret_from = from;
    *ret_point = point;
    *ret_end = end;
    if (end == s.n) return true;
    if (s.p[end] != 'e' && s.p[end] != 'E') return false;
    size_t exp = end + 1;
    if (exp < s.n && (s.p[exp] == '-' || s.p[exp] == '+')) exp++;
    return exp < s.n && digits_end(s, exp) == s.n;
}

/* 1: read; 0: no number; -1: one that is not judged here, its exponent being too long. */
static int read_columns(struct str s, struct columns *ret) {
    size_t from, point, end;
    int64_t exponent = 0;
    if (!split(s, &from, &point, &end)) return 0;
    if (s.n > LITERAL_MAX) return -1;
    struct str e = str_from(s, end + 1);
    if (e.n && e.p[0] == '+') e = str_from(e, 1);
    if (e.n && (!str_i64(e, &exponent) || exponent > EXPONENT_MAX || exponent < -EXPONENT_MAX)) return -1;
    memset(ret, 0, sizeof *ret);
    for (size_t i = from; i < end; i++) {
        if (i == point) continue;
        int64_t power = (int64_t)point - (int64_t)i - (i < point) + exponent;
        ret->d[HIGH - power] = (uint8_t)(s.p[i] - '0');
    }
    ret->sign = is_zero(ret) ? 0 : s.p[0] == '-' ? -1 : 1;
    return 1;
}

/* 38 digits between 1e-130 and 9.99..e125. */
static bool fits(const struct columns *c) {
    int first = 0, last = COLUMNS - 1;
    if (!c->sign) return true;
    while (!c->d[first]) first++;
    while (!c->d[last]) last--;
    return first >= HIGH - 125 && first <= HIGH + 130 && last - first < NUM_DIGITS;
}

static int magnitude(const struct columns *a, const struct columns *b) {
    int c = memcmp(a->d, b->d, COLUMNS);
    return (c > 0) - (c < 0);
}

static int order(const struct columns *a, const struct columns *b) {
    if (a->sign != b->sign) return a->sign < b->sign ? -1 : 1;
    return a->sign < 0 ? -magnitude(a, b) : magnitude(a, b);
}

static struct columns sum(const struct columns *a, const struct columns *b) {
    const struct columns *large = magnitude(a, b) < 0 ? b : a, *small = large == a ? b : a;
    struct columns r = *large;
    int carry = 0;
    for (int i = COLUMNS - 1; i >= 0; i--) {
        int v = large->d[i] + carry + (large->sign == small->sign ? small->d[i] : -small->d[i]);
        carry = v < 0 ? -1 : v > 9;
        r.d[i] = (uint8_t)(v - carry * 10);
    }
    if (is_zero(&r)) r.sign = 0;
    return r;
}

static void must(bool good) {
    if (!good) abort();
}

static void check_same(const struct num *v, const struct columns *c) {
    char text[NUM_TEXT];
    struct columns back;
    size_t n = num_text(v, text);
    must(n < NUM_TEXT && n == strlen(text) && !strchr(text, 'e') && read_columns(str_n(text, n), &back) == 1);
    must(back.sign == c->sign && !magnitude(&back, c));
}

/* As read, written and read again. */
static bool check_one(struct str s, struct num *ret, struct columns *c) {
    struct err e = {0};
    int judged = read_columns(s, c), rc = num_parse(s, ret, &e);
    must(!rc || (e.code == ERR_VALIDATION && e.msg[0]));
    if (judged >= 0) must((rc == 0) == (judged && fits(c)));
    if (rc) return false;
    char text[NUM_TEXT], again[NUM_TEXT];
    struct num back;
    size_t n = num_text(ret, text);
    must(!num_parse(str_n(text, n), &back, NULL) && !num_cmp(ret, &back));
    must(num_text(&back, again) == n && !strcmp(text, again));
    must(judged == 1 || read_columns(str_n(text, n), c) == 1);
    check_same(ret, c);
    return true;
}

static int key_order(const struct num *a, const struct num *b) {
    uint8_t x[NUM_KEY], y[NUM_KEY];
    size_t m = num_key(a, x), n = num_key(b, y);
    must(m <= NUM_KEY && n <= NUM_KEY);
    int c = memcmp(x, y, m < n ? m : n);
    return c ? (c > 0) - (c < 0) : (m > n) - (m < n);
}

static void check_sum(const struct num *a, const struct num *b, bool subtract, const struct columns *expected) {
    struct num r;
    struct err e = {0};
    int rc = num_add(a, b, subtract, &r, &e);
    must((rc == 0) == fits(expected));
    if (!rc)
        check_same(&r, expected);
    else
        must(e.code == ERR_VALIDATION && e.msg[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    struct str rest = str_n((const char *)data, n), first = str_cut(&rest, '\n');
    struct columns a, b;
    struct num x, y;
    bool both = check_one(first, &x, &a);
    both = check_one(rest.p ? rest : STR(""), &y, &b) && both;
    if (!both) return 0;
    int c = order(&a, &b);
    must(num_cmp(&x, &y) == c && num_cmp(&y, &x) == -c && key_order(&x, &y) == c);
    struct columns total = sum(&a, &b);
    check_sum(&x, &y, false, &total);
    check_sum(&y, &x, false, &total);
    b.sign = -b.sign;
    total = sum(&a, &b);
    check_sum(&x, &y, true, &total);
    total.sign = -total.sign;
    check_sum(&y, &x, true, &total);
    return 0;
}
