/* lease (private to in/): which replica runs an occurrence of a schedule, decided by a conditional write.
 *
 * One item a schedule: {<key>: "perigee#schedule#<scope>#<schedule>", due, running_until (0: ended), owner, <ttl>};
 * times in Unix ms, the TTL attribute in seconds. An occurrence belongs to whoever moved `due` to it first, and is not
 * given out while an earlier one may still run. */
#ifndef PERIGEE_IN_LEASE_H
#define PERIGEE_IN_LEASE_H
#include "in/in.h"

struct lease_occurrence {
    struct str schedule;
    int64_t due_ms, now_ms, until_ms; /* until_ms: when a run that nobody ends counts as ended */
};
/* The calls that take and end an occurrence; the caller starts and frees them. */
struct aws_call *lease_take(const struct clock_lease *l, const struct lease_occurrence *o);
struct aws_call *lease_end(const struct clock_lease *l, const struct lease_occurrence *o);

enum lease_answer {
    LEASE_TAKEN,
    LEASE_ELSEWHERE, /* another replica has it, or runs the one before */
    LEASE_UNKNOWN,   /* the call failed: ask again */
};
/* What a call of lease_take brought. A write of ours whose answer was lost, and which was tried again, is ours. */
enum lease_answer lease_taken(const struct clock_lease *l, const struct lease_occurrence *o, const struct aws_call *c);

#endif
