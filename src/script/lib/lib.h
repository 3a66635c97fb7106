/* lib (private to script/lib/): what the Lua modules share. */
#ifndef PERIGEE_SCRIPT_LIB_H
#define PERIGEE_SCRIPT_LIB_H
#include "base/crypto.h"
#include "script/wait.h"

/* Working memory of a module, a userdata in upvalue 1 of its functions. It survives Lua errors: lib_scratch empties it
 * at the next use. Nothing may be kept in it across a wait. */
struct lib_scratch {
    struct arena arena;
    struct buf buf;
};
void lib_scratch_new(lua_State *L, size_t max); /* pushes it; max caps buf */
struct lib_scratch *lib_scratch(lua_State *L);  /* upvalue 1, emptied */
void lib_scratch_clear(struct lib_scratch *s);

struct str lib_check_str(lua_State *L, int arg);
void lib_push_str(lua_State *L, struct str s);
/* Raises e's message with the position of the caller. */
int lib_raise(lua_State *L, const struct err *e);
/* Raises when the table at idx has a key that is not in names (ended by NULL): "unknown option 'x' (a, b)". */
void lib_check_options(lua_State *L, int idx, const char *const *names);

/* -- numbers.c: decimal numbers as text --------------------------------------------------------------------------- */
/* The value 0.DIGITS * 10^exp; no digits: zero. Digits have no zeros at either end. */
struct lib_decimal {
    bool negative;
    int64_t exp;
    size_t n;
    char digits[64];
};
bool lib_decimal_parse(struct str text, struct lib_decimal *ret); /* JSON's number grammar, at most 64 digits */
int lib_decimal_cmp(const struct lib_decimal *a, const struct lib_decimal *b);
/* Shortest text that reads back as the same double; finite only. At most 32 bytes; returns the length. */
size_t lib_float_text(double v, char out[32]);
size_t lib_int_text(int64_t v, char out[24]);
/* Pushes an integer, a float (when it stands for exactly that decimal), or a decimal userdata that keeps the text. */
void lib_push_number(lua_State *L, struct str text);
void lib_push_decimal(lua_State *L, struct str text);
/* The text of a decimal userdata, or STR_NONE. */
struct str lib_to_decimal(lua_State *L, int idx);
int lib_number_new(lua_State *L);   /* aws.number(text | number) */
void lib_number_open(lua_State *L); /* makes the metatable; before any of the above that push */

/* -- attribute.c: Lua values and DynamoDB attribute values
 * ------------------------------------------------------------- */
#define LIB_SET "perigee.aws.set"
#define LIB_BINARY "perigee.aws.binary"
/* The request of a DynamoDB operation, items and keys marshalled; -1 and e naming the place. Everything is copied to a.
 */
int attribute_request(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e);
int attribute_value(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e); /* one value */
/* Pushes a result (or an error's members) with items and keys unmarshalled. */
void attribute_push_result(lua_State *L, const struct json *result);
/* Pushes the table of set, binary, number, marshal, unmarshal, marshal_item, unmarshal_item. */
void attribute_open(lua_State *L);
/* A whole item: a table of named values. */
int attribute_item(lua_State *L, int idx, struct arena *a, struct json *ret, struct err *e);

/* -- aws.c, aws_file.c, aws_link.c: perigee.aws.core -------------------------------------------------------------- */
struct aws_backend *aws_backend_of(lua_State *L); /* raises when there is none */
/* Where the bytes of a GetObject go: a file under a temporary name, until aws_file_keep gives it its own. */
struct aws_sink {
    bool open;
    int dir;
    char temp[64], name[256]; /* in dir; temp empty: kept */
};
/* Opens files for a call (its body_fd, its result_fd); the call owns the descriptors. */
int aws_file_body(lua_State *L, struct str path, struct aws_call *c, struct err *e);
int aws_file_sink(lua_State *L, struct str path, struct aws_call *c, struct aws_sink *s, struct err *e);
int aws_file_keep(struct aws_sink *s, struct err *e);
void aws_file_close(struct aws_sink *s); /* removes what was not kept; harmless on a zeroed one */
int aws_link(lua_State *L);
int aws_form(lua_State *L);

#endif
