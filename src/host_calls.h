/* host_calls (private to host_probe.c, host_cost.c): what an embedded host's worker keeps of its calls and jobs since
 * the last mark. */
#ifndef PERIGEE_HOST_CALLS_H
#define PERIGEE_HOST_CALLS_H
#include "host.h"

enum keep { KEEP_NAMES, KEEP_ALL, KEEP_NOTHING };

struct kept {
    uint64_t n, begun;
    const char *service, *action, *fault;
    struct str function, resource, request_id, correlation_id, code, message;
    int status;
    struct json params, result; /* of KEEP_ALL, else JSON_NULL */
    struct str body, result_body;
    bool effect, empty, write;
    int64_t began_ms, ended_ms;
    struct probe_cost cost;
};

/* The runs of one function. A run lasts as long as it really took, and what it waited in simulated time; each is billed
 * in whole milliseconds, as AWS Lambda does, without initialisation. */
struct bill {
    const struct function *function;
    uint64_t runs, billed_ms;
    double ms, gb_ms; /* GB-ms: billed milliseconds times MemorySize in GB */
};

struct calls {
    struct worker *worker;
    enum keep keep;
    struct arena arena; /* all that is kept; reset by a mark */
    struct kept **list; /* malloc'd; by n */
    size_t n, cap;
    uint64_t writes;
    bool over;          /* there were more than are kept */
    struct bill *bills; /* malloc'd; one a function, by its index */
    struct running *running;
    size_t n_running, running_cap;
    struct script_observer observer;
};

/* From now on; they are w->calls, which host_probe_close closes. */
int host_calls_open(struct worker *w, struct err *e);
void host_calls_close(struct worker *w);
void host_calls_forget(struct calls *l);
struct bill host_calls_bill(const struct calls *l); /* of all functions */

#endif
