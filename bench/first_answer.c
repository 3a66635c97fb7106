/* perigee_first_answer: when a server that is just being started answers for the first time.
 *
 *   perigee_first_answer PORT PID
 *
 * Connects to 127.0.0.1 again and again and sends a GET. Prints the wall clock at the first byte of an answer, in
 * microseconds since 1970. Exit status 1 when process PID ends before, or does not answer within a minute. */
#include "base/now.h"
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { GIVE_UP_MS = 60000, SOON_MS = 200, SOON_US = 100, LATER_US = 1000 };

static bool answers(const struct sockaddr_in *address) {
    static const char request[] = "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
    const struct timeval patience = {.tv_sec = 20};
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there = fd >= 0 && !setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) &&
                 !connect(fd, (const struct sockaddr *)address, sizeof *address) &&
                 send(fd, request, sizeof request - 1, MSG_NOSIGNAL) > 0 && recv(fd, &byte, 1, 0) == 1;
    if (fd >= 0) close(fd);
    return there;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: perigee_first_answer PORT PID\n");
        return 2;
    }
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    pid_t server = atoi(argv[2]);
    for (uint64_t began = now_mono_ms(), at = began; at < began + GIVE_UP_MS; at = now_mono_ms()) {
        if (answers(&address)) {
            struct timespec now;
            clock_gettime(CLOCK_REALTIME, &now);
            printf("%lld\n", (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
            return 0;
        }
        if (kill(server, 0)) return 1;
        usleep(at < began + SOON_MS ? SOON_US : LATER_US);
    }
    return 1;
}
