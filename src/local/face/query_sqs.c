/* SQS in the Query protocol: lists are numbered names in requests ("Attribute.1.Name"), repeated elements in answers.
 */
#include "local/face/query.h"
#include <stdio.h>

/* == requests =======================================================================================================
 */

/* name.N -> member: a list, or, with a key and a value, an object. */
static const struct list_row {
    const char *name, *member, *key, *value;
} lists[] = {{"Attribute", "Attributes", "Name", "Value"},
             {"AttributeName", "AttributeNames", NULL, NULL},
             {"MessageSystemAttributeName", "MessageSystemAttributeNames", NULL, NULL},
             {"MessageAttributeName", "MessageAttributeNames", NULL, NULL},
             {"MessageAttribute", "MessageAttributes", "Name", "Value"},
             {"MessageSystemAttribute", "MessageSystemAttributes", "Name", "Value"},
             {"Tag", "Tags", "Key", "Value"},
             {"TagKey", "TagKeys", NULL, NULL},
             {"AWSAccountId", "AWSAccountIds", NULL, NULL},
             {"ActionName", "Actions", NULL, NULL},
             {"SendMessageBatchRequestEntry", "Entries", NULL, NULL},
             {"DeleteMessageBatchRequestEntry", "Entries", NULL, NULL},
             {"ChangeMessageVisibilityBatchRequestEntry", "Entries", NULL, NULL}};

static const struct list_row *list_of(struct str name) {
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (str_is(name, lists[i].name)) return &lists[i];
    return NULL;
}

/* [{Name, Value}, ..] -> {Name: Value, ..} */
static int to_object(struct arena *a, const struct list_row *row, const struct json *list, struct json *ret,
                     struct err *e) {
    *ret = json_make_obj();
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *value = json_get(&list->items[i], row->value);
        struct str key = json_get_s(&list->items[i], row->key);
        if (!key.p || !value)
            return err_set(e, ERR_SQS_MISSING, "The request must contain the parameter %s.%u.%s.", row->name, i + 1,
                           key.p ? row->value : row->key);
        if (json_get_str(ret, key))
            return err_set(e, ERR_SQS_PARAMETER, "%s %.*s occurs more than once", row->name,
                           STR_ARG(str_take(key, 80)));
        json_set_str(a, ret, key, *value);
    }
    return 0;
}

static int members(struct arena *a, bool create, const struct json *tree, struct json *ret, struct err *e);

static int to_list(struct arena *a, const struct list_row *row, const struct json *v, struct json *ret, struct err *e) {
    struct json list;
    if (query_list(a, v, row->name, &list, e)) return -1;
    if (row->key) return to_object(a, row, &list, ret, e);
    *ret = list;
    for (uint32_t i = 0; i < list.n; i++) {
        if (!json_is(&list.items[i], JSON_OBJ)) continue;
        struct json entry = list.items[i];
        if (members(a, false, &entry, &ret->items[i], e)) return -1;
    }
    return 0;
}

static int members(struct arena *a, bool create, const struct json *tree, struct json *ret, struct err *e) {
    *ret = json_make_obj();
    ret->open = true;
    for (uint32_t i = 0; i < tree->n; i++) {
        const struct list_row *row = list_of(tree->members[i].key);
        struct json v = tree->members[i].value;
        if (row && to_list(a, row, &tree->members[i].value, &v, e)) return -1;
        if (!row)
            json_set_str(a, ret, tree->members[i].key, v);
        else
            json_set(a, ret, create && str_is(tree->members[i].key, "Tag") ? "tags" : row->member, v);
    }
    return 0;
}

bool query_sqs_knows(struct str action) {
    struct aws_call *c = aws_call_named(AWS_SQS, action);
    bool known = c->op != AWS_OTHER;
    aws_call_free(c);
    return known;
}

int query_sqs_params(struct arena *a, struct str action, const struct json *tree, struct json *ret, struct err *e) {
    return members(a, str_is(action, "CreateQueue"), tree, ret, e);
}

/* == answers ========================================================================================================
 */

/* member -> element; with a key and a value: an object's members, each an element of the two. */
static const struct element {
    const char *member, *tag, *key, *value;
} elements[] = {{"QueueUrls", "QueueUrl", NULL, NULL},
                {"queueUrls", "QueueUrl", NULL, NULL},
                {"Messages", "Message", NULL, NULL},
                {"Results", "ListMessageMoveTasksResultEntry", NULL, NULL},
                {"Failed", "BatchResultErrorEntry", NULL, NULL},
                {"Attributes", "Attribute", "Name", "Value"},
                {"MessageAttributes", "MessageAttribute", "Name", "Value"},
                {"Tags", "Tag", "Key", "Value"}};

struct writing {
    struct buf *b;
    struct str action;
};

static void write_members(const struct writing *w, const struct json *obj, bool failed);

static void write_value(const struct writing *w, const char *tag, const struct json *v, bool failed) {
    bool truth = false;
    if (json_is(v, JSON_OBJ)) {
        buf_printf(w->b, "<%s>", tag);
        write_members(w, v, failed);
        buf_printf(w->b, "</%s>", tag);
    } else if (json_bool(v, &truth)) {
        face_xml(w->b, tag, truth ? STR("true") : STR("false"));
    } else {
        face_xml(w->b, tag, json_is(v, JSON_NUM) ? v->s : json_str(v));
    }
}

static void write_pairs(const struct writing *w, const struct element *row, const struct json *obj) {
    for (uint32_t i = 0; i < obj->n; i++) {
        buf_printf(w->b, "<%s>", row->tag);
        face_xml(w->b, row->key, obj->members[i].key);
        write_value(w, row->value, &obj->members[i].value, false);
        buf_printf(w->b, "</%s>", row->tag);
    }
}

static void write_list(const struct writing *w, const char *tag, const struct json *list, bool failed) {
    for (uint32_t i = 0; i < list->n; i++) write_value(w, tag, &list->items[i], failed);
}

/* The code of an entry that failed is the older protocol's as well. */
static void write_code(const struct writing *w, struct str name) {
    struct err e = {.code = ERR_SERVICE};
    snprintf(e.name, sizeof e.name, "%.*s", STR_ARG(name));
    face_xml(w->b, "Code", str_c(face_sqs_query_code(&e)));
}

static void write_member(const struct writing *w, struct str name, const struct json *v, bool failed) {
    const struct element *row = NULL;
    char tag[128];
    for (size_t i = 0; i < sizeof elements / sizeof *elements; i++)
        if (str_is(name, elements[i].member)) row = &elements[i];
    bool entries = str_is(name, "Successful");
    snprintf(tag, sizeof tag, "%.*s%s", STR_ARG(entries ? w->action : name), entries ? "ResultEntry" : "");
    if (row && row->key && json_is(v, JSON_OBJ))
        write_pairs(w, row, v);
    else if (json_is(v, JSON_ARR))
        write_list(w, row ? row->tag : tag, v, str_is(name, "Failed"));
    else if (failed && str_is(name, "Code"))
        write_code(w, json_str(v));
    else
        write_value(w, tag, v, false);
}

static void write_members(const struct writing *w, const struct json *obj, bool failed) {
    for (uint32_t i = 0; i < obj->n; i++) write_member(w, obj->members[i].key, &obj->members[i].value, failed);
}

void query_sqs_result(struct buf *b, struct str action, const struct json *result) {
    struct writing w = {b, action};
    write_members(&w, result, false);
}
