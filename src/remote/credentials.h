/* credentials (private to remote/): the chain, its cache and its refreshing.
 *
 * Sources, in order: explicit; environment (unless a profile was named explicitly); profile (static keys, role_arn with
 * source_profile / credential_source / web_identity_token_file, SSO cached token, credential_process); web identity of
 * the environment; container; instance metadata (IMDSv2). Static keys cost no thread, no I/O. Everything else runs
 * synchronously on one thread of the store's own, started at first need: one fetch at a time (single flight).
 * Refreshing begins 5 minutes before expiry (with jitter); a refresh that fails keeps the old ones until they expire
 * and is tried again every 30 s. Secrets appear in no log, message or description. */
#ifndef PERIGEE_REMOTE_CREDENTIALS_H
#define PERIGEE_REMOTE_CREDENTIALS_H
#include "remote/settings.h"
#include "sign/sign.h"

/* One set, immutable, counted: id, key and token always belong together. */
struct credentials {
    _Atomic unsigned refs;
    struct arena arena;
    struct str access_key, secret_key, session_token, account; /* token and account may be empty */
    int64_t expires_ms;                                        /* Unix; 0: never */
    bool imds;         /* of the instance: goes on being used past its expiry while there are no others */
    struct str source; /* "environment", "profile dev: role arn:.. through profile base", "IMDSv2 role x", ... */
};
void credentials_ref(struct credentials *c);
void credentials_unref(struct credentials *c); /* NULL is fine; wipes the secret */
struct sign_credentials credentials_sign(const struct credentials *c);

struct credential_store;
int credential_store_open(struct settings *s, struct credential_store **ret, struct err *e);
void credential_store_close(struct credential_store *st); /* stops the thread; no waiter may be left */

struct credential_waiter {
    struct list node; /* private */
    struct loop *home;
    struct loop_task task;
    void (*fn)(void *ud); /* on home, once; then ask again */
    void *ud;
    bool waiting, posted; /* private */
};
/* The set in force (a reference for the caller). NULL with e->code == ERR_NONE: being fetched, w->fn will be called (w
 * may be NULL). NULL with an error: the chain failed (asked again at most once a second): CREDENTIALS with one line a
 * source. */
struct credentials *credentials_get(struct credential_store *st, struct credential_waiter *w, struct err *e);
/* fn will not be called, unless it was posted already: then the waiter must live until it was (returns false). */
bool credentials_forget(struct credential_store *st, struct credential_waiter *w);
/* Blocks. For start-up and tools. */
struct credentials *credentials_wait(struct credential_store *st, struct err *e);
/* The service said that this set has expired or is unknown: it is not given out again if the source can give another;
 * true when one is being fetched. */
bool credentials_refused(struct credential_store *st, const struct credentials *c);
/* The region of the instance, asked of IMDS (blocks; -1 when there is none). */
int credentials_imds_region(struct settings *s, struct arena *a, struct str *ret, struct err *e);
struct credential_stats {
    uint64_t fetches, failures;
    int64_t last_failure_ms; /* 0: none */
    char last_failure[1024];
};
void credentials_stats(struct credential_store *st, struct credential_stats *ret);

#endif
