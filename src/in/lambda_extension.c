/* lambda_extension: without a registered extension Lambda kills a runtime with SIGKILL alone. An internal one of our
 * own is registered for no event; then SIGTERM comes first (aws-lambda-go's sigterm.go does the same). */
#include "in/lambda.h"
#include <signal.h>

static void on_sigterm(void *ud, int signum) {
    struct lambda *l = ud;
    (void)signum;
    log_event(l->c.log, LOG_INFO, "SIGTERM: running invocations end", NULL);
    lambda_stop(l);
}

static void go_on(struct lambda *l, const struct err *e) {
    if (e) log_event(l->c.log, LOG_WARN, "the extension that SIGTERM needs is not there", "s", "error", e->msg);
    l->ready(l);
}

static void on_event(void *ud, const struct err *e) {
    struct lambda *l = ud;
    if (e && !l->stopping)
        log_event(l->c.log, LOG_WARN, "the extension that SIGTERM needs was cut off", "s", "error", e->msg);
}

static void on_registered(void *ud, const struct err *e) {
    struct lambda *l = ud;
    struct lambda_conn *c = &l->extension;
    struct str id = e ? STR_NONE : http1_header(&c->answer, "Lambda-Extension-Identifier");
    struct err own;
    if (!e && (c->answer.status != 200 || !id.n)) {
        err_set(&own, ERR_SERVICE, "registering was answered %d: %.*s", c->answer.status, STR_ARG(lambda_refusal(c)));
        e = &own;
    }
    if (!e) {
        lambda_request(c, "GET", "/2020-01-01/extension/event/next");
        lambda_header(c, "Lambda-Extension-Identifier", id);
        buf_c(&c->out, "\r\n");
        lambda_conn_call(c, STR_NONE, on_event, l);
    }
    go_on(l, e);
}

void lambda_extension_open(struct lambda *l, void (*ready)(struct lambda *l)) {
    static const struct str body = {"{\"events\":[]}", 13};
    struct lambda_conn *c = &l->extension;
    struct err e;
    l->ready = ready;
    if (loop_signal_add(l->c.loop, SIGTERM, on_sigterm, l, &l->signal, &e)) {
        go_on(l, &e);
        return;
    }
    lambda_request(c, "POST", "/2020-01-01/extension/register");
    lambda_header(c, "Lambda-Extension-Name", STR("perigee-sigterm"));
    lambda_header(c, "Content-Type", STR("application/json"));
    lambda_length(c, body.n);
    lambda_conn_call(c, body, on_registered, l);
}
