/* host_package.c: `perigee package`: the application and the runtime it needs on AWS Lambda, as one ZIP archive or
 * directory. The runtime (bootstrap, loader, libraries, fonts, certificates) is a directory that was built before: no
 * compiler and no other tool is needed here. */
#include "base/elf.h"
#include "base/fs.h"
#include "base/map.h"
#include "base/zip.h"
#include "host.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (64u << 20)
#define UNPACKED_MAX (250u << 20) /* Lambda quotas: deployment package, unzipped, layers included */
#define TASK_ROOT "/var/task/"
enum { FILES_MAX = 10000 };

struct package_file {
    struct str name;   /* in the package */
    struct str source; /* for messages */
    bool executable;
    struct str data;
};

struct packager {
    struct arena arena;
    struct app *app;
    struct package_file *files;
    size_t n, cap, bytes;
    struct map names;         /* struct package_file */
    struct stat out, *former; /* the archive of the last time, which this one replaces; NULL: there is none */
    struct elf bootstrap;
};

/* == gathering ========================================================================================================
 */

static void keep(struct packager *p, const struct package_file *f) {
    if (p->n == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 256;
        struct package_file *grown = ARENA_ARRAY(&p->arena, struct package_file, cap);
        if (p->n) memcpy(grown, p->files, p->n * sizeof *grown);
        p->files = grown;
        p->cap = cap;
    }
    p->files[p->n++] = *f;
    p->bytes += f->data.n;
}

static int add(struct packager *p, struct package_file f, struct err *e) {
    struct str *other = map_get(&p->names, f.name);
    if (str_bad_utf8(f.name) >= 0)
        return err_set(e, ERR_CONFIG, "the name of %.*s is not UTF-8, as names in a package are", STR_ARG(f.source));
    if (other)
        return err_set(e, ERR_CONFIG, "%.*s of the package would be both %.*s and %.*s", STR_ARG(f.name),
                       STR_ARG(*other), STR_ARG(f.source));
    if (p->n == FILES_MAX) return err_set(e, ERR_TOO_LARGE, "the package would have more than %d files", FILES_MAX);
    struct str *source = ARENA_NEW(&p->arena, struct str);
    *source = f.source;
    map_put(&p->names, f.name, source);
    keep(p, &f);
    if (p->bytes > UNPACKED_MAX)
        return err_set(e, ERR_TOO_LARGE, "the package would be larger than the %u MiB that Lambda takes",
                       UNPACKED_MAX >> 20);
    return 0;
}

static bool is_former(const struct packager *p, const struct stat *st) {
    return p->former && st->st_dev == p->former->st_dev && st->st_ino == p->former->st_ino;
}

static int add_file(struct packager *p, struct str name, struct str path, struct err *e) {
    struct buf text = BUF_MAX(FILE_MAX_BYTES);
    struct stat st;
    const char *cpath = arena_cstr(&p->arena, path);
    if (stat(cpath, &st)) return err_sys(e, ERR_IO, errno, "cannot look at %s", cpath);
    if (is_former(p, &st)) return 0;
    int rc = fs_read(cpath, &text, e);
    if (!rc) {
        bool executable = st.st_mode & S_IXUSR;
        rc = add(p, (struct package_file){name, path, executable, arena_str(&p->arena, buf_view(&text))}, e);
    }
    buf_free(&text);
    return rc;
}

/* ".git/config", "a/.env": not what anybody wants to deploy. */
static bool is_hidden(struct str name) {
    return str_starts(name, STR(".")) || str_find(name, STR("/."), 0) >= 0;
}

/* Every file below dir as `below`/name. */
static int add_tree(struct packager *p, const char *dir, const char *below, const char *suffix, struct err *e) {
    struct str *names = NULL;
    size_t n = 0;
    if (!fs_is_dir(dir)) return err_set(e, ERR_CONFIG, "there is no directory %s", dir);
    if (fs_list(&p->arena, dir, suffix, &names, &n, e)) return -1;
    for (size_t i = 0; i < n; i++) {
        struct str name = fs_join(&p->arena, str_c(below), names[i]);
        if (!is_hidden(names[i]) && add_file(p, name, fs_join(&p->arena, str_c(dir), names[i]), e)) return -1;
    }
    return 0;
}

static int one_code_dir(const struct app *a, struct err *e) {
    for (size_t i = 1; i < a->n_functions; i++)
        if (!str_eq(a->functions[i].code_dir, a->functions[0].code_dir))
            return err_set(e, ERR_CONFIG,
                           "%.*s: %.*s and %.*s have different CodeUri: a package holds the handlers of one directory",
                           STR_ARG(a->template_path), STR_ARG(a->functions[0].name), STR_ARG(a->functions[i].name));
    if (!a->n_functions) return err_set(e, ERR_CONFIG, "%.*s declares no function", STR_ARG(a->template_path));
    return 0;
}

static int add_manifest(struct packager *p, struct err *e) {
    struct buf b = BUF_MAX(1 << 20);
    app_manifest_write(p->app, &b);
    buf_c(&b, "\n");
    int rc = buf_check(&b, "perigee.json", e);
    if (!rc) {
        struct str text = arena_str(&p->arena, buf_view(&b));
        rc = add(p, (struct package_file){STR("perigee.json"), p->app->template_path, false, text}, e);
    }
    buf_free(&b);
    return rc;
}

static int add_application(struct packager *p, const struct perigee_config *c, struct err *e) {
    const char *schemas = fs_join(&p->arena, fs_dirname(p->app->dir), STR("config/schemas")).p;
    if (one_code_dir(p->app, e)) return -1;
    if (add_tree(p, arena_cstr(&p->arena, p->app->functions[0].code_dir), "handlers", "", e)) return -1;
    if (fs_is_dir(schemas) && add_tree(p, schemas, "config/schemas", ".json", e)) return -1;
    if (c->lua_dir && add_tree(p, c->lua_dir, "lua", ".lua", e)) return -1;
    return add_manifest(p, e);
}

/* == the runtime ======================================================================================================
 */

/* Beside this program: as built, or as installed. */
static int find_runtime(struct packager *p, const char *given, const char **ret, struct err *e) {
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self);
    if (given) {
        *ret = given;
        return fs_is_dir(given) ? 0 : err_set(e, ERR_CONFIG, "--runtime: there is no directory %s", given);
    }
    if (n <= 0 || (size_t)n >= sizeof self) return err_set(e, ERR_IO, "cannot tell where this program is");
    struct str dir = fs_dirname(str_n(self, (size_t)n));
    const char *built = arena_printf(&p->arena, "%.*s/lambda-runtime", STR_ARG(dir)).p;
    const char *installed = arena_printf(&p->arena, "%.*s/../lib/perigee/lambda", STR_ARG(dir)).p;
    *ret = fs_is_dir(built) ? built : installed;
    if (fs_is_dir(*ret)) return 0;
    return err_set(e, ERR_CONFIG,
                   "there is no runtime for Lambda in %s or %s: build the target lambda-runtime, or name one with "
                   "--runtime",
                   built, installed);
}

static const struct package_file *packed(const struct packager *p, struct str name) {
    for (size_t i = 0; i < p->n; i++)
        if (str_eq(p->files[i].name, name)) return &p->files[i];
    return NULL;
}

static bool in_lib(struct packager *p, struct str soname) {
    return packed(p, fs_join(&p->arena, STR("lib"), soname)) != NULL;
}

/* Whether all that the file links is in the package: a system's libraries are not those of this loader. */
static int check_libraries(struct packager *p, const struct package_file *f, struct err *e) {
    struct elf elf;
    if (elf_read(&p->arena, f->data, &elf, e)) return err_wrap(e, "%.*s cannot be used", STR_ARG(f->source));
    if (strcmp(elf.machine, p->bootstrap.machine) != 0)
        return err_set(e, ERR_CONFIG, "%.*s is for %s, the bootstrap for %s", STR_ARG(f->source), elf.machine,
                       p->bootstrap.machine);
    for (size_t i = 0; i < elf.n_needed; i++)
        if (!in_lib(p, elf.needed[i]))
            return err_set(e, ERR_CONFIG, "%.*s needs the library %.*s, which is not in the package's lib/",
                           STR_ARG(f->name), STR_ARG(elf.needed[i]));
    return 0;
}

static int check_loader(struct packager *p, struct err *e) {
    struct str loader = p->bootstrap.interpreter, root = STR(TASK_ROOT);
    if (!loader.n) return 0; /* static */
    if (!str_starts(loader, root))
        return err_set(e, ERR_CONFIG, "the runtime's bootstrap is started by %.*s, not by a loader of its own below %s",
                       STR_ARG(loader), TASK_ROOT);
    if (!packed(p, str_from(loader, root.n)))
        return err_set(e, ERR_CONFIG, "the loader %.*s is not in the package", STR_ARG(str_from(loader, root.n)));
    return 0;
}

static int check_runtime(struct packager *p, struct err *e) {
    const struct package_file *bootstrap = packed(p, STR("bootstrap"));
    if (!bootstrap || !bootstrap->executable)
        return err_set(e, ERR_CONFIG, "the runtime has no executable file 'bootstrap'");
    if (elf_read(&p->arena, bootstrap->data, &p->bootstrap, e))
        return err_wrap(e, "%.*s cannot be used", STR_ARG(bootstrap->source));
    for (size_t i = 0; i < p->n; i++)
        if (elf_is(p->files[i].data) && check_libraries(p, &p->files[i], e)) return -1;
    return check_loader(p, e);
}

/* == writing ==========================================================================================================
 */

static int by_name(const void *x, const void *y) {
    return str_cmp(((const struct package_file *)x)->name, ((const struct package_file *)y)->name);
}

static int write_zip(const struct packager *p, const char *path, size_t *ret_bytes, struct err *e) {
    struct zip z;
    int rc = 0;
    zip_init(&z, UNPACKED_MAX);
    for (size_t i = 0; !rc && i < p->n; i++)
        rc = zip_add(&z, p->files[i].name, p->files[i].executable, p->files[i].data, e);
    if (!rc) rc = zip_end(&z, e);
    if (!rc) rc = fs_write_durable(path, buf_view(&z.out), e);
    *ret_bytes = z.out.n;
    zip_free(&z);
    return rc;
}

static int write_file(struct packager *p, const char *dir, const struct package_file *f, struct err *e) {
    const char *path = fs_join(&p->arena, str_c(dir), f->name).p;
    if (fs_mkdirs(arena_cstr(&p->arena, fs_dirname(str_c(path))), e)) return -1;
    FILE *to = fopen(path, "we");
    bool bad = !to || fwrite(f->data.p, 1, f->data.n, to) != f->data.n;
    if (to) bad |= fclose(to) != 0;
    if (bad || chmod(path, f->executable ? 0755 : 0644)) return err_sys(e, ERR_IO, errno, "cannot write %s", path);
    return 0;
}

static int write_dir(struct packager *p, const char *dir, struct err *e) {
    struct str *names = NULL;
    size_t n = 0;
    if (fs_list(&p->arena, dir, "", &names, &n, e)) return -1;
    if (n) return err_set(e, ERR_CONFIG, "the directory %s is not empty: there is %.*s", dir, STR_ARG(names[0]));
    for (size_t i = 0; i < p->n; i++)
        if (write_file(p, dir, &p->files[i], e)) return -1;
    return 0;
}

static size_t size_of(const struct packager *p, const char *name) {
    const struct package_file *f = packed(p, str_c(name));
    return f ? f->data.n : 0;
}

static int write_package(struct packager *p, const struct perigee_package *o, struct buf *report, struct err *e) {
    size_t zipped = 0;
    qsort(p->files, p->n, sizeof *p->files, by_name);
    if (o->dir && write_dir(p, o->dir, e)) return -1;
    if (o->out && write_zip(p, o->out, &zipped, e)) return -1;
    if (o->dir) buf_printf(report, "%s: the package, unpacked\n", o->dir);
    if (o->out) buf_printf(report, "%s: %zu bytes\n", o->out, zipped);
    buf_printf(report, "for %s, %zu files, %zu bytes unpacked, of them %zu of the bootstrap\n", p->bootstrap.machine,
               p->n, p->bytes, size_of(p, "bootstrap"));
    return 0;
}

int perigee_package(const struct perigee_config *c, const struct perigee_package *o, struct buf *report,
                    struct err *e) {
    struct packager p = {0};
    const char *runtime = NULL;
    int rc = -1;
    if (o->out && !stat(o->out, &p.out)) p.former = &p.out;
    if (perigee_check(c, report, e)) goto out;
    if (host_load_app(c, NULL, &p.arena, report, &p.app, e) || find_runtime(&p, o->runtime, &runtime, e)) goto out;
    if (add_tree(&p, runtime, "", "", e) || add_application(&p, c, e)) goto out;
    if (o->add && add_tree(&p, o->add, "", "", e)) goto out;
    if (!check_runtime(&p, e)) rc = write_package(&p, o, report, e);
out:
    map_free(&p.names);
    app_free(p.app);
    arena_free(&p.arena);
    return rc;
}
