#include "remote/endpoint.h"
#include "base/url.h"
#include <string.h>

/* == regions and partitions =========================================================================================
 */

static const struct partition {
    const char *prefixes[10]; /* of its regions' names */
    const char *name, *suffix, *dual_suffix;
    const char *iam_region; /* where IAM is, and what calls to it are signed for */
} partitions[] = {
    {{"us-gov-"}, "aws-us-gov", "amazonaws.com", "api.aws", "us-gov-west-1"},
    {{"us-iso-"}, "aws-iso", "c2s.ic.gov", "api.aws.ic.gov", "us-iso-east-1"},
    {{"us-isob-"}, "aws-iso-b", "sc2s.sgov.gov", "api.aws.scloud", "us-isob-east-1"},
    {{"eu-isoe-"}, "aws-iso-e", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {{"us-isof-"}, "aws-iso-f", "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-south-1"},
    {{"eusc-"}, "aws-eusc", "amazonaws.eu", "api.amazonwebservices.eu", "eusc-de-east-1"},
    {{"cn-"}, "aws-cn", "amazonaws.com.cn", "api.amazonwebservices.com.cn", "cn-north-1"},
    {{"us-", "eu-", "ap-", "sa-", "ca-", "me-", "af-", "il-", "mx-"}, "aws", "amazonaws.com", "api.aws", "us-east-1"},
};

static bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool endpoint_region_ok(struct str r) {
    if (!r.n || r.n > 63) return false;
    for (size_t i = 0; i < r.n; i++)
        if (!is_alnum(r.p[i]) && (r.p[i] != '-' || i == 0 || i + 1 == r.n)) return false;
    return true;
}

/* "eu-west-1": letters and digits, '-', ..., a number. */
static const struct partition *find_partition(struct str region) {
    size_t digits = 0;
    while (digits < region.n && region.p[region.n - 1 - digits] >= '0' && region.p[region.n - 1 - digits] <= '9')
        digits++;
    if (!digits || digits == region.n || region.p[region.n - 1 - digits] != '-') return NULL;
    for (size_t i = 0; i < sizeof partitions / sizeof *partitions; i++)
        for (const char *const *prefix = partitions[i].prefixes; *prefix; prefix++)
            if (str_starts(region, str_c(*prefix))) return &partitions[i];
    return NULL;
}

const char *endpoint_partition(struct str region) {
    const struct partition *p = find_partition(region);
    return p ? p->name : "aws";
}

static int check_region(struct str region, struct err *e) {
    if (!region.n)
        return err_set(e, ERR_CONFIG,
                       "no region is set: set AWS_REGION or AWS_DEFAULT_REGION, or `region` in the profile");
    if (!endpoint_region_ok(region))
        return err_set(e, ERR_CONFIG, "\"%.*s\" is no region: it may hold letters, digits and inner hyphens only",
                       STR_ARG(str_take(region, 80)));
    return 0;
}

/* == buckets ========================================================================================================
 */

/* S3 User Guide, "General purpose bucket naming rules", with those of old buckets in us-east-1. */
static bool is_bucket(struct str b) {
    if (b.n < 3 || b.n > 255) return false;
    for (size_t i = 0; i < b.n; i++)
        if (!is_alnum(b.p[i]) && b.p[i] != '-' && b.p[i] != '_' && (b.p[i] != '.' || i == 0 || b.p[i - 1] == '.'))
            return false;
    return true;
}

/* One label of a host name, which a certificate for *.s3... covers. */
static bool is_label(struct str b) {
    if (b.n > 63 || b.p[0] == '-' || b.p[b.n - 1] == '-') return false;
    for (size_t i = 0; i < b.n; i++)
        if (!is_alnum(b.p[i]) && b.p[i] != '-')
            return false;
        else if (b.p[i] >= 'A' && b.p[i] <= 'Z')
            return false;
    return true;
}

static int check_bucket(struct str b, struct err *e) {
    if (!b.n || is_bucket(b)) return 0;
    return err_set(e, ERR_S3_BAD_NAME,
                   "The specified bucket is not valid: \"%.*s\" must be 3 to 63 lower-case letters, digits, dots and "
                   "hyphens, and begin and end with a letter or digit",
                   STR_ARG(str_take(b, 80)));
}

/* Other services' endpoints than AWS's rarely have a name a bucket: there path style is the rule, virtual hosts when
 * asked for. */
static bool wants_virtual(const struct settings *s, struct str bucket, bool overridden, bool numeric) {
    if (!bucket.n || !is_label(bucket) || numeric || s->s3_addressing == S3_ADDRESSING_PATH) return false;
    return !overridden || s->s3_addressing == S3_ADDRESSING_VIRTUAL;
}

/* == AWS's own names ================================================================================================
 */

/* GovCloud's plain endpoints of most services are FIPS endpoints already. */
static bool gov_is_fips(enum aws_service service, struct str region, bool dualstack) {
    switch (service) {
    case AWS_S3:
    case AWS_SES:
    case AWS_KMS:
    case AWS_SECRETSMANAGER:
        return false;
    case AWS_CLOUDWATCH:
    case AWS_EVENTS:
        return true;
    case AWS_STATES:
        return !dualstack && str_is(region, "us-gov-west-1");
    default:
        return !dualstack;
    }
}

/* Secrets Manager's plain endpoints are dual-stack there. */
static bool plain_is_dual(const struct partition *p, bool fips) {
    return !strcmp(p->name, "aws") || !strcmp(p->name, "aws-us-gov") || (!strcmp(p->name, "aws-cn") && !fips);
}

static struct str iam_host(const struct settings *s, const struct partition *p, struct arena *a, struct err *e) {
    const char *fips = s->fips ? "-fips" : "";
    if (!strcmp(p->name, "aws"))
        return arena_printf(a, "iam%s.%s%s", fips, s->dualstack ? "global." : "",
                            s->dualstack ? p->dual_suffix : p->suffix);
    if (!strcmp(p->name, "aws-us-gov"))
        return arena_printf(a, "iam.us-gov.%s", s->dualstack ? p->dual_suffix : p->suffix);
    if (!s->fips && !s->dualstack) return arena_printf(a, "iam.%s.%s", p->iam_region, p->suffix);
    err_set(e, ERR_CONFIG,
            "the dual-stack and FIPS endpoints of IAM in partition %s are not known here: set AWS_ENDPOINT_URL_IAM",
            p->name);
    return STR_NONE;
}

static struct str s3_host(const struct settings *s, const struct partition *p, struct str region, struct arena *a,
                          struct err *e) {
    if (!s->fips || strcmp(p->name, "aws-cn"))
        return arena_printf(a, "s3%s.%s%.*s.%s", s->fips ? "-fips" : "", s->dualstack ? "dualstack." : "",
                            STR_ARG(region), p->suffix);
    err_set(e, ERR_CONFIG, "S3 has no FIPS endpoints in partition aws-cn");
    return STR_NONE;
}

static struct str service_host(const struct settings *s, enum aws_service service, const struct partition *p,
                               struct str region, struct arena *a, struct err *e) {
    if (service == AWS_IAM) return iam_host(s, p, a, e);
    if (service == AWS_S3) return s3_host(s, p, region, a, e);
    bool gov = !strcmp(p->name, "aws-us-gov");
    bool fips = s->fips && !(gov && gov_is_fips(service, region, s->dualstack));
    bool dual = s->dualstack && !(service == AWS_SECRETSMANAGER && plain_is_dual(p, fips));
    if (gov && service == AWS_STATES && dual) fips = true;
    return arena_printf(a, "%s%s.%.*s.%s", aws_service_row(service)->prefix, fips ? "-fips" : "", STR_ARG(region),
                        dual ? p->dual_suffix : p->suffix);
}

/* == resolving ======================================================================================================
 */

struct site {
    struct str scheme, host, prefix; /* host with its port */
    bool numeric;                    /* an IP address: no names below it */
    bool overridden;
};

static bool is_host(struct str h, bool *ret_numeric) {
    bool v6 = str_chr(h, ':', 0) >= 0, v4 = true;
    for (size_t i = 0; i < h.n; i++) {
        char c = h.p[i];
        if (!is_alnum(c) && c != '.' && c != (v6 ? ':' : '-') && c != (v6 ? '%' : '_')) return false;
        if (c != '.' && (c < '0' || c > '9')) v4 = false;
    }
    *ret_numeric = v6 || v4;
    return h.n && h.n <= 253;
}

static struct str lower(struct arena *a, struct str s) {
    struct str copy = arena_str(a, s);
    for (size_t i = 0; i < copy.n; i++)
        if (copy.p[i] >= 'A' && copy.p[i] <= 'Z') ((char *)copy.p)[i] += 32;
    return copy;
}

static int read_override(struct str text, const char *source, struct arena *a, struct site *ret, struct err *e) {
    struct url u;
    struct err why = {0};
    const char *from = source ? source : "the endpoint setting";
    if (url_parse(text, &u, &why)) return err_set(e, ERR_CONFIG, "%s: %s", from, why.msg);
    if (u.query.n || u.query.p || str_chr(text, '#', 0) >= 0)
        return err_set(e, ERR_CONFIG, "%s: an endpoint URL has no query and no fragment", from);
    if (!is_host(u.host, &ret->numeric) || u.port == 0)
        return err_set(e, ERR_CONFIG, "%s: \"%.*s\" is no host with a port", from, STR_ARG(str_take(u.host, 100)));
    bool v6 = str_chr(u.host, ':', 0) >= 0, tls = u.scheme.n == 5;
    ret->scheme = tls ? STR("https") : STR("http");
    ret->host = arena_printf(a, "%s%.*s%s", v6 ? "[" : "", STR_ARG(lower(a, u.host)), v6 ? "]" : "");
    if (u.port != (tls ? 443 : 80)) ret->host = arena_printf(a, "%.*s:%d", STR_ARG(ret->host), u.port);
    while (u.path.n && u.path.p[u.path.n - 1] == '/') u.path.n--;
    ret->prefix = u.path.n ? arena_str(a, u.path) : STR("");
    ret->overridden = true;
    return 0;
}

static int find_site(const struct settings *s, enum aws_service service, struct str region, struct arena *a,
                     struct site *ret, struct err *e) {
    *ret = (struct site){.scheme = STR("https"), .prefix = STR("")};
    if (s->endpoints[service].url.n)
        return read_override(s->endpoints[service].url, s->endpoints[service].source, a, ret, e);
    const struct partition *p = find_partition(region);
    if (!p)
        return err_set(e, ERR_CONFIG,
                       "the partition of region \"%.*s\" is not known, so neither is its host: set AWS_ENDPOINT_URL",
                       STR_ARG(region));
    ret->host = service_host(s, service, p, region, a, e);
    return ret->host.n ? 0 : -1;
}

static struct str path_style(struct arena *a, struct str prefix, struct str bucket) {
    return bucket.n ? arena_printf(a, "%.*s/%.*s", STR_ARG(prefix), STR_ARG(bucket)) : prefix;
}

int endpoint_resolve(const struct settings *s, enum aws_service service, struct str bucket, struct str region,
                     struct arena *a, struct endpoint *ret, struct err *e) {
    struct site site;
    if (!region.n) region = s->region;
    if (check_region(region, e) || check_bucket(bucket, e) || find_site(s, service, region, a, &site, e)) return -1;
    const struct partition *p = find_partition(region);
    if (service == AWS_IAM && p) region = str_c(p->iam_region);
    if (wants_virtual(s, bucket, site.overridden, site.numeric)) {
        site.host = arena_printf(a, "%.*s.%.*s", STR_ARG(bucket), STR_ARG(site.host));
        bucket = STR_NONE;
    }
    *ret = (struct endpoint){
        .base = arena_printf(a, "%.*s://%.*s", STR_ARG(site.scheme), STR_ARG(site.host)),
        .host = site.host,
        .path = path_style(a, site.prefix, bucket),
        .region = arena_str(a, region),
        .signing = aws_service_row(service)->signing,
        .tls = site.scheme.n == 5,
    };
    return 0;
}
