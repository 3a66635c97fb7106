/* table (private to route/): which function answers a method and a path.
 * Precedence as API Gateway has it: a literal segment before {parameter} before {proxy+}, from left to right; among the
 * patterns that fit the path, the first with the method wins, an explicit method before ANY. One slash at the end of a
 * path is ignored. */
#ifndef PERIGEE_ROUTE_TABLE_H
#define PERIGEE_ROUTE_TABLE_H
#include "app/app.h"
#include "base/map.h"
#include "script/script.h"

enum route_builtin { ROUTE_NONE, ROUTE_HEALTH, ROUTE_READY, ROUTE_METRICS };

/* All methods of one pattern. */
struct route_target {
    struct str path; /* as in the template, without a slash at its end */
    enum route_builtin builtin;
    const struct app_route **routes; /* of the template, in its order */
    size_t n_routes;
    struct str *segments; /* "orders", "{id}", "{proxy+}" */
    size_t n_segments, n_params;
};
struct route_table {
    struct arena arena;
    struct map literal;             /* path -> target, for patterns without parameters */
    struct route_target **patterns; /* the others, most specific first */
    size_t n_patterns;
};
/* Of patterns: "{id}" and "{proxy+}" are parameters, the second a greedy one. */
bool segment_is_param(struct str segment);
bool segment_is_greedy(struct str segment);
struct str segment_param(struct str segment); /* "id" */
int table_build(struct route_table *t, const struct app *app, struct err *e);
/* The routes of one function alone. */
int table_build_of(struct route_table *t, const struct app *app, const struct function *f, struct err *e);
void table_free(struct route_table *t);

struct route_match {
    const struct route_target *target; /* NULL: no pattern fits the path */
    const struct function *function;   /* NULL: not with this method */
    const struct app_route *route;     /* of that function */
    struct str allow;                  /* when there is a target without function: the methods there are, "GET, HEAD" */
    struct str path;                   /* decoded */
    struct script_param *params;
    size_t n_params;
};
/* -1: the path has a bad escape, a NUL or invalid UTF-8. Memory comes from a. */
int table_match(const struct route_table *t, struct arena *a, struct str method, struct str path,
                struct route_match *ret, struct err *e);

#endif
