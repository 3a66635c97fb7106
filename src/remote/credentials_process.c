/* credential_process: a program that prints credentials. Source: AWS SDKs and Tools Reference Guide, "Process
 * credential provider". The command is split as a shell would (quotes, backslashes), but no shell runs. */
#include "base/json.h"
#include "base/spawn.h"
#include "remote/credentials_source.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORDS_MAX = 256, OUTPUT_MAX = 64 << 10, COMPLAINT_MAX = 4096, TIMEOUT_MS = 60000, TICK_MS = 20 };

/* ==== words ==== */

/* One word of s from *pos on, unquoted into out. -1: a quote that is not closed, or a backslash at the end. */
static int word(struct str s, size_t *pos, struct buf *out) {
    char quote = '\0';
    size_t i = *pos;
    for (; i < s.n && (quote || !strchr(" \t\n", s.p[i])); i++) {
        char ch = s.p[i];
        if (quote ? ch == quote : ch == '"' || ch == '\'') {
            quote = quote ? '\0' : ch;
            continue;
        }
        bool escapes = ch == '\\' && quote != '\'';
        if (escapes && ++i == s.n) return -1;
        if (escapes && quote && s.p[i] != '"' && s.p[i] != '\\') buf_byte(out, '\\');
        buf_byte(out, s.p[i]);
    }
    *pos = i;
    return quote ? -1 : 0;
}

static char **words_of(struct arena *a, struct str s, struct err *e) {
    char **argv = ARENA_ARRAY(a, char *, WORDS_MAX + 1);
    struct buf one = BUF_MAX(OUTPUT_MAX);
    size_t n = 0, pos = 0;
    for (;;) {
        while (pos < s.n && strchr(" \t\n", s.p[pos])) pos++;
        if (pos == s.n) break;
        buf_clear(&one);
        if (n == WORDS_MAX || word(s, &pos, &one)) {
            err_set(e, ERR_CREDENTIALS, n == WORDS_MAX ? "has more than 256 words" : "a quote is not closed");
            argv = NULL;
            break;
        }
        argv[n++] = arena_cstr(a, buf_view(&one));
    }
    buf_free(&one);
    return argv;
}

/* ==== the program ==== */

struct program {
    pid_t pid;
    int out, err; /* read ends, not blocking; -1: ended */
    struct buf output, complaint;
    int status; /* of waitpid */
    bool ended;
};

static int pipe_to(posix_spawn_file_actions_t *actions, int target, int *ret_read, int *ret_write, struct err *e) {
    int p[2];
    if (pipe2(p, O_CLOEXEC)) return err_sys(e, ERR_CREDENTIALS, errno, "cannot make a pipe");
    fcntl(p[0], F_SETFL, O_NONBLOCK);
    posix_spawn_file_actions_adddup2(actions, p[1], target);
    *ret_read = p[0];
    *ret_write = p[1];
    return 0;
}

static int start(struct program *p, char **argv, struct err *e) {
    posix_spawn_file_actions_t actions;
    int out = -1, err = -1, rc = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (pipe_to(&actions, 1, &p->out, &out, e) || pipe_to(&actions, 2, &p->err, &err, e)) goto out;
    rc = spawn_group((const char *const *)argv, (const char *const *)environ, true, &actions, &p->pid);
    if (rc) err_sys(e, ERR_CREDENTIALS, rc, "cannot start %s", argv[0]);
out:
    if (out >= 0) close(out);
    if (err >= 0) close(err);
    posix_spawn_file_actions_destroy(&actions);
    return rc ? -1 : 0;
}

/* Takes what is there; false at the end. What passes the cap is dropped. */
static bool drain(int *fd, struct buf *b) {
    char chunk[4096];
    ssize_t n = 1;
    while (*fd >= 0 && (n = read(*fd, chunk, sizeof chunk)) > 0) buf_add(b, chunk, (size_t)n);
    explicit_bzero(chunk, sizeof chunk);
    if (*fd < 0 || (n < 0 && (errno == EAGAIN || errno == EINTR))) return *fd >= 0;
    close(*fd);
    *fd = -1;
    return false;
}

static bool reap(struct program *p, int flags) {
    pid_t got;
    while (!p->ended && (got = waitpid(p->pid, &p->status, flags)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        p->ended = true;
        if (got < 0) p->status = -1; /* somebody else reaped it */
    }
    return p->ended;
}

/* Until the program has ended: whoever it left behind may keep its pipes open. */
static int attend(struct chain *c, struct program *p, struct err *e) {
    uint64_t until = now_mono_ms() + TIMEOUT_MS;
    while (!reap(p, WNOHANG)) {
        struct pollfd fds[] = {{.fd = p->out, .events = POLLIN}, {.fd = p->err, .events = POLLIN}};
        poll(fds, 2, TICK_MS);
        drain(&p->out, &p->output);
        drain(&p->err, &p->complaint);
        if (chain_stopped(c)) return err_set(e, ERR_CREDENTIALS, "stopped");
        if (now_mono_ms() >= until) return err_set(e, ERR_CREDENTIALS, "did not end within 60 s and was killed");
        if (p->output.over) return buf_check(&p->output, "the output", e);
    }
    drain(&p->out, &p->output);
    drain(&p->err, &p->complaint);
    return buf_check(&p->output, "the output", e);
}

static int verdict(struct chain *c, const struct program *p, struct err *e) {
    struct str said = chain_quote(c->arena, str_trim(buf_view(&p->complaint)));
    const char *colon = said.n ? ": " : "";
    if (p->status == -1) return err_set(e, ERR_CREDENTIALS, "its exit status is unknown");
    if (WIFSIGNALED(p->status))
        return err_set(e, ERR_CREDENTIALS, "was killed by signal %d%s%.*s", WTERMSIG(p->status), colon, STR_ARG(said));
    if (!WEXITSTATUS(p->status)) return 0;
    return err_set(e, ERR_CREDENTIALS, "exit status %d%s%.*s", WEXITSTATUS(p->status), colon, STR_ARG(said));
}

static void finish(struct program *p) {
    if (p->pid > 0 && !p->ended) {
        kill(-p->pid, SIGKILL);
        reap(p, 0);
    }
    if (p->out >= 0) close(p->out);
    if (p->err >= 0) close(p->err);
    buf_free(&p->complaint);
    if (p->output.p) explicit_bzero(p->output.p, p->output.cap);
    buf_free(&p->output);
}

/* ==== its answer ==== */

static int version_of(struct arena *a, struct str text, struct err *e) {
    struct json doc;
    int64_t version;
    if (json_parse(a, text, &(struct json_limits){.duplicate_keys = true}, &doc, e) || !json_is(&doc, JSON_OBJ))
        return err_set(e, ERR_CREDENTIALS, "its output is not a JSON object");
    const struct json *v = json_get(&doc, "Version");
    if (!v) return err_set(e, ERR_CREDENTIALS, "its output lacks Version");
    if (json_i64(v, &version) && version == 1) return 0;
    return err_set(e, ERR_CREDENTIALS, "the Version of its output is not 1");
}

enum credential_found credentials_from_process(struct chain *c, const struct profile_section *p,
                                               struct credential_draft *ret, struct err *e) {
    const struct profile_property *command = profile_property(p, "credential_process");
    const char *at = settings_where(c->arena, p, command);
    struct program run = {.out = -1, .err = -1, .output = BUF_MAX(OUTPUT_MAX), .complaint = BUF_MAX(COMPLAINT_MAX)};
    char **argv = words_of(c->arena, command->value, e);
    if (!argv) return credential_failed(e, "%s: credential_process: %s", at, e->msg);
    int rc = start(&run, argv, e);
    if (!rc) rc = attend(c, &run, e);
    if (!rc) rc = verdict(c, &run, e);
    if (!rc) rc = version_of(c->arena, buf_view(&run.output), e);
    if (!rc) rc = draft_json(c, buf_view(&run.output), "SessionToken", false, ret, e);
    finish(&run);
    if (rc) return credential_failed(e, "%s: credential_process %s: %s", at, argv[0], e->msg);
    ret->source = arena_printf(c->arena, "profile %.*s: credential_process", STR_ARG(p->name));
    return CREDENTIAL_FOUND;
}
