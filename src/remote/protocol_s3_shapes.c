/* S3's documents: the structures of s3_shapes.def to XML and back. */
#include "base/now.h"
#include "base/url.h"
#include "remote/wire_s3.h"
#include <string.h>

enum kind { TEXT, INT, BOOL, DATE, ISO, KEY, STRUCT, LIST, TEXTS, WRAPPED };
enum flags { ALWAYS = 1, FILLED = 2, MORE = 4, REQUIRED = 8 };

static const struct element {
    enum s3_shape of;
    const char *member, *element;
    enum kind kind;
    enum s3_shape inner;
    unsigned flags;
} elements[] = {
#define S3_SHAPE(name)
#define S3_ELEMENT(of, member, element, kind, inner, flags) {S3_OF_##of, #member, element, kind, S3_OF_##inner, flags},
#include "remote/s3_shapes.def"
#undef S3_SHAPE
#undef S3_ELEMENT
};
enum { ELEMENTS = sizeof elements / sizeof *elements };

static const char *const shape_names[] = {
    "",
#define S3_SHAPE(name) #name,
#define S3_ELEMENT(of, member, element, kind, inner, flags)
#include "remote/s3_shapes.def"
#undef S3_SHAPE
#undef S3_ELEMENT
};

/* == to XML =========================================================================================================
 */

struct writer {
    struct arena *a;
    struct buf *b;
    struct err *e;
};

static int write_shape(struct writer *w, enum s3_shape shape, const struct json *obj);

static const struct element *find_member(enum s3_shape shape, struct str name) {
    for (size_t i = 0; i < ELEMENTS; i++)
        if (elements[i].of == shape && str_is(name, elements[i].member)) return &elements[i];
    return NULL;
}

/* XML 1.0, 2.2. */
static bool fits_xml(struct str s) {
    if (str_bad_utf8(s) >= 0 || str_find(s, STR("\xEF\xBF\xBE"), 0) >= 0 || str_find(s, STR("\xEF\xBF\xBF"), 0) >= 0)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 && !strchr("\t\n\r", s.p[i])) return false;
    return !s.n || !memchr(s.p, 0, s.n);
}

static int write_text(struct writer *w, const struct element *row, const struct json *v) {
    static const enum s3_type types[] = {
        [TEXT] = S3_TEXT, [INT] = S3_INT, [BOOL] = S3_BOOL, [DATE] = S3_DATE, [ISO] = S3_ISO, [KEY] = S3_TEXT};
    struct str text;
    if (s3_value_text(w->a, types[row->kind], row->member, v, &text, w->e)) return -1;
    if (!fits_xml(text))
        return err_set(w->e, ERR_S3_ARGUMENT, "parameter %s holds characters that XML cannot hold", row->member);
    buf_printf(w->b, "<%s>", row->element);
    xml_escape(w->b, text);
    buf_printf(w->b, "</%s>", row->element);
    return 0;
}

static int write_inner(struct writer *w, const struct element *row, const struct json *v) {
    buf_printf(w->b, "<%s>", row->element);
    if (write_shape(w, row->inner, v)) return err_wrap(w->e, "%s", row->member);
    buf_printf(w->b, "</%s>", row->element);
    return 0;
}

/* Scripts' empty tables may come as lists or as objects. */
static bool is_empty(const struct json *v) {
    return (json_is(v, JSON_ARR) || json_is(v, JSON_OBJ)) && !v->n;
}

static int write_list(struct writer *w, const struct element *row, const struct json *v) {
    if (!json_is(v, JSON_ARR) && !is_empty(v))
        return err_set(w->e, ERR_S3_ARGUMENT, "parameter %s is %s, not a list", row->member, json_type_name(v->type));
    if (row->kind == WRAPPED) buf_printf(w->b, "<%s>", row->member);
    for (uint32_t i = 0; i < v->n; i++)
        if (write_inner(w, row, &v->items[i])) return -1;
    if (row->kind == WRAPPED) buf_printf(w->b, "</%s>", row->member);
    return 0;
}

static int write_element(struct writer *w, const struct element *row, const struct json *v) {
    switch (row->kind) {
    case STRUCT:
        return write_inner(w, row, v);
    case LIST:
    case WRAPPED:
        return write_list(w, row, v);
    default:
        return write_text(w, row, v);
    }
}

static int write_shape(struct writer *w, enum s3_shape shape, const struct json *obj) {
    if (!json_is(obj, JSON_OBJ) && !is_empty(obj))
        return err_set(w->e, ERR_S3_ARGUMENT, "%s, not an object", json_type_name(obj->type));
    for (uint32_t i = 0; i < obj->n; i++) {
        struct str name = obj->members[i].key;
        const struct element *row = find_member(shape, name);
        if (!row)
            return err_set(w->e, ERR_S3_ARGUMENT, "%.*s is unknown or not supported yet", STR_ARG(str_take(name, 80)));
        if (!json_is(&obj->members[i].value, JSON_NULL) && write_element(w, row, &obj->members[i].value)) return -1;
    }
    return 0;
}

int s3_shape_write(struct arena *a, struct buf *b, enum s3_shape shape, const struct json *obj, struct err *e) {
    struct writer w = {a, b, e};
    buf_printf(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">",
               shape_names[shape]);
    if (write_shape(&w, shape, obj)) return -1;
    buf_printf(b, "</%s>", shape_names[shape]);
    return 0;
}

/* == from XML =======================================================================================================
 */

struct reader {
    struct arena *a;
    bool decode; /* keys */
};

static int read_shape(struct reader *r, enum s3_shape shape, const struct xml *x, struct json *ret);

static const struct element *find_element(enum s3_shape shape, struct str name) {
    for (size_t i = 0; i < ELEMENTS; i++)
        if (elements[i].of == shape &&
            str_is(name, elements[i].kind == WRAPPED ? elements[i].member : elements[i].element))
            return &elements[i];
    return NULL;
}

struct json s3_date(struct arena *a, struct str text) {
    char *when = arena_alloc(a, 25);
    int64_t ms;
    if (!now_parse_iso(text, &ms)) return json_make_str(text);
    now_iso(ms, when);
    return json_make_c(when);
}

static int read_text(struct reader *r, const struct element *row, struct str text, struct json *ret) {
    int64_t n;
    *ret = json_make_str(text.p ? text : STR(""));
    if (row->kind == INT && str_i64(str_trim(text), &n)) *ret = json_make_i64(r->a, n);
    if (row->kind == BOOL) *ret = json_make_bool(str_ieq(str_trim(text), STR("true")));
    if (row->kind == ISO) *ret = s3_date(r->a, str_trim(text));
    if (row->kind != KEY || !r->decode) return 0;
    return url_decode(r->a, ret->s, true, &ret->s, NULL) || str_bad_utf8(ret->s) >= 0 ? -1 : 0;
}

static int read_wrapped(struct reader *r, const struct element *row, const struct xml *x, struct json *ret) {
    *ret = json_make_arr();
    for (const struct xml *c = x->first; c; c = c->next) {
        struct json v;
        if (!str_is(c->name, row->element)) continue;
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
    default:
        return read_text(r, row, x->text, ret);
    }
}

static struct json nothing(struct arena *a, enum kind kind) {
    if (kind == BOOL) return json_make_bool(false);
    if (kind == INT) return json_make_i64(a, 0);
    return kind == WRAPPED ? json_make_arr() : json_make_str(STR(""));
}

/* Members that the answer has no element for. */
static int complete(struct reader *r, enum s3_shape shape, struct json *obj) {
    for (size_t i = 0; i < ELEMENTS; i++) {
        const struct element *row = &elements[i];
        if (row->of != shape || !(row->flags & (ALWAYS | REQUIRED)) || json_get(obj, row->member)) continue;
        if (row->flags & REQUIRED) return -1;
        json_set(r->a, obj, row->member, nothing(r->a, row->kind));
    }
    return 0;
}

static bool is_left_out(const struct element *row, const struct xml *x, bool truncated) {
    if (row->flags & MORE && !truncated) return true;
    return row->flags & (MORE | FILLED | REQUIRED) && !x->text.n;
}

static void put(struct reader *r, struct json *obj, const struct element *row, struct json v) {
    struct json *have = (struct json *)json_get(obj, row->member);
    if (row->kind != LIST && row->kind != TEXTS) {
        if (!have) json_set(r->a, obj, row->member, v);
        return;
    }
    json_push(r->a, have ? have : json_set(r->a, obj, row->member, json_make_arr()), v);
}

/* Elements that are not known are left out. */
static int read_shape(struct reader *r, enum s3_shape shape, const struct xml *x, struct json *ret) {
    bool truncated = str_ieq(str_trim(xml_text(x, "IsTruncated")), STR("true"));
    *ret = json_make_obj();
    for (const struct xml *c = x->first; c; c = c->next) {
        const struct element *row = find_element(shape, c->name);
        struct json v;
        if (!row || is_left_out(row, c, truncated)) continue;
        if (read_value(r, row, c, &v)) return -1;
        put(r, ret, row, v);
    }
    return complete(r, shape, ret);
}

int s3_shape_read(struct arena *a, enum s3_shape shape, const struct xml *root, bool decode_keys, struct json *ret) {
    struct reader r = {a, decode_keys};
    return read_shape(&r, shape, root, ret);
}
