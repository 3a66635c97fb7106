/* t.base: XML. */
#include "base/xml.h"
#include "t_base.h"

static void push_element(lua_State *L, const struct xml *x) { /* {name=, text=, attributes={}, child...} */
    luaL_checkstack(L, 6, "xml");
    lua_newtable(L);
    t_field(L, "name", x->name);
    t_field(L, "text", x->text);
    lua_newtable(L);
    for (size_t i = 0; i < x->n_attributes; i++) {
        t_push(L, x->attributes[i].name);
        t_push(L, x->attributes[i].value);
        lua_rawset(L, -3);
    }
    lua_setfield(L, -2, "attributes");
    int n = 0;
    for (const struct xml *c = x->first; c; c = c->next) {
        push_element(L, c);
        lua_rawseti(L, -2, ++n);
    }
}

static int l_xml_parse(lua_State *L) {
    struct arena *a = t_arena(L);
    struct err e = {0};
    struct xml *x = NULL;
    if (xml_parse(a, t_str(L, 1), &x, &e)) return t_fail(L, &e);
    push_element(L, x);
    return 1;
}

static int l_xml_text(lua_State *L) { /* text of the root's child of that name, nil when there is none */
    struct arena *a = t_arena(L);
    struct err e = {0};
    struct xml *x = NULL;
    if (xml_parse(a, t_str(L, 1), &x, &e)) return t_fail(L, &e);
    struct str s = xml_text(x, luaL_checkstring(L, 2));
    return s.p ? t_push(L, s) : 0;
}

static int l_xml_escape(lua_State *L) {
    struct buf b = BUF_MAX(1 << 20);
    xml_escape(&b, t_str(L, 1));
    return t_push_buf(L, &b);
}

const luaL_Reg t_xml[] = {
    {"xml_parse", l_xml_parse}, {"xml_text", l_xml_text}, {"xml_escape", l_xml_escape}, {NULL, NULL}};
