/* A browser's upload (Amazon S3 API Reference, "POST Object", "Creating a POST policy"): form fields up to the file,
 * the signed policy that allows them, and the PutObject that comes of it. */
#include "base/crypto.h"
#include "local/s3/form.h"
#include "local/s3/s3.h"
#include "sign/sign.h"
#include <string.h>

enum { FIELDS_MAX = 100, FIELD_BYTES_MAX = 20 * 1024, DATE_MAX_MS = 7 * 86400 * 1000, SKEW_MS = 15 * 60 * 1000 };

struct post {
    struct local *l;
    struct arena *a;
    struct str bucket;
    struct form_field *fields; /* those before the file */
    size_t n;
    struct form_field *file;
    struct err *e;
};

static struct str field(const struct post *p, const char *name) {
    for (size_t i = 0; i < p->n; i++)
        if (str_ieq(p->fields[i].name, str_c(name))) return p->fields[i].value;
    return STR_NONE;
}

static int refused(struct post *p, const char *why, struct str what) {
    return err_set(p->e, ERR_S3_DENIED, "Invalid according to Policy: %s%.*s", why, STR_ARG(str_take(what, 200)));
}

/* == the form =======================================================================================================
 */

/* Fields behind the file are ignored, as S3 does. */
static int read_fields(struct post *p, struct str content_type, struct str body) {
    struct form_field *all = NULL;
    size_t n = 0, bytes = 0;
    if (form_parse(p->a, content_type, body, FIELDS_MAX, &all, &n, p->e)) return -1;
    p->fields = all;
    while (p->n < n && !str_ieq(all[p->n].name, STR("file"))) p->n++;
    if (p->n == n)
        return err_set(p->e, ERR_S3_ARGUMENT,
                       "POST requires exactly one file upload per request: there is no field "
                       "named 'file'.");
    p->file = &all[p->n];
    for (size_t i = 0; i < p->n; i++) {
        bytes += all[i].name.n + all[i].value.n;
        for (size_t k = 0; k < i; k++)
            if (str_ieq(all[i].name, all[k].name))
                return err_set(p->e, ERR_S3_ARGUMENT, "The form has two fields named '%.*s'.",
                               STR_ARG(str_take(all[i].name, 100)));
    }
    if (bytes <= FIELD_BYTES_MAX) return 0;
    return err_set(p->e, ERR_S3_FORM_LARGE,
                   "Your POST request fields preceding the upload file were too large: %zu of %d bytes.", bytes,
                   FIELD_BYTES_MAX);
}

static struct str base_name(struct str path) {
    for (size_t i = path.n; i-- > 0;)
        if (path.p[i] == '/' || path.p[i] == '\\') return str_from(path, i + 1);
    return path;
}

static struct str joined(struct arena *a, struct str x, struct str y, struct str z) {
    char *start = arena_alloc(a, x.n + y.n + z.n + 1), *p = start;
    const struct str parts[] = {x, y, z};
    for (size_t i = 0; i < 3; p += parts[i++].n)
        if (parts[i].n) memcpy(p, parts[i].p, parts[i].n);
    *p = 0;
    return str_n(start, (size_t)(p - start));
}

/* "All variables within the form are expanded prior to validating the POST policy." */
static void expand_filename(struct post *p) {
    const struct str variable = STR("${filename}"), name = base_name(p->file->filename);
    for (size_t i = 0; i < p->n; i++) {
        struct str *v = &p->fields[i].value;
        if (str_ieq(p->fields[i].name, STR("policy"))) continue;
        for (size_t from = 0; v->n <= FIELD_BYTES_MAX;) {
            ptrdiff_t at = str_find(*v, variable, from);
            if (at < 0) break;
            struct str rest = str_from(*v, (size_t)at + variable.n);
            *v = joined(p->a, str_take(*v, (size_t)at), name, rest);
            from = (size_t)at + name.n;
        }
    }
}

/* == the signature ==================================================================================================
 */

static int required(struct post *p, const char *name, struct str *ret) {
    *ret = field(p, name);
    if (ret->n) return 0;
    return err_set(p->e, ERR_S3_ARGUMENT,
                   "Bucket POST must contain a field named '%s'.  If it is specified, please check the order of the "
                   "fields.",
                   name);
}

/* "KEY/20130524/us-east-1/s3/aws4_request", of the day of x-amz-date. */
static int read_scope(struct post *p, struct str credential, struct str date, struct str *ret_key,
                      struct sign_scope *ret) {
    struct str rest = credential, day;
    *ret_key = str_cut(&rest, '/');
    day = str_cut(&rest, '/');
    ret->region = str_cut(&rest, '/');
    ret->service = str_cut(&rest, '/');
    if (!str_is(rest, "aws4_request") || !str_is(ret->service, "s3") || !ret->region.n ||
        !now_parse_amz(date, &ret->unix_ms) || !str_eq(day, str_take(date, 8)))
        return err_set(p->e, ERR_S3_ARGUMENT,
                       "X-Amz-Credential must be KEY/yyyymmdd/REGION/s3/aws4_request of the day of X-Amz-Date, which "
                       "is like 20130524T000000Z");
    int64_t age = clock_ms(p->l->clock) - ret->unix_ms;
    if (age > DATE_MAX_MS || age < -SKEW_MS) return refused(p, "X-Amz-Date must be within the last seven days: ", date);
    return 0;
}

static int verify_signature(struct post *p, struct str *ret_policy) {
    struct str algorithm, credential, date, given, key;
    struct sign_scope scope;
    char signature[65];
    if (!field(p, "policy").n) return err_set(p->e, ERR_S3_DENIED, "Access Denied: the form has no policy");
    if (required(p, "policy", ret_policy) || required(p, "x-amz-algorithm", &algorithm) ||
        required(p, "x-amz-credential", &credential) || required(p, "x-amz-date", &date) ||
        required(p, "x-amz-signature", &given))
        return -1;
    if (!str_is(algorithm, "AWS4-HMAC-SHA256"))
        return err_set(p->e, ERR_S3_ARGUMENT, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    if (read_scope(p, credential, date, &key, &scope)) return -1;
    if (!crypto_equal(key, str_c(p->l->access_key)))
        return err_set(p->e, ERR_S3_BAD_KEY_ID, "The AWS Access Key Id you provided does not exist in our records.");
    struct sign_credentials c = {key, str_c(p->l->secret_key), STR_NONE};
    sign_post_policy(&c, &scope, *ret_policy, NULL, signature);
    if (crypto_equal(given, str_c(signature))) return 0;
    return err_set(p->e, ERR_S3_SIGNATURE,
                   "The request signature we calculated does not match the signature you provided. Check your key and "
                   "signing method.");
}

/* == the policy =====================================================================================================
 */

static int invalid_policy(struct post *p, const char *why) {
    return err_set(p->e, ERR_S3_POLICY, "Invalid Policy: %s", why);
}

static int read_policy(struct post *p, struct str base64, struct json *ret) {
    struct buf text = BUF_MAX(base64.n + 4);
    struct err why;
    int64_t until;
    if (!crypto_unbase64(&text, base64)) {
        buf_free(&text);
        return invalid_policy(p, "it is not base64.");
    }
    struct str copy = arena_str(p->a, buf_view(&text));
    buf_free(&text);
    if (json_parse(p->a, copy, NULL, ret, &why)) return invalid_policy(p, why.msg);
    if (!now_parse_iso(json_get_s(ret, "expiration"), &until))
        return invalid_policy(p, "it has no 'expiration' like 2007-12-01T12:00:00.000Z.");
    if (clock_ms(p->l->clock) >= until) return refused(p, "Policy expired.", STR(""));
    if (!json_is(json_get(ret, "conditions"), JSON_ARR)) return invalid_policy(p, "it has no list of 'conditions'.");
    return 0;
}

/* Every type of a list of content types must begin so. */
static bool starts(struct str name, struct str value, struct str prefix) {
    if (!str_ieq(name, STR("content-type"))) return str_starts(value, prefix);
    for (struct str rest = value; rest.p;)
        if (!str_starts(str_trim(str_cut(&rest, ',')), prefix)) return false;
    return true;
}

static int check_length(struct post *p, const struct json *c) {
    int64_t low, high, size = (int64_t)p->file->value.n;
    bool ok = (json_i64(&c->items[1], &low) || str_i64(json_str(&c->items[1]), &low)) &&
              (json_i64(&c->items[2], &high) || str_i64(json_str(&c->items[2]), &high));
    if (!ok) return invalid_policy(p, "content-length-range is followed by two integers.");
    if (size >= low && size <= high) return 0;
    return err_set(p->e, size < low ? ERR_S3_TOO_SMALL : ERR_S3_TOO_LARGE,
                   "Your proposed upload of %lld bytes %s %lld bytes", (long long)size,
                   size < low ? "is smaller than the minimum allowed size of" : "exceeds the maximum allowed size of",
                   (long long)(size < low ? low : high));
}

/* kind: "eq" or "starts-with". */
static int check_field(struct post *p, struct str kind, struct str name, struct str want) {
    bool equal = str_is(kind, "eq");
    struct str value = str_ieq(name, STR("bucket")) ? p->bucket : field(p, arena_cstr(p->a, name));
    if (!value.p) value = STR("");
    if (equal ? str_eq(value, want) : starts(name, value, want)) return 0;
    return refused(p, "Policy Condition failed: ",
                   arena_printf(p->a, "[\"%s\", \"$%.*s\", \"%.*s\"]", equal ? "eq" : "starts-with",
                                STR_ARG(str_take(name, 60)), STR_ARG(str_take(want, 100))));
}

/* *ret_name: the field it is about; empty for the length. */
static int check_condition(struct post *p, const struct json *c, struct str *ret_name) {
    *ret_name = STR("");
    if (json_is(c, JSON_OBJ)) {
        if (c->n != 1 || !json_is(&c->members[0].value, JSON_STR))
            return invalid_policy(p, "a condition that is an object has one member, a string.");
        *ret_name = c->members[0].key;
        return check_field(p, STR("eq"), *ret_name, json_str(&c->members[0].value));
    }
    if (!json_is(c, JSON_ARR) || c->n != 3) return invalid_policy(p, "a condition is no object and no list of three.");
    struct str kind = json_str(&c->items[0]), name = json_str(&c->items[1]);
    if (str_is(kind, "content-length-range")) return check_length(p, c);
    if ((!str_is(kind, "eq") && !str_is(kind, "starts-with")) || name.n < 2 || name.p[0] != '$' ||
        !json_is(&c->items[2], JSON_STR))
        return invalid_policy(p, "conditions are eq, starts-with ($name, value) and content-length-range.");
    *ret_name = str_from(name, 1);
    return check_field(p, kind, *ret_name, json_str(&c->items[2]));
}

/* "Each form field that you specify in a form (except x-amz-signature, file, policy, and field names that have an
 * x-ignore- prefix) must appear in the list of conditions." */
static bool needs_condition(struct str name) {
    return !str_ieq(name, STR("x-amz-signature")) && !str_ieq(name, STR("policy")) &&
           !str_ieq(str_take(name, 9), STR("x-ignore-"));
}

static int check_policy(struct post *p, const struct json *conditions) {
    struct str *names = ARENA_ARRAY(p->a, struct str, conditions->n + 1);
    for (uint32_t i = 0; i < conditions->n; i++)
        if (check_condition(p, &conditions->items[i], &names[i])) return -1;
    for (size_t i = 0; i < p->n; i++) {
        bool found = !needs_condition(p->fields[i].name);
        for (uint32_t k = 0; !found && k < conditions->n; k++) found = str_ieq(names[k], p->fields[i].name);
        if (!found) return refused(p, "Extra input fields: ", p->fields[i].name);
    }
    return 0;
}

/* == the call =======================================================================================================
 */

static const struct s3_header put_fields[] = {{"ContentType", "content-type"}, {"ContentMD5", "content-md5"}};

/* "success_action_status" and the like are read for the answer; "bucket" is checked as a condition. */
static bool says_nothing_of_the_object(struct str name) {
    static const char *const names[] = {"key",        "policy",           "x-amz-signature",     "x-amz-algorithm",
                                        "x-amz-date", "x-amz-credential", "x-amz-security-token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_ieq(name, str_c(names[i]))) return true;
    return false;
}

static const char *member_of(struct str name) {
    const struct {
        const struct s3_header *rows;
        size_t n;
    } tables[] = {
        {put_fields, sizeof put_fields / sizeof *put_fields}, {s3_headers, S3_HEADERS}, {s3_checksums, S3_CHECKSUMS}};
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
        for (size_t i = 0; i < tables[t].n; i++)
            if (str_ieq(name, str_c(tables[t].rows[i].header))) return tables[t].rows[i].member;
    return NULL;
}

static int add_field(struct post *p, struct aws_call *c, struct json *metadata, const struct form_field *f) {
    const char *member = member_of(f->name);
    if (member) {
        json_set(&c->arena, &c->params, member, json_make_str(arena_str(&c->arena, f->value)));
        return 0;
    }
    if (str_ieq(str_take(f->name, 11), STR("x-amz-meta-"))) {
        struct str name = arena_str(&c->arena, str_from(f->name, 11));
        json_set_str(&c->arena, metadata, name, json_make_str(arena_str(&c->arena, f->value)));
        return 0;
    }
    if (says_nothing_of_the_object(f->name)) return 0;
    if (str_ieq(f->name, STR("acl")) && str_is(f->value, "private")) return 0; /* as all objects are here */
    if (str_ieq(f->name, STR("acl")) || str_ieq(f->name, STR("tagging")) ||
        str_ieq(str_take(f->name, 6), STR("x-amz-")))
        return err_set(p->e, ERR_NOT_IMPLEMENTED, "the form field %.*s is not supported yet by this endpoint",
                       STR_ARG(str_take(f->name, 80)));
    return 0;
}

static int make_call(struct post *p, struct str key, struct aws_call **ret) {
    struct aws_call *c = aws_call_new(AWS_S3_PutObject);
    struct json metadata = json_make_obj();
    json_set(&c->arena, &c->params, "Bucket", json_make_str(arena_str(&c->arena, p->bucket)));
    json_set(&c->arena, &c->params, "Key", json_make_str(arena_str(&c->arena, key)));
    for (size_t i = 0; i < p->n; i++) {
        if (!add_field(p, c, &metadata, &p->fields[i])) continue;
        aws_call_free(c);
        return -1;
    }
    json_set(&c->arena, &c->params, "Metadata", metadata);
    c->body = p->file->value.n ? p->file->value : STR("");
    *ret = c;
    return 0;
}

int s3_post_call(struct local *l, const struct http_request *r, struct str bucket, struct s3_post *ret,
                 struct aws_call **ret_call, struct err *e) {
    struct post p = {.l = l, .a = r->arena, .bucket = bucket, .e = e};
    struct str base64, key, type = http_header(r, "content-type"), kind = type;
    struct json policy;
    if (!str_ieq(str_trim(str_cut(&kind, ';')), STR("multipart/form-data")))
        return err_set(e, ERR_S3_PRECONDITION,
                       "At least one of the pre-conditions you specified did not hold: Bucket POST must be of the "
                       "enclosure-type multipart/form-data");
    if (read_fields(&p, type, r->body) || verify_signature(&p, &base64)) return -1;
    expand_filename(&p);
    if (read_policy(&p, base64, &policy) || check_policy(&p, json_get(&policy, "conditions"))) return -1;
    if (required(&p, "key", &key) || make_call(&p, key, ret_call)) return -1;
    struct str redirect = field(&p, "success_action_redirect");
    *ret = (struct s3_post){key, redirect.p ? redirect : field(&p, "redirect"), field(&p, "success_action_status")};
    return 0;
}
