/* Reading: one pass over the bytes. Values of open containers are gathered on one stack; a finished container is
 * copied to the arena from its tail, so each element is copied once and nothing is counted beforehand. */
#include "base/json.h"
#include "base/map.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK_FIRST = 64, LINEAR_MAX = 16 /* members looked through one by one */ };

struct json_parser {
    struct arena *a;
    const char *start, *p, *end;
    struct json_limits limits;
    uint32_t depth;
    struct json_member *stack; /* array elements leave the key unused */
    size_t n, cap;
    struct err *e;
    struct json_member first[STACK_FIRST];
};

static int value(struct json_parser *j, struct json *ret);

/* ==== errors ==== */

static int fail(struct json_parser *j, const char *at, const char *what) {
    size_t line = 1, column = 1;
    for (const char *p = j->start; p < at; p++) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*p & 0xc0) != 0x80) {
            column++;
        }
    }
    return err_set(j->e, ERR_SYNTAX, "%s at line %zu column %zu", what, line, column);
}

static int fail_expected(struct json_parser *j, const char *what) {
    char msg[128];
    if (j->p >= j->end) {
        snprintf(msg, sizeof msg, "JSON ends too early: expected %s", what);
    } else if (*j->p == '\0') {
        snprintf(msg, sizeof msg, "NUL byte in JSON: expected %s", what);
    } else if ((unsigned char)*j->p < 0x20 || (unsigned char)*j->p >= 0x7f) {
        snprintf(msg, sizeof msg, "expected %s, found byte 0x%02x", what, (unsigned char)*j->p);
    } else {
        snprintf(msg, sizeof msg, "expected %s, found '%c'", what, *j->p);
    }
    return fail(j, j->p, msg);
}

/* ==== stack of values ==== */

static struct json_member *push(struct json_parser *j) {
    if (j->n == j->cap) {
        size_t cap = j->cap * 2;
        struct json_member *grown = j->stack == j->first ? NULL : j->stack;
        grown = realloc(grown, cap * sizeof *grown);
        if (!grown) fatal("out of memory reading JSON with %zu open values", cap);
        if (j->stack == j->first) memcpy(grown, j->first, sizeof j->first);
        j->stack = grown;
        j->cap = cap;
    }
    return &j->stack[j->n++];
}

/* ==== tokens ==== */

static void skip_space(struct json_parser *j) {
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\n' || *j->p == '\r' || *j->p == '\t')) j->p++;
}

static bool digit(const struct json_parser *j) {
    return j->p < j->end && *j->p >= '0' && *j->p <= '9';
}

static int digits(struct json_parser *j) {
    if (!digit(j)) return fail_expected(j, "a digit");
    while (digit(j)) j->p++;
    return 0;
}

/* RFC 8259 6. The literal is kept as written. */
static int number(struct json_parser *j, struct json *ret) {
    const char *from = j->p;
    if (*j->p == '-') j->p++;
    if (j->p < j->end && *j->p == '0') {
        j->p++;
        if (digit(j)) return fail(j, from, "number with a leading zero");
    } else if (digits(j)) {
        return -1;
    }
    if (j->p < j->end && *j->p == '.') {
        j->p++;
        if (digits(j)) return -1;
    }
    if (j->p < j->end && (*j->p == 'e' || *j->p == 'E')) {
        j->p++;
        if (j->p < j->end && (*j->p == '+' || *j->p == '-')) j->p++;
        if (digits(j)) return -1;
    }
    *ret = json_make_num(str_n(from, (size_t)(j->p - from)));
    return 0;
}

static int literal(struct json_parser *j, const char *word, enum json_type type, struct json *ret) {
    size_t n = strlen(word);
    if ((size_t)(j->end - j->p) < n || memcmp(j->p, word, n) != 0) return fail_expected(j, "a JSON value");
    j->p += n;
    *ret = (struct json){.type = type};
    return 0;
}

/* ==== strings ==== */

static int hex4(struct json_parser *j, const char *at, uint32_t *ret) {
    uint32_t v = 0;
    for (int i = 0; i < 4; i++, j->p++) {
        if (j->p >= j->end) return fail_expected(j, "four hexadecimal digits after \\u");
        char c = *j->p;
        uint32_t d = c >= '0' && c <= '9'   ? (uint32_t)(c - '0')
                     : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a' + 10)
                     : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A' + 10)
                                            : 16;
        if (d == 16) return fail(j, at, "bad \\u escape: needs four hexadecimal digits");
        v = v << 4 | d;
    }
    *ret = v;
    return 0;
}

static char *put_utf8(char *out, uint32_t c) {
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *out++ = (char)(0xe0 | c >> 12);
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    } else {
        *out++ = (char)(0xf0 | c >> 18);
        *out++ = (char)(0x80 | (c >> 12 & 0x3f));
        *out++ = (char)(0x80 | (c >> 6 & 0x3f));
        *out++ = (char)(0x80 | (c & 0x3f));
    }
    return out;
}

/* Behind "\u"; `at` is the backslash. */
static int unicode_escape(struct json_parser *j, const char *at, char **out) {
    uint32_t c = 0, low = 0;
    if (hex4(j, at, &c)) return -1;
    if (c >= 0xdc00 && c <= 0xdfff) return fail(j, at, "lone low surrogate in \\u escape");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (j->end - j->p < 2 || j->p[0] != '\\' || j->p[1] != 'u')
            return fail(j, at, "lone high surrogate in \\u escape");
        j->p += 2;
        if (hex4(j, at, &low)) return -1;
        if (low < 0xdc00 || low > 0xdfff) return fail(j, at, "lone high surrogate in \\u escape");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = put_utf8(*out, c);
    return 0;
}

static int escape(struct json_parser *j, char **out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *at = j->p++;
    if (j->p >= j->end) return fail_expected(j, "the rest of an escape");
    char c = *j->p++;
    if (c == 'u') return unicode_escape(j, at, out);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known) return fail(j, at, "unknown escape in string");
    *(*out)++ = to[known - from];
    return 0;
}

/* True for a byte that needs no look: printable ASCII but '"' and '\\', or part of a multi-byte sequence. */
static inline bool plain(unsigned char c) {
    return c >= 0x20 && c != '"' && c != '\\';
}

/* Skips plain bytes, eight at a time; notes in *high whether any was not ASCII. */
static const char *skip_plain(const char *p, const char *end, unsigned char *high) {
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    while (end - p >= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        uint64_t quote = w ^ (ones * '"'), back = w ^ (ones * '\\');
        uint64_t hit = ((w - ones * 0x20) | (quote - ones) | (back - ones)) & tops;
        if (hit || (w & tops)) break;
        p += 8;
    }
    while (p < end && plain((unsigned char)*p)) *high |= (unsigned char)*p++;
    return p;
}

static int check_utf8(struct json_parser *j, const char *from, const char *to) {
    ptrdiff_t bad = str_bad_utf8(str_n(from, (size_t)(to - from)));
    return bad < 0 ? 0 : fail(j, from + bad, "invalid UTF-8 in string");
}

static int fail_in_string(struct json_parser *j, const char *open) {
    if (j->p >= j->end) return fail(j, open, "JSON ends inside the string that starts");
    if (*j->p == '\0') return fail(j, j->p, "NUL byte in string");
    return fail(j, j->p, "unescaped control character in string");
}

/* A string with escapes: the decoded text is never longer than what is written. `from` is behind the quote, j->p at
 * the first backslash. */
static int decode_string(struct json_parser *j, const char *from, struct str *ret) {
    const char *close = j->p;
    while (close < j->end && *close != '"') close += *close == '\\' ? 2 : 1;
    if (close >= j->end) {
        j->p = j->end;
        return fail_in_string(j, from - 1);
    }
    char *start = arena_alloc(j->a, (size_t)(close - from) + 1), *out = start;
    memcpy(out, from, (size_t)(j->p - from));
    out += j->p - from;
    for (;;) {
        unsigned char high = 0;
        const char *run = j->p;
        j->p = skip_plain(run, j->end, &high);
        if ((high & 0x80) && check_utf8(j, run, j->p)) return -1;
        memcpy(out, run, (size_t)(j->p - run));
        out += j->p - run;
        if (j->p >= j->end || (unsigned char)*j->p < 0x20) return fail_in_string(j, from - 1);
        if (*j->p == '"') break;
        if (escape(j, &out)) return -1;
    }
    j->p++;
    *ret = str_n(start, (size_t)(out - start));
    return 0;
}

/* j->p is at the opening quote. */
static int string(struct json_parser *j, struct str *ret) {
    const char *from = ++j->p;
    unsigned char high = 0;
    j->p = skip_plain(from, j->end, &high);
    if ((high & 0x80) && check_utf8(j, from, j->p)) return -1;
    if (j->p >= j->end || (unsigned char)*j->p < 0x20) return fail_in_string(j, from - 1);
    if (*j->p == '\\') return decode_string(j, from, ret);
    *ret = str_n(from, (size_t)(j->p - from));
    j->p++;
    return 0;
}

/* ==== containers ==== */

static int fail_depth(struct json_parser *j) {
    char msg[96];
    snprintf(msg, sizeof msg, "JSON is nested deeper than %u levels", j->limits.depth);
    return fail(j, j->p, msg);
}

static int array(struct json_parser *j, struct json *ret) {
    size_t base = j->n;
    j->p++;
    skip_space(j);
    if (j->p < j->end && *j->p == ']') {
        j->p++;
        *ret = json_make_arr();
        return 0;
    }
    for (;;) {
        struct json v;
        if (value(j, &v)) return -1;
        push(j)->value = v;
        skip_space(j);
        if (j->p < j->end && *j->p == ']') break;
        if (j->p >= j->end || *j->p != ',') return fail_expected(j, "',' or ']'");
        j->p++;
    }
    j->p++;
    size_t n = j->n - base;
    struct json *items = arena_alloc(j->a, n * sizeof *items);
    for (size_t i = 0; i < n; i++) items[i] = j->stack[base + i].value;
    j->n = base;
    *ret = (struct json){.type = JSON_ARR, .n = (uint32_t)n, .items = items, .cap = (uint32_t)n};
    return 0;
}

static int fail_duplicate(struct json_parser *j, const char *at, struct str key) {
    char msg[192];
    struct str shown = str_take(key, 128);
    ptrdiff_t bad = str_bad_utf8(shown);
    if (bad >= 0) shown.n = (size_t)bad; /* the cut went through a character */
    snprintf(msg, sizeof msg, "duplicate key \"%.*s\"%s", STR_ARG(shown), shown.n < key.n ? "..." : "");
    return fail(j, at, msg);
}

/* The member of that key among those gathered from `base` on, or NULL. Large objects are indexed in *seen. */
static struct json_member *gathered(struct json_parser *j, size_t base, struct map *seen, struct str key) {
    if (j->n - base <= LINEAR_MAX) {
        for (size_t i = base; i < j->n; i++)
            if (str_eq(j->stack[i].key, key)) return &j->stack[i];
        return NULL;
    }
    for (size_t i = seen->n; i < j->n - base; i++) map_put(seen, j->stack[base + i].key, (void *)(uintptr_t)(i + 1));
    uintptr_t at = (uintptr_t)map_get(seen, key);
    return at ? &j->stack[base + at - 1] : NULL;
}

/* One `"key": value`. */
static int member(struct json_parser *j, size_t base, struct map *seen) {
    struct str key;
    struct json v;
    skip_space(j);
    const char *at = j->p;
    if (j->p >= j->end || *j->p != '"') return fail_expected(j, "a key in quotes");
    if (string(j, &key)) return -1;
    bool duplicate = gathered(j, base, seen, key) != NULL;
    if (duplicate && !j->limits.duplicate_keys) return fail_duplicate(j, at, key);
    skip_space(j);
    if (j->p >= j->end || *j->p != ':') return fail_expected(j, "':'");
    j->p++;
    if (value(j, &v)) return -1;
    if (duplicate)
        gathered(j, base, seen, key)->value = v;
    else
        *push(j) = (struct json_member){key, v};
    return 0;
}

static int members(struct json_parser *j, size_t base, struct map *seen) {
    skip_space(j);
    if (j->p < j->end && *j->p == '}') return 0;
    for (;;) {
        if (member(j, base, seen)) return -1;
        skip_space(j);
        if (j->p < j->end && *j->p == '}') return 0;
        if (j->p >= j->end || *j->p != ',') return fail_expected(j, "',' or '}'");
        j->p++;
    }
}

static int object(struct json_parser *j, struct json *ret) {
    size_t base = j->n;
    struct map seen = {0};
    j->p++;
    int rc = members(j, base, &seen);
    map_free(&seen);
    if (rc) return rc;
    j->p++;
    size_t n = j->n - base;
    *ret = (struct json){.type = JSON_OBJ, .n = (uint32_t)n, .cap = (uint32_t)n, .open = j->limits.open};
    if (n) {
        ret->members = arena_alloc(j->a, n * sizeof *ret->members);
        memcpy(ret->members, j->stack + base, n * sizeof *ret->members);
    }
    j->n = base;
    return 0;
}

static int nested(struct json_parser *j, int (*read)(struct json_parser *, struct json *), struct json *ret) {
    if (j->depth >= j->limits.depth) return fail_depth(j);
    j->depth++;
    int rc = read(j, ret);
    j->depth--;
    return rc;
}

static int value(struct json_parser *j, struct json *ret) {
    skip_space(j);
    if (j->p >= j->end) return fail_expected(j, "a JSON value");
    switch (*j->p) {
    case '{':
        return nested(j, object, ret);
    case '[':
        return nested(j, array, ret);
    case '"':
        *ret = (struct json){.type = JSON_STR};
        return string(j, &ret->s);
    case 't':
        return literal(j, "true", JSON_TRUE, ret);
    case 'f':
        return literal(j, "false", JSON_FALSE, ret);
    case 'n':
        return literal(j, "null", JSON_NULL, ret);
    default:
        if (*j->p == '-' || digit(j)) return number(j, ret);
        return fail_expected(j, "a JSON value");
    }
}

int json_parse(struct arena *a, struct str text, const struct json_limits *limits, struct json *ret, struct err *e) {
    struct json_parser j;
    struct json v;
    if (!text.p) text = STR("");
    j.a = a;
    j.start = j.p = text.p;
    j.end = text.p + text.n;
    j.limits = limits ? *limits : (struct json_limits){0};
    if (!j.limits.depth) j.limits.depth = JSON_DEPTH;
    j.depth = 0;
    j.stack = j.first;
    j.n = 0;
    j.cap = STACK_FIRST;
    j.e = e;
    int rc = value(&j, &v);
    skip_space(&j);
    if (!rc && j.p < j.end) rc = fail_expected(&j, "nothing behind the JSON value");
    if (j.stack != j.first) free(j.stack);
    if (!rc) *ret = v;
    return rc;
}
