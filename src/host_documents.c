/* host_documents.c: what perigee.host offers to whoever runs the application elsewhere: requests as event documents,
 * answer documents as answers, variables of functions. Nothing is run.
 *
 * - h:event(request) -> document (JSON text), name of the function that answers it; nil: none of them, and the document
 *   is that of a function URL, which knows no routes
 * - h:schedule(name) -> document, name of its function: what a schedule gives to it now
 * - h:answer(document, answer) -> { status=, headers={lower=value}, body= }: what the gateway makes of the answer
 * - h:environment(function) -> { NAME = value } as the template has them where it is deployed */
#include "host.h"
#include "host_lua.h"
#include <lauxlib.h>
#include <lua.h>

/* The route of the template, as the gateway would know it; *ret_function NULL: there is none. */
static int find_route(const struct app *app, const struct http_request *r, struct event_route *ret,
                      const struct function **ret_function, struct err *e) {
    const struct app_route *found;
    *ret_function = NULL;
    if (event_find_route(app, r->arena, r->method, r->path, &found, &ret->params, &ret->n_params, e)) return -1;
    if (!found) return 0;
    ret->pattern = found->path;
    *ret_function = found->function;
    return 0;
}

/* Its text, and the name of the function (nil: none). */
static int push_document(lua_State *L, const struct json *document, const struct function *f) {
    struct arena *a = host_lua_arena(L);
    struct buf b = BUF_MAX(64u << 20);
    json_write(&b, document);
    struct str text = arena_str(a, buf_view(&b)), name = f ? f->name : STR_NONE;
    buf_free(&b);
    lua_pushlstring(L, text.p, text.n);
    if (name.p)
        lua_pushlstring(L, name.p, name.n);
    else
        lua_pushnil(L);
    return 2;
}

int host_lua_event(lua_State *L) {
    struct perigee *p = host_lua_host(L);
    struct http_request *r = host_lua_request(L, 2);
    const struct aws_identity *own = &cloud_backend(&p->workers[0].conn)->id;
    struct event_route route = {
        .region = own->region, .account = own->account, .partition = own->partition, .unix_ms = clock_ms(p->clock)};
    const struct function *f;
    struct json document;
    struct err e = {0};
    if (find_route(p->app, r, &route, &f, &e)) e = (struct err){0}; /* a path that cannot be decoded has no route */
    if (event_make_http(r->arena, f ? EVENT_HTTP_V2 : EVENT_URL, r, &route, &document, &e))
        return script_push_err(L, &e, NULL, NULL, NULL, NULL);
    return push_document(L, &document, f);
}

int host_lua_schedule(lua_State *L) {
    struct perigee *p = host_lua_host(L);
    const struct app_schedule *s;
    struct json document;
    struct err e = {0};
    char id[37];
    if (host_find_schedule(p->app, luaL_checkstring(L, 2), &s, &e) ||
        host_schedule_event(p, s, host_lua_arena(L), id, &document, &e))
        return script_push_err(L, &e, NULL, NULL, NULL, NULL);
    return push_document(L, &document, s->function);
}

int host_lua_answer(lua_State *L) {
    struct json document, answer;
    struct err e = {0};
    struct event_http in;
    const struct app *app = host_lua_host(L)->app;
    struct arena *a = host_lua_arena(L);
    size_t n, m;
    const char *asked = luaL_checklstring(L, 2, &n), *said = luaL_checklstring(L, 3, &m);
    if (json_parse(a, str_n(asked, n), NULL, &document, &e) || json_parse(a, str_n(said, m), NULL, &answer, &e))
        return script_push_err(L, &e, NULL, NULL, NULL, NULL);
    event_read_answer(a, event_kind_of(&document), &answer, host_lua_response(L));
    if (!event_read_http(a, &document, &in, &e) && in.kind != EVENT_URL)
        route_add_cors(app, &in.request, host_lua_response(L));
    return host_lua_push_response(L);
}

int host_lua_environment(lua_State *L) {
    const struct perigee *p = host_lua_host(L);
    struct err e = {0};
    const struct function *f = host_find_function(p->app, luaL_checkstring(L, 2), &e);
    if (!f) return script_push_err(L, &e, NULL, NULL, NULL, NULL);
    lua_createtable(L, 0, (int)f->n_env);
    for (size_t i = 0; i < f->n_env; i++) {
        lua_pushlstring(L, f->env[i].name.p, f->env[i].name.n);
        lua_pushlstring(L, f->env[i].value.p ? f->env[i].value.p : "", f->env[i].value.n);
        lua_rawset(L, -3);
    }
    return 1;
}
