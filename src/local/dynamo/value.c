/* Attribute values: names of types, equality, order, sizes, maps and lists under construction. */
#include "base/map.h"
#include "local/dynamo/dynamo.h"
#include <string.h>

enum { LINEAR = 16 };

static const char *const names[] = {[AV_S] = "S", [AV_N] = "N", [AV_B] = "B",   [AV_BOOL] = "BOOL", [AV_NULL] = "NULL",
                                    [AV_M] = "M", [AV_L] = "L", [AV_SS] = "SS", [AV_NS] = "NS",     [AV_BS] = "BS"};

const char *av_type_name(enum av_type t) {
    return t >= AV_S && t <= AV_BS ? names[t] : "?";
}

bool av_type_find(struct str s, enum av_type *ret) {
    static const enum av_type one[] = {['S'] = AV_S, ['N'] = AV_N, ['B'] = AV_B, ['M'] = AV_M, ['L'] = AV_L, ['Z'] = 0};
    if (s.n == 1) {
        unsigned char c = (unsigned char)s.p[0];
        *ret = c < sizeof one / sizeof *one ? one[c] : 0;
        return *ret != 0;
    }
    for (int t = AV_S; t <= AV_BS; t++)
        if (str_is(s, names[t])) {
            *ret = (enum av_type)t;
            return true;
        }
    return false;
}

/* ==== comparing ==== */

bool av_set_has(const struct av *set, struct str member) {
    for (uint32_t i = 0; i < set->n; i++)
        if (str_eq(set->items[i].s, member)) return true;
    return false;
}

/* Members are distinct and numbers canonical, so equal sizes and one inclusion suffice. */
static bool equal_sets(const struct av *a, const struct av *b) {
    if (a->n != b->n) return false;
    struct map of_b = {0};
    bool large = b->n > LINEAR, same = true;
    for (uint32_t i = 0; large && i < b->n; i++) map_put(&of_b, b->items[i].s, &b->items[i]);
    for (uint32_t i = 0; same && i < a->n; i++)
        same = large ? map_get(&of_b, a->items[i].s) != NULL : av_set_has(b, a->items[i].s);
    map_free(&of_b);
    return same;
}

static bool equal_maps(const struct av *a, const struct av *b) {
    if (a->n != b->n) return false;
    struct map of_b = {0};
    bool large = b->n > LINEAR, same = true;
    for (uint32_t i = 0; large && i < b->n; i++) map_put(&of_b, b->members[i].name, &b->members[i].value);
    for (uint32_t i = 0; same && i < a->n; i++) {
        struct str name = a->members[i].name;
        same = av_equal(&a->members[i].value, large ? map_get(&of_b, name) : av_get(b, name));
    }
    map_free(&of_b);
    return same;
}

bool av_equal(const struct av *a, const struct av *b) {
    if (!a || !b || a->type != b->type) return false;
    switch (a->type) {
    case AV_S:
    case AV_N:
    case AV_B:
        return str_eq(a->s, b->s);
    case AV_BOOL:
        return a->boolean == b->boolean;
    case AV_M:
        return equal_maps(a, b);
    case AV_L:
        if (a->n != b->n) return false;
        for (uint32_t i = 0; i < a->n; i++)
            if (!av_equal(&a->items[i], &b->items[i])) return false;
        return true;
    case AV_SS:
    case AV_NS:
    case AV_BS:
        return equal_sets(a, b);
    default:
        return a->type == AV_NULL;
    }
}

bool av_order(const struct av *a, const struct av *b, int *ret) {
    if (!a || !b || a->type != b->type) return false;
    if (a->type == AV_S || a->type == AV_B) {
        *ret = str_cmp(a->s, b->s);
        return true;
    }
    struct num x, y;
    if (a->type != AV_N || num_parse(a->s, &x, NULL) || num_parse(b->s, &y, NULL)) return false;
    *ret = num_cmp(&x, &y);
    return true;
}

/* ==== sizes ==== */

/* One byte, and one for each two significant digits. */
static size_t number_size(struct str s) {
    size_t digits = 0, zeros = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') continue;
        if (s.p[i] == '0') {
            zeros += digits > 0;
        } else {
            digits += zeros + 1;
            zeros = 0;
        }
    }
    return 1 + (digits + 1) / 2;
}

size_t av_size(const struct av *v) {
    size_t n = 0;
    switch (v->type) {
    case AV_S:
    case AV_B:
        return v->s.n;
    case AV_N:
        return number_size(v->s);
    case AV_SS:
    case AV_NS:
    case AV_BS:
        for (uint32_t i = 0; i < v->n; i++) n += av_size(&v->items[i]);
        return n;
    case AV_L:
        for (uint32_t i = 0; i < v->n; i++) n += 1 + av_size(&v->items[i]);
        return n + 3;
    case AV_M:
        return 3 + v->n + av_item_size(v);
    default:
        return 1;
    }
}

size_t av_item_size(const struct av *m) {
    size_t n = 0;
    for (uint32_t i = 0; i < m->n; i++) n += m->members[i].name.n + av_size(&m->members[i].value);
    return n;
}

/* ==== maps and lists ==== */

struct av *av_get(const struct av *map, struct str name) {
    if (!map || map->type != AV_M) return NULL;
    for (uint32_t i = 0; i < map->n; i++)
        if (str_eq(map->members[i].name, name)) return &map->members[i].value;
    return NULL;
}

/* `old` or its copy with room for one more. cap 0 with n > 0: an array that is not ours to grow. */
static void *grown(struct arena *a, struct av *v, void *old, size_t size) {
    if (v->n < v->cap) return old;
    v->cap = v->n < 2 ? 4 : v->n * 2;
    void *p = arena_alloc(a, v->cap * size);
    if (v->n) memcpy(p, old, v->n * size);
    return p;
}

void av_put(struct arena *a, struct av *map, struct str name, struct av v) {
    struct av *there = av_get(map, name);
    if (there) {
        *there = v;
        return;
    }
    map->members = grown(a, map, map->members, sizeof *map->members);
    map->members[map->n++] = (struct av_member){name, v};
}

void av_del(struct av *map, struct str name) {
    for (uint32_t i = 0; i < map->n; i++) {
        if (!str_eq(map->members[i].name, name)) continue;
        memmove(map->members + i, map->members + i + 1, (map->n - i - 1) * sizeof *map->members);
        map->n--;
        return;
    }
}

void av_push(struct arena *a, struct av *list, struct av v) {
    list->items = grown(a, list, list->items, sizeof *list->items);
    list->items[list->n++] = v;
}

void av_number(struct arena *a, const struct num *n, struct av *ret) {
    char text[NUM_TEXT];
    size_t len = num_text(n, text);
    *ret = (struct av){.type = AV_N, .s = arena_str(a, str_n(text, len))};
}
