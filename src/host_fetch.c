/* host_fetch.c: what handlers need beside the cloud: outgoing HTTP, a place for temporary files. */
#include "base/fs.h"
#include "host.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* -- HTTP -----------------------------------------------------------------------------------------------------------
 */

static int start(struct fetch_client *client, struct fetch *f, struct err *e) {
    struct host_fetch *h = (struct host_fetch *)client;
    if (!h->http && remote_http_open(h->loop, getenv("AWS_CA_BUNDLE"), &h->http, e)) return -1;
    struct fetch_client *c = remote_http_client(h->http);
    return c->start(c, f, e);
}

static void cancel(struct fetch_client *client, struct fetch *f) {
    struct host_fetch *h = (struct host_fetch *)client;
    struct fetch_client *c = remote_http_client(h->http);
    c->cancel(c, f);
}

void host_fetch_init(struct host_fetch *f, struct loop *loop) {
    *f = (struct host_fetch){.client = {start, cancel}, .loop = loop};
}

void host_fetch_close(struct host_fetch *f) {
    if (f->http) remote_http_close(f->http);
    f->http = NULL;
}

/* -- temporary files --------------------------------------------------------------------------------------------------
 */

int scratch_open(struct scratch *s, const char *parent, struct err *e) {
    const char *tmp = getenv("TMPDIR");
    if (!parent) parent = tmp && *tmp ? tmp : "/tmp";
    int n = snprintf(s->path, sizeof s->path, "%s/perigee-XXXXXX", parent);
    if (n >= 0 && (size_t)n < sizeof s->path && mkdtemp(s->path)) return 0; /* mkdtemp(3): with permissions 0700 */
    s->path[0] = 0;
    return err_sys(e, ERR_IO, (size_t)n < sizeof s->path ? errno : ENAMETOOLONG,
                   "cannot make a directory for temporary files in %s", parent);
}

void scratch_close(struct scratch *s) {
    if (s->path[0]) fs_remove_tree(s->path, NULL);
    s->path[0] = 0;
}
