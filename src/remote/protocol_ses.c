/* SESv2: REST-JSON. Source: Amazon SES API v2 Reference. */
#include "base/url.h"
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

/* == identities and the account =====================================================================================
 */

static const struct way {
    enum aws_op op;
    const char *method, *path, *known; /* a path that ends in "/" is followed by EmailIdentity */
} ways[] = {{AWS_SES_CreateEmailIdentity, "POST", "/v2/email/identities",
             "EmailIdentity Tags DkimSigningAttributes ConfigurationSetName"},
            {AWS_SES_GetEmailIdentity, "GET", "/v2/email/identities/", "EmailIdentity"},
            {AWS_SES_DeleteEmailIdentity, "DELETE", "/v2/email/identities/", "EmailIdentity"},
            {AWS_SES_ListEmailIdentities, "POST", "/v2/email/list-identities", "NextToken PageSize"},
            {AWS_SES_GetAccount, "GET", "/v2/email/account", ""}};

static const struct way *way_of(enum aws_op op) {
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (ways[i].op == op) return &ways[i];
    return NULL;
}

static bool listed(const char *words, struct str name) {
    for (struct str rest = str_c(words); rest.n;)
        if (str_eq(str_cut(&rest, ' '), name)) return true;
    return false;
}

static int check_members(const struct aws_call *c, const struct way *w, struct err *e) {
    for (uint32_t i = 0; i < c->params.n; i++)
        if (!listed(w->known, c->params.members[i].key))
            return err_set(e, ERR_SES_BAD_REQUEST, "%s: %.*s is unknown or not supported yet", c->row->action,
                           STR_ARG(str_take(c->params.members[i].key, 80)));
    return 0;
}

static int encode_way(struct aws_call *c, struct arena *a, const struct way *w, struct wire_request *r, struct err *e) {
    struct str name = json_get_s(&c->params, "EmailIdentity"), path = str_c(w->path);
    struct buf b = BUF_MAX(WIRE_BODY_MAX);
    if (check_members(c, w, e)) return -1;
    r->method = str_c(w->method);
    buf_str(&b, path);
    if (path.p[path.n - 1] == '/') {
        if (!name.n) {
            buf_free(&b);
            return err_set(e, ERR_SES_BAD_REQUEST, "%s: EmailIdentity is missing", c->row->action);
        }
        url_encode(&b, name, false);
    }
    r->path = arena_str(a, buf_view(&b));
    buf_clear(&b);
    if (str_is(r->method, "POST")) json_write(&b, &c->params);
    bool posts = b.n > 0;
    if (wire_take(a, &b, "the request", &r->body, e)) return -1;
    if (posts) wire_header(a, r, "Content-Type", STR("application/json"));
    return 0;
}

/* == SendEmail and all ==============================================================================================
 */

int wire_ses_encode(struct aws_call *c, struct arena *a, struct wire_request *r, struct err *e) {
    struct buf body = BUF_MAX(WIRE_BODY_MAX);
    const struct way *way = way_of(c->op);
    if (way) return encode_way(c, a, way, r, e);
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
    if (c->op == AWS_SES_DeleteEmailIdentity && !r->body.n) return 0;
    if (!wire_json_body(c, r->body, &result, &why)) return wire_bad(c, "is no JSON object (%.200s)", why.msg);
    if (c->op == AWS_SES_SendEmail && !json_get_s(&result, "MessageId").n) return wire_bad(c, "has no MessageId");
    c->result = result;
    return 0;
}
