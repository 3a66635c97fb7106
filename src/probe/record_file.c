/* Recordings on a disk: <dir>/<milliseconds>-<n>.jsonl, a document a line, and <dir>/versions/<version>.json. Each is
 * written by one write(2); a line that a crash cut off has no end and is no document. */
#include "base/crypto.h"
#include "base/fs.h"
#include "base/map.h"
#include "probe/record.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENTS = 8, WAITING_MAX = 16 << 20, SEGMENT_MIN = 64 << 10, LINE_MAX = 32 << 20, WARN_MS = 10000 };

struct waiting {
    struct list node;
    char version[17];
    bool source; /* the sources of that version */
    struct buf text;
};
struct record_file {
    struct record_file_config c;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct list waiting;
    size_t waiting_bytes;
    struct map versions; /* name -> the name */
    char key[32];
    bool stopping;
    _Atomic uint64_t dropped;
    _Atomic bool lost; /* sources that were to be kept */
    /* the thread's */
    int fd;
    uint64_t written, segment_max;
    unsigned n;
    char version[17]; /* of the last line */
    uint64_t told, told_ms, forgot_ms;
    bool failing;
};

/* -- dropping ------------------------------------------------------------------------------------------------------ */

static void drop(struct record_file *f) {
    atomic_fetch_add(&f->dropped, 1);
}

static void tell_dropped(struct record_file *f, bool end) {
    uint64_t n = atomic_load(&f->dropped), now = now_mono_ms();
    if (n == f->told || (!end && f->told_ms && now - f->told_ms < WARN_MS)) return;
    log_event(f->c.log, LOG_WARN, "requests were not recorded", "u", "dropped", n - f->told);
    f->told = n;
    f->told_ms = now;
}

static void tell_failure(struct record_file *f, const struct err *e) {
    if (!f->failing) log_event(f->c.log, LOG_WARN, "recordings cannot be written", "s", "error", e->msg);
    f->failing = true;
    drop(f);
}

/* -- segments ------------------------------------------------------------------------------------------------------ */

static const char *path_of(const struct record_file *f, struct arena *a, struct str name) {
    return arena_printf(a, "%s/%.*s", f->c.dir, STR_ARG(name)).p;
}

static uint64_t size_of(const char *path, int64_t *ret_changed_ms) {
    struct stat st;
    if (stat(path, &st)) return 0;
    if (ret_changed_ms) *ret_changed_ms = (int64_t)st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
    return (uint64_t)st.st_size;
}

static int64_t born_ms(struct str segment) {
    int64_t ms = 0;
    str_i64(str_cut(&segment, '-'), &ms);
    return ms;
}

/* Versions that no segment from `oldest_ms` on can name. */
static void prune_versions(struct record_file *f, struct arena *a, int64_t oldest_ms) {
    struct str *names = NULL;
    size_t n = 0;
    if (fs_list(a, path_of(f, a, STR("versions")), ".json", &names, &n, NULL)) return;
    for (size_t i = 0; i < n; i++) {
        struct str version = str_take(names[i], names[i].n - 5);
        const char *path = path_of(f, a, arena_printf(a, "versions/%.*s", STR_ARG(names[i])));
        int64_t changed_ms = 0;
        size_of(path, &changed_ms);
        if (changed_ms >= oldest_ms || str_is(version, f->version)) continue;
        unlink(path);
        pthread_mutex_lock(&f->lock);
        free(map_del(&f->versions, version));
        pthread_mutex_unlock(&f->lock);
    }
}

/* The oldest segments go until `room` bytes are free. */
static void prune(struct record_file *f, uint64_t room) {
    struct arena a = {0};
    struct str *names = NULL;
    size_t n = 0, i = 0;
    uint64_t all = 0;
    if (!fs_list(&a, f->c.dir, ".jsonl", &names, &n, NULL)) {
        for (size_t k = 0; k < n; k++) all += size_of(path_of(f, &a, names[k]), NULL);
        for (; i < n && all + room > f->c.max_bytes; i++) {
            all -= size_of(path_of(f, &a, names[i]), NULL);
            unlink(path_of(f, &a, names[i]));
        }
        if (i) prune_versions(f, &a, i < n ? born_ms(names[i]) : clock_ms(NULL));
    }
    arena_free(&a);
}

/* What the last line's version says of itself must be no older than the segment that names it. */
static void touch(const struct record_file *f) {
    struct arena a = {0};
    if (*f->version) utimensat(AT_FDCWD, path_of(f, &a, arena_printf(&a, "versions/%s.json", f->version)), NULL, 0);
    arena_free(&a);
}

static void free_versions(struct record_file *f) {
    for (size_t i = 0; i < f->versions.n; i++)
        if (f->versions.slots[i].key.p) free(f->versions.slots[i].value);
    map_free(&f->versions);
}

/* Whoever has sources is asked for them again. */
static void forget_versions(struct record_file *f) {
    pthread_mutex_lock(&f->lock);
    free_versions(f);
    pthread_mutex_unlock(&f->lock);
    atomic_store(&f->lost, false);
    f->forgot_ms = now_mono_ms();
}

static int make_dirs(const struct record_file *f, struct err *e) {
    struct arena a = {0};
    int rc = fs_mkdirs(path_of(f, &a, STR("versions")), e);
    if (!rc && chmod(f->c.dir, 0700)) rc = err_sys(e, ERR_IO, errno, "cannot change the rights of %s", f->c.dir);
    arena_free(&a);
    return rc;
}

static int write_key(const struct record_file *f, struct err *e) {
    struct arena a = {0};
    const char *path = path_of(f, &a, STR("key"));
    int rc = fs_write_durable(path, str_n(f->key, sizeof f->key), e);
    if (!rc && chmod(path, 0600)) rc = err_sys(e, ERR_IO, errno, "cannot change the rights of %s", path);
    arena_free(&a);
    return rc;
}

/* Somebody may have removed it: the directory is made again, as it was. */
static int keep_dir(struct record_file *f, struct err *e) {
    struct arena a = {0};
    bool whole = fs_is_dir(path_of(f, &a, STR("versions"))) && fs_is_file(path_of(f, &a, STR("key")));
    arena_free(&a);
    if (whole) return 0;
    if (make_dirs(f, e) || write_key(f, e)) return -1;
    forget_versions(f);
    return 0;
}

static bool is_removed(const struct record_file *f) {
    struct stat st;
    return !fstat(f->fd, &st) && !st.st_nlink;
}

static int open_segment(struct record_file *f, uint64_t room, struct err *e) {
    struct arena a = {0};
    if (f->fd >= 0) close(f->fd);
    f->fd = -1;
    if (keep_dir(f, e)) return -1;
    prune(f, room > f->segment_max ? room : f->segment_max);
    const char *path =
        path_of(f, &a, arena_printf(&a, "%013lld-%04u.jsonl", (long long)clock_ms(NULL), f->n++ % 10000));
    f->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (f->fd < 0) err_sys(e, ERR_IO, errno, "cannot make %s", path);
    f->written = 0;
    arena_free(&a);
    touch(f);
    return f->fd < 0 ? -1 : 0;
}

static int write_all(struct record_file *f, struct str s, struct err *e) {
    ssize_t n = write(f->fd, s.p, s.n);
    if (n == (ssize_t)s.n) return 0;
    err_sys(e, ERR_IO, n < 0 ? errno : ENOSPC, "cannot write to %s", f->c.dir);
    if (n > 0) f->written = f->segment_max; /* half a line: the next one begins another segment */
    return -1;
}

/* -- documents -----------------------------------------------------------------------------------------------------
 */

/* The document, with an id of its own before all else. */
static void write_line(struct record_file *f, struct arena *a, const struct json *doc, struct buf *line) {
    struct json out = json_make_obj();
    uint8_t random[6];
    char id[12];
    crypto_random(random, sizeof random);
    crypto_hex_to(id, random, sizeof random);
    json_set(a, &out, "id", json_make_str(str_n(id, sizeof id)));
    for (uint32_t i = 0; i < doc->n; i++) json_set_str(a, &out, doc->members[i].key, doc->members[i].value);
    record_redact(&f->c.rules, a, &out);
    buf_clear(line);
    json_write(line, &out);
    buf_byte(line, '\n');
}

static int write_document(struct record_file *f, const struct waiting *w, struct buf *line, struct err *e) {
    struct arena a = {0};
    struct json doc;
    int rc = json_parse(&a, buf_view(&w->text), &(struct json_limits){.depth = 200, .duplicate_keys = true}, &doc, e);
    if (rc) goto out;
    write_line(f, &a, &doc, line);
    rc = buf_check(line, "a recording", e);
    if (!rc && line->n > f->c.max_bytes) rc = err_set(e, ERR_TOO_LARGE, "one is larger than all of them may be");
    if (!rc && (f->fd < 0 || f->written + line->n > f->segment_max || is_removed(f))) rc = open_segment(f, line->n, e);
    if (!rc && strcmp(f->version, w->version) != 0) {
        memcpy(f->version, w->version, sizeof f->version);
        touch(f);
    }
    if (!rc) rc = write_all(f, buf_view(line), e);
    if (!rc) f->written += line->n;
out:
    arena_free(&a);
    return rc;
}

static int write_version(struct record_file *f, const struct waiting *w, struct err *e) {
    struct arena a = {0};
    const char *path = path_of(f, &a, arena_printf(&a, "versions/%s.json", w->version));
    const char *part = arena_printf(&a, "%s.part", path).p;
    int fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), rc = -1;
    if (fd >= 0 && write(fd, w->text.p, w->text.n) == (ssize_t)w->text.n) rc = rename(part, path);
    if (rc) err_sys(e, ERR_IO, errno, "cannot write %s", path);
    if (rc) unlink(part);
    if (fd >= 0) close(fd);
    arena_free(&a);
    return rc;
}

static void write_one(struct record_file *f, struct waiting *w, struct buf *line) {
    struct err e = {0};
    if (w->source ? write_version(f, w, &e) : write_document(f, w, line, &e)) {
        if (w->source) atomic_store(&f->lost, true);
        tell_failure(f, &e);
    } else {
        f->failing = false;
    }
    bool again = !f->forgot_ms || now_mono_ms() - f->forgot_ms >= WARN_MS;
    if (!w->source && !f->failing && atomic_load(&f->lost) && again) forget_versions(f);
    buf_free(&w->text);
    free(w);
}

/* -- the thread -----------------------------------------------------------------------------------------------------
 */

static struct waiting *next(struct record_file *f) {
    pthread_mutex_lock(&f->lock);
    while (list_empty(&f->waiting) && !f->stopping) pthread_cond_wait(&f->some, &f->lock);
    struct list *n = list_pop(&f->waiting);
    struct waiting *w = n ? CONTAINER(n, struct waiting, node) : NULL;
    if (w) f->waiting_bytes -= w->text.n;
    pthread_mutex_unlock(&f->lock);
    return w;
}

static void *work(void *ud) {
    struct record_file *f = ud;
    struct buf line = BUF_MAX(LINE_MAX);
    for (struct waiting *w; (w = next(f));) {
        write_one(f, w, &line);
        tell_dropped(f, false);
        if (line.cap > 1 << 20) buf_free(&line);
    }
    tell_dropped(f, true);
    buf_free(&line);
    return NULL;
}

static void add(struct record_file *f, const char *version, bool source, struct buf *document) {
    struct waiting *w = calloc(1, sizeof *w);
    if (!w) fatal("out of memory for a recording");
    strncpy(w->version, version, sizeof w->version - 1);
    w->source = source;
    w->text = *document;
    *document = BUF_MAX(document->max);
    pthread_mutex_lock(&f->lock);
    bool room = f->waiting_bytes + w->text.n <= WAITING_MAX;
    if (room) {
        list_add(&f->waiting, &w->node);
        f->waiting_bytes += w->text.n;
        pthread_cond_signal(&f->some);
    }
    pthread_mutex_unlock(&f->lock);
    if (room) return;
    drop(f);
    if (source) atomic_store(&f->lost, true);
    buf_free(&w->text);
    free(w);
}

void record_file_add(struct record_file *f, const char *version, struct buf *document) {
    add(f, version, false, document);
}

bool record_file_knows(struct record_file *f, const char *version) {
    pthread_mutex_lock(&f->lock);
    bool known = map_get(&f->versions, str_c(version)) != NULL;
    pthread_mutex_unlock(&f->lock);
    return known;
}

void record_file_version(struct record_file *f, const char *version, struct buf *document) {
    char *name = strdup(version);
    if (!name) fatal("out of memory for a recording");
    pthread_mutex_lock(&f->lock);
    bool known = map_get(&f->versions, str_c(name)) != NULL;
    if (!known) map_put(&f->versions, str_c(name), name);
    pthread_mutex_unlock(&f->lock);
    if (known) free(name);
    add(f, version, true, document);
}

uint64_t record_file_dropped(const struct record_file *f) {
    return atomic_load(&f->dropped);
}

/* -- opening and closing --------------------------------------------------------------------------------------------
 */

/* The key of placeholders: made once a directory, so that they stay the same from start to start. */
static int read_key(struct record_file *f, struct err *e) {
    struct arena a = {0};
    const char *path = path_of(f, &a, STR("key"));
    struct buf text = BUF_MAX(sizeof f->key);
    int rc = 0;
    if (fs_is_file(path) && !fs_read(path, &text, NULL) && text.n == sizeof f->key) {
        memcpy(f->key, text.p, text.n);
    } else {
        crypto_random(f->key, sizeof f->key);
        rc = write_key(f, e);
    }
    f->c.rules.key = str_n(f->key, sizeof f->key);
    buf_free(&text);
    arena_free(&a);
    return rc;
}

int record_file_open(const struct record_file_config *c, struct record_file **ret, struct err *e) {
    struct record_file *f = calloc(1, sizeof *f);
    if (!f) fatal("out of memory for recordings");
    f->c = *c;
    f->fd = -1;
    f->segment_max = c->max_bytes / SEGMENTS > SEGMENT_MIN ? c->max_bytes / SEGMENTS : SEGMENT_MIN;
    list_init(&f->waiting);
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->some, NULL);
    int rc = make_dirs(f, e) || read_key(f, e) ? -1 : 0;
    if (!rc && (rc = pthread_create(&f->thread, NULL, work, f))) err_sys(e, ERR_INTERNAL, rc, "cannot start a thread");
    if (!rc) {
        *ret = f;
        return 0;
    }
    free(f);
    return -1;
}

void record_file_close(struct record_file *f) {
    if (!f) return;
    pthread_mutex_lock(&f->lock);
    f->stopping = true;
    pthread_cond_signal(&f->some);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    if (f->fd >= 0) close(f->fd);
    free_versions(f);
    free(f);
}
