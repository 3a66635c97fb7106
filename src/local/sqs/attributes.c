/* Message attributes: checks, choice, MD5. */
#include "base/crypto.h"
#include "local/sqs/sqs.h"
#include <endian.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ATTRIBUTES = 10, MAX_NAME = 256 };

struct str sqs_md5_hex(struct arena *a, struct str data) {
    uint8_t md5[16];
    char *hex = arena_alloc(a, 33);
    crypto_md5(data, md5);
    crypto_hex_to(hex, md5, 16);
    return str_n(hex, 32);
}

/* W3C XML 1.0, 2.2 Characters: #x9 | #xA | #xD | #x20-#xD7FF | #xE000-#xFFFD | #x10000-#x10FFFF. */
int sqs_check_text(struct str s, const char *what, struct err *e) {
    if (str_bad_utf8(s) >= 0)
        return err_set(e, ERR_SQS_BAD_CHARS, "%s is not UTF-8 at byte %td", what, str_bad_utf8(s));
    for (size_t i = 0; i < s.n; i++) {
        unsigned char ch = (unsigned char)s.p[i];
        bool nonchar = ch == 0xEF && (unsigned char)s.p[i + 1] == 0xBF && (unsigned char)s.p[i + 2] >= 0xBE;
        if ((ch < 0x20 && ch != 9 && ch != 10 && ch != 13) || nonchar)
            return err_set(
                e, ERR_SQS_BAD_CHARS,
                "Invalid characters found in %s: byte 0x%02X at offset %zu. Valid unicode characters are #x9 | #xA | "
                "#xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
                what, ch, i);
    }
    return 0;
}

/* == checks =========================================================================================================
 */

static bool is_name(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("_-.", c);
        if (!ok || !c || (c == '.' && (i == 0 || i + 1 == s.n || s.p[i - 1] == '.'))) return false;
    }
    struct str head = str_take(s, 7);
    return s.n && s.n <= MAX_NAME && !str_ieq(head, STR("amazon.")) && !str_ieq(str_take(s, 4), STR("aws."));
}

static bool is_number(struct str s) {
    char *end = NULL, text[128];
    if (!s.n || s.n >= sizeof text) return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (strspn(text, "+-.0123456789eE") != s.n) return false;
    strtod(text, &end);
    return *end == 0;
}

static bool kind_is(struct str type, const char *kind) {
    struct str rest = type;
    return str_is(str_cut(&rest, '.'), kind);
}

static int check_one(struct str name, const struct json *v, size_t *bytes, struct err *e) {
    struct str type = json_get_s(v, "DataType"), text = json_get_s(v, "StringValue"),
               bin = json_get_s(v, "BinaryValue");
    struct buf raw = BUF_MAX(SQS_MAX_BYTES + 16);
    struct str shown = str_take(name, 80);
    if (!is_name(name))
        return err_set(e, ERR_SQS_PARAMETER, "Message attribute name \"%.*s\" is invalid", STR_ARG(shown));
    if (params_only(v, "DataType StringValue BinaryValue", "MessageAttributes", ERR_SQS_PARAMETER, e)) return -1;
    bool binary = kind_is(type, "Binary");
    if (!binary && !kind_is(type, "String") && !kind_is(type, "Number"))
        return err_set(e, ERR_SQS_PARAMETER,
                       "The type of message attribute \"%.*s\" is invalid. You must use only the "
                       "following supported type prefixes: Binary, Number, String.",
                       STR_ARG(shown));
    if (binary ? !bin.n || text.p : !text.n || bin.p)
        return err_set(e, ERR_SQS_PARAMETER,
                       "Message attribute \"%.*s\" of type %.*s must have a non-empty %s and no other value",
                       STR_ARG(shown), STR_ARG(str_take(type, 80)), binary ? "BinaryValue" : "StringValue");
    if (kind_is(type, "Number") && !is_number(text))
        return err_set(e, ERR_SQS_PARAMETER, "Can't cast the value of message attribute \"%.*s\" to a number.",
                       STR_ARG(shown));
    if (!binary && sqs_check_text(text, "a message attribute", e)) return -1;
    if (binary && (!crypto_unbase64(&raw, bin) || raw.over)) {
        buf_free(&raw);
        return err_set(e, ERR_SQS_PARAMETER, "BinaryValue of message attribute \"%.*s\" is not base64", STR_ARG(shown));
    }
    *bytes += name.n + type.n + (binary ? raw.n : text.n);
    buf_free(&raw);
    return 0;
}

int sqs_attributes_check(const struct json *attrs, size_t *bytes, struct err *e) {
    if (!attrs || json_is(attrs, JSON_NULL)) return 0;
    if (!json_is(attrs, JSON_OBJ))
        return err_set(e, ERR_SQS_PARAMETER, "MessageAttributes is %s, not an object", json_type_name(attrs->type));
    if (attrs->n > MAX_ATTRIBUTES)
        return err_set(e, ERR_SQS_PARAMETER, "Number of message attributes [%u] exceeds the allowed maximum [10].",
                       attrs->n);
    for (uint32_t i = 0; i < attrs->n; i++)
        if (check_one(attrs->members[i].key, &attrs->members[i].value, bytes, e)) return -1;
    return 0;
}

/* == choice =========================================================================================================
 */

static bool wanted(struct str name, const struct json *names) {
    for (uint32_t i = 0; json_is(names, JSON_ARR) && i < names->n; i++) {
        struct str w = json_str(&names->items[i]);
        if (str_is(w, "All") || str_is(w, ".*") || str_eq(w, name)) return true;
        if (str_ends(w, STR(".*")) && str_starts(name, str_take(w, w.n - 1))) return true;
    }
    return false;
}

struct json sqs_attributes_pick(struct arena *a, const struct json *attrs, const struct json *names) {
    struct json out = json_make_obj();
    for (uint32_t i = 0; json_is(attrs, JSON_OBJ) && i < attrs->n; i++)
        if (wanted(attrs->members[i].key, names)) json_set_str(a, &out, attrs->members[i].key, attrs->members[i].value);
    return out;
}

/* == MD5 ============================================================================================================
 */

static int by_name(const void *x, const void *y) {
    const struct json_member *const *a = x, *const *b = y;
    return str_cmp((*a)->key, (*b)->key);
}

static void add_sized(struct buf *b, struct str s) {
    uint32_t n = htobe32((uint32_t)s.n);
    buf_add(b, &n, sizeof n);
    buf_str(b, s);
}

struct str sqs_attributes_md5(struct arena *a, const struct json *attrs) {
    const struct json_member *sorted[64];
    struct buf all = BUF_MAX(4 << 20);
    uint32_t n = attrs->n < 64 ? attrs->n : 64;
    for (uint32_t i = 0; i < n; i++) sorted[i] = &attrs->members[i];
    qsort(sorted, n, sizeof *sorted, by_name);
    for (uint32_t i = 0; i < n; i++) {
        struct str type = json_get_s(&sorted[i]->value, "DataType");
        bool binary = kind_is(type, "Binary");
        struct buf raw = BUF_MAX(SQS_MAX_BYTES + 16);
        add_sized(&all, sorted[i]->key);
        add_sized(&all, type);
        buf_byte(&all, binary ? 2 : 1);
        if (binary) crypto_unbase64(&raw, json_get_s(&sorted[i]->value, "BinaryValue"));
        add_sized(&all, binary ? buf_view(&raw) : json_get_s(&sorted[i]->value, "StringValue"));
        buf_free(&raw);
    }
    struct str md5 = sqs_md5_hex(a, buf_view(&all));
    buf_free(&all);
    return md5;
}
