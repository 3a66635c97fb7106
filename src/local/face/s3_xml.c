/* S3's documents: the API's shape in JSON to XML and back. Lists are what XML does not show: a table tells them. */
#include "local/face/s3.h"
#include <stdio.h>
#include <string.h>

/* An element that is repeated inside `parent`, and the member that holds them. */
static const struct list_row {
    const char *parent, *element, *member;
} lists[] = {{"ListBucketResult", "Contents", "Contents"},
             {"ListBucketResult", "CommonPrefixes", "CommonPrefixes"},
             {"Contents", "ChecksumAlgorithm", "ChecksumAlgorithm"},
             {"ListVersionsResult", "Version", "Versions"},
             {"ListVersionsResult", "DeleteMarker", "DeleteMarkers"},
             {"ListVersionsResult", "CommonPrefixes", "CommonPrefixes"},
             {"Version", "ChecksumAlgorithm", "ChecksumAlgorithm"},
             {"ListMultipartUploadsResult", "Upload", "Uploads"},
             {"ListMultipartUploadsResult", "CommonPrefixes", "CommonPrefixes"},
             {"ListPartsResult", "Part", "Parts"},
             {"CompleteMultipartUpload", "Part", "Parts"},
             {"Delete", "Object", "Objects"},
             {"DeleteResult", "Deleted", "Deleted"},
             {"DeleteResult", "Error", "Errors"},
             {"LifecycleConfiguration", "Rule", "Rules"},
             {"Rule", "Transition", "Transitions"},
             {"Rule", "NoncurrentVersionTransition", "NoncurrentVersionTransitions"},
             {"And", "Tag", "Tags"}};
/* An element that is a list itself. */
static const struct { const char *name, *element; } wrapped[] = {{"Buckets", "Bucket"}, {"TagSet", "Tag"}};

static const char *const numbers[] = {"Size",
                                      "PartNumber",
                                      "MaxKeys",
                                      "KeyCount",
                                      "MaxParts",
                                      "MaxUploads",
                                      "MaxBuckets",
                                      "Days",
                                      "DaysAfterInitiation",
                                      "NoncurrentDays",
                                      "PartNumberMarker",
                                      "NextPartNumberMarker",
                                      "NewerNoncurrentVersions",
                                      "ObjectSizeGreaterThan",
                                      "ObjectSizeLessThan"};
static const char *const booleans[] = {"IsTruncated", "Quiet", "IsLatest", "DeleteMarker", "ExpiredObjectDeleteMarker"};

enum { NAME_MAX_BYTES = 60 };

/* == to XML =========================================================================================================
 */

static void write_member(struct buf *b, const char *name, const struct json *v);

static const char *wrapped_element(struct str name) {
    for (size_t i = 0; i < sizeof wrapped / sizeof *wrapped; i++)
        if (str_is(name, wrapped[i].name)) return wrapped[i].element;
    return NULL;
}

/* The one member that is not named like its element. */
static const char *element_of(const char *member) {
    return strcmp(member, "MFADelete") ? member : "MfaDelete";
}

static struct str member_of(struct str element) {
    return str_is(element, "MfaDelete") ? STR("MFADelete") : element;
}

static const char *flat_element(const char *member) {
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (str_is(str_c(member), lists[i].member)) return lists[i].element;
    return member;
}

static void write_members(struct buf *b, const struct json *obj) {
    for (uint32_t i = 0; i < obj->n; i++) {
        char name[NAME_MAX_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", STR_ARG(obj->members[i].key));
        write_member(b, element_of(name), &obj->members[i].value);
    }
}

static void write_list(struct buf *b, const char *name, const struct json *list) {
    const char *inner = wrapped_element(str_c(name));
    if (inner) buf_printf(b, "<%s>", name);
    for (uint32_t i = 0; i < list->n; i++) write_member(b, inner ? inner : flat_element(name), &list->items[i]);
    if (inner) buf_printf(b, "</%s>", name);
}

static void write_member(struct buf *b, const char *name, const struct json *v) {
    if (json_is(v, JSON_NULL)) return;
    if (json_is(v, JSON_ARR)) {
        write_list(b, name, v);
        return;
    }
    buf_printf(b, "<%s>", name);
    if (json_is(v, JSON_OBJ))
        write_members(b, v);
    else if (json_is(v, JSON_TRUE) || json_is(v, JSON_FALSE))
        buf_c(b, json_is(v, JSON_TRUE) ? "true" : "false");
    else
        xml_escape(b, v->s);
    buf_printf(b, "</%s>", name);
}

static bool is_name(struct str name) {
    bool ok = name.n && name.n <= NAME_MAX_BYTES;
    for (size_t i = 0; ok && i < name.n; i++)
        ok = (name.p[i] >= 'A' && name.p[i] <= 'Z') || (name.p[i] >= 'a' && name.p[i] <= 'z') ||
             (i && name.p[i] >= '0' && name.p[i] <= '9');
    return ok;
}

static bool has_names(const struct json *v) {
    for (uint32_t i = 0; json_is(v, JSON_ARR) && i < v->n; i++)
        if (!has_names(&v->items[i])) return false;
    for (uint32_t i = 0; json_is(v, JSON_OBJ) && i < v->n; i++)
        if (!is_name(v->members[i].key) || !has_names(&v->members[i].value)) return false;
    return true;
}

int rest_write_xml(struct buf *b, const char *root, const struct json *obj) {
    if (!has_names(obj)) return -1;
    buf_printf(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
               root);
    if (json_is(obj, JSON_OBJ)) write_members(b, obj);
    if (json_is(obj, JSON_STR)) xml_escape(b, obj->s);
    buf_printf(b, "</%s>", root);
    return 0;
}

/* == from XML =======================================================================================================
 */

static struct json read_element(struct arena *a, const struct xml *x);

static bool listed(const char *const *names, size_t n, struct str name) {
    for (size_t i = 0; i < n; i++)
        if (str_is(name, names[i])) return true;
    return false;
}

static struct json read_text(struct arena *a, const struct xml *x) {
    struct str text = x->text.p ? x->text : STR("");
    int64_t n;
    if (listed(numbers, sizeof numbers / sizeof *numbers, x->name) && str_i64(str_trim(text), &n))
        return json_make_i64(a, n);
    if (!listed(booleans, sizeof booleans / sizeof *booleans, x->name)) return json_make_str(text);
    return str_ieq(str_trim(text), STR("true")) ? json_make_bool(true) : json_make_bool(false);
}

static const char *list_member(struct str parent, struct str element) {
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (str_is(parent, lists[i].parent) && str_is(element, lists[i].element)) return lists[i].member;
    return NULL;
}

static struct json *list_of(struct arena *a, struct json *obj, const char *member) {
    struct json *v = (struct json *)json_get(obj, member);
    return v ? v : json_set(a, obj, member, json_make_arr());
}

static struct json read_wrapped(struct arena *a, const struct xml *x) {
    struct json list = json_make_arr();
    for (const struct xml *c = x->first; c; c = c->next) json_push(a, &list, read_element(a, c));
    return list;
}

struct json rest_read_xml(struct arena *a, const struct xml *x) {
    struct json obj = json_make_obj();
    for (const struct xml *c = x->first; c; c = c->next) {
        const char *member = list_member(x->name, c->name);
        struct json v = read_element(a, c);
        if (member)
            json_push(a, list_of(a, &obj, member), v);
        else
            json_set_str(a, &obj, member_of(c->name), v);
    }
    return obj;
}

/* Elements that hold others even when they are empty. */
static bool is_structure(const struct xml *x) {
    static const char *const names[] = {"Filter", "And", "Expiration", "Rule", "Object", "Part", "Tag"};
    return x->first || listed(names, sizeof names / sizeof *names, x->name);
}

static struct json read_element(struct arena *a, const struct xml *x) {
    if (wrapped_element(x->name)) return read_wrapped(a, x);
    return is_structure(x) ? rest_read_xml(a, x) : read_text(a, x);
}
