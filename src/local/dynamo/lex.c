/* Tokens of expressions, reserved words. */
#include "local/dynamo/expr.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const reserved[] = {
#define RESERVED(word) #word,
#include "local/dynamo/reserved.def"
#undef RESERVED
};

static int by_word(const void *key, const void *row) {
    return strcasecmp(key, *(const char *const *)row);
}

bool lex_reserved(struct str word) {
    char text[24];
    if (word.n >= sizeof text) return false;
    memcpy(text, word.p, word.n);
    text[word.n] = '\0';
    return bsearch(text, reserved, sizeof reserved / sizeof *reserved, sizeof *reserved, by_word) != NULL;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t word_end(struct str t, size_t i) {
    while (i < t.n && is_word(t.p[i])) i++;
    return i;
}

static enum tok punctuation(char c, char next, size_t *n) {
    *n = 1;
    static const char marks[] = "()[].,=+-";
    static const enum tok toks[] = {T_LP, T_RP, T_LB, T_RB, T_DOT, T_COMMA, T_EQ, T_PLUS, T_MINUS};
    if ((c == '<' || c == '>') && next == '=') *n = 2;
    if (c == '<' && next == '>') {
        *n = 2;
        return T_NE;
    }
    if (c == '<') return *n == 2 ? T_LE : T_LT;
    if (c == '>') return *n == 2 ? T_GE : T_GT;
    const char *at = c ? strchr(marks, c) : NULL;
    return at ? toks[at - marks] : T_BAD;
}

/* A byte that starts no token, with the rest of its character. */
static size_t bad_length(struct str t, size_t i) {
    size_t n = 1;
    while (i + n < t.n && ((unsigned char)t.p[i + n] & 0xc0) == 0x80) n++;
    return n;
}

void lex_next(struct parser *p) {
    struct str t = p->text;
    if (p->s.p) p->prev_at = (size_t)(p->s.p - t.p);
    size_t i = p->pos;
    while (i < t.n && is_space(t.p[i])) i++;
    size_t end = i;
    if (i >= t.n) {
        p->tok = T_END;
    } else if (t.p[i] == '#' || t.p[i] == ':') {
        end = word_end(t, i + 1);
        p->tok = end == i + 1 ? T_BAD : t.p[i] == '#' ? T_HASH : T_COLON;
    } else if (is_digit(t.p[i])) {
        while (end < t.n && is_digit(t.p[end])) end++;
        p->tok = T_INT;
    } else if (is_word(t.p[i]) && t.p[i] != '_') {
        end = word_end(t, i);
        p->tok = T_NAME;
    } else {
        size_t n;
        p->tok = punctuation(t.p[i], i + 1 < t.n ? t.p[i + 1] : '\0', &n);
        end = i + (p->tok == T_BAD ? bad_length(t, i) : n);
    }
    p->s = str_n(t.p + i, end - i);
    p->pos = end;
}

bool lex_is(const struct parser *p, const char *keyword) {
    return p->tok == T_NAME && str_ieq(p->s, str_c(keyword));
}

bool lex_call_follows(const struct parser *p) {
    size_t i = p->pos;
    while (i < p->text.n && is_space(p->text.p[i])) i++;
    return i < p->text.n && p->text.p[i] == '(';
}
