/* bootstrap.c: the executable that AWS Lambda starts as `bootstrap`: the runtime alone, without engine, servers and
 * commands. `perigee` does the same when it is started under that name. */
#include "base/err.h"
#include "perigee.h"
#include <signal.h>
#include <stdlib.h>

/* A container image's command is the handler. */
int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    if (argc > 1) setenv("_HANDLER", argv[1], 1);
    return perigee_lambda();
}
