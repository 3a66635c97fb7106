/* lazy: third-party libraries that are loaded when the first of their functions is called, for each one that the
 * program is linked with costs every start of it, also of the runs that never need it. The file that uses the library
 * includes its header as ever, and has for each function it calls a line that defines a stand-in of that name:
 *
 *   LAZY_LIBRARY(yaml, "libyaml-0.so.2", "reading YAML");
 *   LAZY(yaml, int, yaml_parser_initialize, (yaml_parser_t * parser), (parser))
 *
 * A call of a function without such a line does not link. The stand-ins are hidden: the library must not find them in
 * place of its own. Any thread; a library is never unloaded. */
#ifndef PERIGEE_BASE_LAZY_H
#define PERIGEE_BASE_LAZY_H
#include "base/err.h"
#include <stdatomic.h>

struct lazy_library {
    const char *file;       /* the library's soname */
    const char *what;       /* what needs it, for messages: "reading YAML" */
    _Atomic(void *) handle; /* NULL: not loaded yet */
};

/* Loads it now, where there is a caller to tell: ERR_UNAVAILABLE. */
int lazy_load(struct lazy_library *l, struct err *e);
/* The address of a function of the library; that there is none is fatal. */
void *lazy_find(struct lazy_library *l, const char *name);

#define LAZY_HIDDEN __attribute__((visibility("hidden")))
#define LAZY_LIBRARY(id, file, what) static struct lazy_library id = {file, what}

/* Declares `real`: the library's function. */
#define LAZY_REAL(library, name)                                                                                       \
    static _Atomic(void *) address;                                                                                    \
    void *found = atomic_load_explicit(&address, memory_order_acquire);                                                \
    if (!found) atomic_store_explicit(&address, found = lazy_find(&library, #name), memory_order_release);             \
    __typeof__(&name) real = (__typeof__(&name))found

#define LAZY(library, type, name, parameters, arguments)                                                               \
    LAZY_HIDDEN type name parameters {                                                                                 \
        LAZY_REAL(library, name);                                                                                      \
        return real arguments;                                                                                         \
    }

#endif
