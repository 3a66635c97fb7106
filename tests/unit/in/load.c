#include "load.h"

int load_script(const struct script_config *c, const struct function *functions, size_t n, struct script **ret,
                struct err *e) {
    struct script_sources *sources;
    struct buf traceback = BUF_MAX(65536);
    if (script_open(c, ret, e)) return -1;
    if (script_sources_read(functions, n, NULL, c->root_dir, &sources, e)) return -1;
    int rc = script_load(*ret, sources, functions, n, &traceback, e);
    script_sources_unref(sources);
    buf_free(&traceback);
    if (!rc) script_commit(*ret, true);
    return rc;
}
