/* host_cache.c: what simulated hosts of one thread share, by content, so that each test can open one of its own: parsed
 * templates, sources with what was compiled of them, and stores that were provisioned. */
#include "base/fs.h"
#include "host.h"
#include <string.h>
#include <unistd.h>

enum { KEPT = 8 /* of each kind, beside those in use */, TEXT_MAX = 16 << 20 };

struct kept_app {
    struct list node;
    struct app *app;
    struct buf key;
    size_t users;
    struct script_sources *loadable; /* NULL: none yet */
    struct provisioned stores[KEPT];
    size_t next_store;
};
struct perigee_cache {
    struct list apps; /* the youngest first */
    struct script_sources *sources[KEPT];
    size_t next;
};

struct perigee_cache *perigee_cache_new(void) {
    struct perigee_cache *c = calloc(1, sizeof *c);
    if (!c) fatal("out of memory");
    list_init(&c->apps);
    return c;
}

static void free_app(struct kept_app *k) {
    list_del(&k->node);
    app_free(k->app);
    for (size_t i = 0; i < KEPT; i++) buf_free(&k->stores[i].image);
    script_sources_unref(k->loadable);
    buf_free(&k->key);
    free(k);
}

void perigee_cache_free(struct perigee_cache *c) {
    if (!c) return;
    while (!list_empty(&c->apps)) free_app(CONTAINER(c->apps.next, struct kept_app, node));
    for (size_t i = 0; i < KEPT; i++) script_sources_unref(c->sources[i]);
    free(c);
}

/* -- templates -------------------------------------------------------------------------------------------------- */

static void add_part(struct buf *key, struct str part) {
    buf_u64(key, part.n);
    buf_byte(key, ' ');
    buf_str(key, part);
}

/* Everything that what is read follows from: see host_load_app. */
static int make_key(const struct perigee_config *c, struct buf *key, struct err *e) {
    struct buf text = BUF_MAX(TEXT_MAX);
    int rc = fs_read(c->template_path, &text, e);
    add_part(key, str_c(c->template_path));
    add_part(key, buf_view(&text));
    add_part(key, str_c(c->parameters ? c->parameters : ""));
    for (char **v = environ; *v; v++)
        if (str_starts(str_c(*v), STR("PERIGEE_"))) add_part(key, str_c(*v));
    buf_free(&text);
    return rc ? rc : buf_check(key, "the template", e);
}

static struct kept_app *kept_of(struct perigee_cache *c, const struct app *app) {
    for (struct list *n = c->apps.next; n != &c->apps; n = n->next)
        if (CONTAINER(n, struct kept_app, node)->app == app) return CONTAINER(n, struct kept_app, node);
    return NULL;
}

static struct kept_app *find_app(struct perigee_cache *c, struct str key) {
    for (struct list *n = c->apps.next; n != &c->apps; n = n->next)
        if (str_eq(buf_view(&CONTAINER(n, struct kept_app, node)->key), key))
            return CONTAINER(n, struct kept_app, node);
    return NULL;
}

static void forget_old(struct perigee_cache *c) {
    size_t n = 0;
    for (struct list *i = c->apps.next, *next; i != &c->apps; i = next) {
        struct kept_app *k = CONTAINER(i, struct kept_app, node);
        next = i->next;
        if (++n > KEPT && !k->users) free_app(k);
    }
}

static struct kept_app *keep_app(struct perigee_cache *c, struct buf *key, struct app *app) {
    struct kept_app *k = calloc(1, sizeof *k);
    if (!k) fatal("out of memory");
    *k = (struct kept_app){.app = app, .key = *key};
    *key = BUF_MAX(TEXT_MAX);
    list_add(c->apps.next, &k->node);
    forget_old(c);
    return k;
}

int cache_app(struct perigee_cache *c, const struct perigee_config *config, struct arena *a, struct buf *problems,
              struct app **ret, struct err *e) {
    struct buf key = BUF_MAX(TEXT_MAX);
    struct err unreadable = {0};
    bool keyed = !make_key(config, &key, &unreadable); /* else it is said better by what reads it */
    struct kept_app *k = keyed ? find_app(c, buf_view(&key)) : NULL;
    struct app *app = NULL;
    int rc = k ? 0 : host_load_app(config, NULL, a, problems, &app, e);
    if (!rc && !k) k = keep_app(c, &key, app);
    buf_free(&key);
    if (rc) return -1;
    k->users++;
    *ret = k->app;
    return 0;
}

void cache_give_app(struct perigee_cache *c, struct app *app) {
    kept_of(c, app)->users--;
}

bool cache_is_loadable(struct perigee_cache *c, const struct app *app, const struct script_sources *s) {
    const struct kept_app *k = kept_of(c, app);
    return k && k->loadable == s;
}

void cache_loadable(struct perigee_cache *c, const struct app *app, struct script_sources *s) {
    struct kept_app *k = kept_of(c, app);
    if (!k || k->loadable == s) return;
    script_sources_unref(k->loadable);
    k->loadable = script_sources_ref(s);
}

/* -- stores ----------------------------------------------------------------------------------------------------- */

const struct provisioned *cache_provisioned(struct perigee_cache *c, const struct app *app, int64_t unix_ms,
                                            int64_t seed) {
    const struct kept_app *k = kept_of(c, app);
    for (size_t i = 0; k && i < KEPT; i++)
        if (k->stores[i].image.n && k->stores[i].unix_ms == unix_ms && k->stores[i].seed == seed) return &k->stores[i];
    return NULL;
}

void cache_keep_provisioned(struct perigee_cache *c, const struct app *app, struct provisioned *p) {
    struct kept_app *k = kept_of(c, app);
    struct provisioned *place = &k->stores[k->next_store++ % KEPT];
    buf_free(&place->image);
    *place = *p;
    p->image = BUF_MAX(0);
}

/* -- sources ---------------------------------------------------------------------------------------------------- */

struct script_sources *cache_sources(struct perigee_cache *c, struct script_sources *s) {
    for (size_t i = 0; i < KEPT; i++) {
        if (!c->sources[i] || !script_sources_same(c->sources[i], s)) continue;
        script_sources_unref(s);
        return script_sources_ref(c->sources[i]);
    }
    script_sources_unref(c->sources[c->next]);
    c->sources[c->next] = script_sources_ref(s);
    c->next = (c->next + 1) % KEPT;
    return s;
}
