/* Functions: what runs, with which limits, environment and permissions. */
#include "app/template.h"
#include "base/fs.h"
#include <string.h>
#include <sys/stat.h>

enum { ENVIRONMENT_MAX = 4096 };

/* ==== environment ==== */

static bool variable_name(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (i == 0 || !((c >= '0' && c <= '9') || c == '_'))) return false;
    }
    return s.n > 0;
}

/* Lambda sets these itself and refuses templates that do. */
static bool reserved(struct str name) {
    return template_word("_HANDLER _X_AMZN_TRACE_ID AWS_DEFAULT_REGION AWS_REGION AWS_EXECUTION_ENV AWS_ACCESS_KEY "
                         "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN LAMBDA_TASK_ROOT "
                         "LAMBDA_RUNTIME_DIR",
                         name) ||
           str_starts(name, STR("AWS_LAMBDA_"));
}

static void read_environment(struct template *t, const struct yaml *props, struct str where, struct function *f) {
    const struct yaml *env = template_map(t, props, "Environment", where), *vars = NULL;
    size_t bytes = 0;
    where = template_path(t, where, "Environment");
    if (env) template_check_keys(t, env, where, "Variables", NULL);
    if (env) vars = template_map(t, env, "Variables", where);
    if (!vars) return;
    where = template_path(t, where, "Variables");
    struct function_env *out = ARENA_ARRAY(t->a, struct function_env, vars->n);
    for (size_t i = 0; i < vars->n; i++) {
        struct str name = vars->keys[i]->text, value = STR("");
        if (!variable_name(name) || reserved(name))
            template_problem(t, vars->keys[i]->line, where, "%s is %s", name.p,
                             reserved(name) ? "set by Lambda itself" : "no name for a variable");
        template_text(t, vars, name.p, where, &value);
        if (str_chr(value, '\0', 0) >= 0)
            template_problem(t, vars->items[i]->line, where, "%s holds a NUL byte", name.p);
        out[i] = (struct function_env){name, value};
        bytes += name.n + value.n;
    }
    if (bytes > ENVIRONMENT_MAX)
        template_problem(t, vars->line, where, "is larger than %d bytes, Lambda's limit", ENVIRONMENT_MAX);
    f->env = out;
    f->n_env = vars->n;
}

/* ==== code ==== */

static bool module_path(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && c != '_' && c != '-' && c != '/' && c != '.') return false;
    }
    return s.n > 0 && s.p[0] != '/' && str_find(s, STR(".."), 0) < 0;
}

static void read_handler(struct template *t, const struct yaml *props, struct str where, struct function *f) {
    struct str h = STR("");
    const struct yaml *v = yaml_get(props, "Handler");
    if (template_broken(v)) return;
    if (!template_text(t, props, "Handler", where, &h)) {
        template_problem(t, props->line, where, "needs a Handler (module.function)");
        return;
    }
    f->line = v->line;
    template_split_handler(h, &f->module, &f->field);
    if (!module_path(f->module) || !variable_name(f->field))
        template_problem(t, v->line, template_path(t, where, "Handler"), "'%.*s' is not module.function", STR_ARG(h));
}

/* "config/../handlers" -> "handlers", where both are the same directory (no symbolic link in between). */
static struct str tidied(struct template *t, struct str path) {
    struct stat as_written, as_tidied;
    ptrdiff_t up = str_find(path, STR("/../"), 0);
    if (up < 1) return path;
    size_t from = (size_t)up;
    while (from && path.p[from - 1] != '/') from--;
    struct str out = arena_printf(t->a, "%.*s%s", (int)from, path.p, path.p + up + 4);
    if (!out.n || str_is(str_n(path.p + from, (size_t)up - from), "..")) return path;
    if (stat(path.p, &as_written) || stat(out.p, &as_tidied)) return path;
    return as_written.st_dev == as_tidied.st_dev && as_written.st_ino == as_tidied.st_ino ? out : path;
}

struct str template_dir(struct template *t, struct str uri, int line, struct str where) {
    struct str dir = tidied(t, fs_join(t->a, t->app->dir, uri));
    if (!fs_is_dir(dir.p)) template_problem(t, line, where, "there is no directory %s", dir.p);
    return dir;
}

/* A directory of handlers, or a package that is made of Metadata.Perigee.Handlers and need not be there yet. */
static struct str code_dir(struct template *t, struct str uri, int line, struct str where) {
    if (str_find(uri, STR("://"), 0) >= 0)
        template_problem(t, line, where, "must be a directory or a .zip, not %.*s", STR_ARG(uri));
    else if (!str_ends(uri, STR(".zip")))
        return template_dir(t, uri, line, where);
    else if (!t->handlers.p)
        template_problem(t, line, where,
                         "%.*s is a package: Metadata.Perigee.Handlers must name the directory of its handlers",
                         STR_ARG(uri));
    return t->handlers.p ? t->handlers : STR(".");
}

static void read_code(struct template *t, const struct yaml *props, struct str where, struct function *f) {
    struct str uri = STR("."), runtime = STR("provided.al2023"), package = STR("Zip");
    const struct yaml *v = yaml_get(props, "CodeUri");
    int line = v ? v->line : props->line;
    template_text(t, props, "CodeUri", where, &uri);
    if (!template_text(t, props, "Runtime", where, &runtime)) {
        if (!yaml_get(props, "Runtime")) template_problem(t, props->line, where, "needs a Runtime (provided.al2023)");
    } else if (!template_word("provided.al2023 provided.al2 provided", runtime)) {
        template_problem(t, yaml_get(props, "Runtime")->line, where,
                         "Runtime %.*s is not supported: handlers are Lua on provided.al2023", STR_ARG(runtime));
    }
    if (template_text(t, props, "PackageType", where, &package) && !str_is(package, "Zip"))
        template_problem(t, props->line, where, "PackageType %.*s is not supported", STR_ARG(package));
    f->code_dir = code_dir(t, uri, line, template_path(t, where, "CodeUri"));
}

/* ==== asynchronous invocations: a schedule's run is never repeated locally ==== */

static void check_invoke_config(struct template *t, const struct yaml *props, struct str where) {
    const struct yaml *v = template_map(t, props, "EventInvokeConfig", where);
    where = template_path(t, where, "EventInvokeConfig");
    if (v) template_check_keys(t, v, where, NULL, "MaximumEventAgeInSeconds MaximumRetryAttempts");
}

/* ==== one function ==== */

static bool has_queue(const struct yaml *events) {
    for (size_t i = 0; events && i < events->n; i++) {
        const struct yaml *type = yaml_get(events->items[i], "Type");
        if (type && str_is(type->text, "SQS")) return true;
    }
    return false;
}

static void read_function(struct template *t, struct str id, struct function *f, struct template_events *out) {
    struct str where;
    struct yaml *props = template_properties(t, id, &where);
    const struct yaml *events = template_map(t, props, "Events", where);
    int64_t timeout = 3, memory = 128;
    f->name = id;
    read_handler(t, props, where, f);
    read_code(t, props, where, f);
    check_invoke_config(t, props, where);
    template_int(t, props, "Timeout", where, 1, 900, &timeout);
    template_int(t, props, "MemorySize", where, 128, 10240, &memory);
    f->timeout_ms = (uint32_t)timeout * 1000;
    f->memory_bytes = (uint64_t)memory << 20;
    read_environment(t, props, where, f);
    template_read_url(t, props, where, f);
    template_read_policy(t, props, where, has_queue(events), &f->policy);
    where = template_path(t, where, "Events");
    for (size_t i = 0; events && i < events->n; i++) {
        struct str event_id = events->keys[i]->text;
        template_read_event(t, f, event_id, events->items[i], template_path(t, where, event_id.p), out);
    }
}

void template_read_functions(struct template *t) {
    size_t room = t->resources ? t->resources->n : 0;
    struct function *functions = ARENA_ARRAY(t->a, struct function, room);
    struct template_events events = {0};
    struct app *a = t->app;
    for (size_t i = 0; i < room; i++) {
        const struct yaml *r = t->resources->items[i];
        const struct template_type *type = template_type(r);
        struct str id = t->resources->keys[i]->text;
        if (!type || type->kind != KIND_FUNCTION || !template_included(t, r, id)) continue;
        functions[a->n_functions].index = a->n_functions;
        functions[a->n_functions].line = t->resources->keys[i]->line;
        read_function(t, id, &functions[a->n_functions], &events);
        a->n_functions++;
    }
    a->functions = functions;
    a->routes = events.routes;
    a->n_routes = events.n_routes;
    a->feeds = events.feeds;
    a->n_feeds = events.n_feeds;
    a->schedules = events.schedules;
    a->n_schedules = events.n_schedules;
}
