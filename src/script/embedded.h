/* embedded: the Lua modules of lua/perigee in the binary, compiled by cmake/compile.c (or as text, by
 * cmake/embed.cmake, where what is built does not run on the machine that builds it). */
#ifndef PERIGEE_SCRIPT_EMBEDDED_H
#define PERIGEE_SCRIPT_EMBEDDED_H
#include <stddef.h>

struct embedded_module {
    const char *name; /* "perigee.http"; NULL ends the table */
    const char *chunk;
    size_t n;
};
extern const struct embedded_module embedded_modules[];

#endif
