/* What the services make of an answer document: the response that their client gets. */
#include "base/crypto.h"
#include "route/event.h"

struct answering {
    struct arena *a;
    enum event_kind kind;
    const struct json *d;
    struct http_response *res;
};

static bool is_v2(enum event_kind k) {
    return k == EVENT_HTTP_V2 || k == EVENT_URL;
}

/* API Gateway developer guide, "Handle Lambda errors in API Gateway" (REST: 502, HTTP: 500); the others answer 502. */
static void malformed(enum event_kind kind, struct http_response *res) {
    bool http_api = kind == EVENT_HTTP_V1 || kind == EVENT_HTTP_V2;
    http_response_free(res);
    http_response_init(res, http_api ? 500 : 502);
    if (kind == EVENT_URL) {
        buf_c(&res->body, "Internal Server Error");
    } else if (kind == EVENT_ALB) {
        buf_c(&res->body, "<html><head><title>502 Bad Gateway</title></head></html>");
        http_set(res, STR("Content-Type"), STR("text/html"), NULL);
        return;
    } else {
        buf_printf(&res->body, "{\"message\":\"Internal %s\"}", http_api ? "Server Error" : "server error");
    }
    http_set(res, STR("Content-Type"), STR("application/json"), NULL);
}

/* A function that returns something else than a response: payload 2.0 takes it for the body. */
static void inferred(struct answering *x) {
    x->res->status = 200;
    if (x->d->type == JSON_STR)
        buf_str(&x->res->body, x->d->s);
    else
        json_write(&x->res->body, x->d);
    http_set(x->res, STR("Content-Type"), STR("application/json"), NULL);
}

static bool scalar(const struct json *v, struct str *ret) {
    if (v->type == JSON_STR || v->type == JSON_NUM)
        *ret = v->s;
    else if (v->type == JSON_TRUE || v->type == JSON_FALSE)
        *ret = v->type == JSON_TRUE ? STR("true") : STR("false");
    else
        return false;
    return true;
}

static bool set(struct answering *x, struct str name, const struct json *v) {
    struct str s;
    return scalar(v, &s) && !http_set(x->res, name, s, NULL);
}

static bool read_singles(struct answering *x, const struct json *lists) {
    const struct json *map = json_get(x->d, "headers");
    if (!map || map->type == JSON_NULL) return true;
    if (map->type != JSON_OBJ) return false;
    for (uint32_t i = 0; i < map->n; i++) {
        const struct json_member *m = &map->members[i];
        if (m->value.type == JSON_NULL || json_get_str(lists, m->key)) continue;
        if (!set(x, m->key, &m->value)) return false;
    }
    return true;
}

static bool read_list(struct answering *x, struct str name, const struct json *list) {
    if (list->type != JSON_ARR) return false;
    for (uint32_t i = 0; i < list->n; i++)
        if (!set(x, name, &list->items[i])) return false;
    return true;
}

static bool read_lists(struct answering *x, const struct json *lists) {
    if (!lists || lists->type == JSON_NULL) return true;
    if (lists->type != JSON_OBJ) return false;
    for (uint32_t i = 0; i < lists->n; i++)
        if (!read_list(x, lists->members[i].key, &lists->members[i].value)) return false;
    return true;
}

static bool read_headers(struct answering *x) {
    const struct json *lists = is_v2(x->kind) ? NULL : json_get(x->d, "multiValueHeaders");
    const struct json *cookies = is_v2(x->kind) ? json_get(x->d, "cookies") : NULL;
    if (!read_singles(x, lists) || !read_lists(x, lists)) return false;
    return !cookies || cookies->type == JSON_NULL || read_list(x, STR("set-cookie"), cookies);
}

static bool read_body(struct answering *x) {
    const struct json *v = json_get(x->d, "body"), *flag = json_get(x->d, "isBase64Encoded");
    bool base64 = false;
    if (flag && flag->type != JSON_NULL && !json_bool(flag, &base64)) return false;
    if (!v || v->type == JSON_NULL) return true;
    if (v->type != JSON_STR) return false;
    if (base64) return crypto_unbase64(&x->res->body, v->s);
    buf_str(&x->res->body, v->s);
    return !x->res->body.over;
}

static void default_type(struct answering *x) {
    if (x->kind == EVENT_ALB || event_head_get(buf_view(&x->res->head), STR("Content-Type")).p) return;
    bool http_api = x->kind == EVENT_HTTP_V1 || x->kind == EVENT_HTTP_V2;
    http_set(x->res, STR("Content-Type"), http_api ? STR("text/plain;charset=utf-8") : STR("application/json"), NULL);
}

void event_read_answer(struct arena *a, enum event_kind kind, const struct json *answer, struct http_response *ret) {
    struct answering x = {.a = a, .kind = kind, .d = answer, .res = ret};
    const struct json *status = json_get(answer, "statusCode");
    int64_t code = 0;
    http_response_init(ret, 200);
    if (is_v2(kind) && !status) {
        inferred(&x);
        return;
    }
    if (!json_i64(status, &code) || code < 100 || code > 599 || !read_headers(&x) || !read_body(&x)) {
        malformed(kind, ret);
        return;
    }
    ret->status = (int)code;
    default_type(&x);
}
