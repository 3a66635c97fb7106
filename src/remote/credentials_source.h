/* credentials_source (private to credentials*.c): the sources of the chain. Each blocks; all run on one thread at a
 * time and stop soon once *stop is set. Texts they give (errors, names of sources) hold no secret. */
#ifndef PERIGEE_REMOTE_CREDENTIALS_SOURCE_H
#define PERIGEE_REMOTE_CREDENTIALS_SOURCE_H
#include "remote/credentials.h"
#include "remote/transport.h"

struct chain;

/* What a source gives. The strings belong to the draft: draft_wipe overwrites them. */
struct credential_draft {
    struct str access_key, secret_key, session_token, account;
    int64_t expires_ms; /* 0: never */
    struct str source;
    bool imds;
};
void draft_wipe(struct credential_draft *d);
/* Refuses missing keys, bytes that cannot stand in a header and, but for IMDS, what has expired. */
int draft_check(const struct credential_draft *d, int64_t now_ms, struct err *e);
/* A draft of its own of views into something that will go. */
struct credential_draft draft_copy(struct arena *a, const struct credential_draft *d);
/* {"AccessKeyId":..,"SecretAccessKey":..,<token_name>:..,"Expiration":..,"AccountId":..}, checked. */
int draft_json(struct chain *c, struct str text, const char *token_name, bool imds, struct credential_draft *ret,
               struct err *e);

/* The environment's variables, read once. */
#define CREDENTIAL_VARIABLES                                                                                           \
    X(AWS_ACCESS_KEY_ID)                                                                                               \
    X(AWS_SECRET_ACCESS_KEY)                                                                                           \
    X(AWS_SESSION_TOKEN)                                                                                               \
    X(AWS_ACCOUNT_ID)                                                                                                  \
    X(AWS_WEB_IDENTITY_TOKEN_FILE)                                                                                     \
    X(AWS_ROLE_ARN)                                                                                                    \
    X(AWS_ROLE_SESSION_NAME)                                                                                           \
    X(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI)                                                                          \
    X(AWS_CONTAINER_CREDENTIALS_FULL_URI)                                                                              \
    X(AWS_CONTAINER_AUTHORIZATION_TOKEN)                                                                               \
    X(AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE)                                                                          \
    X(HOME)
struct credential_env {
#define X(name) struct str name; /* empty: unset or blank */
    CREDENTIAL_VARIABLES
#undef X
};
void credential_env_read(const struct settings *s, struct arena *a, struct credential_env *ret);
void credential_env_wipe(struct credential_env *env);

struct chain {
    const struct settings *settings;
    const struct credential_env *env;
    const _Atomic bool *stop;
    struct arena *arena; /* of this run */
};
enum credential_found {
    CREDENTIAL_FOUND,
    CREDENTIAL_ABSENT, /* not configured: e says what is missing, the next source is asked */
    CREDENTIAL_FAILED, /* configured but it does not work: no other source may step in */
};
enum credential_found credential_failed(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
enum credential_found credential_absent(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The whole chain; -1 with CREDENTIALS and a line for each source asked. */
int chain_run(struct chain *c, struct credential_draft *ret, struct err *e);
/* Only what needs no I/O: explicit, environment, static keys of the profile. False: chain_run must be asked. */
bool chain_static(struct chain *c, struct credential_draft *ret);

enum credential_found credentials_from_environment(struct chain *c, struct credential_draft *ret, struct err *e);
enum credential_found credentials_from_profile(struct chain *c, struct credential_draft *ret, struct err *e);
enum credential_found credentials_from_web_identity(struct chain *c, struct credential_draft *ret, struct err *e);
enum credential_found credentials_from_container(struct chain *c, struct credential_draft *ret, struct err *e);
enum credential_found credentials_from_imds(struct chain *c, struct credential_draft *ret, struct err *e);
/* The parts of profiles. p is a profile that has the source's key. */
bool profile_static(const struct profile_section *p);
enum credential_found credentials_from_process(struct chain *c, const struct profile_section *p,
                                               struct credential_draft *ret, struct err *e);
enum credential_found credentials_from_sso(struct chain *c, const struct profile_section *p,
                                           struct credential_draft *ret, struct err *e);

/* AssumeRole, signed by `by`, or AssumeRoleWithWebIdentity with the token in web_token_file. */
struct role_request {
    struct str role_arn, session_name, external_id; /* session_name empty: made */
    int64_t duration_s;                             /* 0: the role's own */
    const struct credential_draft *by;              /* NULL: web identity */
    const char *web_token_file;
};
int sts_assume(struct chain *c, const struct role_request *r, struct credential_draft *ret, struct err *e);

/* The region of the instance. */
int chain_imds_region(struct chain *c, struct str *ret, struct err *e);

/* An HTTP exchange with retries of what may pass: failures of the transport, 429, 5xx. 0 with any other status. */
struct chain_request {
    struct str method, url, body;
    const struct http_header *headers;
    size_t n_headers;
    uint64_t timeout_ms; /* an attempt */
    unsigned attempts;
    bool direct; /* past any proxy */
};
int chain_http(struct chain *c, const struct chain_request *r, struct exchange *ret, struct err *e);
void chain_http_free(struct exchange *x); /* wipes the body */
bool chain_stopped(const struct chain *c);
bool chain_pause(struct chain *c, uint64_t ms); /* false: stopped */
/* What another wrote, for a message: printable, at most 200 bytes. */
struct str chain_quote(struct arena *a, struct str s);
/* The file's text without white space around it; a NUL byte, CR or LF inside is refused. */
int chain_token_file(struct chain *c, const char *path, struct str *ret, struct err *e);

#endif
