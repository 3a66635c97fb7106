/* runtime_api_process: the program under the Runtime API. It leads a process group of its own; its exit is an event of
 * the loop (pidfd), and so is what it writes. */
#include "base/now.h"
#include "base/spawn.h"
#include "in/runtime_api.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT_BYTES = 16 * 1024, READS_A_TURN = 16 };

/* == output ======================================================================================================== */

static void end_output(struct program *p) {
    loop_fd_remove(p->out_watch);
    p->out_watch = NULL;
    if (p->out >= 0) close(p->out);
    p->out = -1;
}

/* false: nothing more is there. */
static bool read_output(struct runtime_api *r) {
    char chunk[OUTPUT_BYTES];
    if (r->program.out < 0) return false;
    ssize_t n = read(r->program.out, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) return true;
    if (n < 0 && errno == EAGAIN) return false;
    if (n > 0)
        report_bytes(r, str_n(chunk, (size_t)n));
    else
        end_output(&r->program);
    return n > 0;
}

void program_drain(struct runtime_api *r) {
    for (int i = 0; i < READS_A_TURN && read_output(r); i++)
        ;
}

static void on_output(void *ud, int events) {
    (void)events;
    program_drain(ud);
}

/* == memory ======================================================================================================== */

/* The largest resident size of the program alone, not of processes it has started; kept when it is gone. */
size_t program_peak_kb(struct runtime_api *r) {
    char path[64], line[256];
    struct program *p = &r->program;
    if (!p->pid) return p->peak_kb;
    snprintf(path, sizeof path, "/proc/%d/status", (int)p->pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6)) p->peak_kb = strtoul(line + 6, NULL, 10);
    if (f) fclose(f);
    return p->peak_kb;
}

/* == start and end ================================================================================================= */

static void forget(struct program *p) {
    loop_fd_remove(p->watch);
    p->watch = NULL;
    if (p->pidfd >= 0) close(p->pidfd);
    p->pidfd = -1;
    end_output(p);
    p->pid = 0;
}

static bool reap(struct program *p, int flags, int *ret_status) {
    pid_t got;
    while ((got = waitpid(p->pid, ret_status, flags)) < 0 && errno == EINTR)
        ;
    return got != 0;
}

/* What the program sent before it ended still counts; whom it left behind in its group does not live on. */
static void on_exit_event(void *ud, int events) {
    struct runtime_api *r = ud;
    int status = 0;
    (void)events;
    if (!r->program.pid || !reap(&r->program, WNOHANG, &status)) return;
    kill(-r->program.pid, SIGKILL);
    api_server_poll(&r->server);
    program_drain(r);
    forget(&r->program);
    runtime_exited(r, status);
}

/* The group, and the program should it have joined another. */
void program_signal(struct runtime_api *r, int signum) {
    if (!r->program.pid) return;
    if (kill(-r->program.pid, signum) || getpgid(r->program.pid) != r->program.pid) kill(r->program.pid, signum);
}

void program_close(struct runtime_api *r) {
    int status;
    if (!r->program.pid) return;
    program_signal(r, SIGKILL);
    reap(&r->program, 0, &status);
    program_drain(r);
    forget(&r->program);
}

static int spawn(const struct runtime_api_config *c, int out, pid_t *ret) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    posix_spawn_file_actions_adddup2(&actions, out, 2);
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (c->directory) posix_spawn_file_actions_addchdir_np(&actions, c->directory);
    int rc = spawn_group(c->argv, c->env, false, &actions, ret);
    posix_spawn_file_actions_destroy(&actions);
    return rc;
}

static int watch(struct runtime_api *r, struct err *e) {
    struct program *p = &r->program;
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd < 0) return err_sys(e, ERR_IO, errno, "cannot watch a program");
    if (loop_fd_add(r->cfg.loop, p->pidfd, LOOP_READ, on_exit_event, r, &p->watch, e)) return -1;
    return loop_fd_add(r->cfg.loop, p->out, LOOP_READ, on_output, r, &p->out_watch, e);
}

int program_start(struct runtime_api *r, struct err *e) {
    struct program *p = &r->program;
    int out[2];
    if (pipe2(out, O_CLOEXEC)) return err_sys(e, ERR_IO, errno, "cannot make a pipe");
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    *p = (struct program){.out = out[0], .pidfd = -1};
    r->spawned_ns = now_mono_ns();
    int rc = spawn(&r->cfg, out[1], &p->pid);
    close(out[1]);
    if (rc) {
        forget(p);
        return err_sys(e, ERR_CONFIG, rc, "cannot start %s", r->cfg.argv[0]);
    }
    if (!watch(r, e)) return 0;
    program_close(r);
    return -1;
}
