/* The matcher: backtracking over the text of the pattern, so that a mistake in it is an error only once it is reached,
 * as in the stock library. */
#include "script/lib/pattern.h"
#include <ctype.h>
#include <string.h>

static const char *match(struct pattern *m, const char *s, const char *p);

void pattern_init(struct pattern *m, lua_State *L, struct str subject, struct str pattern, bool anchors) {
    m->L = L;
    m->subject = subject.p;
    m->subject_end = subject.p + subject.n;
    m->anchored = anchors && pattern.n && pattern.p[0] == '^';
    m->start = pattern.p + m->anchored;
    m->end = pattern.p + pattern.n;
    m->steps = 0;
    m->depth = m->n = 0;
}

void pattern_step(struct pattern *m) {
    if (++m->steps % PATTERN_POLL == 0) script_poll(m->L);
}

/* ==== single characters ==== */

static bool in_class(unsigned char c, unsigned char class) {
    bool in;
    switch (tolower(class)) {
    case 'a':
        in = isalpha(c);
        break;
    case 'c':
        in = iscntrl(c);
        break;
    case 'd':
        in = isdigit(c);
        break;
    case 'g':
        in = isgraph(c);
        break;
    case 'l':
        in = islower(c);
        break;
    case 'p':
        in = ispunct(c);
        break;
    case 's':
        in = isspace(c);
        break;
    case 'u':
        in = isupper(c);
        break;
    case 'w':
        in = isalnum(c);
        break;
    case 'x':
        in = isxdigit(c);
        break;
    case 'z': /* deprecated, still there in 5.4 */
        in = c == 0;
        break;
    default:
        return class == c;
    }
    return isupper(class) ? !in : in;
}

/* set..close: "[...]" with `close` at the bracket that ends it. */
static bool in_set(unsigned char c, const char *set, const char *close) {
    bool negated = set[1] == '^';
    for (const char *p = set + 1 + negated; p < close; p++) {
        bool hit;
        if (*p == '%') {
            hit = in_class(c, (unsigned char)*++p);
        } else if (p[1] == '-' && p + 2 < close) {
            hit = (unsigned char)p[0] <= c && c <= (unsigned char)p[2];
            p += 2;
        } else {
            hit = (unsigned char)*p == c;
        }
        if (hit) return !negated;
    }
    return negated;
}

/* A bracket right after "[" or "[^" stands for itself. */
static const char *set_end(struct pattern *m, const char *p) {
    p += 1 + (p[1] == '^'); /* the byte behind the pattern is a NUL */
    do {
        if (p >= m->end) luaL_error(m->L, "malformed pattern (missing ']')");
        p += 1 + (*p == '%' && p + 1 < m->end);
    } while (p >= m->end || *p != ']');
    return p + 1;
}

/* Where the single-character item at p ends. */
static const char *item_end(struct pattern *m, const char *p) {
    if (*p == '[') return set_end(m, p);
    if (*p != '%') return p + 1;
    if (p + 1 >= m->end) luaL_error(m->L, "malformed pattern (ends with '%%')");
    return p + 2;
}

static bool item_matches(struct pattern *m, const char *s, const char *p, const char *p_end) {
    pattern_step(m);
    if (s >= m->subject_end) return false;
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class((unsigned char)*s, (unsigned char)p[1]);
    case '[':
        return in_set((unsigned char)*s, p, p_end - 1);
    default:
        return *p == *s;
    }
}

/* ==== repetition: the item p..p_end, its suffix at p_end ==== */

static const char *longest(struct pattern *m, const char *s, const char *p, const char *p_end, size_t least) {
    size_t n = 0;
    if (*p == '.')
        n = (size_t)(m->subject_end - s);
    else
        while (item_matches(m, s + n, p, p_end)) n++;
    for (; n + 1 > least; n--) {
        const char *end = match(m, s + n, p_end + 1);
        if (end) return end;
        pattern_step(m);
        if (n == 0) break;
    }
    return NULL;
}

static const char *shortest(struct pattern *m, const char *s, const char *p, const char *p_end) {
    for (;; s++) {
        const char *end = match(m, s, p_end + 1);
        if (end || !item_matches(m, s, p, p_end)) return end;
    }
}

/* ==== captures ==== */

static const char *open_capture(struct pattern *m, const char *s, const char *p) {
    bool position = p + 1 < m->end && p[1] == ')';
    if (m->n == PATTERN_CAPTURES) luaL_error(m->L, "too many captures");
    m->captures[m->n++] = (struct pattern_capture){s, position ? CAPTURE_POSITION : CAPTURE_OPEN};
    const char *end = match(m, s, p + 1 + position);
    if (!end) m->n--;
    return end;
}

static const char *close_capture(struct pattern *m, const char *s, const char *p) {
    int i = m->n - 1;
    while (i >= 0 && m->captures[i].n != CAPTURE_OPEN) i--;
    if (i < 0) luaL_error(m->L, "invalid pattern capture");
    m->captures[i].n = s - m->captures[i].at;
    const char *end = match(m, s, p + 1);
    if (!end) m->captures[i].n = CAPTURE_OPEN;
    return end;
}

/* "%1" inside a pattern: the same text once more; NULL when it is not there. */
static const char *back_reference(struct pattern *m, const char *s, char digit) {
    int i = digit - '1';
    if (i < 0 || i >= m->n || m->captures[i].n == CAPTURE_OPEN) luaL_error(m->L, "invalid capture index %%%d", i + 1);
    ptrdiff_t n = m->captures[i].n;
    if (n < 0 || m->subject_end - s < n || memcmp(m->captures[i].at, s, (size_t)n) != 0) return NULL;
    return s + n;
}

void pattern_push_capture(struct pattern *m, int i, const char *s, const char *e) {
    if (i >= m->n) {
        if (i > 0) luaL_error(m->L, "invalid capture index %%%d", i + 1);
        lua_pushlstring(m->L, s, (size_t)(e - s));
        return;
    }
    const struct pattern_capture *c = &m->captures[i];
    if (c->n == CAPTURE_OPEN) luaL_error(m->L, "unfinished capture");
    if (c->n == CAPTURE_POSITION)
        lua_pushinteger(m->L, c->at - m->subject + 1);
    else
        lua_pushlstring(m->L, c->at, (size_t)c->n);
}

int pattern_push_captures(struct pattern *m, const char *s, const char *e, bool whole) {
    int n = m->n == 0 && whole ? 1 : m->n;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++) pattern_push_capture(m, i, s, e);
    return n;
}

/* ==== %b and %f ==== */

static const char *balanced(struct pattern *m, const char *s, const char *p) {
    size_t open = 1;
    if (p + 1 >= m->end) luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
    if (s >= m->subject_end || *s != p[0]) return NULL;
    while (++s < m->subject_end) {
        pattern_step(m);
        if (*s == p[1]) {
            if (--open == 0) return s + 1;
        } else if (*s == p[0]) {
            open++;
        }
    }
    return NULL;
}

/* p: the set behind "%f". Both ends of the subject count as a NUL. */
static bool frontier(struct pattern *m, const char *s, const char *p, const char **ret_p) {
    if (p >= m->end || *p != '[') luaL_error(m->L, "missing '[' after '%%f' in pattern");
    const char *close = set_end(m, p) - 1;
    unsigned char before = s == m->subject ? 0 : (unsigned char)s[-1];
    unsigned char after = s == m->subject_end ? 0 : (unsigned char)*s;
    *ret_p = close + 1;
    return !in_set(before, p, close) && in_set(after, p, close);
}

/* ==== the matcher ==== */

/* Items that begin with '%' and are no character class. Returns whether p was one; then *s is moved on, or NULL. */
static bool special(struct pattern *m, const char **s, const char **p) {
    char c = *p + 1 < m->end ? (*p)[1] : 0;
    if (c == 'b') {
        *s = balanced(m, *s, *p + 2);
        *p += 4;
    } else if (c == 'f') {
        const char *next;
        if (!frontier(m, *s, *p + 2, &next)) *s = NULL;
        *p = next;
    } else if (c >= '0' && c <= '9') {
        *s = back_reference(m, *s, c);
        *p += 2;
    } else {
        return false;
    }
    return true;
}

static const char *match_rest(struct pattern *m, const char *s, const char *p) {
    while (p < m->end) {
        if (*p == '(') return open_capture(m, s, p);
        if (*p == ')') return close_capture(m, s, p);
        if (*p == '$' && p + 1 == m->end) return s == m->subject_end ? s : NULL;
        if (*p == '%' && special(m, &s, &p)) {
            if (!s) return NULL;
            continue;
        }
        const char *p_end = item_end(m, p), *end;
        char suffix = p_end < m->end ? *p_end : 0;
        if (suffix == '*' || suffix == '+') return longest(m, s, p, p_end, suffix == '+');
        if (suffix == '-') return shortest(m, s, p, p_end);
        bool hit = item_matches(m, s, p, p_end);
        if (suffix == '?') {
            if (hit && (end = match(m, s + 1, p_end + 1)) != NULL) return end;
            p = p_end + 1;
            continue;
        }
        if (!hit) return NULL;
        s++;
        p = p_end;
    }
    return s;
}

static const char *match(struct pattern *m, const char *s, const char *p) {
    if (++m->depth > PATTERN_DEPTH) luaL_error(m->L, "pattern too complex");
    const char *end = match_rest(m, s, p);
    m->depth--;
    return end;
}

const char *pattern_at(struct pattern *m, const char *s) {
    m->n = m->depth = 0;
    pattern_step(m);
    return match(m, s, m->start);
}
