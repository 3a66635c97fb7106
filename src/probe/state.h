/* probe's own: what its files share.
 *
 *   probe.c     the backend: a call's way through, listeners, order
 *   fault.c     which call is struck by what
 *   cost.c      what a call is billed as
 *   resource.c  what a call is about
 *
 * A call:  WAITING (for its turn, when shuffled) -> INSIDE the inner backend -> [AGAIN: its messages are made visible]
 *          -> OVER, and its caller is told; or HELD: nobody will be told until it is given up.
 * Each record lives in the call's arena; freeing the call, whoever does it, takes it out of all lists. */
#ifndef PERIGEE_PROBE_STATE_H
#define PERIGEE_PROBE_STATE_H
#include "probe/probe.h"

struct strike {
    const char *name; /* of the kind; NULL: none */
    enum probe_fault_kind kind;
    struct err *err; /* of REFUSED and LOST; in the call's arena */
};

struct passing {
    struct list node; /* in probe.passing, or .waiting */
    struct probe *p;  /* NULL: closed before the inner backend was through */
    struct aws_call *call;
    void (*done)(struct aws_call *c, void *ud); /* the caller's */
    void *ud;
    enum { WAITING, INSIDE, AGAIN, HELD, OVER } where;
    bool told; /* the listeners were */
    struct strike strike;
    struct aws_call *again;
    struct loop_timer give_up;
    uint64_t epoch; /* of probe_mark */
    uint32_t asked; /* private to cost.c */
    struct probe_call seen;
};

struct listener {
    probe_seen_fn *fn;
    void *ud;
};

struct probe {
    struct aws_backend backend;
    struct probe_config cfg;
    bool busy; /* something is asked of it: else calls go straight on */
    bool dead, counting, price;
    struct list passing, waiting;
    struct listener listeners[PROBE_LISTENERS];
    size_t n_listeners;
    void (*before)(void *ud, const struct aws_call *c);
    void *before_ud;
    uint64_t epoch, count;
    struct probe_cost total;
    struct list faults;
    uint64_t last_fault;
    uint64_t seed, random; /* seed 0: in order */
    struct loop_task pump;
};

void probe_look_busy(struct probe *p);

/* Which fault strikes a call that is about to leave; *ret->name NULL: none. */
void fault_find(struct probe *p, struct passing *x, struct strike *ret);
/* The same for a receive that has come back with messages. */
bool fault_twice(struct probe *p, struct passing *x);

/* Before and after the inner backend; cost_take fills x->seen.cost. */
void cost_ask(struct passing *x);
void cost_take(struct passing *x);

bool resource_is(const struct aws_call *c, struct str name);

#endif
