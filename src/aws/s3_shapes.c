/* S3's documents: the structures of s3_shapes.def to XML and back. */
#include "aws/aws.h"
#include "base/now.h"
#include "base/url.h"
#include "base/xml.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum kind { TEXT, INT, BOOL, DATE, ISO, KEY, OWN, STRUCT, LIST, TEXTS, WRAPPED, UNSERVED };
enum flags { ALWAYS = 1, FILLED = 2, MORE = 4, REQUIRED = 8, NEEDED = 16 };

/* A structure: a row with its root element, the rows of its members, at most 64, up to the next without a member. */
static const struct element {
    struct str member, element;
    enum kind kind;
    enum s3_shape inner;
    unsigned flags;
} elements[] = {
#define TEXT_OF(text)                                                                                                  \
    { text, sizeof text - 1 }
#define S3_SHAPE(name, root) {TEXT_OF(""), TEXT_OF(root), TEXT, S3_OF_NONE, 0},
#define S3_ELEMENT(of, member, element, kind, inner, flags)                                                            \
    {TEXT_OF(#member), TEXT_OF(element), kind, S3_OF_##inner, flags},
#include "aws/s3_shapes.def"
#undef S3_SHAPE
#undef S3_ELEMENT
    {TEXT_OF(""), TEXT_OF(""), TEXT, S3_OF_NONE, 0}};
#undef TEXT_OF

enum place {
#define S3_SHAPE(name, root) AT_##name,
#define S3_ELEMENT(of, member, element, kind, inner, flags) AT_##of##_##member,
#include "aws/s3_shapes.def"
#undef S3_SHAPE
#undef S3_ELEMENT
};

static const unsigned short places[] = {
    0,
#define S3_SHAPE(name, root) AT_##name,
#define S3_ELEMENT(of, member, element, kind, inner, flags)
#include "aws/s3_shapes.def"
#undef S3_SHAPE
#undef S3_ELEMENT
};

static const struct element *rows_of(enum s3_shape shape) {
    return &elements[places[shape] + 1];
}

const char *aws_s3_root(enum s3_shape shape) {
    return elements[places[shape]].element.p;
}

/* Of the element that stands directly in the structure's. */
static struct str tag_of(const struct element *row) {
    return row->kind == WRAPPED ? row->member : row->element;
}

static bool is_list(const struct element *row) {
    return row->kind == LIST || row->kind == TEXTS;
}

/* == values =========================================================================================================
 */

/* A number as a number or its text; false: neither. */
static bool int_text(const struct json *v, struct str *ret) {
    int64_t n;
    if (!(json_is(v, JSON_STR) ? str_i64(v->s, &n) : json_i64(v, &n))) return false;
    *ret = v->s;
    return true;
}

static bool bool_text(const struct json *v, struct str *ret) {
    bool b;
    if (json_bool(v, &b))
        *ret = b ? STR("true") : STR("false");
    else
        *ret = json_str(v);
    return str_is(*ret, "true") || str_is(*ret, "false");
}

/* What is no date goes out as it is, for the service to judge. */
static bool date_text(struct arena *a, const struct json *v, bool iso, struct str *ret) {
    int64_t ms, s;
    char *text = arena_alloc(a, 30);
    if (json_i64(v, &s) && s > -100000000000 && s < 100000000000)
        ms = s * 1000;
    else if (!now_parse_http(json_str(v), &ms) && !now_parse_iso(json_str(v), &ms)) {
        *ret = json_str(v);
        return json_is(v, JSON_STR);
    }
    if (iso)
        now_iso(ms, text);
    else
        now_http(ms, text);
    if (iso && ms % 1000 == 0) memcpy(text + 19, "Z", 2); /* without ".000" */
    *ret = str_c(text);
    return true;
}

int aws_s3_text(struct arena *a, enum s3_type type, const char *name, const struct json *v, struct str *ret,
                struct err *e) {
    static const char *const want[] = {"a string", "a whole number", "a boolean", "a date", "a date"};
    bool ok = false;
    switch (type) {
    case S3_TEXT:
        *ret = json_str(v);
        ok = json_is(v, JSON_STR);
        break;
    case S3_INT:
        ok = int_text(v, ret);
        break;
    case S3_BOOL:
        ok = bool_text(v, ret);
        break;
    case S3_DATE:
    case S3_ISO:
        ok = date_text(a, v, type == S3_ISO, ret);
        break;
    }
    if (ok) return 0;
    return err_set(e, ERR_S3_ARGUMENT, "parameter %s is %s, not %s", name, json_type_name(v->type), want[type]);
}

/* == to XML =========================================================================================================
 */

struct writer {
    struct arena *a; /* NULL: of an answer */
    struct buf *b;
    struct err *e;
};

static int write_shape(struct writer *w, enum s3_shape shape, const struct json *obj);

static void open_tag(struct buf *b, struct str name) {
    buf_byte(b, '<');
    buf_str(b, name);
    buf_byte(b, '>');
}

static void close_tag(struct buf *b, struct str name) {
    buf_add(b, "</", 2);
    buf_str(b, name);
    buf_byte(b, '>');
}

/* XML 1.0, 2.2. */
static bool fits_xml(struct str s) {
    if (str_bad_utf8(s) >= 0 || str_find(s, STR("\xEF\xBF\xBE"), 0) >= 0 || str_find(s, STR("\xEF\xBF\xBF"), 0) >= 0)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 && !strchr("\t\n\r", s.p[i])) return false;
    return !s.n || !memchr(s.p, 0, s.n);
}

static int request_text(struct writer *w, const struct element *row, const struct json *v, struct str *ret) {
    static const enum s3_type types[] = {[INT] = S3_INT, [BOOL] = S3_BOOL, [DATE] = S3_DATE, [ISO] = S3_ISO};
    enum s3_type type = row->kind <= ISO ? types[row->kind] : S3_TEXT;
    if (aws_s3_text(w->a, type, row->member.p, v, ret, w->e)) return -1;
    if (fits_xml(*ret)) return 0;
    return err_set(w->e, ERR_S3_ARGUMENT, "parameter %s holds characters that XML cannot hold", row->member.p);
}

/* The engine's values are as they are to be. */
static int answer_text(struct writer *w, const struct element *row, const struct json *v, struct str *ret) {
    if (row->kind == BOOL && bool_text(v, ret)) return 0;
    *ret = v->s;
    if (json_is(v, JSON_STR) || (row->kind == INT && json_is(v, JSON_NUM))) return 0;
    return err_set(w->e, ERR_INTERNAL, "%s is %s", row->member.p, json_type_name(v->type));
}

static int write_text(struct writer *w, const struct element *row, const struct json *v) {
    struct str text;
    if (w->a ? request_text(w, row, v, &text) : answer_text(w, row, v, &text)) return -1;
    if (row->kind != OWN) open_tag(w->b, row->element);
    xml_escape(w->b, text);
    if (row->kind != OWN) close_tag(w->b, row->element);
    return 0;
}

static int write_inner(struct writer *w, const struct element *row, const struct json *v) {
    if (row->kind == TEXTS) return write_text(w, row, v);
    open_tag(w->b, row->element);
    if (write_shape(w, row->inner, v)) return err_wrap(w->e, "%s", row->member.p);
    close_tag(w->b, row->element);
    return 0;
}

/* Scripts' empty tables may come as lists or as objects. */
static bool is_empty(const struct json *v) {
    return (json_is(v, JSON_ARR) || json_is(v, JSON_OBJ)) && !v->n;
}

static int write_list(struct writer *w, const struct element *row, const struct json *v) {
    if (!json_is(v, JSON_ARR) && !is_empty(v))
        return err_set(w->e, ERR_S3_ARGUMENT, "parameter %s is %s, not a list", row->member.p, json_type_name(v->type));
    if (row->kind == WRAPPED) open_tag(w->b, tag_of(row));
    for (uint32_t i = 0; i < v->n; i++)
        if (write_inner(w, row, &v->items[i])) return -1;
    if (row->kind == WRAPPED) close_tag(w->b, tag_of(row));
    return 0;
}

static int write_element(struct writer *w, const struct element *row, const struct json *v) {
    switch (row->kind) {
    case STRUCT:
        return write_inner(w, row, v);
    case LIST:
    case TEXTS:
    case WRAPPED:
        return write_list(w, row, v);
    default:
        return write_text(w, row, v);
    }
}

static const struct element *find_member(enum s3_shape shape, struct str name) {
    for (const struct element *row = rows_of(shape); row->member.n; row++)
        if (str_eq(name, row->member) && row->kind != UNSERVED) return row;
    return NULL;
}

bool aws_s3_has(enum s3_shape shape, struct str member) {
    return shape != S3_OF_NONE && find_member(shape, member);
}

static int refuse_unknown(struct writer *w, enum s3_shape shape, const struct json *obj) {
    for (uint32_t i = 0; i < obj->n; i++)
        if (!find_member(shape, obj->members[i].key))
            return err_set(w->e, ERR_S3_ARGUMENT, "%.*s is unknown or not supported yet",
                           STR_ARG(str_take(obj->members[i].key, 80)));
    return 0;
}

/* In the table's order, which is nearly the engine's. */
static int write_shape(struct writer *w, enum s3_shape shape, const struct json *obj) {
    uint32_t at = 0, told = 0;
    if (!json_is(obj, JSON_OBJ) && !is_empty(obj))
        return err_set(w->e, ERR_S3_ARGUMENT, "%s, not an object", json_type_name(obj->type));
    for (const struct element *row = rows_of(shape); row->member.n && told < obj->n; row++) {
        bool next = at < obj->n && str_eq(obj->members[at].key, row->member);
        const struct json *v = next ? &obj->members[at++].value : json_get_str(obj, row->member);
        if (!v || row->kind == UNSERVED) continue;
        told++;
        if (!json_is(v, JSON_NULL) && write_element(w, row, v)) return -1;
    }
    return told < obj->n ? refuse_unknown(w, shape, obj) : 0;
}

static int write_document(struct writer *w, enum s3_shape shape, const struct json *obj) {
    buf_printf(w->b,
               "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
               aws_s3_root(shape));
    if (write_shape(w, shape, obj)) return -1;
    close_tag(w->b, str_c(aws_s3_root(shape)));
    return 0;
}

int aws_s3_write_request(struct arena *a, struct buf *b, enum s3_shape shape, const struct json *obj, struct err *e) {
    struct writer w = {a, b, e};
    return write_document(&w, shape, obj);
}

int aws_s3_write_answer(struct buf *b, enum s3_shape shape, const struct json *obj, struct err *e) {
    struct writer w = {NULL, b, e};
    return write_document(&w, shape, obj);
}

/* == from XML =======================================================================================================
 */

struct reader {
    struct arena *a;
    bool strict; /* a request */
    bool decode; /* keys */
    struct err *e;
};

static int read_shape(struct reader *r, enum s3_shape shape, const struct xml *x, struct json *ret);

int aws_s3_malformed(struct err *e, const char *fmt, ...) {
    char why[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return err_set(e, ERR_S3_XML,
                   "The XML you provided was not well-formed or did not validate against our published schema: %s",
                   why);
}

static int malformed(struct reader *r, const char *what, struct str name) {
    name = str_take(name, 80);
    if (!r->strict) return err_set(r->e, ERR_BAD_ANSWER, "%.*s %s", STR_ARG(name), what);
    return aws_s3_malformed(r->e, "%.*s %s", STR_ARG(name), what);
}

static bool int_value(struct arena *a, struct str text, struct json *ret) {
    int64_t n;
    if (!str_i64(text, &n)) return false;
    *ret = json_make_i64(a, n);
    return true;
}

static bool bool_value(struct str text, struct json *ret) {
    *ret = json_make_bool(str_ieq(text, STR("true")) || str_is(text, "1"));
    return json_is(ret, JSON_TRUE) || str_ieq(text, STR("false")) || str_is(text, "0");
}

static bool date_value(struct arena *a, struct str text, struct json *ret) {
    char *when = arena_alloc(a, 25);
    int64_t ms;
    if (!now_parse_iso(text, &ms)) return false;
    now_iso(ms, when);
    *ret = json_make_c(when);
    return true;
}

static bool key_value(struct reader *r, struct json *ret) {
    return !r->decode || (!url_decode(r->a, ret->s, true, &ret->s, NULL) && str_bad_utf8(ret->s) < 0);
}

/* Answers' numbers and dates that are none stay texts. */
static int read_text(struct reader *r, const struct element *row, const struct xml *x, struct json *ret) {
    struct str text = str_trim(x->text);
    bool ok = !x->first || !r->strict;
    *ret = json_make_str(x->text.p ? x->text : STR(""));
    if (row->kind == INT) ok = int_value(r->a, text, ret) && ok;
    if (row->kind == BOOL) ok = bool_value(text, ret) && ok;
    if (row->kind == ISO) ok = date_value(r->a, text, ret) && ok;
    if (row->kind == KEY && !key_value(r, ret)) return malformed(r, "is wrongly encoded", x->name);
    return ok || !r->strict ? 0 : malformed(r, "is not what it should be", x->name);
}

static int read_wrapped(struct reader *r, const struct element *row, const struct xml *x, struct json *ret) {
    *ret = json_make_arr();
    for (const struct xml *c = x->first; c; c = c->next) {
        struct json v;
        bool known = str_eq(c->name, row->element);
        if (!known && r->strict) return malformed(r, "is unknown", c->name);
        if (!known) continue;
        if (read_shape(r, row->inner, c, &v)) return -1;
        json_push(r->a, ret, v);
    }
    return 0;
}

static int read_value(struct reader *r, const struct element *row, const struct xml *x, struct json *ret) {
    switch (row->kind) {
    case STRUCT:
    case LIST:
        return read_shape(r, row->inner, x, ret);
    case WRAPPED:
        return read_wrapped(r, row, x, ret);
    case UNSERVED:
        return err_set(r->e, ERR_NOT_IMPLEMENTED,
                       "A header or query you provided implies functionality that is not implemented: %.*s",
                       STR_ARG(x->name));
    default:
        return read_text(r, row, x, ret);
    }
}

static struct json nothing(struct arena *a, enum kind kind) {
    if (kind == BOOL) return json_make_bool(false);
    if (kind == INT) return json_make_i64(a, 0);
    return kind == WRAPPED ? json_make_arr() : json_make_str(STR(""));
}

static uint64_t bit(const struct element *first, const struct element *row) {
    return UINT64_C(1) << (row - first);
}

/* Members that there was no element for. */
static int complete(struct reader *r, enum s3_shape shape, uint64_t seen, const struct xml *x, struct json *obj) {
    const struct element *first = rows_of(shape);
    for (const struct element *row = first; row->member.n; row++) {
        if (seen & bit(first, row)) continue;
        if (row->flags & (r->strict ? NEEDED : REQUIRED))
            return malformed(r, arena_printf(r->a, "has no %s", tag_of(row).p).p, x->name);
        if (row->flags & ALWAYS && !r->strict) json_set_str(r->a, obj, row->member, nothing(r->a, row->kind));
    }
    return 0;
}

static bool is_left_out(const struct reader *r, const struct element *row, const struct xml *x, const struct xml *of) {
    if (r->strict) return false;
    if (row->kind == UNSERVED) return true;
    if (row->flags & MORE && !str_ieq(str_trim(xml_text(of, "IsTruncated")), STR("true"))) return true;
    return row->flags & (MORE | FILLED | REQUIRED) && !x->text.n;
}

/* Elements come in the table's order, or nearly so: the one after `last` is looked at first. */
static const struct element *find_element(enum s3_shape shape, const struct element *last, struct str name) {
    const struct element *first = rows_of(shape), *row = last;
    do {
        if (str_eq(name, tag_of(row))) return row;
        row = row[1].member.n ? row + 1 : first;
    } while (row != last);
    return NULL;
}

static void put(struct reader *r, struct json *obj, const struct element *row, bool again, struct json v) {
    if (!is_list(row)) {
        json_set_str(r->a, obj, row->member, v);
        return;
    }
    struct json *list =
        again ? (struct json *)json_get_str(obj, row->member) : json_set_str(r->a, obj, row->member, json_make_arr());
    json_push(r->a, list, v);
}

static int read_shape(struct reader *r, enum s3_shape shape, const struct xml *x, struct json *ret) {
    const struct element *first = rows_of(shape), *row = first;
    uint64_t seen = 0;
    *ret = json_make_obj();
    if (first->kind == OWN && x->text.n) json_set_str(r->a, ret, first->member, json_make_str(x->text));
    for (const struct xml *c = x->first; c; c = c->next) {
        const struct element *found = find_element(shape, row, c->name);
        struct json v;
        if (!found && r->strict) return malformed(r, "is unknown", c->name);
        if (!found || is_left_out(r, found, c, x)) continue;
        row = found;
        bool again = seen & bit(first, row);
        if (again && !is_list(row) && r->strict) return malformed(r, "is there twice", c->name);
        if (again && !is_list(row)) continue;
        if (read_value(r, row, c, &v)) return -1;
        put(r, ret, row, again, v);
        seen |= bit(first, row);
    }
    return complete(r, shape, seen, x, ret);
}

int aws_s3_read_request(struct arena *a, enum s3_shape shape, const struct xml *root, struct json *ret, struct err *e) {
    struct reader r = {a, true, false, e};
    return read_shape(&r, shape, root, ret);
}

int aws_s3_read_answer(struct arena *a, enum s3_shape shape, const struct xml *root, bool decode_keys, struct json *ret,
                       struct err *e) {
    struct reader r = {a, false, decode_keys, e};
    return read_shape(&r, shape, root, ret);
}
