/* AddPermission and RemovePermission: statements of the queue's attribute Policy, by their label. They are kept and
 * given back; there is one account, and nobody is kept out by them. */
#include "local/sqs/sqs.h"
#include <string.h>

enum { MAX_LABEL = 80, MAX_ACTIONS = 7, MAX_STATEMENTS = 20 };

static int bad(struct str value, const char *name, const char *why, struct err *e) {
    return err_set(e, ERR_SQS_PARAMETER, "Value %.*s for parameter %s is invalid. Reason: %s",
                   STR_ARG(str_take(value, 120)), name, why);
}

static int read_label(const struct json *p, struct str *ret, struct err *e) {
    if (params_str(p, "Label", ERR_SQS_PARAMETER, ret, e)) return -1;
    if (!ret->n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter Label.");
    if (ret->n <= MAX_LABEL && sqs_is_word(*ret)) return 0;
    return bad(*ret, "Label", "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length.",
               e);
}

static bool is_account(struct str s) {
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < '0' || s.p[i] > '9') return false;
    return s.n == 12;
}

/* What may be granted: "Cross-account permissions don't apply to the following actions: [...]" leaves these. */
static bool is_action(struct str s) {
    static const char *const all[] = {
        "*",           "ChangeMessageVisibility",    "DeleteMessage", "GetQueueAttributes",
        "GetQueueUrl", "ListDeadLetterSourceQueues", "PurgeQueue",    "ReceiveMessage",
        "SendMessage"};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (str_is(s, all[i])) return true;
    return false;
}

/* A list of strings. */
static int read_list(const struct json *p, const char *name, const struct json **ret, struct err *e) {
    *ret = json_get(p, name);
    if (!*ret || json_is(*ret, JSON_NULL))
        return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter %s.", name);
    if (!json_is(*ret, JSON_ARR))
        return err_set(e, ERR_SQS_PARAMETER, "parameter %s is %s, not an array", name, json_type_name((*ret)->type));
    for (uint32_t i = 0; i < (*ret)->n; i++)
        if (!json_is(&(*ret)->items[i], JSON_STR))
            return err_set(e, ERR_SQS_PARAMETER, "%s[%u] is %s, not a string", name, i,
                           json_type_name((*ret)->items[i].type));
    return 0;
}

static int read_grant(const struct json *p, const struct json **ret_accounts, const struct json **ret_actions,
                      struct err *e) {
    if (read_list(p, "AWSAccountIds", ret_accounts, e) || read_list(p, "Actions", ret_actions, e)) return -1;
    if (!(*ret_accounts)->n) return bad(STR("[]"), "PrincipalId", "Unable to verify.", e);
    if (!(*ret_actions)->n) return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter Actions.");
    for (uint32_t i = 0; i < (*ret_accounts)->n; i++)
        if (!is_account((*ret_accounts)->items[i].s))
            return bad((*ret_accounts)->items[i].s, "PrincipalId", "Unable to verify.", e);
    for (uint32_t i = 0; i < (*ret_actions)->n; i++)
        if (!is_action((*ret_actions)->items[i].s))
            return bad((*ret_actions)->items[i].s, "ActionName",
                       "Only the queue owner is allowed to invoke this action, or it is none.", e);
    if ((*ret_actions)->n <= MAX_ACTIONS) return 0;
    return err_set(e, ERR_SQS_OVER_LIMIT, "%u Actions were found, maximum allowed is %d.", (*ret_actions)->n,
                   MAX_ACTIONS);
}

/* == the policy =====================================================================================================
 */

/* The statements of q's policy; the policy without them, or a new one. */
static int read_policy(struct local_tx *tx, struct arena *a, const struct sqs_queue *q, struct json *ret,
                       struct json *ret_statements, struct err *e) {
    struct str text;
    struct json old;
    *ret = json_make_obj();
    *ret_statements = json_make_arr();
    if (sqs_settings_policy(a, q, &text, e)) return -1;
    if (!text.n) {
        json_set(a, ret, "Version", json_make_c("2008-10-17"));
        json_set(a, ret, "Id",
                 json_make_str(arena_printf(a, "%.*s/SQSDefaultPolicy", STR_ARG(sqs_arn(tx, a, q->name)))));
        return 0;
    }
    if (json_parse(a, text, NULL, &old, e)) return err_wrap(e, "the policy of queue %.*s", STR_ARG(q->name));
    for (uint32_t i = 0; i < old.n; i++) {
        const struct json *v = &old.members[i].value;
        bool statements = str_is(old.members[i].key, "Statement");
        if (!statements) json_set_str(a, ret, old.members[i].key, *v);
        if (statements && !json_is(v, JSON_ARR)) json_push(a, ret_statements, *v);
        if (statements && json_is(v, JSON_ARR)) *ret_statements = json_copy(a, v);
    }
    return 0;
}

/* A policy without statements is none. */
static int write_policy(struct local_tx *tx, struct arena *a, struct sqs_queue *q, struct json *policy,
                        const struct json *statements, struct err *e) {
    struct buf b = BUF_MAX(256 * 1024);
    json_set(a, policy, "Statement", *statements);
    if (statements->n) json_write(&b, policy);
    int rc = buf_check(&b, "the policy of a queue", e);
    struct str text = arena_str(a, buf_view(&b));
    buf_free(&b);
    if (rc || sqs_settings_set_policy(a, text, q, e)) return -1;
    q->modified_ms = tx->now_ms;
    return sqs_settings_save(tx, q, e);
}

static int64_t find(const struct json *statements, struct str label) {
    for (uint32_t i = 0; i < statements->n; i++)
        if (str_eq(json_get_s(&statements->items[i], "Sid"), label)) return i;
    return -1;
}

/* One is written as itself, several as a list. */
static struct json prefixed(struct arena *a, const struct json *list, const char *before, const char *behind) {
    struct json out = json_make_arr();
    for (uint32_t i = 0; i < list->n; i++)
        json_push(a, &out, json_make_str(arena_printf(a, "%s%.*s%s", before, STR_ARG(list->items[i].s), behind)));
    return out.n == 1 ? out.items[0] : out;
}

static struct json statement(struct local_tx *tx, struct arena *a, struct str label, const struct json *accounts,
                             const struct json *actions, struct str arn) {
    struct json s = json_make_obj(), who = json_make_obj();
    struct str iam = arena_printf(a, "arn:%.*s:iam::", STR_ARG(tx->id.partition));
    json_set(a, &who, "AWS", prefixed(a, accounts, iam.p, ":root"));
    json_set(a, &s, "Sid", json_make_str(label));
    json_set(a, &s, "Effect", json_make_c("Allow"));
    json_set(a, &s, "Principal", who);
    json_set(a, &s, "Action", prefixed(a, actions, "SQS:", ""));
    json_set(a, &s, "Resource", json_make_str(arn));
    return s;
}

/* == operations =====================================================================================================
 */

int sqs_add_permission(struct local_tx *tx, struct aws_call *c) {
    struct arena *a = &c->arena;
    struct err *e = &c->err;
    struct sqs_queue q;
    struct json policy, statements;
    const struct json *accounts, *actions;
    struct str label;
    if (params_only(&c->params, "QueueUrl Label AWSAccountIds Actions", "AddPermission", ERR_SQS_PARAMETER, e))
        return -1;
    if (sqs_find(tx, c, &q, e) || read_label(&c->params, &label, e)) return -1;
    if (read_grant(&c->params, &accounts, &actions, e)) return -1;
    if (read_policy(tx, a, &q, &policy, &statements, e)) return -1;
    if (find(&statements, label) >= 0) return bad(label, "Label", "Already exists.", e);
    if (statements.n >= MAX_STATEMENTS)
        return err_set(e, ERR_SQS_OVER_LIMIT, "The policy of a queue has at most %d statements.", MAX_STATEMENTS);
    json_push(a, &statements, statement(tx, a, label, accounts, actions, sqs_arn(tx, a, q.name)));
    return write_policy(tx, a, &q, &policy, &statements, e);
}

int sqs_remove_permission(struct local_tx *tx, struct aws_call *c) {
    struct err *e = &c->err;
    struct sqs_queue q;
    struct json policy, statements, left = json_make_arr();
    struct str label;
    if (params_only(&c->params, "QueueUrl Label", "RemovePermission", ERR_SQS_PARAMETER, e)) return -1;
    if (sqs_find(tx, c, &q, e) || read_label(&c->params, &label, e)) return -1;
    if (read_policy(tx, &c->arena, &q, &policy, &statements, e)) return -1;
    int64_t at = find(&statements, label);
    if (at < 0) return bad(label, "Label", "can't find label.", e);
    for (uint32_t i = 0; i < statements.n; i++)
        if (i != at) json_push(&c->arena, &left, statements.items[i]);
    return write_policy(tx, &c->arena, &q, &policy, &left, e);
}
