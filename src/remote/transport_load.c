/* libcurl, loaded when the first of its functions is called. */
#define CURL_STATICLIB /* no exported declarations: the library must not find ours in place of its own */
#define CURL_DISABLE_TYPECHECK
#include "base/lazy.h"
#include <curl/curl.h>
#include <stdarg.h>

#undef curl_easy_setopt
#undef curl_easy_getinfo
#undef curl_multi_setopt

LAZY_LIBRARY(libcurl, "libcurl.so.4", "the HTTP client");
LAZY(libcurl, CURLcode, curl_global_init, (long flags), (flags))
LAZY(libcurl, curl_version_info_data *, curl_version_info, (CURLversion age), (age))
LAZY(libcurl, CURL *, curl_easy_init, (void), ())
LAZY(libcurl, void, curl_easy_cleanup, (CURL * easy), (easy))
LAZY(libcurl, const char *, curl_easy_strerror, (CURLcode code), (code))
LAZY(libcurl, CURLM *, curl_multi_init, (void), ())
LAZY(libcurl, CURLMcode, curl_multi_cleanup, (CURLM * multi), (multi))
LAZY(libcurl, CURLMcode, curl_multi_add_handle, (CURLM * multi, CURL *easy), (multi, easy))
LAZY(libcurl, CURLMcode, curl_multi_remove_handle, (CURLM * multi, CURL *easy), (multi, easy))
LAZY(libcurl, CURLMcode, curl_multi_perform, (CURLM * multi, int *running), (multi, running))
LAZY(libcurl, CURLMcode, curl_multi_poll, (CURLM * multi, struct curl_waitfd extra[], unsigned n, int ms, int *ret),
     (multi, extra, n, ms, ret))
LAZY(libcurl, CURLMcode, curl_multi_socket_action, (CURLM * multi, curl_socket_t s, int events, int *running),
     (multi, s, events, running))
LAZY(libcurl, CURLMsg *, curl_multi_info_read, (CURLM * multi, int *left), (multi, left))
LAZY(libcurl, const char *, curl_multi_strerror, (CURLMcode code), (code))

/* CURLOPTTYPE_*: the option's number says what follows it. */
LAZY_HIDDEN CURLcode curl_easy_setopt(CURL *easy, CURLoption option, ...) {
    LAZY_REAL(libcurl, curl_easy_setopt);
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

LAZY_HIDDEN CURLcode curl_easy_getinfo(CURL *easy, CURLINFO info, ...) {
    LAZY_REAL(libcurl, curl_easy_getinfo);
    va_list ap;
    va_start(ap, info);
    CURLcode rc = real(easy, info, va_arg(ap, void *));
    va_end(ap);
    return rc;
}

LAZY_HIDDEN CURLMcode curl_multi_setopt(CURLM *multi, CURLMoption option, ...) {
    LAZY_REAL(libcurl, curl_multi_setopt);
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
