/* SES version 1 (API version 2010-12-01) by way of version 2: each action is one call of the engine, its result turned
 * back. Sources: Amazon SES API Reference, Amazon SES API v2 Reference. */
#include "local/face/query.h"
#include <string.h>

/* == requests =======================================================================================================
 */

static void copy(struct arena *a, const struct json *from, const char *name, struct json *to, const char *as) {
    const struct json *v = json_get(from, name);
    if (v) json_set(a, to, as, *v);
}

static int copy_list(struct arena *a, const struct json *from, const char *name, struct json *to, const char *as,
                     struct err *e) {
    struct json list;
    if (!json_get(from, name)) return 0;
    if (query_list(a, json_get(from, name), name, &list, e)) return -1;
    json_set(a, to, as, list);
    return 0;
}

/* Refuses what it has no equivalent for. */
static int only(const struct face *f, const struct json *tree, const char *known, struct err *e) {
    for (uint32_t i = 0; i < tree->n; i++) {
        bool found = false;
        for (struct str rest = str_c(known); rest.p;) found |= str_eq(str_cut(&rest, ' '), tree->members[i].key);
        if (!found)
            return err_set(e, ERR_SES_BAD_REQUEST, "%.*s: %.*s is unknown or not supported yet; known are: %s",
                           STR_ARG(f->action), STR_ARG(str_take(tree->members[i].key, 80)), known);
    }
    return 0;
}

static int need(const struct json *tree, const char *name, struct err *e) {
    if (json_get(tree, name)) return 0;
    return err_set(e, ERR_SES_BAD_REQUEST, "The request must contain the parameter %s.", name);
}

static int send_email(const struct face *f, struct arena *a, const struct json *tree, struct json *ret, struct err *e) {
    const struct json *to = json_get(tree, "Destination");
    struct json destination = json_make_obj(), content = json_make_obj();
    if (only(f, tree, "Source Destination Message ReplyToAddresses Tags", e)) return -1;
    if (need(tree, "Source", e) || need(tree, "Message", e)) return -1;
    static const char *const kinds[] = {"ToAddresses", "CcAddresses", "BccAddresses"};
    for (int i = 0; i < 3; i++)
        if (copy_list(a, to, kinds[i], &destination, kinds[i], e)) return -1;
    copy(a, tree, "Source", ret, "FromEmailAddress");
    json_set(a, ret, "Destination", destination);
    copy(a, tree, "Message", &content, "Simple");
    json_set(a, ret, "Content", content);
    if (copy_list(a, tree, "Tags", ret, "EmailTags", e)) return -1;
    return copy_list(a, tree, "ReplyToAddresses", ret, "ReplyToAddresses", e);
}

static int send_raw(const struct face *f, struct arena *a, const struct json *tree, struct json *ret, struct err *e) {
    struct json destination = json_make_obj(), content = json_make_obj();
    if (only(f, tree, "Source Destinations RawMessage Tags", e) || need(tree, "RawMessage", e)) return -1;
    copy(a, tree, "Source", ret, "FromEmailAddress");
    if (copy_list(a, tree, "Destinations", &destination, "ToAddresses", e)) return -1;
    const struct json *to = json_get(&destination, "ToAddresses");
    if (to && to->n) json_set(a, ret, "Destination", destination);
    copy(a, tree, "RawMessage", &content, "Raw");
    json_set(a, ret, "Content", content);
    return copy_list(a, tree, "Tags", ret, "EmailTags", e);
}

static int one_address(const struct face *f, struct arena *a, const struct json *tree, struct json *ret,
                       struct err *e) {
    if (only(f, tree, "EmailAddress", e) || need(tree, "EmailAddress", e)) return -1;
    copy(a, tree, "EmailAddress", ret, "EmailIdentity");
    return 0;
}

static int one_identity(const struct face *f, struct arena *a, const struct json *tree, struct json *ret,
                        struct err *e) {
    if (only(f, tree, "Identity", e) || need(tree, "Identity", e)) return -1;
    copy(a, tree, "Identity", ret, "EmailIdentity");
    return 0;
}

static int page(const struct face *f, struct arena *a, const struct json *tree, struct json *ret, struct err *e) {
    struct str type = json_get_s(tree, "IdentityType");
    if (only(f, tree, "IdentityType MaxItems NextToken", e)) return -1;
    if (type.p && !str_is(type, "EmailAddress") && !str_is(type, "Domain"))
        return err_set(e, ERR_SES_BAD_REQUEST, "IdentityType \"%.*s\" is neither EmailAddress nor Domain",
                       STR_ARG(str_take(type, 40)));
    copy(a, tree, "MaxItems", ret, "PageSize");
    copy(a, tree, "NextToken", ret, "NextToken");
    return 0;
}

static int some_identities(const struct face *f, struct arena *a, const struct json *tree, struct json *ret,
                           struct err *e) {
    struct json list = json_make_obj();
    (void)ret;
    if (only(f, tree, "Identities", e) || need(tree, "Identities", e)) return -1;
    return copy_list(a, tree, "Identities", &list, "Identities", e);
}

static int nothing(const struct face *f, struct arena *a, const struct json *tree, struct json *ret, struct err *e) {
    (void)a, (void)ret;
    return only(f, tree, "", e);
}

/* == answers ========================================================================================================
 */

static void write_id(struct buf *b, const struct face *f, const struct json *tree, struct aws_call *c) {
    (void)f, (void)tree;
    face_xml(b, "MessageId", json_get_s(&c->result, "MessageId"));
}

/* Asking again for a verification changes nothing; what is not there was deleted. */
static void write_nothing(struct buf *b, const struct face *f, const struct json *tree, struct aws_call *c) {
    (void)b, (void)f, (void)tree;
    if (c->err.code == ERR_SES_EXISTS || (c->op == AWS_SES_DeleteEmailIdentity && c->err.code == ERR_SES_NOT_FOUND))
        c->err.code = ERR_NONE;
}

static void write_identities(struct buf *b, const struct face *f, const struct json *tree, struct aws_call *c) {
    const struct json *rows = json_get(&c->result, "EmailIdentities");
    struct str type = json_get_s(tree, "IdentityType"), next = json_get_s(&c->result, "NextToken");
    (void)f;
    buf_c(b, "<Identities>");
    for (uint32_t i = 0; rows && i < rows->n; i++) {
        bool domain = str_is(json_get_s(&rows->items[i], "IdentityType"), "DOMAIN");
        if (type.n && domain != str_is(type, "Domain")) continue;
        face_xml(b, "member", json_get_s(&rows->items[i], "IdentityName"));
    }
    buf_c(b, "</Identities>");
    if (next.n) face_xml(b, "NextToken", next);
}

static bool is_identity(const struct face *f, struct str name) {
    struct aws_call *c = aws_call_new(AWS_SES_GetEmailIdentity);
    json_set(&c->arena, &c->params, "EmailIdentity", json_make_str(name));
    bool found = aws_start(&f->conn->backend, f->conn->loop, c) == AWS_DONE && !c->err.code; /* reads end at once */
    aws_call_free(c);
    return found;
}

static void write_verified(struct buf *b, const struct face *f, const struct json *tree, struct aws_call *c) {
    struct json names = json_make_arr();
    buf_c(b, "<VerificationAttributes>");
    if (query_list(&c->arena, json_get(tree, "Identities"), "Identities", &names, &c->err)) return;
    for (uint32_t i = 0; i < names.n; i++) {
        struct str name = json_str(&names.items[i]);
        if (!is_identity(f, name)) continue;
        buf_c(b, "<entry>");
        face_xml(b, "key", name);
        buf_c(b, "<value><VerificationStatus>Success</VerificationStatus></value></entry>");
    }
    buf_c(b, "</VerificationAttributes>");
}

static void write_quota(struct buf *b, const struct face *f, const struct json *tree, struct aws_call *c) {
    static const char *const names[] = {"SentLast24Hours", "Max24HourSend", "MaxSendRate"};
    const struct json *quota = json_get(&c->result, "SendQuota");
    (void)f, (void)tree;
    for (int i = 0; quota && i < 3; i++) face_xml(b, names[i], json_get(quota, names[i])->s);
}

/* == the table ======================================================================================================
 */

static const struct action {
    const char *name;
    enum aws_op op;
    int (*read)(const struct face *f, struct arena *a, const struct json *tree, struct json *ret, struct err *e);
    void (*write)(struct buf *b, const struct face *f, const struct json *tree, struct aws_call *c);
} actions[] = {{"SendEmail", AWS_SES_SendEmail, send_email, write_id},
               {"SendRawEmail", AWS_SES_SendEmail, send_raw, write_id},
               {"VerifyEmailIdentity", AWS_SES_CreateEmailIdentity, one_address, write_nothing},
               {"DeleteIdentity", AWS_SES_DeleteEmailIdentity, one_identity, write_nothing},
               {"ListIdentities", AWS_SES_ListEmailIdentities, page, write_identities},
               {"GetIdentityVerificationAttributes", AWS_SES_GetAccount, some_identities, write_verified},
               {"GetSendQuota", AWS_SES_GetAccount, nothing, write_quota}};

static const struct action *find(struct str name) {
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (str_is(name, actions[i].name)) return &actions[i];
    return NULL;
}

bool query_ses_knows(struct str action) {
    return find(action);
}

struct aws_call *query_ses_call(const struct face *f, const struct json *tree, struct err *e) {
    const struct action *action = find(f->action);
    if (!action) {
        err_set(e, ERR_UNKNOWN_OPERATION, "Could not find operation %.*s for version 2010-12-01",
                STR_ARG(str_take(f->action, 128)));
        return NULL;
    }
    struct aws_call *c = aws_call_new(action->op);
    if (!action->read(f, &c->arena, tree, &c->params, e)) return c;
    aws_call_free(c);
    return NULL;
}

void query_ses_result(struct buf *b, const struct face *f, const struct json *tree, struct aws_call *c) {
    const struct action *action = find(f->action);
    if (!c->err.code || action->write == write_nothing) action->write(b, f, tree, c);
}
