/* Access to, construction and writing of documents; reading is in json.c. */
#include "base/json.h"
#include "base/map.h"
#include <string.h>

enum { LINEAR_MAX = 16 };

/* ==== reading ==== */

const struct json *json_get_str(const struct json *obj, struct str key) {
    if (!obj || obj->type != JSON_OBJ) return NULL;
    for (uint32_t i = 0; i < obj->n; i++)
        if (str_eq(obj->members[i].key, key)) return &obj->members[i].value;
    return NULL;
}

const struct json *json_get(const struct json *obj, const char *key) {
    return json_get_str(obj, str_c(key));
}

struct str json_str(const struct json *v) {
    return v && v->type == JSON_STR ? v->s : STR_NONE;
}

struct str json_get_s(const struct json *obj, const char *key) {
    return json_str(json_get(obj, key));
}

bool json_i64(const struct json *v, int64_t *ret) {
    return v && v->type == JSON_NUM && str_i64(v->s, ret);
}

bool json_is(const struct json *v, enum json_type t) {
    return v && v->type == t;
}

bool json_bool(const struct json *v, bool *ret) {
    if (!v || (v->type != JSON_TRUE && v->type != JSON_FALSE)) return false;
    *ret = v->type == JSON_TRUE;
    return true;
}

const char *json_type_name(enum json_type t) {
    static const char *const names[] = {
        [JSON_NULL] = "null",  [JSON_FALSE] = "boolean", [JSON_TRUE] = "boolean", [JSON_NUM] = "number",
        [JSON_STR] = "string", [JSON_ARR] = "array",     [JSON_OBJ] = "object",
    };
    return (unsigned)t <= JSON_OBJ ? names[t] : "nothing";
}

/* Same number of members is known; each of a's must be in b. */
static bool equal_members(const struct json *a, const struct json *b) {
    struct map of_b = {0};
    bool large = b->n > LINEAR_MAX, same = true;
    for (uint32_t i = 0; large && i < b->n; i++) map_put(&of_b, b->members[i].key, &b->members[i].value);
    for (uint32_t i = 0; same && i < a->n; i++) {
        struct str key = a->members[i].key;
        const struct json *other = large ? map_get(&of_b, key) : json_get_str(b, key);
        same = other && json_equal(&a->members[i].value, other);
    }
    map_free(&of_b);
    return same;
}

bool json_equal(const struct json *a, const struct json *b) {
    if (!a || !b) return a == b;
    if (a->type != b->type) return false;
    switch (a->type) {
    case JSON_NUM:
    case JSON_STR:
        return str_eq(a->s, b->s);
    case JSON_ARR:
        if (a->n != b->n) return false;
        for (uint32_t i = 0; i < a->n; i++)
            if (!json_equal(&a->items[i], &b->items[i])) return false;
        return true;
    case JSON_OBJ:
        return a->n == b->n && equal_members(a, b);
    default:
        return true;
    }
}

/* ==== building ==== */

struct json json_make_obj(void) {
    return (struct json){.type = JSON_OBJ};
}

struct json json_make_arr(void) {
    return (struct json){.type = JSON_ARR};
}

struct json json_make_str(struct str s) {
    return (struct json){.type = JSON_STR, .s = s};
}

struct json json_make_c(const char *cstr) {
    return json_make_str(str_c(cstr));
}

struct json json_make_bool(bool b) {
    return (struct json){.type = b ? JSON_TRUE : JSON_FALSE};
}

struct json json_make_null(void) {
    return (struct json){.type = JSON_NULL};
}

struct json json_make_num(struct str literal) {
    return (struct json){.type = JSON_NUM, .s = literal};
}

struct json json_make_i64(struct arena *a, int64_t v) {
    struct buf b = BUF_MAX(24);
    buf_i64(&b, v);
    struct json num = json_make_num(arena_str(a, buf_view(&b)));
    buf_free(&b);
    return num;
}

/* `old`, or its copy with room for one more. */
static void *grown(struct arena *a, struct json *v, void *old, size_t size) {
    if (v->n < v->cap) return old;
    if (v->n > UINT32_MAX / 4) fatal("a JSON document with more than %u elements in one container", v->n);
    uint32_t cap = v->cap ? v->cap * 2 : 4;
    void *p = arena_alloc(a, cap * size);
    if (v->n) memcpy(p, old, v->n * size);
    v->cap = cap;
    return p;
}

struct json *json_set_str(struct arena *a, struct json *obj, struct str key, struct json v) {
    if (obj->type != JSON_OBJ) fatal("json_set on a JSON %s", json_type_name(obj->type));
    obj->members = grown(a, obj, obj->members, sizeof *obj->members);
    struct json_member *m = &obj->members[obj->n++];
    *m = (struct json_member){key, v};
    return &m->value;
}

struct json *json_set(struct arena *a, struct json *obj, const char *key, struct json v) {
    return json_set_str(a, obj, str_c(key), v);
}

struct json *json_push(struct arena *a, struct json *arr, struct json v) {
    if (arr->type != JSON_ARR) fatal("json_push on a JSON %s", json_type_name(arr->type));
    arr->items = grown(a, arr, arr->items, sizeof *arr->items);
    arr->items[arr->n] = v;
    return &arr->items[arr->n++];
}

struct json json_copy(struct arena *a, const struct json *v) {
    struct json copy = *v;
    switch (v->type) {
    case JSON_NUM:
    case JSON_STR:
        copy.s = arena_str(a, v->s);
        break;
    case JSON_ARR:
        copy.cap = v->n;
        copy.items = arena_alloc(a, v->n * sizeof *copy.items);
        for (uint32_t i = 0; i < v->n; i++) copy.items[i] = json_copy(a, &v->items[i]);
        break;
    case JSON_OBJ:
        copy.cap = v->n;
        copy.members = arena_alloc(a, v->n * sizeof *copy.members);
        for (uint32_t i = 0; i < v->n; i++)
            copy.members[i] = (struct json_member){arena_str(a, v->members[i].key), json_copy(a, &v->members[i].value)};
        break;
    default:
        break;
    }
    return copy;
}

/* ==== writing ==== */

static void write_escape(struct buf *b, unsigned char c) {
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt", hex[] = "0123456789abcdef";
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        char text[2] = {'\\', to[known - from]};
        buf_add(b, text, 2);
    } else {
        char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        buf_add(b, text, 6);
    }
}

/* Is one of eight bytes a control character, quote or backslash? The high bit of each byte of the terms tells; bytes
 * from 0x80 on may look like one, too. */
static bool any_special(uint64_t w) {
    const uint64_t ones = 0x0101010101010101u, high = ones << 7;
    uint64_t quote = w ^ ones * '"', slash = w ^ ones * '\\';
    return ((w - ones * 0x20) | (quote - ones) | (slash - ones)) & high;
}

/* Where from `i` on the next byte is that has to be escaped; s.n when there is none. */
static size_t next_escaped(struct str s, size_t i) {
    while (i < s.n) {
        uint64_t w;
        if (i + 8 <= s.n && (memcpy(&w, s.p + i, 8), !any_special(w))) {
            i += 8;
            continue;
        }
        for (size_t end = i + 8 < s.n ? i + 8 : s.n; i < end; i++) {
            unsigned char c = (unsigned char)s.p[i];
            if (c < 0x20 || c == '"' || c == '\\') return i;
        }
    }
    return s.n;
}

void json_write_str(struct buf *b, struct str s) {
    buf_reserve(b, s.n + 2);
    buf_byte(b, '"');
    for (size_t from = 0, at; from <= s.n; from = at + 1) {
        at = next_escaped(s, from);
        buf_add(b, s.p + from, at - from);
        if (at < s.n) write_escape(b, (unsigned char)s.p[at]);
    }
    buf_byte(b, '"');
}

static void write_members(struct buf *b, const struct json *v) {
    buf_byte(b, '{');
    for (uint32_t i = 0; i < v->n; i++) {
        if (i) buf_byte(b, ',');
        json_write_str(b, v->members[i].key);
        buf_byte(b, ':');
        json_write(b, &v->members[i].value);
    }
    buf_byte(b, '}');
}

static void write_items(struct buf *b, const struct json *v) {
    buf_byte(b, '[');
    for (uint32_t i = 0; i < v->n; i++) {
        if (i) buf_byte(b, ',');
        json_write(b, &v->items[i]);
    }
    buf_byte(b, ']');
}

void json_write(struct buf *b, const struct json *v) {
    switch (v->type) {
    case JSON_NULL:
        buf_c(b, "null");
        break;
    case JSON_FALSE:
        buf_c(b, "false");
        break;
    case JSON_TRUE:
        buf_c(b, "true");
        break;
    case JSON_NUM:
        buf_str(b, v->s);
        break;
    case JSON_STR:
        json_write_str(b, v->s);
        break;
    case JSON_ARR:
        write_items(b, v);
        break;
    case JSON_OBJ:
        write_members(b, v);
        break;
    }
}
