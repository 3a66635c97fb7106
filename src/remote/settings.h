/* settings (private to remote/): everything that is configured, settled once at remote_open: explicit, else
 * environment, else profile, else default. Immutable afterwards, but region when only instance metadata knows it. */
#ifndef PERIGEE_REMOTE_SETTINGS_H
#define PERIGEE_REMOTE_SETTINGS_H
#include "remote/profile.h"
#include "remote/remote.h"
#include "remote/transport.h"

enum retry_mode { RETRY_STANDARD, RETRY_ADAPTIVE };
enum checksum_mode { CHECKSUM_WHEN_SUPPORTED, CHECKSUM_WHEN_REQUIRED };
enum s3_addressing { S3_ADDRESSING_AUTO, S3_ADDRESSING_PATH, S3_ADDRESSING_VIRTUAL };

struct settings {
    struct arena arena;
    struct remote_env env;
    struct clock *clock;   /* of credentials' expiry; NULL: the system's */
    const struct log *log; /* NULL: none */
    struct profiles profiles;
    struct str profile;         /* name; "default" when none was named */
    const char *profile_source; /* "--profile", "AWS_PROFILE", "default" */
    bool profile_explicit;      /* by configuration, not by AWS_PROFILE: then keys of the environment are not used */
    struct str region;          /* empty: instance metadata must be asked */
    const char *region_source;  /* "AWS_REGION", "profile x (file:line)", ... */
    struct settings_endpoint {
        struct str url;     /* without a trailing '/'; empty: the service's own */
        const char *source; /* "--endpoint-url", "AWS_ENDPOINT_URL_S3", "profile x (file:line)"; NULL: none */
    } endpoints[AWS_SERVICES], sso_endpoint;
    bool dualstack, fips;
    enum s3_addressing s3_addressing;
    enum retry_mode retry_mode;
    unsigned max_attempts; /* 0: the mode's own: 3, of DynamoDB 4 */
    enum checksum_mode request_checksum, response_checksum;
    struct proxies proxies;
    const char *ca_bundle, *app_id;                      /* NULL: none */
    const char *access_key, *secret_key, *session_token; /* explicit ones; NULL: none */
    bool imds_disabled;
    struct str imds_endpoint; /* "http://169.254.169.254" */
    uint64_t imds_timeout_ms; /* 1000 */
    unsigned imds_attempts;   /* 1 */
};
int settings_read(const struct remote_config *c, struct settings *ret, struct err *e);
void settings_free(struct settings *s);
/* The variable's value; NULL when unset or blank. */
const char *settings_env(const struct settings *s, const char *name);
/* The profile in use; NULL when there is none of that name. */
const struct profile_section *settings_profile(const struct settings *s);
/* "profile x (file:line)" of a property. */
const char *settings_where(struct arena *a, const struct profile_section *section, const struct profile_property *p);

#endif
