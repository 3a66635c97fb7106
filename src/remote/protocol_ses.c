/* SESv2: REST-JSON, one operation. Source: Amazon SES API v2 Reference, SendEmail. */
#include "remote/wire.h"

static bool is_known(struct str name) {
    static const char *const known[] = {"FromEmailAddress",
                                        "FromEmailAddressIdentityArn",
                                        "Destination",
                                        "ReplyToAddresses",
                                        "FeedbackForwardingEmailAddress",
                                        "FeedbackForwardingEmailAddressIdentityArn",
                                        "Content",
                                        "EmailTags",
                                        "ConfigurationSetName",
                                        "EndpointId",
                                        "TenantName",
                                        "ListManagementOptions",
                                        "ConfigurationOverrides"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (str_is(name, known[i])) return true;
    return false;
}

int wire_ses_encode(struct aws_call *c, struct arena *a, struct wire_request *r, struct err *e) {
    struct buf body = BUF_MAX(WIRE_BODY_MAX);
    for (uint32_t i = 0; i < c->params.n; i++)
        if (!is_known(c->params.members[i].key))
            return err_set(e, ERR_SES_BAD_REQUEST, "SendEmail: %.*s is unknown or not supported yet",
                           STR_ARG(str_take(c->params.members[i].key, 80)));
    json_write(&body, &c->params);
    if (wire_take(a, &body, "the message", &r->body, e)) return -1;
    r->path = STR("/v2/email/outbound-emails");
    wire_header(a, r, "Content-Type", STR("application/json"));
    return 0;
}

int wire_ses_decode(struct aws_call *c, const struct wire_response *r) {
    struct err why = {0};
    struct json result;
    if (!wire_ok(r)) return wire_json_error(c, r);
    if (!wire_json_body(c, r->body, &result, &why)) return wire_bad(c, "is no JSON object (%.200s)", why.msg);
    if (!json_get_s(&result, "MessageId").n) return wire_bad(c, "has no MessageId");
    c->result = result;
    return 0;
}
