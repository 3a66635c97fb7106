/* expr (private to local/dynamo/): what the expression parsers share. A syntax error ends parsing at once; other faults
 * are kept by rank (the smallest wins) and reported at the end, as AWS does. */
#ifndef PERIGEE_LOCAL_DYNAMO_EXPR_H
#define PERIGEE_LOCAL_DYNAMO_EXPR_H
#include "local/dynamo/dynamo.h"

enum { EXPRESSION_MAX = 4096, EXPRESSION_DEPTH = 300, EXPRESSION_NODES = 300, IN_MAX = 100, INDEX_DIGITS = 9 };

enum tok {
    T_END,
    T_NAME,
    T_HASH,  /* #name */
    T_COLON, /* :value */
    T_INT,
    T_LP,
    T_RP,
    T_LB,
    T_RB,
    T_DOT,
    T_COMMA,
    T_EQ,
    T_NE,
    T_LT,
    T_LE,
    T_GT,
    T_GE,
    T_PLUS,
    T_MINUS,
    T_BAD,
};
enum soft_rank {
    SOFT_PARENS = 1,
    SOFT_FUNCTION,
    SOFT_MISUSED,
    SOFT_RESERVED,
    SOFT_SECTION,
    SOFT_NAME,
    SOFT_OVERLAP,
    SOFT_COUNT,
    SOFT_DISTINCT,
    SOFT_TYPE
};

struct parser {
    struct arena *a;
    struct expr_names *x;
    const char *what; /* "ConditionExpression" */
    bool update;      /* which keywords and functions there are */
    struct str text;
    size_t pos; /* behind tok */
    enum tok tok;
    struct str s;   /* tok's text */
    size_t prev_at; /* where the token before tok starts */
    int depth, nodes;
    int soft;
    char soft_msg[800];
    struct err *e;
};

bool lex_reserved(struct str word);
void lex_next(struct parser *p);
bool lex_call_follows(const struct parser *p);            /* the next token is '(' */
bool lex_is(const struct parser *p, const char *keyword); /* case-insensitive */

int parse_start(struct parser *p, struct arena *a, struct expr_names *x, const char *what, struct str text,
                struct err *e);
int parse_end(struct parser *p); /* the text is used up, and nothing was soft */
int parse_syntax(struct parser *p);
int parse_expect(struct parser *p, enum tok t);
void parse_soft(struct parser *p, int rank, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int parse_enter(struct parser *p); /* one level deeper; pair with p->depth-- */
int parse_path(struct parser *p, struct path *ret);
/* A path, value or function call; parentheses around it allowed. */
int parse_operand(struct parser *p, struct expr **ret);
int parse_value(struct parser *p, struct expr **ret); /* :value only */
struct expr *parse_node(struct parser *p, enum expr_op op, uint32_t n);
const char *parse_type(const struct expr *x); /* "N", or NULL when only the item can tell */

#endif
