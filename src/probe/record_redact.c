/* What a recording is not to hold. Two passes: the first finds the values that rules name, the second replaces them
 * wherever they are. */
#include "base/crypto.h"
#include "base/map.h"
#include "base/url.h"
#include "probe/record.h"
#include <ctype.h>
#include <string.h>

enum { HEX = 10, WORD_MIN = 3, SECRET_MIN = 4, TOKEN_MIN = 8, NUMBER_MIN = 4, NESTED_MAX = 1 << 20, DEPTH = 100 };
enum { WORK_MAX = 1 << 30 /* bytes that are searched for values, before texts go without a search */ };
#define MARK "redacted-"

const struct str record_headers[] = {
    {"authorization", 13},     {"cookie", 6},    {"set-cookie", 10},           {"proxy-authorization", 19},
    {"perigee-signature", 17}, {"x-api-key", 9}, {"x-amz-security-token", 20}, {"x-amz-cf-id", 11},
};
const size_t record_n_headers = sizeof record_headers / sizeof *record_headers;

struct step { /* where in the document: the names above, arrays left out */
    const struct step *up;
    struct str name;
    bool inside; /* what handlers wrote: not the recording's own members */
    bool coded;  /* bytes in base64 */
};
struct redaction {
    const struct record_rules *rules;
    struct arena *a;
    struct map values; /* named by a rule -> struct str *, the placeholder */
    uint64_t work;
    bool replacing; /* the second pass */
    bool changed;
    int depth;
};

/* -- placeholders ------------------------------------------------------------------------------------------------ */

static bool is_placeholder(struct str v) {
    return str_starts(v, STR(MARK));
}

static void digest(const struct redaction *r, struct str v, uint8_t out[32]) {
    crypto_hmac_sha256(r->rules->key, v, out);
}

static bool is_number(struct str v) {
    size_t digits = 0;
    for (size_t i = 0; i < v.n; i++) {
        if (!isdigit((unsigned char)v.p[i])) return false;
        digits++;
    }
    return digits > 0;
}

static struct str as_number(const struct redaction *r, struct str v) {
    uint8_t hash[32];
    size_t n = v.n < sizeof hash ? v.n : sizeof hash;
    char *out = arena_alloc(r->a, n + 1);
    digest(r, v, hash);
    for (size_t i = 0; i < n; i++) out[i] = (char)(i ? '0' + hash[i] % 10 : '1' + hash[i] % 9);
    return str_n(out, n);
}

static struct str as_text(const struct redaction *r, struct str v) {
    uint8_t hash[32];
    char hex[HEX];
    digest(r, v, hash);
    crypto_hex_to(hex, hash, HEX / 2);
    bool address = str_chr(v, '@', 0) > 0;
    return arena_printf(r->a, MARK "%.*s%s", HEX, hex, address ? "@redacted.invalid" : "");
}

/* As the value stands in URLs and forms. */
static void put_encoded(struct redaction *r, struct str v, struct str *known) {
    struct buf b = BUF_MAX(v.n * 3);
    url_encode(&b, v, false);
    if (!str_eq(buf_view(&b), v)) {
        map_put(&r->values, arena_str(r->a, buf_view(&b)), known);
        for (ptrdiff_t at; (at = str_find(buf_view(&b), STR("%20"), 0)) >= 0; b.n -= 2) {
            b.p[at] = '+';
            memmove(b.p + at + 1, b.p + at + 3, b.n - (size_t)at - 3);
        }
        map_put(&r->values, arena_str(r->a, buf_view(&b)), known);
    }
    buf_free(&b);
}

/* The placeholder of a value, from now on wherever it stands. */
static struct str placeholder(struct redaction *r, struct str v, bool number) {
    if (!v.n || is_placeholder(v)) return v;
    struct str *known = map_get(&r->values, v);
    if (known) return *known;
    known = ARENA_NEW(r->a, struct str);
    *known = number ? as_number(r, v) : as_text(r, v);
    map_put(&r->values, v, known);
    if (!number) put_encoded(r, v, known);
    return *known;
}

/* -- what the rules name ------------------------------------------------------------------------------------------- */

/* "customer.email": the last names of the way here. */
static bool ends_with(const struct step *at, struct str field) {
    if (str_starts(field, STR("$."))) field = str_from(field, 2);
    while (field.n) {
        size_t i = field.n;
        while (i && field.p[i - 1] != '.') i--;
        if (!at || !str_eq(at->name, str_from(field, i))) return false;
        at = at->up;
        /* DynamoDB's maps: {"customer":{"M":{"email":{"S":..}}}} */
        if (at && i && str_is(at->name, "M") && at->up) at = at->up;
        field = str_take(field, i ? i - 1 : 0);
    }
    return true;
}

static bool is_content(struct str name) {
    static const char *const names[] = {"params", "result", "before", "event", "message", "document", "value", "more"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(name, names[i])) return true;
    return false;
}

static bool is_named(const struct redaction *r, const struct step *at) {
    for (size_t i = 0; i < r->rules->n_fields; i++)
        if (ends_with(at, r->rules->fields[i])) return true;
    return false;
}

static bool is_header(const struct redaction *r, struct str name) {
    for (size_t i = 0; i < r->rules->n_headers; i++)
        if (str_ieq(name, r->rules->headers[i])) return true;
    for (size_t i = 0; i < r->rules->n_fields; i++)
        if (str_ieq(name, r->rules->fields[i])) return true;
    return false;
}

/* What a recording says of itself: names, of which none is a client's. */
static bool is_own(const struct step *at) {
    static const char *const names[] = {"id",      "at",     "kind",   "function", "version",  "outcome",
                                        "service", "action", "method", "code",     "template", "lua_dir"};
    if (!at || at->inside) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (str_is(at->name, names[i])) return true;
    return false;
}

/* All below a named member. `typed`: the value of DynamoDB's "N". */
static void hide(struct redaction *r, struct json *v, bool typed) {
    if (v->type == JSON_STR)
        v->s = placeholder(r, v->s, typed && is_number(v->s));
    else if (v->type == JSON_NUM && is_number(v->s))
        v->s = placeholder(r, v->s, true);
    else if (v->type == JSON_NUM)
        *v = json_make_num(STR("0"));
    for (uint32_t i = 0; v->type == JSON_ARR && i < v->n; i++) hide(r, &v->items[i], typed);
    for (uint32_t i = 0; v->type == JSON_OBJ && i < v->n; i++)
        hide(r, &v->members[i].value, str_is(v->members[i].key, "N"));
    r->changed = true;
}

static void hide_token(struct redaction *r, struct str token) {
    if (token.n >= TOKEN_MIN) placeholder(r, token, false);
}

/* "Bearer <token>", "name=<token>; name=<token>": what handlers go on with. */
static void hide_tokens(struct redaction *r, const struct json *v) {
    for (uint32_t i = 0; v->type == JSON_ARR && i < v->n; i++) hide_tokens(r, &v->items[i]);
    if (v->type != JSON_STR || is_placeholder(v->s)) return;
    for (struct str rest = v->s; rest.n;) {
        struct str part = str_trim(str_cut(&rest, ';')), value = part;
        str_cut(&value, '=');
        hide_token(r, value);
        str_cut(&part, ' ');
        hide_token(r, part);
    }
}

static void hide_header(struct redaction *r, struct json *v) {
    hide_tokens(r, v);
    hide(r, v, false);
}

/* -- texts --------------------------------------------------------------------------------------------------------- */

static bool is_word(struct str s, size_t i) {
    unsigned char c = i < s.n ? (unsigned char)s.p[i] : 0;
    return isalnum(c) || c >= 0x80;
}

/* Every occurrence of `value`; whole: only where no word goes on. */
static struct str replace(struct redaction *r, struct str s, struct str value, struct str by, bool whole) {
    struct buf b = BUF_MAX(s.n * 12 + 1024);
    size_t from = 0;
    for (ptrdiff_t at; (at = str_find(s, value, from)) >= 0;) {
        size_t end = (size_t)at + value.n;
        bool within = whole && ((at > 0 && is_word(s, (size_t)at - 1)) || is_word(s, end));
        buf_str(&b, str_n(s.p + from, (size_t)at - from));
        buf_str(&b, within ? value : by);
        from = end;
    }
    if (from) {
        buf_str(&b, str_from(s, from));
        s = arena_str(r->a, buf_view(&b));
        r->changed = true;
    }
    buf_free(&b);
    return s;
}

static struct str replace_secret(struct redaction *r, struct str s, struct str secret) {
    struct buf encoded = BUF_MAX(secret.n * 3);
    if (secret.n < SECRET_MIN) return s;
    s = replace(r, s, secret, as_text(r, secret), false);
    url_encode(&encoded, secret, false);
    if (encoded.n != secret.n) s = replace(r, s, buf_view(&encoded), as_text(r, secret), false);
    buf_free(&encoded);
    return s;
}

/* A document of very many values and texts is not searched for ever: what is left of it goes altogether. */
static bool is_too_much(struct redaction *r, struct str s) {
    if (r->values.n) r->work += (s.n + 64) * r->values.n;
    return r->work > WORK_MAX;
}

static struct str replace_all(struct redaction *r, struct str s) {
    struct str *known = map_get(&r->values, s);
    if (known) r->changed = true;
    if (known) return *known;
    for (size_t i = 0; i < r->rules->n_secrets; i++) s = replace_secret(r, s, r->rules->secrets[i]);
    if (is_too_much(r, s)) {
        r->changed = true;
        return s.n && !is_placeholder(s) ? as_text(r, s) : s;
    }
    for (size_t i = 0; i < r->values.n; i++) {
        const struct map_slot *v = &r->values.slots[i];
        if (v->key.n >= WORD_MIN) s = replace(r, s, v->key, *(struct str *)v->value, true);
    }
    return s;
}

static void walk(struct redaction *r, struct json *v, const struct step *at);

/* JSON within a text: read, walked, and written again when something went. */
static bool nested(struct redaction *r, struct json *v) {
    struct json inner;
    struct str text = str_trim(v->s);
    bool changed = r->changed;
    if (text.n < 2 || text.n > NESTED_MAX || !strchr("{[", text.p[0])) return false;
    if (json_parse(r->a, text, &(struct json_limits){.duplicate_keys = true}, &inner, NULL)) return false;
    r->changed = false;
    walk(r, &inner, &(struct step){.inside = true});
    if (r->changed && r->replacing) {
        struct buf b = BUF_MAX(2 * NESTED_MAX);
        json_write(&b, &inner);
        v->s = arena_str(r->a, buf_view(&b));
        buf_free(&b);
    }
    r->changed = r->changed || changed;
    return true;
}

/* "email=a%40b&page=2": parameters that a rule names. */
static void parameters(struct redaction *r, struct buf *b, struct str rest) {
    for (bool first = true; rest.p; first = false) {
        struct str value = str_cut(&rest, '&'), name, plain;
        bool has_value = str_chr(value, '=', 0) >= 0;
        struct str raw = str_cut(&value, '=');
        if (!first) buf_byte(b, '&');
        buf_str(b, raw);
        if (!has_value) continue;
        buf_byte(b, '=');
        bool known = !url_decode(r->a, raw, true, &name, NULL) && !url_decode(r->a, value, true, &plain, NULL);
        bool hidden = known && is_named(r, &(struct step){.name = name});
        buf_str(b, hidden ? placeholder(r, plain, is_number(plain)) : value);
        r->changed = r->changed || hidden;
    }
}

/* "/path?email=a%40b", or the parameters alone. */
static struct str query(struct redaction *r, struct str target, bool alone) {
    ptrdiff_t at = alone ? -1 : str_chr(target, '?', 0);
    if (!alone && at < 0) return target;
    struct buf b = BUF_MAX(target.n * 12 + 1024);
    buf_str(&b, str_take(target, (size_t)(at + 1)));
    parameters(r, &b, str_from(target, (size_t)(at + 1)));
    target = arena_str(r->a, buf_view(&b));
    buf_free(&b);
    return target;
}

/* A body, or the text of a query, that is a form. */
static bool is_form(const struct step *at, struct str s) {
    if (!str_is(at->name, "body") && !str_is(at->name, "rawQueryString")) return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ') return false;
    return str_chr(s, '=', 0) > 0;
}

static struct str whole(struct redaction *r, struct str s) {
    r->changed = true;
    return as_text(r, s);
}

/* A body that is neither JSON nor a form, in which a member that a rule names stands: "email" with its quotes. */
static bool is_unreadable(struct redaction *r, const struct step *at, struct str s) {
    if (!str_is(at->name, "body") && !str_is(at->name, "Body") && !str_is(at->name, "MessageBody")) return false;
    for (size_t i = 0; i < r->rules->n_fields; i++) {
        struct str rest = r->rules->fields[i], name = rest;
        while (rest.p) name = str_cut(&rest, '.');
        if (name.n && str_find(s, arena_printf(r->a, "\"%.*s\"", STR_ARG(name)), 0) >= 0) return true;
    }
    return false;
}

/* One that is hidden elsewhere, or is a secret, stays a number. */
static void number(struct redaction *r, struct json *v) {
    bool hidden = v->s.n >= NUMBER_MIN && map_get(&r->values, v->s);
    for (size_t i = 0; i < r->rules->n_secrets; i++)
        hidden = hidden || (v->s.n >= SECRET_MIN && str_eq(v->s, r->rules->secrets[i]));
    if (!hidden || !is_number(v->s)) return;
    v->s = as_number(r, v->s);
    r->changed = true;
}

static void text(struct redaction *r, struct json *v, const struct step *at) {
    if (is_own(at)) return;
    if (at && str_is(at->name, "target"))
        v->s = query(r, v->s, false);
    else if (at && is_form(at, v->s))
        v->s = query(r, v->s, true);
    if (r->replacing && at && str_is(at->name, "N"))
        number(r, v);
    else if (!nested(r, v) && r->replacing)
        v->s = at && is_unreadable(r, at, v->s) ? whole(r, v->s) : replace_all(r, v->s);
    /* bytes that are no text may say what the rules hide: they go, but equal ones stay equal */
    bool bytes = at && (at->coded || str_ends(at->name, STR("_base64")) || (str_is(at->name, "Data") && v->s.n > 256));
    if (bytes && r->replacing && r->rules->n_fields && !is_placeholder(v->s)) v->s = whole(r, v->s);
}

/* -- documents ------------------------------------------------------------------------------------------------------
 */

/* ["Authorization", "Bearer ..."] */
static bool header_pair(struct redaction *r, struct json *v, const struct step *at) {
    bool pair =
        at && str_is(at->name, "headers") && v->n == 2 && v->items[0].type == JSON_STR && v->items[1].type == JSON_STR;
    if (!pair) return false;
    if (is_header(r, v->items[0].s))
        hide_header(r, &v->items[1]);
    else
        walk(r, &v->items[1], at);
    return true;
}

/* Of HTTP APIs: "cookies":["name=value"] beside the headers. */
static bool is_cookies(const struct step *at) {
    return at->up && str_is(at->name, "cookies") && (str_is(at->up->name, "document") || str_is(at->up->name, "event"));
}

static bool is_true(const struct json *v) {
    bool yes = false;
    return v && json_bool(v, &yes) && yes;
}

static void walk_member(struct redaction *r, struct json_member *m, const struct step *up, bool coded) {
    const struct step at = {up, m->key, (up && up->inside) || is_content(m->key), coded && str_is(m->key, "body")};
    bool header = up && (str_is(up->name, "headers") || str_is(up->name, "multiValueHeaders"));
    if ((header && is_header(r, m->key)) || is_cookies(&at))
        hide_header(r, &m->value);
    else if (at.inside && is_named(r, &at))
        hide(r, &m->value, false);
    else
        walk(r, &m->value, &at);
}

static void walk(struct redaction *r, struct json *v, const struct step *at) {
    const struct json *coded = v->type == JSON_OBJ ? json_get(v, "isBase64Encoded") : NULL;
    if (++r->depth > DEPTH) *v = json_make_null();
    if (v->type == JSON_STR) text(r, v, at);
    if (v->type == JSON_NUM && r->replacing && at && at->inside) number(r, v);
    for (uint32_t i = 0; v->type == JSON_OBJ && i < v->n; i++) walk_member(r, &v->members[i], at, is_true(coded));
    if (v->type == JSON_ARR && !header_pair(r, v, at))
        for (uint32_t i = 0; i < v->n; i++) walk(r, &v->items[i], at);
    r->depth--;
}

void record_redact(const struct record_rules *rules, struct arena *a, struct json *document) {
    struct redaction r = {.rules = rules, .a = a};
    struct json looked = json_copy(a, document);
    walk(&r, &looked, NULL); /* finds the values: also those that stand before the member that a rule names */
    r.replacing = true;
    walk(&r, document, NULL);
    map_free(&r.values);
}
