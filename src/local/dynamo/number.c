/* Exact decimals: 38 significant digits, magnitudes 1e-130 .. 9.99e125. */
#include "local/dynamo/dynamo.h"
#include <string.h>

enum { EXP_MIN = -129, EXP_MAX = 126, WIDE = EXP_MAX - EXP_MIN + NUM_DIGITS + 2, EXP_CLAMP = 1000000 };

static int check_range(const struct num *v, struct err *e) {
    if (v->exp > EXP_MAX)
        return err_set(e, ERR_VALIDATION,
                       "Number overflow. Attempting to store a number with magnitude larger than supported range");
    if (v->exp < EXP_MIN)
        return err_set(e, ERR_VALIDATION,
                       "Number underflow. Attempting to store a number with magnitude smaller than supported range");
    return 0;
}

static int too_many_digits(struct err *e) {
    return err_set(e, ERR_VALIDATION, "Attempting to store more than 38 significant digits in a Number");
}

static int not_a_number(struct str s, struct err *e) {
    if (!s.n) return err_set(e, ERR_VALIDATION, "The parameter cannot be converted to a numeric value");
    s = clip(s);
    return err_set(e, ERR_VALIDATION, "The parameter cannot be converted to a numeric value: %.*s", STR_ARG(s));
}

/* "e+12" at i; clamped so that it cannot overflow. */
static bool parse_exponent(struct str s, size_t i, int64_t *ret) {
    bool neg = i < s.n && s.p[i] == '-';
    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+')) i++;
    if (i == s.n) return false;
    int64_t v = 0;
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        if (v < EXP_CLAMP) v = v * 10 + (s.p[i] - '0');
    }
    *ret = neg ? -v : v;
    return true;
}

struct scan {
    struct num v;
    int64_t exp; /* decimal point relative to the first significant digit */
    int64_t digits;
    bool seen, point, lost;
};

static void take_digit(struct scan *c, int d) {
    c->seen = true;
    if (!c->digits && !d) { /* leading zero */
        c->exp -= c->point;
        return;
    }
    if (c->digits < NUM_DIGITS)
        c->v.d[c->digits] = (uint8_t)d;
    else if (d)
        c->lost = true;
    c->digits++;
    c->exp += !c->point;
}

int num_parse(struct str s, struct num *ret, struct err *e) {
    struct scan c = {0};
    int64_t exponent = 0;
    size_t i = 0;
    if (s.n && (s.p[0] == '-' || s.p[0] == '+')) c.v.neg = s.p[i++] == '-';
    for (; i < s.n; i++) {
        if (s.p[i] >= '0' && s.p[i] <= '9')
            take_digit(&c, s.p[i] - '0');
        else if (s.p[i] == '.' && !c.point)
            c.point = true;
        else
            break;
    }
    if (!c.seen) return not_a_number(s, e);
    if (i < s.n && ((s.p[i] | 32) != 'e' || !parse_exponent(s, i + 1, &exponent))) return not_a_number(s, e);
    c.v.n = (int)(c.digits < NUM_DIGITS ? c.digits : NUM_DIGITS);
    while (c.v.n && !c.v.d[c.v.n - 1]) c.v.n--;
    if (!c.v.n) {
        *ret = (struct num){0};
        return 0;
    }
    int64_t exp = c.exp + exponent;
    c.v.exp = (int)(exp > EXP_CLAMP ? EXP_CLAMP : exp < -EXP_CLAMP ? -EXP_CLAMP : exp);
    if (check_range(&c.v, e)) return -1;
    if (c.lost) return too_many_digits(e);
    *ret = c.v;
    return 0;
}

size_t num_text(const struct num *v, char out[NUM_TEXT]) {
    size_t o = 0;
    if (v->neg) out[o++] = '-';
    if (!v->n || v->exp <= 0) out[o++] = '0';
    for (int i = 0; i < v->exp; i++) out[o++] = (char)('0' + (i < v->n ? v->d[i] : 0));
    if (v->n > v->exp) {
        out[o++] = '.';
        for (int i = v->exp; i < v->n; i++) out[o++] = (char)('0' + (i < 0 ? 0 : v->d[i]));
    }
    out[o] = '\0';
    return o;
}

static int cmp_magnitude(const struct num *a, const struct num *b) {
    if (!a->n || !b->n) return (a->n > 0) - (b->n > 0);
    if (a->exp != b->exp) return a->exp < b->exp ? -1 : 1;
    int n = a->n < b->n ? a->n : b->n;
    int c = memcmp(a->d, b->d, (size_t)n);
    return c ? c : a->n - b->n;
}

int num_cmp(const struct num *a, const struct num *b) {
    if (a->neg != b->neg) return a->neg ? -1 : 1;
    int c = cmp_magnitude(a, b);
    c = (c > 0) - (c < 0);
    return a->neg ? -c : c;
}

/* w[EXP_MAX + 1 - position]: adds v's digits times sign into the columns. */
static void spread(const struct num *v, int sign, int w[WIDE]) {
    for (int i = 0; i < v->n; i++) w[EXP_MAX + 1 - v->exp + i] += sign * v->d[i];
}

int num_add(const struct num *a, const struct num *b, bool subtract, struct num *ret, struct err *e) {
    bool b_neg = b->neg != subtract;
    int c = cmp_magnitude(a, b);
    bool neg = c >= 0 ? a->neg : b_neg; /* sign of the larger magnitude is that of the result */
    int w[WIDE] = {0};
    spread(a, a->neg == neg ? 1 : -1, w);
    spread(b, b_neg == neg ? 1 : -1, w);
    for (int i = WIDE - 1; i > 0; i--) {
        int carry = w[i] < 0 ? -1 : w[i] / 10;
        w[i] -= carry * 10;
        w[i - 1] += carry;
    }
    int first = 0, last = WIDE - 1;
    while (first < WIDE && !w[first]) first++;
    if (first == WIDE) {
        *ret = (struct num){0};
        return 0;
    }
    while (!w[last]) last--;
    struct num v = {.neg = neg, .exp = EXP_MAX + 1 - first, .n = last - first + 1};
    if (check_range(&v, e)) return -1;
    if (v.n > NUM_DIGITS) return too_many_digits(e);
    for (int i = 0; i < v.n; i++) v.d[i] = (uint8_t)w[first + i];
    *ret = v;
    return 0;
}

/* 0 negative, 1 zero, 2 positive; the exponent; pairs of digits plus one. Negative numbers have the complement and end
 * in 0xff, so that the shorter of two is the larger. */
size_t num_key(const struct num *v, uint8_t out[NUM_KEY]) {
    size_t o = 0;
    out[o++] = !v->n ? 1 : v->neg ? 0 : 2;
    if (!v->n) return o;
    out[o++] = (uint8_t)(v->exp - EXP_MIN);
    for (int i = 0; i < v->n; i += 2) out[o++] = (uint8_t)(v->d[i] * 10 + (i + 1 < v->n ? v->d[i + 1] : 0) + 1);
    if (!v->neg) return o;
    for (size_t i = 1; i < o; i++) out[i] = (uint8_t)~out[i];
    out[o++] = 0xff;
    return o;
}
