/* bootstrap.c: the executable that AWS Lambda starts as `bootstrap`: the runtime alone, without engine, servers and
 * commands. `perigee` does the same when it is started under that name. */
#include "base/err.h"
#include "perigee.h"
#include <signal.h>

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    return perigee_lambda();
}
