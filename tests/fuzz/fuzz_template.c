/* Any text as a template: problems or an app, never a crash, and never a failure without a problem. */
#include "app/app.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    char path[] = "/tmp/perigee-fuzz-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n) abort();
    close(fd);
    struct arena a = {0};
    struct app_problem *problems = NULL;
    size_t n_problems = 0;
    struct app *app = NULL;
    struct err e = {0};
    struct app_options o = {.template_path = path, .region = "us-east-1", .account = "000000000000"};
    if (app_load(&o, &a, &problems, &n_problems, &app, &e)) {
        if (!e.msg[0]) abort();
    } else {
        app_free(app);
    }
    unlink(path);
    arena_free(&a);
    return 0;
}
