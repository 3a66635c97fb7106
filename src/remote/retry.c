/* Source: AWS SDKs and Tools Reference Guide, "Retry behavior" with the rules of 2026:
 *   attempts in all            3; DynamoDB 4
 *   wait before attempt n + 1  random * min(base * 2^(n-1), 20 s); base 50 ms, DynamoDB 25 ms, throttling 1 s
 *   x-amz-retry-after          clamped to [that wait, that wait + 5 s]
 *   quota                      500 tokens; a retry costs 14, after throttling 5; a success gives back what its last
 *                              retry took, or 1
 * Adaptive mode: a token bucket over sends, whose rate follows CUBIC (RFC 8312, beta 0.7, C 0.4) once something was
 * throttled, never above twice the rate measured. */
#include "remote/retry.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* == classes ========================================================================================================
 */

static bool listed(const char *name, const char *const *list) {
    for (; *list; list++)
        if (!strcmp(name, *list)) return true;
    return false;
}

static enum retry_class classify_failure(enum exchange_failure f) {
    switch (f) {
    case EXCHANGE_DNS:
    case EXCHANGE_CONNECT:
    case EXCHANGE_TLS:
    case EXCHANGE_RESET:
    case EXCHANGE_TIMEOUT:
        return RETRY_TRANSIENT;
    case EXCHANGE_OK:
    case EXCHANGE_BAD_URL:
    case EXCHANGE_TOO_LARGE:
    case EXCHANGE_SOURCE:
    case EXCHANGE_SINK:
        break;
    }
    return RETRY_NO;
}

#define SKEW_MAX_MS (4 * 60 * 1000)

static bool is_skewed(int64_t skew_ms) {
    return skew_ms != INT64_MIN && (skew_ms > SKEW_MAX_MS || skew_ms < -SKEW_MAX_MS);
}

static enum retry_class classify_service(const char *name, int status, int64_t skew_ms) {
    static const char *const throttling[] = {"Throttling",
                                             "ThrottlingException",
                                             "ThrottledException",
                                             "RequestThrottledException",
                                             "TooManyRequestsException",
                                             "ProvisionedThroughputExceededException",
                                             "TransactionInProgressException",
                                             "RequestLimitExceeded",
                                             "BandwidthLimitExceeded",
                                             "LimitExceededException",
                                             "RequestThrottled",
                                             "SlowDown",
                                             "PriorRequestNotComplete",
                                             "EC2ThrottledException",
                                             NULL};
    static const char *const transient[] = {
        "RequestTimeout",  "RequestTimeoutException", "InternalError",         "InternalServerError",
        "InternalFailure", "ServiceUnavailable",      "IDPCommunicationError", NULL};
    static const char *const clock[] = {"InvalidSignatureException",
                                        "SignatureDoesNotMatch",
                                        "AuthFailure",
                                        "RequestTimeTooSkewed",
                                        "AccessDeniedException",
                                        "AccessDenied", /* of HEAD requests to S3, whose answers name nothing */
                                        NULL};
    static const char *const credentials[] = {"ExpiredToken",
                                              "ExpiredTokenException",
                                              "InvalidToken",
                                              "UnrecognizedClientException",
                                              "InvalidClientTokenId",
                                              "InvalidAccessKeyId",
                                              NULL};
    if (listed(name, throttling)) return RETRY_THROTTLING;
    if (listed(name, credentials)) return RETRY_CREDENTIALS;
    if (listed(name, clock) && is_skewed(skew_ms)) return RETRY_CLOCK;
    if (listed(name, transient) || status == 500 || status == 502 || status == 503 || status == 504)
        return RETRY_TRANSIENT;
    return status == 429 ? RETRY_THROTTLING : RETRY_NO;
}

enum retry_class retry_classify(enum exchange_failure failure, const struct err *err, int64_t skew_ms) {
    if (failure != EXCHANGE_OK) return classify_failure(failure);
    if (err->code == ERR_NONE) return RETRY_NO;
    if (!err->name[0]) return err->code == ERR_BAD_ANSWER ? RETRY_TRANSIENT : RETRY_NO;
    return classify_service(err->name, err->status, skew_ms);
}

/* == waits ==========================================================================================================
 */

unsigned retry_max_attempts(const struct settings *s, enum aws_service service) {
    if (s->max_attempts) return s->max_attempts;
    return service == AWS_DYNAMODB ? 4 : 3;
}

int64_t retry_after_ms(struct str amz, struct str http, int status, int64_t now_unix_ms) {
    int64_t v;
    if (str_i64(amz, &v) && v >= 0) return v;
    if (status != 429 && status != 503) return -1;
    if (str_i64(http, &v)) return v >= 0 && v <= INT64_MAX / 1000 ? v * 1000 : -1;
    return now_parse_http(http, &v) && v >= now_unix_ms ? v - now_unix_ms : -1;
}

uint64_t retry_delay_ms(enum aws_service service, enum retry_class class, unsigned attempt, int64_t after_ms,
                        double random) {
    const double max_ms = 20000, more_ms = 5000;
    if (class == RETRY_CLOCK || class == RETRY_CREDENTIALS) return 0;
    double base = class == RETRY_THROTTLING ? 1000 : service == AWS_DYNAMODB ? 25 : 50;
    double t = random * fmin(ldexp(base, attempt < 34 ? (int)attempt - 2 : 32), max_ms);
    if (after_ms >= 0) t = fmax(t, fmin((double)after_ms, t + more_ms));
    return (uint64_t)llround(t);
}

/* == the quota ======================================================================================================
 */

enum { QUOTA = 500, COST = 14, COST_THROTTLING = 5 };

#define CUBIC_BETA 0.7
#define CUBIC_SCALE 0.4
#define RATE_SMOOTHING 0.8
#define RATE_BUCKET_S 0.5
#define RATE_MIN 0.5
#define RATE_OVER_MEASURED 2.0

/* Adaptive mode; times in seconds. */
struct pace {
    bool enabled;                   /* something was throttled once */
    double rate, capacity, tokens;  /* of sends: a second, at most, now */
    double refilled;                /* when */
    double w_max, k, last_throttle; /* CUBIC */
    double measured, bucket;        /* rate, and start of the present bucket */
    double count;                   /* in that bucket */
};
struct retry_quota {
    _Atomic unsigned tokens;
    bool adaptive;
    pthread_mutex_t lock; /* of pace */
    struct pace pace;
};

struct retry_quota *retry_quota_new(enum retry_mode mode, uint64_t now_ms) {
    struct retry_quota *q = calloc(1, sizeof *q);
    if (!q || pthread_mutex_init(&q->lock, NULL)) fatal("out of memory");
    double now = (double)now_ms / 1000;
    atomic_init(&q->tokens, QUOTA);
    q->adaptive = mode == RETRY_ADAPTIVE;
    q->pace = (struct pace){.rate = 1, .capacity = 1, .refilled = now, .last_throttle = now, .bucket = floor(now)};
    return q;
}

void retry_quota_free(struct retry_quota *q) {
    if (!q) return;
    pthread_mutex_destroy(&q->lock);
    free(q);
}

bool retry_take(struct retry_quota *q, enum retry_class class, unsigned *ret_cost) {
    unsigned cost = class == RETRY_THROTTLING ? COST_THROTTLING : COST, have = atomic_load(&q->tokens);
    do {
        if (have < cost) return false;
    } while (!atomic_compare_exchange_weak(&q->tokens, &have, have - cost));
    *ret_cost = cost;
    return true;
}

void retry_succeeded(struct retry_quota *q, unsigned last_cost) {
    unsigned have = atomic_load(&q->tokens), more = last_cost ? last_cost : 1, sum;
    do {
        if (have == QUOTA) return;
        sum = have + more < QUOTA ? have + more : QUOTA;
    } while (!atomic_compare_exchange_weak(&q->tokens, &have, sum));
}

unsigned retry_tokens(const struct retry_quota *q) {
    return atomic_load(&q->tokens);
}

/* == adaptive mode ==================================================================================================
 */

static void refill(struct pace *p, double now) {
    if (now <= p->refilled) return; /* another loop's clock is ahead */
    p->tokens = fmin(p->capacity, p->tokens + (now - p->refilled) * p->rate);
    p->refilled = now;
}

static void set_rate(struct pace *p, double rate, double now) {
    refill(p, now);
    p->rate = fmax(rate, RATE_MIN);
    p->capacity = fmax(rate, 1);
    p->tokens = fmin(p->tokens, p->capacity);
}

static double measure(struct pace *p, double now) {
    double bucket = floor(now / RATE_BUCKET_S) * RATE_BUCKET_S;
    p->count++;
    if (bucket > p->bucket) {
        p->measured = p->count / (bucket - p->bucket) * RATE_SMOOTHING + p->measured * (1 - RATE_SMOOTHING);
        p->count = 0;
        p->bucket = bucket;
    }
    return p->measured;
}

static double cubic_throttled(struct pace *p, double rate, double now) {
    p->w_max = rate;
    p->k = cbrt(rate * (1 - CUBIC_BETA) / CUBIC_SCALE);
    p->last_throttle = now;
    return rate * CUBIC_BETA;
}

static double cubic_succeeded(const struct pace *p, double now) {
    return CUBIC_SCALE * pow(now - p->last_throttle - p->k, 3) + p->w_max;
}

uint64_t retry_send_wait_ms(struct retry_quota *q, uint64_t now_ms) {
    uint64_t wait = 0;
    if (!q->adaptive) return 0;
    pthread_mutex_lock(&q->lock);
    struct pace *p = &q->pace;
    if (p->enabled) {
        refill(p, (double)now_ms / 1000);
        if (p->tokens >= 1)
            p->tokens--;
        else
            wait = (uint64_t)ceil((1 - p->tokens) / p->rate * 1000);
        if (wait > 1000) wait = 1000; /* the rate may have risen by then */
    }
    pthread_mutex_unlock(&q->lock);
    return wait;
}

void retry_sent(struct retry_quota *q, bool throttled, uint64_t now_ms) {
    double now = (double)now_ms / 1000, rate;
    if (!q->adaptive) return;
    pthread_mutex_lock(&q->lock);
    struct pace *p = &q->pace;
    double measured = measure(p, now);
    if (throttled) {
        rate = cubic_throttled(p, p->enabled ? fmin(measured, p->rate) : measured, now);
        p->enabled = true;
    } else {
        rate = cubic_succeeded(p, now);
    }
    set_rate(p, fmin(rate, RATE_OVER_MEASURED * measured), now);
    pthread_mutex_unlock(&q->lock);
}

double retry_send_rate(struct retry_quota *q) {
    pthread_mutex_lock(&q->lock);
    double rate = q->pace.enabled ? q->pace.rate : 0;
    pthread_mutex_unlock(&q->lock);
    return rate;
}
