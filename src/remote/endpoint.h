/* endpoint (private to remote/): where a call goes and what it is signed for. Pure function of settings. Source: AWS
 * General Reference "Service endpoints"; SDKs Reference Guide "Service-specific endpoints", "Dual-stack and FIPS
 * endpoints"; S3 User Guide "Virtual hosting of buckets". */
#ifndef PERIGEE_REMOTE_ENDPOINT_H
#define PERIGEE_REMOTE_ENDPOINT_H
#include "remote/settings.h"

struct endpoint {
    struct str base;     /* "https://bucket.s3.eu-west-1.amazonaws.com", "http://127.0.0.1:9000" */
    struct str host;     /* as in the Host header: lower case, without the scheme's own port */
    struct str path;     /* prefix of every path, no trailing '/': "" or "/prefix" or "/prefix/bucket" */
    struct str region;   /* to sign for */
    const char *signing; /* service to sign for */
    bool tls;
};
/* bucket: empty for other services. region: overrides that of the settings (redirects); empty: none. S3's own endpoints
 * take the bucket in the host when it is a label without dots, configured ones in the path, unless the addressing style
 * says otherwise. Errors: CONFIG (region, endpoint URL: naming its source), S3_BAD_NAME. */
int endpoint_resolve(const struct settings *s, enum aws_service service, struct str bucket, struct str region,
                     struct arena *a, struct endpoint *ret, struct err *e);
const char *endpoint_partition(struct str region); /* "aws", "aws-cn", "aws-us-gov", ...; "aws" of unknown regions */
bool endpoint_region_ok(struct str region);        /* a host label: cannot turn the host into another */

#endif
