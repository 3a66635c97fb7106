/* What a function may do: SAM policy templates, inline documents, managed policies, roles of the template. */
#include "app/template.h"
#include <string.h>

struct statements {
    struct policy_statement *p;
    size_t n, cap;
};

/* Actions, and the last part of ARNs with '%' and '^' for parameters; separated by spaces. */
static const struct {
    const char *name, *parameters, *actions, *resources;
} grants[] = {
#define GRANT(name, parameters, actions, resources) {name, parameters, actions, resources},
#include "app/policy_templates.def"
#undef GRANT
};
enum { N_GRANTS = sizeof grants / sizeof *grants };

/* Managed policies by their last path element; "" grants nothing that exists locally. */
static const struct {
    const char *name, *actions;
} managed[] = {
    {"AWSLambdaBasicExecutionRole", ""},
    {"AWSLambdaVPCAccessExecutionRole", ""},
    {"AWSXRayDaemonWriteAccess", ""},
    {"AWSXrayWriteOnlyAccess", ""},
    {"CloudWatchLambdaInsightsExecutionRolePolicy", ""},
    {"AWSLambdaRole", "lambda:InvokeFunction"},
    {"AWSLambdaExecute", "s3:GetObject s3:PutObject"},
    {"AWSLambdaDynamoDBExecutionRole",
     "dynamodb:DescribeStream dynamodb:GetRecords dynamodb:GetShardIterator dynamodb:ListStreams"},
    {"AWSLambdaKinesisExecutionRole",
     "kinesis:DescribeStream kinesis:DescribeStreamSummary kinesis:GetRecords kinesis:GetShardIterator "
     "kinesis:ListShards kinesis:ListStreams kinesis:SubscribeToShard"},
    {"AWSLambdaSQSQueueExecutionRole", "sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes"},
    {"AmazonDynamoDBFullAccess", "dynamodb:*"},
    {"AmazonDynamoDBReadOnlyAccess",
     "dynamodb:BatchGetItem dynamodb:Describe* dynamodb:List* dynamodb:GetItem dynamodb:Query dynamodb:Scan"},
    {"AmazonSQSFullAccess", "sqs:*"},
    {"AmazonSQSReadOnlyAccess", "sqs:GetQueueAttributes sqs:GetQueueUrl sqs:ListDeadLetterSourceQueues sqs:ListQueues"},
    {"AmazonS3FullAccess", "s3:*"},
    {"AmazonS3ReadOnlyAccess", "s3:Get* s3:List* s3:Describe*"},
    {"AmazonSESFullAccess", "ses:*"},
    {"AmazonSNSFullAccess", "sns:*"},
    {"AmazonSNSReadOnlyAccess", "sns:GetTopicAttributes sns:List*"},
    {"AmazonKinesisFullAccess", "kinesis:*"},
    {"AmazonKinesisReadOnlyAccess", "kinesis:Get* kinesis:List* kinesis:Describe*"},
    {"AmazonSSMFullAccess", "ssm:*"},
    {"AmazonSSMReadOnlyAccess", "ssm:Describe* ssm:Get* ssm:List*"},
    {"AWSStepFunctionsFullAccess", "states:*"},
    {"CloudWatchLogsFullAccess", "logs:*"},
    {"AdministratorAccess", "*"},
};

static struct policy_statement *add(struct template *t, struct statements *s) {
    s->p = template_grow(t->a, s->p, s->n, &s->cap, sizeof *s->p);
    s->p[s->n] = (struct policy_statement){0};
    return &s->p[s->n++];
}

static const struct str *words(struct template *t, const char *text, size_t *ret_n) {
    struct str *list = ARENA_ARRAY(t->a, struct str, strlen(text) + 1);
    size_t n = 0;
    for (struct str rest = str_c(text); rest.p;) list[n++] = str_cut(&rest, ' ');
    *ret_n = n;
    return list;
}

static void allow(struct template *t, struct statements *s, const char *actions, const struct str *resources,
                  size_t n_resources) {
    if (!*actions) return;
    struct policy_statement *p = add(t, s);
    p->actions = words(t, actions, &p->n_actions);
    p->resources = resources;
    p->n_resources = n_resources;
}

static void allow_everywhere(struct template *t, struct statements *s, const char *actions) {
    struct str *any = ARENA_NEW(t->a, struct str);
    *any = STR("*");
    allow(t, s, actions, any, 1);
}

/* ==== documents ==== */

/* "Action" or "NotAction", "Resource" or "NotResource". */
static const struct yaml *either(struct template *t, const struct yaml *v, struct str where, const char *name,
                                 struct str *ret_where, bool *ret_not) {
    struct str negated = arena_printf(t->a, "Not%s", name);
    const struct yaml *plain = yaml_get(v, name), *other = yaml_get(v, negated.p);
    if (plain && other) template_problem(t, other->line, where, "%s and %s exclude each other", name, negated.p);
    if (!plain && !other) template_problem(t, v->line, where, "needs %s or %s", name, negated.p);
    *ret_not = !plain;
    *ret_where = template_path(t, where, plain ? name : negated.p);
    return plain && other ? NULL : plain ? plain : other;
}

static void statement(struct template *t, const struct yaml *v, struct str where, struct statements *s) {
    struct str effect = STR(""), *actions, *resources, actions_at, resources_at;
    struct policy_statement p = {0};
    template_check_keys(t, v, where, "Effect Action NotAction Resource NotResource", "Sid");
    if (template_broken(v) || v->type != YAML_MAP) return;
    template_text(t, v, "Effect", where, &effect);
    p.deny = str_is(effect, "Deny");
    if (!p.deny && !str_is(effect, "Allow")) template_problem(t, v->line, where, "Effect must be Allow or Deny");
    const struct yaml *action = either(t, v, where, "Action", &actions_at, &p.not_actions);
    const struct yaml *res = either(t, v, where, "Resource", &resources_at, &p.not_resources);
    if (!action || !res) return;
    if (template_texts(t, action, actions_at, &actions, &p.n_actions) ||
        template_texts(t, res, resources_at, &resources, &p.n_resources))
        return;
    p.actions = actions;
    p.resources = resources;
    for (size_t i = 0; i < p.n_actions; i++)
        template_check_action(t, action->type == YAML_SEQ ? action->items[i]->line : action->line, where, actions[i]);
    *add(t, s) = p;
}

static void document(struct template *t, const struct yaml *v, struct str where, struct statements *s) {
    template_check_keys(t, v, where, "Statement", "Version Id");
    const struct yaml *list = yaml_get(v, "Statement");
    where = template_path(t, where, "Statement");
    if (!list) {
        if (!template_broken(v)) template_problem(t, v->line, where, "is missing");
        return;
    }
    for (size_t i = 0; list->type == YAML_SEQ && i < list->n; i++) statement(t, list->items[i], where, s);
    if (list->type != YAML_SEQ) statement(t, list, where, s);
}

/* ==== policy templates ==== */

/* "s3:%/ *" -> an ARN with the first value in place of '%', the second in place of '^'. */
static struct str expand_one(struct template *t, struct str pattern, const struct str values[2]) {
    struct buf b = BUF_MAX(1 << 16);
    if (!str_is(pattern, "*") && !str_is(pattern, "%")) {
        struct str service = str_cut(&pattern, ':');
        bool s3 = str_is(service, "s3");
        buf_printf(&b, "arn:%s:%.*s:%s:%s:", template_partition(t), STR_ARG(service), s3 ? "" : t->o->region,
                   s3 ? "" : t->o->account);
    }
    for (size_t i = 0; i < pattern.n; i++) {
        if (pattern.p[i] == '%' || pattern.p[i] == '^')
            buf_str(&b, values[pattern.p[i] == '^']);
        else
            buf_byte(&b, pattern.p[i]);
    }
    struct str arn = arena_str(t->a, buf_view(&b));
    buf_free(&b);
    return arn;
}

static const struct str *expand(struct template *t, const char *patterns, const struct str values[2], size_t *ret_n) {
    struct str *list = (struct str *)words(t, patterns, ret_n);
    for (size_t i = 0; i < *ret_n; i++) list[i] = expand_one(t, list[i], values);
    return list;
}

/* -1: one is missing, or cannot be resolved; noted. */
static int read_values(struct template *t, const char *names, const struct yaml *parameters, int line, struct str where,
                       struct str values[2]) {
    struct str rest = str_c(names);
    for (size_t i = 0; rest.n; i++) {
        const char *name = arena_cstr(t->a, str_cut(&rest, ' '));
        if (template_broken(yaml_get(parameters, name))) return -1;
        if (template_text(t, parameters, name, where, &values[i])) continue;
        template_problem(t, line, where, "needs %s", name);
        return -1;
    }
    return 0;
}

static void no_policy_template(struct template *t, struct str name, int line, struct str where) {
    struct near near = {.word = name};
    for (size_t i = 0; i < N_GRANTS; i++) near_try(&near, str_c(grants[i].name));
    if (near.best.p)
        template_problem(t, line, where, "policy template %.*s is not supported (%.*s is)", STR_ARG(name),
                         STR_ARG(near.best));
    else
        template_problem(t, line, where, "policy template %.*s is not supported", STR_ARG(name));
}

static void policy_template(struct template *t, struct str name, const struct yaml *parameters, int line,
                            struct str where, struct statements *s) {
    size_t i = 0, n;
    struct str values[2] = {STR(""), STR("")};
    while (i < N_GRANTS && !str_is(name, grants[i].name)) i++;
    if (i == N_GRANTS) {
        no_policy_template(t, name, line, where);
        return;
    }
    where = template_path(t, where, name.p);
    template_check_keys(t, parameters, where, grants[i].parameters, NULL);
    if (read_values(t, grants[i].parameters, parameters, line, where, values)) return;
    for (; i < N_GRANTS && str_is(name, grants[i].name); i++) {
        const struct str *arns = expand(t, grants[i].resources, values, &n);
        allow(t, s, grants[i].actions, arns, n);
    }
}

/* ==== managed policies and roles ==== */

static bool has_document_for(struct template *t, const struct yaml *r, enum template_kind kind, struct str id) {
    const struct template_type *type = template_type(r);
    return type && type->kind == kind && template_included(t, r, id);
}

/* A managed policy of this template, by the ARN that Ref gives. */
static bool own_managed(struct template *t, struct str arn, struct statements *s) {
    for (size_t i = 0; i < t->resources->n; i++) {
        struct str id = t->resources->keys[i]->text, where;
        if (!has_document_for(t, t->resources->items[i], KIND_MANAGED_POLICY, id)) continue;
        if (!str_eq(template_arn(t, id), arn)) continue;
        const struct yaml *doc = template_map(t, template_properties(t, id, &where), "PolicyDocument", where);
        if (doc) document(t, doc, template_path(t, where, "PolicyDocument"), s);
        return true;
    }
    return false;
}

static void managed_policy(struct template *t, struct str name, int line, struct str where, struct statements *s) {
    struct str last = name;
    if (own_managed(t, name, s)) return;
    for (struct str rest = name; rest.p;) last = str_cut(&rest, '/');
    for (size_t i = 0; i < sizeof managed / sizeof *managed; i++) {
        if (!str_is(last, managed[i].name)) continue;
        allow_everywhere(t, s, managed[i].actions);
        return;
    }
    struct near near = {.word = last};
    for (size_t i = 0; i < sizeof managed / sizeof *managed; i++) near_try(&near, str_c(managed[i].name));
    template_problem(t, line, where, "managed policy %.*s is not known%s%.*s%s: write its statements out",
                     STR_ARG(name), near.best.p ? " (" : "", (int)near.best.n, near.best.p ? near.best.p : "",
                     near.best.p ? " is)" : "");
}

static void managed_policies(struct template *t, const struct yaml *props, struct str where, struct statements *s) {
    const struct yaml *list = template_seq(t, props, "ManagedPolicyArns", where);
    struct str *names;
    size_t n;
    where = template_path(t, where, "ManagedPolicyArns");
    if (!list || template_texts(t, list, where, &names, &n)) return;
    for (size_t i = 0; i < n; i++) managed_policy(t, names[i], list->items[i]->line, where, s);
}

static bool names_role(struct template *t, const struct yaml *props, struct str where, struct str role) {
    const struct yaml *list = template_seq(t, props, "Roles", where);
    struct str *names;
    size_t n;
    if (!list || template_texts(t, list, where, &names, &n)) return false;
    for (size_t i = 0; i < n; i++)
        if (str_eq(names[i], role)) return true;
    return false;
}

/* AWS::IAM::Policy and ManagedPolicy resources that name the role. */
static void attached(struct template *t, struct str role, struct statements *s) {
    for (size_t i = 0; i < t->resources->n; i++) {
        struct str id = t->resources->keys[i]->text, where;
        const struct yaml *r = t->resources->items[i];
        if (!has_document_for(t, r, KIND_POLICY, id) && !has_document_for(t, r, KIND_MANAGED_POLICY, id)) continue;
        const struct yaml *props = template_properties(t, id, &where);
        const struct yaml *doc = template_map(t, props, "PolicyDocument", where);
        if (doc && names_role(t, props, where, role)) document(t, doc, template_path(t, where, "PolicyDocument"), s);
    }
}

static void role_policies(struct template *t, struct str id, struct statements *s) {
    struct str where;
    const struct yaml *props = template_properties(t, id, &where);
    const struct yaml *list = template_seq(t, props, "Policies", where);
    managed_policies(t, props, where, s);
    where = template_path(t, where, "Policies");
    for (size_t i = 0; list && i < list->n; i++) {
        const struct yaml *doc = template_map(t, list->items[i], "PolicyDocument", where);
        template_check_keys(t, list->items[i], where, "PolicyDocument", "PolicyName");
        if (doc) document(t, doc, template_path(t, where, "PolicyDocument"), s);
    }
    attached(t, template_name(t, id), s);
}

static void role(struct template *t, const struct yaml *props, struct str where, struct statements *s) {
    struct str arn = STR("");
    if (!template_text(t, props, "Role", where, &arn)) return;
    for (size_t i = 0; i < t->resources->n; i++) {
        struct str id = t->resources->keys[i]->text;
        if (!has_document_for(t, t->resources->items[i], KIND_ROLE, id) || !str_eq(template_arn(t, id), arn)) continue;
        role_policies(t, id, s);
        return;
    }
    template_problem(t, yaml_get(props, "Role")->line, where,
                     "Role %.*s is no role of this template: its permissions are not known", STR_ARG(arn));
}

/* ==== Policies of a function ==== */

static void entry(struct template *t, const struct yaml *v, struct str where, struct statements *s) {
    if (template_broken(v)) return;
    if (v->type == YAML_SCALAR)
        managed_policy(t, v->text, v->line, where, s);
    else if (yaml_get(v, "Statement"))
        document(t, v, where, s);
    else if (v->type == YAML_MAP && v->n == 1)
        policy_template(t, v->keys[0]->text, v->items[0], v->line, where, s);
    else
        template_problem(t, v->line, where, "is neither a policy template, a document nor a managed policy");
}

void template_read_policy(struct template *t, const struct yaml *props, struct str where, bool has_queue,
                          struct policy *ret) {
    struct statements s = {0};
    const struct yaml *list = yaml_get(props, "Policies");
    if (yaml_get(props, "Role")) {
        role(t, props, where, &s);
        if (list) template_problem(t, list->line, where, "Policies has no effect beside Role");
    } else if (list) {
        where = template_path(t, where, "Policies");
        for (size_t i = 0; list->type == YAML_SEQ && i < list->n; i++) entry(t, list->items[i], where, &s);
        if (list->type != YAML_SEQ) entry(t, list, where, &s);
    }
    /* SAM adds this policy to the role of a function with a queue. */
    if (has_queue && !yaml_get(props, "Role"))
        allow_everywhere(t, &s, "sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes");
    *ret = (struct policy){.statements = s.p, .n = s.n};
}
