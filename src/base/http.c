#include "base/http.h"
#include "base/json.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HEAD_MAX = 64 * 1024, BODY_MAX = 64 * 1024 * 1024, MESSAGE_MAX = 8 * 1024 };

struct str http_header(const struct http_request *r, const char *name) {
    struct str wanted = str_c(name);
    for (size_t i = 0; i < r->n_headers; i++)
        if (str_ieq(r->headers[i].name, wanted)) return r->headers[i].value;
    return STR_NONE;
}

void http_response_init(struct http_response *r, int status) {
    *r = (struct http_response){.status = status, .head = BUF_MAX(HEAD_MAX), .body = BUF_MAX(BODY_MAX), .file = -1};
}

void http_response_free(struct http_response *r) {
    buf_free(&r->head);
    buf_free(&r->body);
    if (r->file >= 0) close(r->file);
    r->file = -1;
}

/* RFC 9110 5.6.2. */
static bool is_token(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!alnum && (c == '\0' || !strchr("!#$%&'*+-.^_`|~", c))) return false;
    }
    return s.n > 0;
}

int http_set(struct http_response *r, struct str name, struct str value, struct err *e) {
    if (!is_token(name))
        return err_set(e, ERR_VALIDATION, "'%.*s' is no header name", (int)(name.n < 64 ? name.n : 64), name.p);
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == '\0')
            return err_set(e, ERR_VALIDATION, "the value of header %.*s holds %s", STR_ARG(str_take(name, 64)),
                           value.p[i] ? "a line break" : "a NUL byte");
    size_t line = name.n + value.n + 3;
    if (line > r->head.max || r->head.n > r->head.max - line)
        return err_set(e, ERR_TOO_LARGE, "the header section is larger than %zu bytes", r->head.max);
    buf_str(&r->head, name);
    buf_add(&r->head, ": ", 2);
    buf_str(&r->head, value);
    buf_byte(&r->head, '\n');
    return 0;
}

void http_error(struct http_response *r, int status, const char *code, const char *fmt, ...) {
    char msg[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    r->status = status;
    buf_clear(&r->body);
    buf_c(&r->body, "{\"error\":{\"code\":");
    json_write_str(&r->body, str_c(code));
    buf_c(&r->body, ",\"message\":");
    json_write_str(&r->body, str_c(msg));
    buf_c(&r->body, "}}");
    http_set(r, STR("Content-Type"), STR("application/json; charset=utf-8"), NULL);
}

const char *http_reason(int status) {
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {100, "Continue"},
        {101, "Switching Protocols"},
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {300, "Multiple Choices"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {418, "I'm a teapot"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {499, "Client Closed Request"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
        {511, "Network Authentication Required"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status) return reasons[i].reason;
    return "Unknown";
}
