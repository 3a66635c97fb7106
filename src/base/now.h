/* now: the injectable clock. Wall time for data, expiry and signatures goes through a struct clock, which tests
 * move; deadlines use monotonic time, which nobody moves, unless the clock is simulated: then neither of them goes on
 * by itself, and both do by clock_pass, which a simulated loop calls instead of waiting (loop/loop.h). */
#ifndef PERIGEE_BASE_NOW_H
#define PERIGEE_BASE_NOW_H
#include "base/str.h"
#include <stdatomic.h>

struct clock {
    _Atomic int64_t offset_ms; /* added to the system's wall clock */
    _Atomic int64_t frozen_ms; /* when not 0: the time, standing still (offset_ms is still added) */
    _Atomic bool simulated;
    _Atomic uint64_t mono_ms; /* of a simulated clock; only ever grows */
};

int64_t clock_ms(const struct clock *c); /* Unix time in ms; c may be NULL: the system's clock */
/* What deadlines of a host are measured by: now_mono_ms, or the simulated time. c may be NULL. */
uint64_t clock_mono_ms(const struct clock *c);
/* From now on the time is unix_ms and stands still but for clock_pass. */
void clock_simulate(struct clock *c, int64_t unix_ms);
/* Simulated: so much time passes, for wall and monotonic time alike. */
void clock_pass(struct clock *c, uint64_t ms);
uint64_t now_mono_ns(void);
uint64_t now_mono_ms(void);
/* "2026-11-22T04:55:46.123Z" (24 characters + NUL). */
void now_iso(int64_t unix_ms, char out[25]);
/* "20261122T045546Z" (16 characters + NUL), as SigV4 wants it. */
void now_amz(int64_t unix_ms, char out[17]);
/* "Sun, 22 Nov 2026 04:55:46 GMT" (29 characters + NUL), RFC 9110 5.6.7. */
void now_http(int64_t unix_ms, char out[30]);
bool now_parse_amz(struct str s, int64_t *ret_unix_ms);
bool now_parse_iso(struct str s, int64_t *ret_unix_ms); /* RFC 3339, any offset, fraction optional */
bool now_parse_http(struct str s, int64_t *ret_unix_ms);

#endif
