/* AWS Query: a form out, XML back. The service's model is not at hand: what the form needs to know of it (which members
 * are maps, tokens of idempotency) is in tables here; in answers every value is text, lists are the elements whose
 * children are called "member", maps those of "entry". An empty list is therefore an empty text. */
#include "base/url.h"
#include "remote/wire.h"
#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 32, MAX_NAME = 1024 };

/* == requests =======================================================================================================
 */

/* Members of parameters that are maps, with the names of their keys and values. */
static const struct map_row {
    enum aws_service service;
    const char *member, *key, *value;
} maps[] = {
    {AWS_SNS, "Attributes", "key", "value"},           {AWS_SNS, "attributes", "key", "value"},
    {AWS_SNS, "MessageAttributes", "Name", "Value"},   {AWS_CLOUDFORMATION, "ResourceIdentifier", "key", "value"},
    {AWS_CLOUDWATCH, "KeyAttributes", "key", "value"}, {AWS_CLOUDWATCH, "Attributes", "key", "value"},
    {AWS_IAM, "Properties", "key", "value"},           {AWS_IAM, "ReplacementValues", "key", "value"},
};

struct form {
    struct aws_call *call;
    struct buf body;
    char name[MAX_NAME]; /* of the value at hand: "Tags.member.1.Key" */
    size_t n;
    struct err *e;
};

static const struct map_row *map_of(const struct form *f, struct str member) {
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        if (maps[i].service == f->call->row->service && str_is(member, maps[i].member)) return &maps[i];
    return NULL;
}

/* Names are the caller's: they are encoded like values. */
static int push(struct form *f, struct str part, size_t *ret_before) {
    *ret_before = f->n;
    if (f->n + part.n + 1 >= sizeof f->name)
        return err_set(f->e, ERR_VALIDATION, "a parameter's name is longer than %d characters: %.80s...", MAX_NAME,
                       f->name);
    if (f->n) f->name[f->n++] = '.';
    memcpy(f->name + f->n, part.p, part.n);
    f->n += part.n;
    f->name[f->n] = '\0';
    return 0;
}

static void pop(struct form *f, size_t before) {
    f->n = before;
    f->name[before] = '\0';
}

static void add_pair(struct form *f, struct str value) {
    if (f->body.n) buf_byte(&f->body, '&');
    url_encode(&f->body, str_n(f->name, f->n), false);
    buf_byte(&f->body, '=');
    url_encode(&f->body, value, false);
}

static int add_value(struct form *f, struct str member, const struct json *v, int depth);

static int add_part(struct form *f, struct str part, struct str member, const struct json *v, int depth) {
    size_t before;
    if (push(f, part, &before) || add_value(f, member, v, depth)) return -1;
    pop(f, before);
    return 0;
}

static int add_list(struct form *f, const struct json *list, int depth) {
    char part[32];
    if (!list->n) add_pair(f, STR_NONE); /* "Name=": the empty list */
    for (uint32_t i = 0; i < list->n; i++) {
        int n = snprintf(part, sizeof part, "member.%u", i + 1);
        if (add_part(f, str_n(part, (size_t)n), STR_NONE, &list->items[i], depth)) return -1;
    }
    return 0;
}

static int add_map(struct form *f, const struct map_row *row, const struct json *map, int depth) {
    char part[64];
    for (uint32_t i = 0; i < map->n; i++) {
        const struct json key = json_make_str(map->members[i].key);
        int n = snprintf(part, sizeof part, "entry.%u.%s", i + 1, row->key);
        if (add_part(f, str_n(part, (size_t)n), STR_NONE, &key, depth)) return -1;
        n = snprintf(part, sizeof part, "entry.%u.%s", i + 1, row->value);
        if (add_part(f, str_n(part, (size_t)n), STR_NONE, &map->members[i].value, depth)) return -1;
    }
    return 0;
}

static int add_members(struct form *f, const struct json *obj, int depth) {
    for (uint32_t i = 0; i < obj->n; i++) {
        struct str name = obj->members[i].key;
        if (add_part(f, name, name, &obj->members[i].value, depth)) return -1;
    }
    return 0;
}

static int add_value(struct form *f, struct str member, const struct json *v, int depth) {
    const struct map_row *map = map_of(f, member);
    if (depth > MAX_DEPTH)
        return err_set(f->e, ERR_VALIDATION, "the parameters are nested more than %d deep at %.100s", MAX_DEPTH,
                       f->name);
    switch (v->type) {
    case JSON_NULL:
        break;
    case JSON_FALSE:
        add_pair(f, STR("false"));
        break;
    case JSON_TRUE:
        add_pair(f, STR("true"));
        break;
    case JSON_NUM:
    case JSON_STR:
        add_pair(f, v->s);
        break;
    case JSON_ARR:
        return add_list(f, v, depth + 1);
    case JSON_OBJ:
        return map ? add_map(f, map, v, depth + 1) : add_members(f, v, depth + 1);
    }
    return 0;
}

/* Tokens by which CloudFormation knows a retry, where it wants one. */
static const char *token_member(const struct aws_call *c) {
    static const char *const of_operation[] = {"CreateStackInstances",   "DeleteStackInstances", "DetectStackSetDrift",
                                               "ImportStacksToStackSet", "UpdateStackInstances", "UpdateStackSet"};
    if (c->row->service != AWS_CLOUDFORMATION) return NULL;
    for (size_t i = 0; i < sizeof of_operation / sizeof *of_operation; i++)
        if (!strcmp(c->row->action, of_operation[i])) return "OperationId";
    return strcmp(c->row->action, "CreateStackSet") ? NULL : "ClientRequestToken";
}

int wire_query_encode(struct aws_call *c, struct arena *a, struct wire_request *r, struct err *e) {
    const struct aws_service_row *service = aws_service_row(c->row->service);
    struct form f = {.call = c, .body = BUF_MAX(WIRE_BODY_MAX), .e = e};
    wire_token(c, token_member(c));
    buf_printf(&f.body, "Action=%s&Version=%s", c->row->action, service->target);
    if (add_members(&f, &c->params, 0)) {
        buf_free(&f.body);
        return -1;
    }
    if (wire_take(a, &f.body, "the request", &r->body, e)) return -1;
    wire_header(a, r, "Content-Type", STR("application/x-www-form-urlencoded; charset=utf-8"));
    return 0;
}

/* == answers ========================================================================================================
 */

static bool all_named(const struct xml *x, const char *name) {
    for (const struct xml *c = x->first; c; c = c->next)
        if (!str_is(c->name, name)) return false;
    return x->first;
}

static struct json to_json(struct arena *a, const struct xml *x);

static struct json to_list(struct arena *a, const struct xml *x) {
    struct json list = json_make_arr();
    for (const struct xml *c = x->first; c; c = c->next) json_push(a, &list, to_json(a, c));
    return list;
}

/* <entry><key>k</key><value>v</value></entry>: the first child is the key, the second the value. */
static struct json to_map(struct arena *a, const struct xml *x) {
    struct json map = json_make_obj();
    for (const struct xml *c = x->first; c; c = c->next)
        if (c->first)
            json_set_str(a, &map, c->first->text, c->first->next ? to_json(a, c->first->next) : json_make_null());
    return map;
}

static void add_same(struct arena *a, struct json *obj, const struct xml *x, const struct xml **ret_next) {
    struct str name = x->name;
    struct json list = json_make_arr(), one = to_json(a, x);
    for (x = x->next; x && str_eq(x->name, name); x = x->next) {
        if (!list.n) json_push(a, &list, one);
        json_push(a, &list, to_json(a, x));
    }
    *ret_next = x;
    json_set_str(a, obj, name, list.n ? list : one);
}

/* A name that comes again at once is a flat list. */
static struct json to_object(struct arena *a, const struct xml *x) {
    struct json obj = json_make_obj();
    for (const struct xml *c = x->first; c;) add_same(a, &obj, c, &c);
    return obj;
}

static struct json to_json(struct arena *a, const struct xml *x) {
    if (!x->first) return json_make_str(x->text);
    if (all_named(x, "member")) return to_list(a, x);
    return all_named(x, "entry") ? to_map(a, x) : to_object(a, x);
}

static void read_request_id(struct aws_call *c, const struct xml *root) {
    struct str id = xml_text(root, "RequestId");
    if (!id.n) id = xml_text(xml_child(root, "ResponseMetadata"), "RequestId");
    if (!id.n) return;
    id = wire_clean(&c->arena, id, sizeof c->request_id - 1);
    memcpy(c->request_id, id.p, id.n);
    c->request_id[id.n] = '\0';
}

static int decode_error(struct aws_call *c, const struct wire_response *r) {
    struct xml *root = NULL;
    struct err why;
    const struct xml *error =
        xml_parse(&c->arena, str_take(r->body, WIRE_ERROR_MAX), &root, &why) ? NULL : wire_xml_error(root);
    if (!error) return wire_unreadable(c, r, "XML error");
    read_request_id(c, root);
    return wire_refused_xml(c, r, error);
}

int wire_query_decode(struct aws_call *c, const struct wire_response *r) {
    struct xml *root = NULL;
    struct err why = {0};
    if (!wire_ok(r)) return decode_error(c, r);
    if (xml_parse(&c->arena, r->body, &root, &why)) return wire_bad(c, "is no XML (%.200s)", why.msg);
    struct str want = arena_printf(&c->arena, "%sResponse", c->row->action);
    const struct xml *result = xml_child(root, arena_printf(&c->arena, "%sResult", c->row->action).p);
    if (!str_eq(root->name, want))
        return wire_bad(c, "is <%.*s>, not <%.*s>", STR_ARG(str_take(root->name, 80)), STR_ARG(want));
    read_request_id(c, root);
    if (result && result->first) {
        struct json v = to_json(&c->arena, result);
        c->result = json_is(&v, JSON_OBJ) ? v : to_object(&c->arena, result);
    }
    return 0;
}
