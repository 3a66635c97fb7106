/* The form of a browser's upload (Amazon S3 API Reference, "Browser-Based Uploads Using POST (AWS Signature Version
 * 4)"): the policy, and the fields that prove it. Every field of the form has a condition in the policy. */
#include "base/now.h"
#include "sign/sign.h"

enum { POLICY_MAX = 64 << 10, EXPIRES_MAX = 604800 };

struct post {
    struct arena *a;
    struct str bucket, key;
    int64_t expires_s;
    const struct json *fields, *conditions;
    struct json document; /* the conditions of the policy */
    struct err *e;
};

/* == parameters =====================================================================================================
 */

static int read_fields(struct post *p, const struct json *fields) {
    static const char *const ours[] = {"key", "policy", "file", "bucket"};
    p->fields = fields;
    if (!fields || json_is(fields, JSON_NULL)) return 0;
    if (!json_is(fields, JSON_OBJ) && !(json_is(fields, JSON_ARR) && !fields->n))
        return err_set(p->e, ERR_VALIDATION, "Fields is %s, not an object", json_type_name(fields->type));
    for (uint32_t i = 0; json_is(fields, JSON_OBJ) && i < fields->n; i++) {
        const struct json_member *m = &fields->members[i];
        bool taken = str_ieq(m->key, STR("x-amz-signature")) || str_ieq(m->key, STR("x-amz-algorithm")) ||
                     str_ieq(m->key, STR("x-amz-credential")) || str_ieq(m->key, STR("x-amz-date"));
        for (size_t k = 0; k < sizeof ours / sizeof *ours; k++) taken |= str_ieq(m->key, str_c(ours[k]));
        if (taken || !m->key.n)
            return err_set(p->e, ERR_VALIDATION, "Fields.%.*s is set by signing", STR_ARG(str_take(m->key, 64)));
        if (!json_is(&m->value, JSON_STR))
            return err_set(p->e, ERR_VALIDATION, "Fields.%.*s is %s, not a string", STR_ARG(str_take(m->key, 64)),
                           json_type_name(m->value.type));
    }
    return 0;
}

static bool is_condition(const struct json *c) {
    int64_t low, high;
    if (json_is(c, JSON_OBJ)) return c->n == 1 && json_is(&c->members[0].value, JSON_STR);
    if (!json_is(c, JSON_ARR) || c->n != 3) return false;
    struct str kind = json_str(&c->items[0]), name = json_str(&c->items[1]);
    if (str_is(kind, "content-length-range"))
        return json_i64(&c->items[1], &low) && json_i64(&c->items[2], &high) && low >= 0 && low <= high;
    return (str_is(kind, "eq") || str_is(kind, "starts-with")) && name.n > 1 && name.p[0] == '$' &&
           json_is(&c->items[2], JSON_STR);
}

static int read_conditions(struct post *p, const struct json *conditions) {
    p->conditions = conditions;
    if (!conditions || json_is(conditions, JSON_NULL) || (json_is(conditions, JSON_OBJ) && !conditions->n)) return 0;
    if (!json_is(conditions, JSON_ARR))
        return err_set(p->e, ERR_VALIDATION, "Conditions is %s, not an array", json_type_name(conditions->type));
    for (uint32_t i = 0; i < conditions->n; i++)
        if (!is_condition(&conditions->items[i]))
            return err_set(p->e, ERR_VALIDATION,
                           "Conditions[%u] is none of {name: value}, [\"eq\"|\"starts-with\", \"$name\", value] and "
                           "[\"content-length-range\", least, most]",
                           (unsigned)i + 1);
    return 0;
}

static int read_params(struct post *p, const struct json *params) {
    const struct json *expires = json_get(params, "ExpiresIn");
    static const char *const known[] = {"Bucket", "Key", "ExpiresIn", "Fields", "Conditions"};
    for (uint32_t i = 0; json_is(params, JSON_OBJ) && i < params->n; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) found |= str_is(params->members[i].key, known[k]);
        if (!found)
            return err_set(p->e, ERR_VALIDATION,
                           "presigned_post has no parameter %.*s (Bucket, Key, ExpiresIn, "
                           "Fields, Conditions)",
                           STR_ARG(str_take(params->members[i].key, 64)));
    }
    p->bucket = json_get_s(params, "Bucket");
    p->key = json_get_s(params, "Key");
    p->expires_s = 300;
    if (!p->bucket.n || !p->key.n)
        return err_set(p->e, ERR_VALIDATION, "%s is missing or not a string", p->bucket.n ? "Key" : "Bucket");
    if (expires && (!json_i64(expires, &p->expires_s) || p->expires_s < 1 || p->expires_s > EXPIRES_MAX))
        return err_set(p->e, ERR_VALIDATION, "ExpiresIn must be from 1 to %d seconds (7 days)", EXPIRES_MAX);
    return read_fields(p, json_get(params, "Fields")) || read_conditions(p, json_get(params, "Conditions")) ? -1 : 0;
}

/* == the policy =====================================================================================================
 */

static bool has_condition(const struct json *list, struct str name) {
    for (uint32_t i = 0; json_is(list, JSON_ARR) && i < list->n; i++) {
        const struct json *c = &list->items[i];
        struct str about = json_is(c, JSON_OBJ) ? c->members[0].key : str_from(json_str(&c->items[1]), 1);
        if (str_ieq(about, name)) return true;
    }
    return false;
}

static void must_equal(struct post *p, struct str name, struct str value) {
    struct json c = json_make_obj();
    if (has_condition(p->conditions, name)) return;
    json_set_str(p->a, &c, name, json_make_str(value));
    json_push(p->a, &p->document, c);
}

static void must_start(struct post *p, struct str name, struct str value) {
    struct json c = json_make_arr();
    if (has_condition(p->conditions, name)) return;
    json_push(p->a, &c, json_make_c("starts-with"));
    json_push(p->a, &c, json_make_str(arena_printf(p->a, "$%.*s", STR_ARG(name))));
    json_push(p->a, &c, json_make_str(value));
    json_push(p->a, &p->document, c);
}

/* What the sender's browser fills in is bound as far as it is known. */
static void bind_field(struct post *p, struct str name, struct str value) {
    ptrdiff_t variable = str_find(value, STR("${filename}"), 0);
    if (variable < 0)
        must_equal(p, name, value);
    else
        must_start(p, name, str_take(value, (size_t)variable));
}

static struct str write_policy(struct post *p, int64_t expires_ms, struct buf *b) {
    char until[25];
    struct json policy = json_make_obj();
    now_iso(expires_ms, until);
    json_set(p->a, &policy, "expiration", json_make_c(until));
    json_set(p->a, &policy, "conditions", p->document);
    struct buf text = BUF_MAX(POLICY_MAX);
    json_write(&text, &policy);
    if (!buf_check(&text, "the policy of the form", p->e)) crypto_base64(b, buf_view(&text));
    buf_free(&text);
    return arena_str(p->a, buf_view(b));
}

/* == the form =======================================================================================================
 */

static void add_field(struct post *p, struct json *fields, struct str name, struct str value) {
    json_set_str(p->a, fields, arena_str(p->a, name), json_make_str(value.n ? arena_str(p->a, value) : STR("")));
}

/* The fields that name the signature, in the form and in the policy. */
static void add_signing_fields(struct post *p, struct json *fields, const struct sign_credentials *c,
                               const struct sign_scope *s) {
    struct buf credential = BUF_MAX(4096);
    char date[17];
    sign_credential(c, s, &credential);
    now_amz(s->unix_ms, date);
    const struct http_header rows[] = {{STR("x-amz-algorithm"), STR("AWS4-HMAC-SHA256")},
                                       {STR("x-amz-credential"), buf_view(&credential)},
                                       {STR("x-amz-date"), str_c(date)},
                                       {STR("x-amz-security-token"), c->session_token}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (!rows[i].value.n) continue;
        struct str value = arena_str(p->a, rows[i].value);
        add_field(p, fields, rows[i].name, value);
        must_equal(p, rows[i].name, value);
    }
    buf_free(&credential);
}

int sign_post_form(const struct sign_credentials *c, const struct sign_scope *s, struct str url,
                   const struct json *params, struct sign_key_cache *cache, struct arena *a, struct json *ret,
                   int64_t *ret_expires_ms, struct err *e) {
    struct post p = {.a = a, .document = json_make_arr(), .e = e};
    struct json fields = json_make_obj();
    struct buf base64 = BUF_MAX(2 * POLICY_MAX);
    char signature[65];
    if (read_params(&p, params)) return -1;
    int64_t expires_ms = (s->unix_ms / 1000 + p.expires_s) * 1000;
    for (uint32_t i = 0; json_is(p.conditions, JSON_ARR) && i < p.conditions->n; i++)
        json_push(a, &p.document, json_copy(a, &p.conditions->items[i]));
    must_equal(&p, STR("bucket"), p.bucket);
    add_field(&p, &fields, STR("key"), p.key);
    bind_field(&p, STR("key"), p.key);
    for (uint32_t i = 0; json_is(p.fields, JSON_OBJ) && i < p.fields->n; i++) {
        add_field(&p, &fields, p.fields->members[i].key, json_str(&p.fields->members[i].value));
        bind_field(&p, p.fields->members[i].key, json_str(&p.fields->members[i].value));
    }
    add_signing_fields(&p, &fields, c, s);
    struct str policy = write_policy(&p, expires_ms, &base64);
    bool written = policy.n > 0;
    buf_free(&base64);
    if (!written) return -1;
    sign_post_policy(c, s, policy, cache, signature);
    add_field(&p, &fields, STR("policy"), policy);
    add_field(&p, &fields, STR("x-amz-signature"), str_c(signature));
    *ret = json_make_obj();
    json_set(a, ret, "url", json_make_str(arena_str(a, url)));
    json_set(a, ret, "fields", fields);
    *ret_expires_ms = expires_ms;
    return 0;
}
