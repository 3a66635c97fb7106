/* Container credentials: an HTTP endpoint of ECS, EKS or whoever runs us. Source: AWS SDKs and Tools Reference Guide,
 * "Container credential provider". */
#include "base/url.h"
#include "remote/credentials_source.h"
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

enum { TIMEOUT_MS = 2000, ATTEMPTS = 3 };

/* ==== where: https, or a host that only the own machine answers for ==== */

static bool v4_allowed(uint32_t ip) { /* host byte order */
    return ip >> 24 == 127 || ip == 0xa9feaa02 /* 169.254.170.2 */ || ip == 0xa9feaa17 /* 169.254.170.23 */;
}

static bool v6_allowed(const struct in6_addr *ip) {
    struct in6_addr eks;
    inet_pton(AF_INET6, "fd00:ec2::23", &eks);
    return IN6_IS_ADDR_LOOPBACK(ip) || !memcmp(ip, &eks, sizeof eks);
}

static bool address_allowed(const struct sockaddr *a) {
    if (a->sa_family == AF_INET) return v4_allowed(ntohl(((const struct sockaddr_in *)a)->sin_addr.s_addr));
    return a->sa_family == AF_INET6 && v6_allowed(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

/* All addresses of the name. */
static bool host_allowed(const char *host) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *all = NULL;
    if (getaddrinfo(host, NULL, &hints, &all)) return false;
    bool ok = all != NULL;
    for (const struct addrinfo *i = all; i; i = i->ai_next) ok = ok && address_allowed(i->ai_addr);
    freeaddrinfo(all);
    return ok;
}

static int check_full(struct chain *c, struct str url, struct err *e) {
    struct url u;
    if (url_parse(url, &u, e)) return err_wrap(e, "AWS_CONTAINER_CREDENTIALS_FULL_URI");
    if (str_ieq(u.scheme, STR("https")) || host_allowed(arena_cstr(c->arena, u.host))) return 0;
    return err_set(e, ERR_CREDENTIALS,
                   "AWS_CONTAINER_CREDENTIALS_FULL_URI: host '%.*s' is not allowed without TLS: only loopback, "
                   "169.254.170.2, 169.254.170.23 and fd00:ec2::23 are",
                   STR_ARG(str_take(u.host, 100)));
}

static int url_of(struct chain *c, struct str *ret, struct err *e) {
    struct str relative = c->env->AWS_CONTAINER_CREDENTIALS_RELATIVE_URI;
    struct url u;
    *ret = c->env->AWS_CONTAINER_CREDENTIALS_FULL_URI;
    if (!relative.n) return check_full(c, *ret, e);
    *ret = arena_printf(c->arena, "http://169.254.170.2%.*s", STR_ARG(relative));
    if (relative.p[0] != '/')
        return err_set(e, ERR_CREDENTIALS, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with '/'");
    return url_parse(*ret, &u, e) ? err_wrap(e, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") : 0;
}

/* ==== the token, read anew each time: it is rotated ==== */

static int token_of(struct chain *c, struct str *ret, struct err *e) {
    struct str file = c->env->AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE;
    *ret = c->env->AWS_CONTAINER_AUTHORIZATION_TOKEN;
    if (file.n) {
        if (chain_token_file(c, file.p, ret, e)) return err_wrap(e, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
        return 0;
    }
    for (size_t i = 0; i < ret->n; i++)
        if ((unsigned char)ret->p[i] < ' ' || ret->p[i] == 0x7f)
            return err_set(e, ERR_CREDENTIALS, "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a control character");
    return 0;
}

/* ==== the exchange ==== */

static int get(struct chain *c, struct str url, struct str token, struct credential_draft *ret, struct err *e) {
    const struct http_header headers[] = {{STR("Accept"), STR("application/json")}, {STR("Authorization"), token}};
    const struct chain_request q = {.method = STR("GET"),
                                    .url = url,
                                    .headers = headers,
                                    .n_headers = token.n ? 2 : 1,
                                    .timeout_ms = TIMEOUT_MS,
                                    .attempts = ATTEMPTS,
                                    .direct = true};
    struct exchange x = {0};
    if (chain_http(c, &q, &x, e)) return -1;
    int rc = x.status == 200 ? draft_json(c, buf_view(&x.body_in), "Token", false, ret, e)
                             : err_set(e, ERR_CREDENTIALS, "status %d", x.status);
    chain_http_free(&x);
    struct str shown = url;
    shown = str_cut(&shown, '?');
    return rc ? err_wrap(e, "%.*s", STR_ARG(str_take(shown, 200))) : 0;
}

enum credential_found credentials_from_container(struct chain *c, struct credential_draft *ret, struct err *e) {
    const struct credential_env *env = c->env;
    struct str url, token;
    if (!env->AWS_CONTAINER_CREDENTIALS_RELATIVE_URI.n && !env->AWS_CONTAINER_CREDENTIALS_FULL_URI.n)
        return credential_absent(e, "neither AWS_CONTAINER_CREDENTIALS_RELATIVE_URI nor _FULL_URI is set");
    if (url_of(c, &url, e) || token_of(c, &token, e)) return CREDENTIAL_FAILED;
    int rc = get(c, url, token, ret, e);
    if (env->AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.n) explicit_bzero((char *)token.p, token.n);
    if (rc) return CREDENTIAL_FAILED;
    ret->source = STR("container");
    return CREDENTIAL_FOUND;
}
