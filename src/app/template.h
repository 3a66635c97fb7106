/* template: what the files of app/ share: the document being read, its problems, values with every intrinsic resolved.
 */
#ifndef PERIGEE_APP_TEMPLATE_H
#define PERIGEE_APP_TEMPLATE_H
#include "app/app.h"
#include "base/yaml.h"

enum template_kind {
    KIND_FUNCTION,
    KIND_API,
    KIND_HTTP_API,
    KIND_SIMPLE_TABLE,
    KIND_TABLE,
    KIND_QUEUE,
    KIND_BUCKET,
    KIND_IDENTITY,
    KIND_ROLE,
    KIND_POLICY,
    KIND_MANAGED_POLICY,
    /* What matters in the cloud only: */
    KIND_TOPIC,
    KIND_OTHER
};

struct template_type {
    const char *type;
    enum template_kind kind;
    const char *name_property; /* NULL: the logical id is the name */
    const char *used;          /* properties that are read, separated by spaces */
    const char *cloud;         /* properties that only matter in the cloud: accepted */
};

struct template_problem {
    struct str text;
    int line;
};

struct template {
    struct app *app;
    struct arena *a; /* the app's: everything read lives there */
    struct arena *problems_arena;
    const struct app_options *o;
    const struct yaml *root, *parameters, *conditions, *mappings, *resources, *globals;
    struct str handlers; /* Metadata.Perigee.Handlers as a path; p NULL: none */
    struct template_problem *problems;
    size_t n_problems, cap_problems;
    int depth; /* of references being followed: a circle never ends */
};

/* Notes "file:line: where: sentence" once. */
void template_problem(struct template *t, int line, struct str where, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* ---- resolve.c ---- */
/* A copy without intrinsics and with lines kept; NULL for AWS::NoValue. What cannot be resolved is noted and becomes a
 * node that template_broken knows: readers take it without a further word. */
struct yaml *template_resolve(struct template *t, const struct yaml *v, struct str where);
bool template_broken(const struct yaml *v);
bool template_condition(struct template *t, struct str name, int line, struct str where);
struct yaml *template_scalar(struct template *t, int line, struct str text);
struct yaml *template_list(struct template *t, int line, struct str text, struct str separator);
/* The name of a short or long form intrinsic ("Ref", "Fn::Sub"), *ret_arg its argument; STR_NONE for plain values. */
struct str template_intrinsic(struct template *t, const struct yaml *v, const struct yaml **ret_arg);

/* ---- parameters.c ---- */
void template_check_parameters(struct template *t);
/* NULL when there is no such parameter. */
struct yaml *template_parameter(struct template *t, struct str name, int line);

/* ---- resources.c ---- */
const struct template_type *template_type(const struct yaml *resource);
/* Its condition, if any, holds. */
bool template_included(struct template *t, const struct yaml *resource, struct str logical_id);
struct str template_name(struct template *t, struct str logical_id);
struct str template_arn(struct template *t, struct str logical_id);
const char *template_partition(const struct template *t);
/* The names that the user gave (app_options.names). */
void template_check_names(struct template *t);
/* What Ref and Fn::GetAtt give; broken (and noted) when there is no such thing. */
struct yaml *template_ref(struct template *t, struct str name, int line, struct str where);
struct yaml *template_attribute(struct template *t, struct str name, struct str attribute, int line, struct str where);
/* Type, attributes and property names of each resource. */
void template_check_resources(struct template *t);
/* Resolved properties of a resource, Globals merged in. Never NULL. */
struct yaml *template_properties(struct template *t, struct str logical_id, struct str *ret_where);

/* ---- functions.c ---- */
/* The path of a directory that the template names relative to its own. It is noted when there is none. */
struct str template_dir(struct template *t, struct str uri, int line, struct str where);

/* ---- manifest.c ---- */
/* "path/orders.create" -> "path/orders", "create"; views, empty where there is no such part. */
void template_split_handler(struct str handler, struct str *ret_module, struct str *ret_field);

/* ---- values.c: reading resolved maps. A missing value leaves *ret as it is; a wrong one is noted and leaves it too.
 * ---- */
struct str template_path(struct template *t, struct str where, const char *key);
/* Notes every key that is in none of the lists (names separated by spaces; may be NULL). */
void template_check_keys(struct template *t, const struct yaml *map, struct str where, const char *used,
                         const char *cloud);
const struct yaml *template_map(struct template *t, const struct yaml *map, const char *key, struct str where);
const struct yaml *template_seq(struct template *t, const struct yaml *map, const char *key, struct str where);
bool template_text(struct template *t, const struct yaml *map, const char *key, struct str where, struct str *ret);
bool template_int(struct template *t, const struct yaml *map, const char *key, struct str where, int64_t min,
                  int64_t max, int64_t *ret);
bool template_bool(struct template *t, const struct yaml *map, const char *key, struct str where, bool *ret);
/* A scalar or a list of scalars; -1 when it is something else. */
int template_texts(struct template *t, const struct yaml *v, struct str where, struct str **ret, size_t *ret_n);
bool template_word(const char *list, struct str word);
/* Room for one more element in an arena array. */
void *template_grow(struct arena *a, void *p, size_t n, size_t *cap, size_t size);

/* ---- the stations of app_load ---- */
void template_read_stores(struct template *t);    /* stores.c: tables, queues, buckets, identities */
void template_read_functions(struct template *t); /* functions.c: functions and their events */
void template_read_policy(struct template *t, const struct yaml *props, struct str where, bool has_queue,
                          struct policy *ret); /* policies.c */
/* actions.c */
void template_check_action(struct template *t, int line, struct str where, struct str action);
struct near { /* the candidate that is least unlike `word`; best.p NULL: none is like it */
    struct str word, best;
    size_t distance;
};
void near_try(struct near *n, struct str candidate);
void template_read_cors(struct template *t); /* cors.c */
/* events.c: one event of a function. */
struct template_events {
    struct app_route *routes;
    struct app_feed *feeds;
    struct app_schedule *schedules;
    size_t n_routes, cap_routes, n_feeds, cap_feeds, n_schedules, cap_schedules;
};
void template_read_url(struct template *t, const struct yaml *props, struct str where, struct function *f);
void template_read_event(struct template *t, const struct function *f, struct str id, const struct yaml *event,
                         struct str where, struct template_events *out);

#endif
