#include "base/lazy.h"
#include <dlfcn.h>

/* Threads that come at once get the same handle from the loader. */
int lazy_load(struct lazy_library *l, struct err *e) {
    if (atomic_load_explicit(&l->handle, memory_order_acquire)) return 0;
    void *handle = dlopen(l->file, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return err_set(e, ERR_UNAVAILABLE, "%s needs a library that cannot be loaded: %s", l->what, dlerror());
    atomic_store_explicit(&l->handle, handle, memory_order_release);
    return 0;
}

void *lazy_find(struct lazy_library *l, const char *name) {
    struct err e = {0};
    if (lazy_load(l, &e)) fatal("%s", e.msg);
    void *p = dlsym(atomic_load_explicit(&l->handle, memory_order_acquire), name);
    if (!p) fatal("%s needs %s, which has no function %s", l->what, l->file, name);
    return p;
}
