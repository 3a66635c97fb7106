#include "local/store.h"
void local_face(struct local_conn *c, struct http_request *r, http_reply_fn *reply, void *ud) {
    (void)c, (void)r;
    struct http_response res;
    http_response_init(&res, 501);
    reply(ud, &res);
}
