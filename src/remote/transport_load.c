/* libcurl's functions, loaded when the first of them is called: linking libcurl brings 30 libraries and costs every
 * start of the process 8 ms, also of those that never speak to anybody. The definitions here stand in for those of the
 * library and hand on to it; they are the linker's business only, callers include <curl/curl.h> as ever. */
#define CURL_STATICLIB /* no exported declarations: the library must not find ours in place of its own */
#define CURL_DISABLE_TYPECHECK
#include "base/err.h"
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

#define HIDDEN __attribute__((visibility("hidden")))

/* Process-wide as the library itself is; written once, never closed. */
static struct {
    pthread_once_t once;
    void *library;
} loaded = {.once = PTHREAD_ONCE_INIT};

static void load(void) {
    loaded.library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!loaded.library) fatal("the HTTP client cannot be loaded: %s", dlerror());
}

static void *find(const char *name) {
    pthread_once(&loaded.once, load);
    void *p = dlsym(loaded.library, name);
    if (!p) fatal("libcurl has no %s", name);
    return p;
}

/* The library's function of that name. Looked up once a function: every thread finds the same address. */
#define REAL(name)                                                                                                     \
    static _Atomic(void *) address;                                                                                    \
    if (!address) address = find(#name);                                                                               \
    __typeof__(&name) real = (__typeof__(&name))(void *)address

HIDDEN CURLcode curl_global_init(long flags) {
    REAL(curl_global_init);
    return real(flags);
}

HIDDEN curl_version_info_data *curl_version_info(CURLversion age) {
    REAL(curl_version_info);
    return real(age);
}

HIDDEN CURL *curl_easy_init(void) {
    REAL(curl_easy_init);
    return real();
}

HIDDEN void curl_easy_cleanup(CURL *easy) {
    REAL(curl_easy_cleanup);
    real(easy);
}

HIDDEN const char *curl_easy_strerror(CURLcode code) {
    REAL(curl_easy_strerror);
    return real(code);
}

/* CURLOPTTYPE_*: the option's number says what follows it. */
HIDDEN CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...) {
    REAL(curl_easy_setopt);
    CURLcode rc;
    va_list ap;
    va_start(ap, option);
    if (option < CURLOPTTYPE_OBJECTPOINT)
        rc = real(easy, option, va_arg(ap, long));
    else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
        rc = real(easy, option, va_arg(ap, curl_off_t));
    else
        rc = real(easy, option, va_arg(ap, void *));
    va_end(ap);
    return rc;
}

HIDDEN CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...) {
    REAL(curl_easy_getinfo);
    va_list ap;
    va_start(ap, info);
    CURLcode rc = real(easy, info, va_arg(ap, void *));
    va_end(ap);
    return rc;
}

HIDDEN CURLM *curl_multi_init(void) {
    REAL(curl_multi_init);
    return real();
}

HIDDEN CURLMcode curl_multi_cleanup(CURLM *multi) {
    REAL(curl_multi_cleanup);
    return real(multi);
}

HIDDEN CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...) {
    REAL(curl_multi_setopt);
    CURLMcode rc;
    va_list ap;
    va_start(ap, option);
    if ((int)option < CURLOPTTYPE_OBJECTPOINT)
        rc = real(multi, option, va_arg(ap, long));
    else if ((int)option >= CURLOPTTYPE_OFF_T)
        rc = real(multi, option, va_arg(ap, curl_off_t));
    else
        rc = real(multi, option, va_arg(ap, void *));
    va_end(ap);
    return rc;
}

HIDDEN CURLMcode curl_multi_add_handle(CURLM *multi, CURL *easy) {
    REAL(curl_multi_add_handle);
    return real(multi, easy);
}

HIDDEN CURLMcode curl_multi_remove_handle(CURLM *multi, CURL *easy) {
    REAL(curl_multi_remove_handle);
    return real(multi, easy);
}

HIDDEN CURLMcode curl_multi_perform(CURLM *multi, int *running) {
    REAL(curl_multi_perform);
    return real(multi, running);
}

HIDDEN CURLMcode curl_multi_poll(CURLM *multi, struct curl_waitfd extra[], unsigned n, int ms, int *ret) {
    REAL(curl_multi_poll);
    return real(multi, extra, n, ms, ret);
}

HIDDEN CURLMcode curl_multi_socket_action(CURLM *multi, curl_socket_t s, int events, int *running) {
    REAL(curl_multi_socket_action);
    return real(multi, s, events, running);
}

HIDDEN CURLMsg *curl_multi_info_read(CURLM *multi, int *left) {
    REAL(curl_multi_info_read);
    return real(multi, left);
}

HIDDEN const char *curl_multi_strerror(CURLMcode code) {
    REAL(curl_multi_strerror);
    return real(code);
}
