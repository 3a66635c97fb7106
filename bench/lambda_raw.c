/* perigee_lambda_raw: the limit of what a Lambda runtime written in C can be: one blocking socket, no parser worth the
 * name, no JSON. It sends each event back as its answer, and trusts that the other side frames as this benchmark does.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static char in[1 << 20];

static int dial(char *api) {
    char *colon = strchr(api, ':');
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(colon + 1))};
    *colon = 0;
    inet_pton(AF_INET, api, &a.sin_addr);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return connect(fd, (struct sockaddr *)&a, sizeof a) ? -1 : fd;
}

/* One message; returns its body, *ret_n bytes long, framing removed when there is one chunk. */
static char *receive(int fd, size_t *ret_n) {
    size_t n = 0;
    for (;;) {
        ssize_t k = recv(fd, in + n, sizeof in - 1 - n, 0);
        if (k <= 0) exit(1);
        n += (size_t)k;
        in[n] = 0;
        char *body = strstr(in, "\r\n\r\n"), *length = strcasestr(in, "content-length:");
        if (!body) continue;
        body += 4;
        if (length && length < body) {
            *ret_n = strtoul(length + 15, NULL, 10);
            if (n >= (size_t)(body - in) + *ret_n) return body;
        } else if (n > 5 && !memcmp(in + n - 5, "0\r\n\r\n", 5)) {
            *ret_n = strtoul(body, &body, 16);
            return body + 2;
        }
    }
}

int main(void) {
    static const char next[] = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: l\r\n\r\n";
    char *api = getenv("AWS_LAMBDA_RUNTIME_API"), head[512];
    int fd = api ? dial(api) : -1;
    if (fd < 0) return 1;
    for (;;) {
        size_t n = 0;
        if (send(fd, next, sizeof next - 1, MSG_NOSIGNAL) < 0) return 1;
        char *body = receive(fd, &n), *id = strcasestr(in, "Lambda-Runtime-Aws-Request-Id: ");
        if (!id) return 1;
        id += 31;
        int m = snprintf(
            head, sizeof head,
            "POST /2018-06-01/runtime/invocation/%.*s/response HTTP/1.1\r\nHost: l\r\nContent-Length: %zu\r\n\r\n",
            (int)strcspn(id, "\r"), id, n);
        struct iovec v[2] = {{head, (size_t)m}, {body, n}};
        if (writev(fd, v, 2) < 0) return 1;
        receive(fd, &n);
    }
}
