/* seed: the order in which `pairs` goes through tables, the same in each run.
 *
 * Lua hashes strings with a seed that lua_newstate makes of addresses and the time, and that cannot be given to it. It
 * is overwritten at the one moment at which it is there and nothing has been hashed: when lua_newstate allocates for
 * the second time. Where it is follows from what is known of the state then; a Lua whose state looks otherwise keeps
 * its own. Keys that are tables or functions stay hashed by their addresses. */
#include "base/crypto.h"
#include "script/state.h"
#include <lualib.h>
#include <string.h>

struct value {
    uint64_t value;
    unsigned char type;
};

/* The beginning of lua_State's global_State in Lua 5.4 (lstate.h). */
struct beginning {
    lua_Alloc allocate;
    void *ud;
    ptrdiff_t total_bytes, debt;
    size_t estimate, last_atomic;
    void *strings;
    int n_strings, size_strings;
    struct value registry, nil;
    unsigned seed;
};

static bool is_new(const struct beginning *b, lua_Alloc allocate, const struct script *s) {
    enum { INTEGER = LUA_TNUMBER, UNBUILT = INTEGER };
    return b->allocate == allocate && b->ud == s && b->total_bytes == (ptrdiff_t)s->born_bytes && !b->debt &&
           !b->last_atomic && !b->strings && !b->n_strings && !b->size_strings && !b->registry.type &&
           b->nil.type == UNBUILT;
}

void seed_hashes(struct script *s, lua_Alloc allocate) {
    char *block = s->born;
    s->born = NULL;
    for (size_t at = 0; block && at + sizeof(struct beginning) <= s->born_bytes; at += sizeof(void *)) {
        struct beginning b;
        memcpy(&b, block + at, sizeof b);
        if (!is_new(&b, allocate, s)) continue;
        b.seed = (unsigned)(s->c.seed ^ s->c.seed >> 32);
        memcpy(block + at + offsetof(struct beginning, seed), &b.seed, sizeof b.seed);
        return;
    }
}

/* math.randomseed; what math.random gives follows from the thread's random numbers. */
void seed_random(lua_State *L) {
    lua_Integer seeds[2];
    crypto_random(seeds, sizeof seeds);
    lua_getglobal(L, LUA_MATHLIBNAME);
    lua_getfield(L, -1, "randomseed");
    lua_pushinteger(L, seeds[0]);
    lua_pushinteger(L, seeds[1]);
    lua_call(L, 2, 0);
    lua_pop(L, 1);
}
