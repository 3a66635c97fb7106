/* libmicrohttpd, loaded when the first of its functions is called: a line for each that server.c calls. */
#include "base/lazy.h"
#include "in/server.h"
#include <microhttpd.h>
#include <stdarg.h>

LAZY_LIBRARY(libmicrohttpd, "libmicrohttpd.so.12", "the HTTP server");
LAZY(libmicrohttpd, struct MHD_Daemon *, MHD_start_daemon_va,
     (unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept, void *accept_ud, MHD_AccessHandlerCallback fn,
      void *ud, va_list ap),
     (flags, port, accept, accept_ud, fn, ud, ap))
LAZY(libmicrohttpd, void, MHD_stop_daemon, (struct MHD_Daemon * d), (d))
LAZY(libmicrohttpd, enum MHD_Result, MHD_run, (struct MHD_Daemon * d), (d))
LAZY(libmicrohttpd, enum MHD_Result, MHD_get_timeout, (struct MHD_Daemon * d, MHD_UNSIGNED_LONG_LONG *ret_ms),
     (d, ret_ms))
LAZY(libmicrohttpd, enum MHD_Result, MHD_add_connection,
     (struct MHD_Daemon * d, MHD_socket fd, const struct sockaddr *a, socklen_t n), (d, fd, a, n))
LAZY(libmicrohttpd, void, MHD_suspend_connection, (struct MHD_Connection * m), (m))
LAZY(libmicrohttpd, void, MHD_resume_connection, (struct MHD_Connection * m), (m))
LAZY(libmicrohttpd, int, MHD_get_connection_values_n,
     (struct MHD_Connection * m, enum MHD_ValueKind kind, MHD_KeyValueIteratorN fn, void *ud), (m, kind, fn, ud))
LAZY(libmicrohttpd, enum MHD_Result, MHD_queue_response,
     (struct MHD_Connection * m, unsigned status, struct MHD_Response *r), (m, status, r))
LAZY(libmicrohttpd, enum MHD_Result, MHD_add_response_header,
     (struct MHD_Response * r, const char *name, const char *value), (r, name, value))
LAZY(libmicrohttpd, struct MHD_Response *, MHD_create_response_from_buffer,
     (size_t n, void *p, enum MHD_ResponseMemoryMode mode), (n, p, mode))
LAZY(libmicrohttpd, struct MHD_Response *, MHD_create_response_from_callback,
     (uint64_t n, size_t block, MHD_ContentReaderCallback fn, void *ud, MHD_ContentReaderFreeCallback done),
     (n, block, fn, ud, done))
LAZY(libmicrohttpd, struct MHD_Response *, MHD_create_response_from_fd_at_offset64, (uint64_t n, int fd, uint64_t off),
     (n, fd, off))
LAZY(libmicrohttpd, void, MHD_destroy_response, (struct MHD_Response * r), (r))

LAZY_HIDDEN struct MHD_Daemon *MHD_start_daemon(unsigned flags, uint16_t port, MHD_AcceptPolicyCallback accept,
                                                void *accept_ud, MHD_AccessHandlerCallback fn, void *ud, ...) {
    va_list ap;
    va_start(ap, ud);
    struct MHD_Daemon *d = MHD_start_daemon_va(flags, port, accept, accept_ud, fn, ud, ap);
    va_end(ap);
    return d;
}

/* What is asked for here takes no further argument. */
LAZY_HIDDEN const union MHD_ConnectionInfo *MHD_get_connection_info(struct MHD_Connection *m,
                                                                    enum MHD_ConnectionInfoType type, ...) {
    LAZY_REAL(libmicrohttpd, MHD_get_connection_info);
    return real(m, type);
}

LAZY_HIDDEN const union MHD_DaemonInfo *MHD_get_daemon_info(struct MHD_Daemon *d, enum MHD_DaemonInfoType type, ...) {
    LAZY_REAL(libmicrohttpd, MHD_get_daemon_info);
    return real(d, type);
}

int server_load(struct err *e) {
    return lazy_load(&libmicrohttpd, e);
}
