/* What a function may do: SAM policy templates, inline documents, managed policies, roles of the template. */
#include "app/template.h"
#include <string.h>

struct statements {
    struct policy_statement *p;
    size_t n, cap;
};

/* Actions, and the last part of ARNs with '%' for the name; separated by spaces. */
struct grant {
    const char *actions, *resources;
};

/* https://github.com/aws/serverless-application-model: policy_templates.json. */
static const struct {
    const char *name, *parameter;
    const char *service; /* of the ARN */
    struct grant grants[2];
} policy_templates[] = {
    {"DynamoDBCrudPolicy",
     "TableName",
     "dynamodb",
     {{"dynamodb:GetItem dynamodb:DeleteItem dynamodb:PutItem dynamodb:Scan dynamodb:Query dynamodb:UpdateItem "
       "dynamodb:BatchWriteItem dynamodb:BatchGetItem dynamodb:DescribeTable dynamodb:ConditionCheckItem",
       "table/% table/%/index/*"}}},
    {"DynamoDBReadPolicy",
     "TableName",
     "dynamodb",
     {{"dynamodb:GetItem dynamodb:Scan dynamodb:Query dynamodb:BatchGetItem dynamodb:DescribeTable",
       "table/% table/%/index/*"}}},
    {"DynamoDBWritePolicy",
     "TableName",
     "dynamodb",
     {{"dynamodb:PutItem dynamodb:UpdateItem dynamodb:BatchWriteItem", "table/% table/%/index/*"}}},
    {"SQSPollerPolicy",
     "QueueName",
     "sqs",
     {{"sqs:ChangeMessageVisibility sqs:ChangeMessageVisibilityBatch sqs:DeleteMessage sqs:DeleteMessageBatch "
       "sqs:GetQueueAttributes sqs:ReceiveMessage",
       "%"}}},
    {"SQSSendMessagePolicy", "QueueName", "sqs", {{"sqs:SendMessage*", "%"}}},
    {"S3ReadPolicy",
     "BucketName",
     "s3",
     {{"s3:GetObject s3:ListBucket s3:GetBucketLocation s3:GetObjectVersion s3:GetLifecycleConfiguration", "% %/*"}}},
    {"S3WritePolicy", "BucketName", "s3", {{"s3:PutObject s3:PutObjectAcl s3:PutLifecycleConfiguration", "% %/*"}}},
    {"S3CrudPolicy",
     "BucketName",
     "s3",
     {{"s3:GetObject s3:ListBucket s3:GetBucketLocation s3:GetObjectVersion s3:PutObject s3:PutObjectAcl "
       "s3:GetLifecycleConfiguration s3:PutLifecycleConfiguration s3:DeleteObject",
       "% %/*"}}},
    {"S3FullAccessPolicy",
     "BucketName",
     "s3",
     {{"s3:GetObject s3:GetObjectAcl s3:GetObjectVersion s3:PutObject s3:PutObjectAcl s3:DeleteObject "
       "s3:DeleteObjectTagging s3:DeleteObjectVersionTagging s3:GetObjectTagging s3:GetObjectVersionTagging "
       "s3:PutObjectTagging s3:PutObjectVersionTagging",
       "%/*"},
      {"s3:ListBucket s3:GetBucketLocation s3:GetLifecycleConfiguration s3:PutLifecycleConfiguration", "%"}}},
    {"SESCrudPolicy",
     "IdentityName",
     "ses",
     {{"ses:GetIdentityVerificationAttributes ses:SendEmail ses:SendRawEmail ses:VerifyEmailIdentity", "identity/%"}}},
};

/* Managed policies by their last path element; "" grants nothing that exists locally. */
static const struct {
    const char *name, *actions;
} managed[] = {
    {"AWSLambdaBasicExecutionRole", ""},
    {"AWSLambdaVPCAccessExecutionRole", ""},
    {"AWSXRayDaemonWriteAccess", ""},
    {"AWSXrayWriteOnlyAccess", ""},
    {"CloudWatchLambdaInsightsExecutionRolePolicy", ""},
    {"AWSLambdaSQSQueueExecutionRole", "sqs:ReceiveMessage sqs:DeleteMessage sqs:GetQueueAttributes"},
    {"AmazonDynamoDBFullAccess", "dynamodb:*"},
    {"AmazonDynamoDBReadOnlyAccess",
     "dynamodb:BatchGetItem dynamodb:Describe* dynamodb:List* dynamodb:GetItem dynamodb:Query dynamodb:Scan"},
    {"AmazonSQSFullAccess", "sqs:*"},
    {"AmazonSQSReadOnlyAccess", "sqs:GetQueueAttributes sqs:GetQueueUrl sqs:ListDeadLetterSourceQueues sqs:ListQueues"},
    {"AmazonS3FullAccess", "s3:*"},
    {"AmazonS3ReadOnlyAccess", "s3:Get* s3:List* s3:Describe*"},
    {"AmazonSESFullAccess", "ses:*"},
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

static void check_actions(struct template *t, int line, struct str where, const struct policy_statement *p) {
    for (size_t i = 0; i < p->n_actions; i++)
        if (!str_is(p->actions[i], "*") && str_chr(p->actions[i], ':', 0) < 1)
            template_problem(t, line, where, "'%.*s' is no action (service:Name)", STR_ARG(p->actions[i]));
}

static void statement(struct template *t, const struct yaml *v, struct str where, struct statements *s) {
    struct str effect = STR(""), *actions, *resources;
    struct policy_statement p = {0};
    const struct yaml *action = yaml_get(v, "Action"), *res = yaml_get(v, "Resource");
    template_check_keys(t, v, where, "Effect Action Resource", "Sid");
    if (template_broken(v) || v->type != YAML_MAP) return;
    template_text(t, v, "Effect", where, &effect);
    p.deny = str_is(effect, "Deny");
    if (!p.deny && !str_is(effect, "Allow")) template_problem(t, v->line, where, "Effect must be Allow or Deny");
    if (!action || !res) {
        template_problem(t, v->line, where, "needs Action and Resource");
        return;
    }
    if (template_texts(t, action, template_path(t, where, "Action"), &actions, &p.n_actions) ||
        template_texts(t, res, template_path(t, where, "Resource"), &resources, &p.n_resources))
        return;
    p.actions = actions;
    p.resources = resources;
    check_actions(t, action->line, where, &p);
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

/* "table/% table/%/index/ *" -> ARNs with the name in place of each '%'. */
static const struct str *expand(struct template *t, const char *service, const char *patterns, struct str name,
                                size_t *ret_n) {
    bool s3 = str_is(str_c(service), "s3");
    struct str *list = (struct str *)words(t, patterns, ret_n);
    for (size_t i = 0; i < *ret_n; i++) {
        struct str after = list[i], before = str_cut(&after, '%');
        list[i] =
            arena_printf(t->a, "arn:%s:%s:%s:%s:%.*s%.*s%.*s", template_partition(t), service, s3 ? "" : t->o->region,
                         s3 ? "" : t->o->account, STR_ARG(before), STR_ARG(name), (int)after.n, after.p ? after.p : "");
    }
    return list;
}

static void policy_template(struct template *t, struct str name, const struct yaml *parameters, int line,
                            struct str where, struct statements *s) {
    size_t i = 0, n = sizeof policy_templates / sizeof *policy_templates;
    struct str value = STR("");
    while (i < n && !str_is(name, policy_templates[i].name)) i++;
    if (i == n) {
        template_problem(t, line, where, "policy template %s is not supported", name.p);
        return;
    }
    where = template_path(t, where, name.p);
    template_check_keys(t, parameters, where, policy_templates[i].parameter, NULL);
    if (template_broken(yaml_get(parameters, policy_templates[i].parameter))) return;
    if (!template_text(t, parameters, policy_templates[i].parameter, where, &value)) {
        template_problem(t, line, where, "needs %s", policy_templates[i].parameter);
        return;
    }
    for (size_t g = 0; g < 2 && policy_templates[i].grants[g].actions; g++) {
        size_t n_arns;
        const struct grant *grant = &policy_templates[i].grants[g];
        const struct str *arns = expand(t, policy_templates[i].service, grant->resources, value, &n_arns);
        allow(t, s, grant->actions, arns, n_arns);
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
    template_problem(t, line, where, "managed policy %.*s is not known: write its statements out", STR_ARG(name));
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
