/* retry (private to remote/): may a failed attempt be tried again, and when. Source: AWS SDKs and Tools Reference Guide
 * "Retry behavior" (standard and adaptive, the rules of 2026: notes in retry.c). No clock and no randomness of its own:
 * both are arguments. The quota is shared by all workers (thread-safe). */
#ifndef PERIGEE_REMOTE_RETRY_H
#define PERIGEE_REMOTE_RETRY_H
#include "remote/settings.h"
#include "remote/transport.h"

enum retry_class {
    RETRY_NO,
    RETRY_TRANSIENT,
    RETRY_THROTTLING,
    RETRY_CLOCK,       /* signed with a wrong clock: at once, with the corrected one */
    RETRY_CREDENTIALS, /* expired credentials: once, with fresh ones */
};
/* Why the attempt failed. skew_ms: against the clock that the attempt was signed with. failure: of the transport; err:
 * of the service or protocol (code ERR_NONE when the transport failed). skew_ms: the service's clock minus ours,
 * INT64_MIN: unknown. */
enum retry_class retry_classify(enum exchange_failure failure, const struct err *err, int64_t skew_ms);

struct retry_quota; /* token bucket of 500 and adaptive mode's send rate; one a service */
struct retry_quota *retry_quota_new(enum retry_mode mode, uint64_t now_ms);
void retry_quota_free(struct retry_quota *q);
/* Takes the cost of one more try; false when the bucket is empty. *ret_cost is given back by retry_succeeded. */
bool retry_take(struct retry_quota *q, enum retry_class class, unsigned *ret_cost);
void retry_succeeded(struct retry_quota *q, unsigned last_cost);
unsigned retry_tokens(const struct retry_quota *q);
/* Tries of one call in all: as configured, else 3, of DynamoDB 4. */
unsigned retry_max_attempts(const struct settings *s, enum aws_service service);
/* When the service asks to wait: ms, or -1. amz: x-amz-retry-after (ms); http: Retry-After (seconds or a date), which
 * counts with statuses 429 and 503. Nonsense and what is negative is ignored. */
int64_t retry_after_ms(struct str amz, struct str http, int status, int64_t now_unix_ms);
/* ms before attempt number `attempt` (2 is the first retry). after_ms: x-amz-retry-after or Retry-After in ms, -1:
 * none. random: uniform in [0, 1). */
uint64_t retry_delay_ms(enum aws_service service, enum retry_class class, unsigned attempt, int64_t after_ms,
                        double random);
/* Adaptive mode: ms to wait before asking again (0: go, a token was taken), and what came of a send. Times are
 * monotonic. */
uint64_t retry_send_wait_ms(struct retry_quota *q, uint64_t now_ms);
void retry_sent(struct retry_quota *q, bool throttled, uint64_t now_ms);
double retry_send_rate(struct retry_quota *q); /* sends a second; 0: not limited */

#endif
