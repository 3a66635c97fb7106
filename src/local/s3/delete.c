/* DeleteObject and DeleteObjects. */
#include "local/s3/s3.h"

enum { DELETE_MAX = 1000 };

static int check_match(struct local_tx *tx, struct aws_call *c, const struct s3_bucket *b, struct str key,
                       const struct json *params, struct err *e) {
    struct s3_object o;
    struct str match;
    if (params_str(params, params == &c->params ? "IfMatch" : "ETag", ERR_S3_ARGUMENT, &match, e)) return -1;
    if (!match.n) return 0;
    int found = s3_find(tx, &c->arena, b->name, key, &o, e);
    if (found < 0) return -1;
    if (!found) return err_set(e, ERR_S3_NO_KEY, "The specified key does not exist: %.*s", STR_ARG(str_take(key, 200)));
    if (s3_etag_listed(match, o.etag)) return 0;
    return err_set(e, ERR_S3_PRECONDITION, "At least one of the pre-conditions you specified did not hold: If-Match");
}

int s3_delete(struct local_tx *tx, struct aws_call *c) {
    struct str name, key, version;
    struct s3_bucket b;
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket Key VersionId IfMatch", "DeleteObject", ERR_S3_ARGUMENT, e)) return -1;
    if (s3_bucket_of(tx, c, &name, e) || s3_key_of(c, &key, e) || s3_bucket_row(tx, &c->arena, name, &b, e)) return -1;
    if (params_str(&c->params, "VersionId", ERR_S3_ARGUMENT, &version, e)) return -1;
    if (check_match(tx, c, &b, key, &c->params, e)) return -1;
    return s3_remove(tx, &c->arena, &b, key, version, s3_bin_of(tx, &c->arena), &c->result, e);
}

/* == many ===========================================================================================================
 */

static void add_error(struct aws_call *c, struct json *errors, const struct json *object, const struct err *e) {
    struct arena *a = &c->arena;
    struct json row = json_make_obj();
    json_set(a, &row, "Key", json_make_str(json_get_s(object, "Key")));
    if (json_get_s(object, "VersionId").n)
        json_set(a, &row, "VersionId", json_make_str(json_get_s(object, "VersionId")));
    json_set(a, &row, "Code", json_make_c(err_name(e->code)));
    json_set(a, &row, "Message", json_make_str(arena_str(a, str_c(e->msg))));
    json_push(a, errors, row);
}

/* "Deleted" as the API says it: of a marker made or removed, the version is the marker's. */
static void add_deleted(struct aws_call *c, struct json *deleted, const struct json *object, const struct json *what) {
    struct arena *a = &c->arena;
    struct json row = json_make_obj();
    struct str version = json_get_s(object, "VersionId"), of = json_get_s(what, "VersionId");
    json_set(a, &row, "Key", json_make_str(json_get_s(object, "Key")));
    if (version.n) json_set(a, &row, "VersionId", json_make_str(version));
    if (json_get(what, "DeleteMarker")) {
        json_set(a, &row, "DeleteMarker", json_make_bool(true));
        json_set(a, &row, "DeleteMarkerVersionId", json_make_str(of));
    }
    json_push(a, deleted, row);
}

static int read_objects(struct aws_call *c, const struct json **ret, bool *ret_quiet, struct err *e) {
    const struct json *del = json_get(&c->params, "Delete"), *quiet = json_get(del, "Quiet");
    *ret = json_get(del, "Objects");
    *ret_quiet = false;
    if (params_only(&c->params, "Bucket Delete", "DeleteObjects", ERR_S3_ARGUMENT, e) ||
        params_only(del, "Objects Quiet", "Delete", ERR_S3_ARGUMENT, e))
        return -1;
    if (quiet && !json_bool(quiet, ret_quiet)) return err_set(e, ERR_S3_ARGUMENT, "Delete.Quiet is no boolean");
    bool valid = json_is(*ret, JSON_ARR) && (*ret)->n && (*ret)->n <= DELETE_MAX;
    for (uint32_t i = 0; valid && i < (*ret)->n; i++) valid = json_get_s(&(*ret)->items[i], "Key").n;
    if (valid) return 0;
    return aws_s3_malformed(e, "Delete has 1 to %d Objects, each with a Key", DELETE_MAX);
}

static int delete_one(struct local_tx *tx, struct aws_call *c, const struct s3_bucket *b, const struct json *object,
                      struct s3_bin *bin, struct json *ret, struct err *e) {
    struct str key, version;
    if (params_only(object, "Key VersionId ETag", "Delete.Objects", ERR_S3_ARGUMENT, e)) return -1;
    if (params_str(object, "Key", ERR_S3_ARGUMENT, &key, e) ||
        params_str(object, "VersionId", ERR_S3_ARGUMENT, &version, e))
        return -1;
    if (key.n > S3_KEY_MAX) return err_set(e, ERR_S3_KEY_LENGTH, "Your key is too long");
    if (check_match(tx, c, b, key, object, e)) return -1;
    if (!s3_remove(tx, &c->arena, b, key, version, bin, ret, e)) return 0;
    if (e->code != ERR_S3_ARGUMENT) return -1;
    return err_set(e, ERR_S3_NO_VERSION, "The specified version does not exist."); /* its id is none */
}

/* What concerns one object is told of it; what concerns the store fails all. */
static bool is_of_object(const struct err *e) {
    return e->code == ERR_S3_ARGUMENT || e->code == ERR_S3_KEY_LENGTH || e->code == ERR_S3_PRECONDITION ||
           e->code == ERR_S3_NO_KEY || e->code == ERR_S3_NO_VERSION;
}

int s3_delete_many(struct local_tx *tx, struct aws_call *c) {
    struct json deleted = json_make_arr(), errors = json_make_arr();
    const struct json *objects;
    struct s3_bucket b;
    struct str name;
    bool quiet;
    if (read_objects(c, &objects, &quiet, &c->err) || s3_bucket_of(tx, c, &name, &c->err)) return -1;
    if (s3_bucket_row(tx, &c->arena, name, &b, &c->err)) return -1;
    struct s3_bin *bin = s3_bin_of(tx, &c->arena);
    for (uint32_t i = 0; i < objects->n; i++) {
        struct err e = {0};
        struct json what = json_make_obj();
        int rc = delete_one(tx, c, &b, &objects->items[i], bin, &what, &e);
        if (rc && !is_of_object(&e)) {
            c->err = e;
            return -1;
        }
        if (rc)
            add_error(c, &errors, &objects->items[i], &e);
        else if (!quiet)
            add_deleted(c, &deleted, &objects->items[i], &what);
    }
    if (deleted.n) json_set(&c->arena, &c->result, "Deleted", deleted);
    if (errors.n) json_set(&c->arena, &c->result, "Errors", errors);
    return 0;
}
