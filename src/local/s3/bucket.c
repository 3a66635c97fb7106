/* Buckets: making, looking, deleting, and their settings. */
#include "base/crypto.h"
#include "local/s3/s3.h"

/* == making and looking =============================================================================================
 */

static bool is_reserved(struct str name) {
    static const char *const prefixes[] = {"xn--", "sthree-", "amzn-s3-demo-"};
    static const char *const suffixes[] = {"-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"};
    bool is = false;
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) is |= str_starts(name, str_c(prefixes[i]));
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) is |= str_ends(name, str_c(suffixes[i]));
    return is;
}

/* Amazon S3 User Guide, "General purpose bucket naming rules"; dots beside hyphens are no labels of a host. */
static int check_name(struct str name, struct err *e) {
    bool ok = name.n >= 3 && name.n <= 63;
    size_t digits = 0, dots = 0;
    for (size_t i = 0; ok && i < name.n; i++) {
        char c = name.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        digits += c >= '0' && c <= '9';
        dots += c == '.';
        ok = alnum || ((c == '-' || c == '.') && i > 0 && i + 1 < name.n && !(c == '.' && name.p[i - 1] == '.'));
    }
    bool address = digits + dots == name.n && dots == 3;
    if (ok && !address && !is_reserved(name) && str_find(name, STR(".-"), 0) < 0 && str_find(name, STR("-."), 0) < 0)
        return 0;
    return err_set(e, ERR_S3_BAD_NAME,
                   "The specified bucket is not valid: \"%.*s\" must be 3 to 63 lower-case letters, digits, "
                   "dots and hyphens, begin and end with a letter or digit, and not be reserved",
                   STR_ARG(str_take(name, 80)));
}

/* All buckets are in the one region that there is. */
static int check_location(struct local_tx *tx, const struct json *config, struct err *e) {
    struct str location;
    if (!config || json_is(config, JSON_NULL)) return 0;
    if (!json_is(config, JSON_OBJ))
        return err_set(e, ERR_S3_ARGUMENT, "CreateBucketConfiguration is %s, not an object",
                       json_type_name(config->type));
    if (params_only(config, "LocationConstraint", "CreateBucketConfiguration", ERR_S3_ARGUMENT, e)) return -1;
    if (params_str(config, "LocationConstraint", ERR_S3_ARGUMENT, &location, e)) return -1;
    if (!location.n || str_eq(location, tx->id.region)) return 0;
    return err_set(e, ERR_S3_LOCATION,
                   "The %.*s location constraint is incompatible for the region specific endpoint this request was "
                   "sent to: %.*s",
                   STR_ARG(str_take(location, 40)), STR_ARG(tx->id.region));
}

/* In us-east-1, creating a bucket that one owns already succeeds. */
int s3_create_bucket(struct local_tx *tx, struct aws_call *c) {
    struct str name;
    struct db_stmt *s = NULL;
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket CreateBucketConfiguration", "CreateBucket", ERR_S3_ARGUMENT, e)) return -1;
    if (params_str(&c->params, "Bucket", ERR_S3_ARGUMENT, &name, e) || check_name(name, e)) return -1;
    if (check_location(tx, json_get(&c->params, "CreateBucketConfiguration"), e)) return -1;
    if (db_stmt(tx->db, "INSERT INTO buckets(name,created_ms) VALUES(?1,?2) ON CONFLICT DO NOTHING", &s, e)) return -1;
    db_bind_text(s, 1, name);
    db_bind_i64(s, 2, tx->now_ms);
    if (db_run(s, e)) return -1;
    json_set(&c->arena, &c->result, "Location", json_make_str(arena_printf(&c->arena, "/%.*s", STR_ARG(name))));
    return 0;
}

int s3_head_bucket(struct local_tx *tx, struct aws_call *c) {
    struct str name;
    if (params_only(&c->params, "Bucket", "HeadBucket", ERR_S3_ARGUMENT, &c->err)) return -1;
    if (s3_bucket_of(tx, c, &name, &c->err)) return -1;
    json_set(&c->arena, &c->result, "BucketRegion", json_make_str(tx->id.region));
    return 0;
}

/* us-east-1 is the region without a constraint. */
int s3_location(struct local_tx *tx, struct aws_call *c) {
    struct str name;
    if (params_only(&c->params, "Bucket", "GetBucketLocation", ERR_S3_ARGUMENT, &c->err)) return -1;
    if (s3_bucket_of(tx, c, &name, &c->err)) return -1;
    if (!str_is(tx->id.region, "us-east-1"))
        json_set(&c->arena, &c->result, "LocationConstraint", json_make_str(tx->id.region));
    return 0;
}

/* == lists ==========================================================================================================
 */

struct bucket_page {
    struct str prefix, after;
    int64_t max;
};

static int read_page(struct aws_call *c, struct bucket_page *ret, struct err *e) {
    struct str token, region;
    struct buf b = BUF_MAX(256);
    if (params_only(&c->params, "Prefix MaxBuckets ContinuationToken BucketRegion", "ListBuckets", ERR_S3_ARGUMENT, e))
        return -1;
    if (params_str(&c->params, "Prefix", ERR_S3_ARGUMENT, &ret->prefix, e) ||
        params_str(&c->params, "BucketRegion", ERR_S3_ARGUMENT, &region, e) ||
        params_str(&c->params, "ContinuationToken", ERR_S3_ARGUMENT, &token, e) ||
        params_int(&c->params, "MaxBuckets", 1, 10000, 10000, ERR_S3_ARGUMENT, &ret->max, e))
        return -1;
    ret->after = STR("");
    if (!token.n) return 0;
    bool ok = crypto_unbase64url(&b, token);
    ret->after = arena_str(&c->arena, buf_view(&b));
    buf_free(&b);
    return ok ? 0 : err_set(e, ERR_S3_ARGUMENT, "The continuation token provided is incorrect");
}

static void add_token(struct aws_call *c, struct str last) {
    struct buf b = BUF_MAX(256);
    crypto_base64url(&b, last);
    json_set(&c->arena, &c->result, "ContinuationToken", json_make_str(arena_str(&c->arena, buf_view(&b))));
    buf_free(&b);
}

static int add_buckets(struct local_tx *tx, struct aws_call *c, const struct bucket_page *p, struct json *all) {
    struct arena *a = &c->arena;
    struct db_stmt *s = NULL;
    struct str last = STR_NONE;
    int rc;
    if (db_stmt(tx->db, "SELECT name,created_ms FROM buckets WHERE name>?1 ORDER BY name", &s, &c->err)) return -1;
    db_bind_text(s, 1, p->after);
    while ((rc = db_step(s, &c->err)) == 1) {
        struct json row = json_make_obj();
        if (!str_starts(db_bytes(s, 0), p->prefix)) continue;
        if (all->n >= p->max) {
            add_token(c, last);
            rc = 0;
            break;
        }
        last = arena_str(a, db_bytes(s, 0));
        json_set(a, &row, "Name", json_make_str(last));
        json_set(a, &row, "CreationDate", s3_time(a, db_i64(s, 1)));
        json_set(a, &row, "BucketRegion", json_make_str(tx->id.region));
        json_push(a, all, row);
    }
    db_done(s);
    return rc;
}

int s3_list_buckets(struct local_tx *tx, struct aws_call *c) {
    struct bucket_page p;
    struct json all = json_make_arr(), owner = json_make_obj();
    struct str region = json_get_s(&c->params, "BucketRegion");
    if (read_page(c, &p, &c->err)) return -1;
    if ((!region.n || str_eq(region, tx->id.region)) && add_buckets(tx, c, &p, &all)) return -1;
    json_set(&c->arena, &owner, "ID", json_make_str(s3_owner_id(tx, &c->arena)));
    json_set(&c->arena, &c->result, "Buckets", all);
    json_set(&c->arena, &c->result, "Owner", owner);
    if (p.prefix.n) json_set(&c->arena, &c->result, "Prefix", json_make_str(p.prefix));
    return 0;
}

/* == deleting =======================================================================================================
 */

static int is_empty(struct local_tx *tx, struct str bucket, struct err *e) {
    static const char *const sql[] = {"SELECT 1 FROM objects WHERE bucket=?1 LIMIT 1",
                                      "SELECT 1 FROM object_versions WHERE bucket=?1 LIMIT 1"};
    for (int i = 0; i < 2; i++) {
        struct db_stmt *s = NULL;
        if (db_stmt(tx->db, sql[i], &s, e)) return -1;
        db_bind_text(s, 1, bucket);
        int rc = db_step(s, e);
        db_done(s);
        if (rc < 0) return -1;
        if (rc)
            return err_set(e, ERR_S3_NOT_EMPTY, "The bucket you tried to delete is not empty%s",
                           i ? ". You must delete all versions in the bucket." : "");
    }
    return 0;
}

static int next_upload(struct local_tx *tx, struct arena *a, struct str bucket, struct str *ret, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, "SELECT upload_id FROM uploads WHERE bucket=?1 LIMIT 1", &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    int rc = db_step(s, e);
    if (rc == 1) *ret = arena_str(a, db_bytes(s, 0));
    db_done(s);
    return rc;
}

int s3_delete_bucket(struct local_tx *tx, struct aws_call *c) {
    struct str name, upload;
    struct db_stmt *s = NULL;
    struct err *e = &c->err;
    int rc;
    if (params_only(&c->params, "Bucket", "DeleteBucket", ERR_S3_ARGUMENT, e)) return -1;
    if (s3_bucket_of(tx, c, &name, e) || is_empty(tx, name, e)) return -1;
    struct s3_bin *bin = s3_bin_of(tx, &c->arena);
    while ((rc = next_upload(tx, &c->arena, name, &upload, e)) == 1)
        if (s3_upload_forget(tx, &c->arena, name, upload, bin, e)) return -1;
    if (rc < 0 || db_stmt(tx->db, "DELETE FROM buckets WHERE name=?1", &s, e)) return -1;
    db_bind_text(s, 1, name);
    return db_run(s, e) ? -1 : 0;
}

/* == settings =======================================================================================================
 */

static int set_column(struct local_tx *tx, const char *sql, struct str bucket, struct str value, struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    db_bind_text(s, 2, value);
    return db_run(s, e) ? -1 : 0;
}

static int get_column(struct local_tx *tx, struct arena *a, const char *sql, struct str bucket, struct str *ret,
                      struct err *e) {
    struct db_stmt *s = NULL;
    if (db_stmt(tx->db, sql, &s, e)) return -1;
    db_bind_text(s, 1, bucket);
    int rc = db_step(s, e);
    *ret = rc == 1 ? arena_str(a, db_bytes(s, 0)) : STR("");
    db_done(s);
    return rc < 0 ? -1 : 0;
}

int s3_set_versioning(struct local_tx *tx, struct aws_call *c) {
    const struct json *config = json_get(&c->params, "VersioningConfiguration");
    struct str bucket, status, mfa;
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket VersioningConfiguration", "PutBucketVersioning", ERR_S3_ARGUMENT, e)) return -1;
    if (s3_bucket_of(tx, c, &bucket, e)) return -1;
    if (params_only(config, "Status MFADelete", "VersioningConfiguration", ERR_S3_ARGUMENT, e) ||
        params_str(config, "Status", ERR_S3_ARGUMENT, &status, e) ||
        params_str(config, "MFADelete", ERR_S3_ARGUMENT, &mfa, e))
        return -1;
    if (str_is(mfa, "Enabled"))
        return err_set(e, ERR_NOT_IMPLEMENTED, "PutBucketVersioning: MFADelete is not implemented");
    if (!str_is(status, "Enabled") && !str_is(status, "Suspended"))
        return err_set(e, ERR_S3_VERSIONING, "The Versioning element must be specified: Status Enabled or Suspended");
    return set_column(tx, "UPDATE buckets SET versioning=?2 WHERE name=?1", bucket, status, e);
}

int s3_get_versioning(struct local_tx *tx, struct aws_call *c) {
    struct str bucket, status;
    if (params_only(&c->params, "Bucket", "GetBucketVersioning", ERR_S3_ARGUMENT, &c->err)) return -1;
    if (s3_bucket_of(tx, c, &bucket, &c->err)) return -1;
    if (get_column(tx, &c->arena, "SELECT versioning FROM buckets WHERE name=?1", bucket, &status, &c->err)) return -1;
    if (status.n) json_set(&c->arena, &c->result, "Status", json_make_str(status));
    return 0;
}

/* == lifecycle ======================================================================================================
 */

static int bad_rule(struct err *e, const char *why) {
    return err_set(e, ERR_S3_XML,
                   "The XML you provided was not well-formed or did not validate against our published "
                   "schema: a lifecycle rule %s",
                   why);
}

/* Whole days from 1; *ret 0 when the member is not there. */
static int read_days(const struct json *v, const char *name, int64_t *ret, struct err *e) {
    const struct json *days = json_get(v, name);
    if (!days) return 0;
    if (json_is(days, JSON_STR) ? str_i64(days->s, ret) && *ret > 0 : json_i64(days, ret) && *ret > 0) return 0;
    return err_set(e, ERR_S3_ARGUMENT, "'%s' for a lifecycle action must be a positive integer", name);
}

static int check_expiration(const struct json *v, struct err *e) {
    int64_t days = 0, date = 0;
    struct str text;
    if (!v) return 0;
    if (params_only(v, "Days Date", "Expiration", ERR_NOT_IMPLEMENTED, e) || read_days(v, "Days", &days, e) ||
        params_str(v, "Date", ERR_S3_ARGUMENT, &text, e))
        return -1;
    if (!days == !text.n) return bad_rule(e, "has an Expiration that is not either Days or Date");
    if (text.n && (!now_parse_iso(text, &date) || date % 86400000))
        return err_set(e, ERR_S3_ARGUMENT, "'Date' must be at midnight GMT");
    return 0;
}

/* Filter{Prefix}, or the older Prefix beside it. */
static int check_scope(const struct json *rule, struct err *e) {
    const struct json *filter = json_get(rule, "Filter");
    struct str prefix;
    if (filter && json_get(rule, "Prefix")) return bad_rule(e, "has both Filter and Prefix");
    if (!filter && !json_get(rule, "Prefix")) return bad_rule(e, "has neither Filter nor Prefix");
    if (filter && !json_is(filter, JSON_OBJ)) return bad_rule(e, "has a Filter that is no object");
    if (filter && params_only(filter, "Prefix", "Filter", ERR_NOT_IMPLEMENTED, e)) return -1;
    return params_str(filter ? filter : rule, "Prefix", ERR_S3_ARGUMENT, &prefix, e);
}

static int check_rule(const struct json *rule, struct err *e) {
    const struct json *abort = json_get(rule, "AbortIncompleteMultipartUpload"), *gone = json_get(rule, "Expiration");
    struct str status, id;
    int64_t days = 0;
    if (!json_is(rule, JSON_OBJ)) return bad_rule(e, "is no object");
    if (params_only(rule, "ID Status Filter Prefix Expiration AbortIncompleteMultipartUpload", "a lifecycle rule",
                    ERR_NOT_IMPLEMENTED, e))
        return -1;
    if (params_str(rule, "Status", ERR_S3_ARGUMENT, &status, e) || params_str(rule, "ID", ERR_S3_ARGUMENT, &id, e))
        return -1;
    if (!str_is(status, "Enabled") && !str_is(status, "Disabled")) return bad_rule(e, "has no Status");
    if (id.n > 255) return err_set(e, ERR_S3_ARGUMENT, "ID length should not exceed allowed limit of 255");
    if (check_scope(rule, e)) return -1;
    if (!abort && !gone) return bad_rule(e, "has no action: at least one needs to be specified");
    if (abort && (params_only(abort, "DaysAfterInitiation", "AbortIncompleteMultipartUpload", ERR_NOT_IMPLEMENTED, e) ||
                  read_days(abort, "DaysAfterInitiation", &days, e)))
        return -1;
    if (abort && !days) return bad_rule(e, "has an AbortIncompleteMultipartUpload without DaysAfterInitiation");
    return check_expiration(gone, e);
}

static struct json named_rule(struct arena *a, const struct json *rule) {
    char id[37];
    struct json copy = json_make_obj();
    if (json_get_s(rule, "ID").n) return *rule;
    crypto_uuid4(id);
    json_set(a, &copy, "ID", json_make_str(arena_str(a, str_c(id))));
    for (uint32_t i = 0; i < rule->n; i++)
        if (!str_is(rule->members[i].key, "ID")) json_set_str(a, &copy, rule->members[i].key, rule->members[i].value);
    return copy;
}

static int check_ids(const struct json *rules, struct err *e) {
    for (uint32_t i = 0; i < rules->n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (str_eq(json_get_s(&rules->items[i], "ID"), json_get_s(&rules->items[k], "ID")))
                return err_set(e, ERR_S3_ARGUMENT, "Rule ID must be unique. Found same ID for more than one rule");
    return 0;
}

int s3_set_lifecycle(struct local_tx *tx, struct aws_call *c) {
    const struct json *config = json_get(&c->params, "LifecycleConfiguration"), *rules = json_get(config, "Rules");
    struct json all = json_make_arr();
    struct str bucket;
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket LifecycleConfiguration", c->row->action, ERR_S3_ARGUMENT, e)) return -1;
    if (s3_bucket_of(tx, c, &bucket, e)) return -1;
    if (params_only(config, "Rules", "LifecycleConfiguration", ERR_S3_ARGUMENT, e)) return -1;
    if (!json_is(rules, JSON_ARR) || !rules->n || rules->n > 1000) return bad_rule(e, "is missing, or there are 1000");
    for (uint32_t i = 0; i < rules->n; i++) {
        if (check_rule(&rules->items[i], e)) return -1;
        json_push(&c->arena, &all, named_rule(&c->arena, &rules->items[i]));
    }
    if (check_ids(&all, e)) return -1;
    return set_column(tx, "UPDATE buckets SET lifecycle=?2,swept_day=0,swept_key='' WHERE name=?1", bucket,
                      s3_json_text(&c->arena, &all), e);
}

int s3_get_lifecycle(struct local_tx *tx, struct aws_call *c) {
    struct str bucket, text;
    struct json rules;
    struct err *e = &c->err;
    if (params_only(&c->params, "Bucket", c->row->action, ERR_S3_ARGUMENT, e)) return -1;
    if (s3_bucket_of(tx, c, &bucket, e)) return -1;
    if (get_column(tx, &c->arena, "SELECT lifecycle FROM buckets WHERE name=?1", bucket, &text, e)) return -1;
    if (!text.n) return err_set(e, ERR_S3_NO_LIFECYCLE, "The lifecycle configuration does not exist");
    if (json_parse(&c->arena, text, NULL, &rules, e)) return err_wrap(e, "a bucket's row");
    json_set(&c->arena, &c->result, "Rules", rules);
    return 0;
}

int s3_delete_lifecycle(struct local_tx *tx, struct aws_call *c) {
    struct str bucket;
    if (params_only(&c->params, "Bucket", c->row->action, ERR_S3_ARGUMENT, &c->err)) return -1;
    if (s3_bucket_of(tx, c, &bucket, &c->err)) return -1;
    return set_column(tx, "UPDATE buckets SET lifecycle=?2 WHERE name=?1", bucket, STR(""), &c->err);
}
