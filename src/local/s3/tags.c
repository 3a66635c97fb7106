/* Tags of objects: JSON text of [{"Key","Value"}, ...] in the object's row. */
#include "base/url.h"
#include "local/s3/s3.h"
#include <string.h>

enum { TAGS_MAX = 10, TAG_KEY_MAX = 128, TAG_VALUE_MAX = 256 };

static size_t characters(struct str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

/* Letters, numbers, spaces and + - = . _ : / @; of what is not ASCII, all. */
static bool is_allowed(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (c < 0x80 && !alnum && (!c || !strchr(" +-=._:/@", c))) return false;
    }
    return str_bad_utf8(s) < 0;
}

/* Amazon S3 User Guide, "Categorizing your objects using tags". */
static int check_tag(const struct json *set, uint32_t i, struct err *e) {
    struct str key = json_get_s(&set->items[i], "Key"), value = json_get_s(&set->items[i], "Value");
    if (params_only(&set->items[i], "Key Value", "a tag", ERR_S3_XML, e)) return -1;
    if (!key.p || !value.p) return aws_s3_malformed(e, "a tag has no Key or no Value");
    if (!key.n || characters(key) > TAG_KEY_MAX || str_starts(key, STR("aws:")) || !is_allowed(key))
        return err_set(e, ERR_S3_TAG, "The TagKey you have provided is invalid: %.*s", STR_ARG(str_take(key, 128)));
    if (characters(value) > TAG_VALUE_MAX || !is_allowed(value))
        return err_set(e, ERR_S3_TAG, "The TagValue you have provided is invalid: that of %.*s",
                       STR_ARG(str_take(key, 128)));
    for (uint32_t k = 0; k < i; k++)
        if (str_eq(key, json_get_s(&set->items[k], "Key")))
            return err_set(e, ERR_S3_TAG, "Cannot provide multiple Tags with the same key: %.*s",
                           STR_ARG(str_take(key, 128)));
    return 0;
}

static int tags_text(struct arena *a, const struct json *set, struct str *ret, struct err *e) {
    if (!json_is(set, JSON_ARR)) return aws_s3_malformed(e, "there is no TagSet");
    if (set->n > TAGS_MAX) return err_set(e, ERR_S3_TAGS, "Object tags cannot be greater than %d", TAGS_MAX);
    for (uint32_t i = 0; i < set->n; i++)
        if (check_tag(set, i, e)) return -1;
    *ret = set->n ? s3_json_text(a, set) : STR("");
    return 0;
}

int s3_tags_of_header(struct arena *a, struct str header, struct str *ret, struct err *e) {
    struct url_param *params = NULL;
    struct json set = json_make_arr();
    size_t n = 0;
    *ret = STR("");
    if (!header.n) return 0;
    if (url_query(a, header, 100, &params, &n, e))
        return err_set(e, ERR_S3_ARGUMENT,
                       "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
                       "without tag name duplicates.");
    for (size_t i = 0; i < n; i++) {
        struct json tag = json_make_obj();
        json_set(a, &tag, "Key", json_make_str(params[i].name));
        json_set(a, &tag, "Value", json_make_str(params[i].value.p ? params[i].value : STR("")));
        json_push(a, &set, tag);
    }
    return tags_text(a, &set, ret, e);
}

int64_t s3_tag_count(struct str tags) {
    struct arena a = {0};
    struct json set;
    struct err e;
    int64_t n = tags.n && !json_parse(&a, tags, NULL, &set, &e) ? set.n : 0;
    arena_free(&a);
    return n;
}

/* == operations =====================================================================================================
 */

static int object_of(struct local_tx *tx, struct aws_call *c, const char *known, struct str *bucket, struct str *key,
                     struct s3_object *o) {
    struct err *e = &c->err;
    if (params_only(&c->params, known, c->row->action, ERR_S3_ARGUMENT, e)) return -1;
    if (s3_bucket_of(tx, c, bucket, e) || s3_key_of(c, key, e) || s3_locate(tx, c, *bucket, *key, o, e)) return -1;
    struct s3_bucket b;
    if (s3_bucket_row(tx, &c->arena, *bucket, &b, e)) return -1;
    if (b.versioned || b.suspended || o->version.n)
        json_set(&c->arena, &c->result, "VersionId", json_make_str(s3_shown_version(o->version)));
    return 0;
}

static int save(struct local_tx *tx, struct str bucket, struct str key, const struct s3_object *o, struct str tags,
                struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db,
                o->latest ? "UPDATE objects SET tags=?3 WHERE bucket=?1 AND key=?2 AND version_id=?4"
                          : "UPDATE object_versions SET tags=?3 WHERE bucket=?1 AND key=?2 AND version_id=?4",
                &s, e))
        return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, key);
    db_bind_text(s, 3, tags);
    db_bind_text(s, 4, o->version);
    return db_run(s, e) ? -1 : 0;
}

int s3_set_tags(struct local_tx *tx, struct aws_call *c) {
    struct str bucket, key, tags;
    struct s3_object o;
    const struct json *tagging = json_get(&c->params, "Tagging");
    if (object_of(tx, c, "Bucket Key VersionId Tagging", &bucket, &key, &o)) return -1;
    if (params_only(tagging, "TagSet", "Tagging", ERR_S3_XML, &c->err)) return -1;
    if (tags_text(&c->arena, json_get(tagging, "TagSet"), &tags, &c->err)) return -1;
    return save(tx, bucket, key, &o, tags, &c->err);
}

int s3_get_tags(struct local_tx *tx, struct aws_call *c) {
    struct str bucket, key;
    struct s3_object o;
    struct json set = json_make_arr();
    if (object_of(tx, c, "Bucket Key VersionId", &bucket, &key, &o)) return -1;
    if (o.tags.n && json_parse(&c->arena, o.tags, NULL, &set, &c->err)) return err_wrap(&c->err, "an object's row");
    json_set(&c->arena, &c->result, "TagSet", set);
    return 0;
}

int s3_delete_tags(struct local_tx *tx, struct aws_call *c) {
    struct str bucket, key;
    struct s3_object o;
    if (object_of(tx, c, "Bucket Key VersionId", &bucket, &key, &o)) return -1;
    return save(tx, bucket, key, &o, STR(""), &c->err);
}
