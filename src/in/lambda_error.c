/* lambda_error: failures in the words of the Runtime API and of X-Ray. */
#include "base/json.h"
#include "in/lambda.h"
#include <string.h>

enum {
    TYPE_MAX = 128,
    CAUSE_MAX = 8 << 10,
    FRAMES_MAX = 20,
    MESSAGE_MAX = 1000,
    BODY_MAX = 256 << 10,
    REFUSAL_MAX = 200
};

/* == types ========================================================================================================= */

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* (Runtime|Function)\.[A-Z][a-zA-Z]+ */
static bool is_type(struct str s) {
    struct str name = str_starts(s, STR("Runtime.")) ? str_from(s, 8) : STR_NONE;
    if (str_starts(s, STR("Function."))) name = str_from(s, 9);
    if (name.n < 2 || name.n > TYPE_MAX || name.p[0] < 'A' || name.p[0] > 'Z') return false;
    for (size_t i = 0; i < name.n; i++)
        if (!is_letter(name.p[i])) return false;
    return true;
}

static const char *name_of(const struct err *e) {
    switch (e->code) {
    case ERR_TOO_LARGE:
        return "ResponseSizeTooLarge";
    case ERR_TIMEOUT:
        return "TimedOut";
    case ERR_VALIDATION:
        return "InvalidEvent";
    default:
        return err_name(e->code);
    }
}

void lambda_error_type(struct buf *b, const struct lambda_failure *f) {
    if (is_type(f->type)) {
        buf_str(b, f->type);
        return;
    }
    buf_c(b, "Function.");
    buf_c(b, name_of(f->err));
}

/* == the document ================================================================================================== */

/* Lines behind "stack traceback:", each with its source line. */
static struct str frames(struct str traceback) {
    static const struct str title = {"stack traceback:\n", 17};
    ptrdiff_t at = str_find(traceback, title, 0);
    return at < 0 ? STR_NONE : str_from(traceback, (size_t)at + title.n);
}

static void write_stack(struct buf *b, struct str lines) {
    const char *between = "";
    buf_byte(b, '[');
    while (lines.p) {
        struct str line = str_trim(str_cut(&lines, '\n'));
        if (!line.n) continue;
        buf_c(b, between);
        json_write_str(b, line);
        between = ",";
    }
    buf_byte(b, ']');
}

void lambda_error_body(struct buf *b, const struct lambda_failure *f) {
    buf_c(b, "{\"errorMessage\":");
    json_write_str(b, str_c(f->err->msg));
    buf_c(b, ",\"errorType\":\"");
    lambda_error_type(b, f);
    buf_c(b, "\",\"stackTrace\":");
    write_stack(b, frames(f->traceback));
    if (f->id.n) {
        buf_c(b, ",\"requestId\":");
        json_write_str(b, f->id);
    }
    buf_byte(b, '}');
}

/* What a long document can do without, the outermost frame first; false: nothing. */
static bool shorten(struct str *traceback, struct err *e) {
    size_t n = traceback->n, message = strlen(e->msg) / 2;
    if (frames(*traceback).p) {
        while (traceback->p[--n] != '\n')
            ;
        *traceback = str_take(*traceback, n);
        return true;
    }
    while (message && (e->msg[message] & 0xc0) == 0x80) message--; /* not within a character */
    e->msg[message] = 0;
    return message > 0;
}

void lambda_error_short(struct buf *b, const struct lambda_failure *f, size_t max) {
    struct lambda_failure cut = *f;
    struct err e = *f->err;
    cut.err = &e;
    do {
        buf_clear(b);
        lambda_error_body(b, &cut);
    } while (b->n > max && shorten(&cut.traceback, &e));
}

void lambda_error_document(struct buf *b, const struct err *e, struct str type, struct str traceback,
                           struct str request_id) {
    lambda_error_body(b, &(struct lambda_failure){e, type, traceback, request_id});
}

/* == X-Ray ========================================================================================================= */

/* Header values are ASCII: the rest as \uXXXX. Surrogates are what the escapes of JSON use. */
static void add_unicode(struct buf *b, uint32_t c) {
    if (c >= 0x10000) {
        buf_printf(b, "\\u%04x", 0xd800 + ((c - 0x10000) >> 10));
        c = 0xdc00 + ((c - 0x10000) & 0x3ff);
    }
    buf_printf(b, "\\u%04x", c);
}

static void write_ascii(struct buf *b, struct str s, size_t max) {
    struct buf text = BUF_MAX(8 * MESSAGE_MAX);
    struct str cut = str_take(s, max);
    ptrdiff_t bad = str_bad_utf8(cut);
    if (bad >= 0) cut = str_take(cut, (size_t)bad);
    json_write_str(&text, cut);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x80) {
            buf_byte(b, c == 127 ? '?' : (char)c);
            continue;
        }
        int more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        uint32_t v = c & (0x3f >> more);
        for (; more; more--) v = v << 6 | ((unsigned char)text.p[++i] & 0x3f);
        add_unicode(b, v);
    }
    buf_free(&text);
}

/* "handlers/orders.lua:12: in function 'create'" */
static void write_frame(struct buf *b, struct str line) {
    struct str label = line, path = str_cut(&label, ':'), rest = label, number = str_cut(&rest, ':');
    int64_t n = 0;
    if (!str_i64(number, &n)) rest = label;
    rest = str_trim(rest);
    if (str_starts(rest, STR("in "))) rest = str_from(rest, 3);
    buf_c(b, "{\"path\":");
    write_ascii(b, path, 200);
    buf_printf(b, ",\"line\":%lld,\"label\":", (long long)n);
    write_ascii(b, rest.p ? rest : STR(""), 100);
    buf_byte(b, '}');
}

static void write_frames(struct buf *b, struct str lines) {
    const char *between = "";
    for (int n = 0; lines.p && n < FRAMES_MAX && b->n < CAUSE_MAX - 2000;) {
        struct str line = str_cut(&lines, '\n');
        if (!str_starts(line, STR("\t")) || str_starts(line, STR("\t\t")) || str_starts(line, STR("\t("))) continue;
        buf_c(b, between);
        write_frame(b, str_trim(line));
        between = ",";
        n++;
    }
}

void lambda_error_cause(struct buf *b, const struct lambda_failure *f) {
    buf_c(b, "{\"working_directory\":\"/var/task\",\"exceptions\":[{\"type\":\"");
    lambda_error_type(b, f);
    buf_c(b, "\",\"message\":");
    write_ascii(b, str_c(f->err->msg), MESSAGE_MAX / 2);
    buf_c(b, ",\"stack\":[");
    write_frames(b, frames(f->traceback));
    buf_c(b, "]}],\"paths\":[]}");
}

/* == what the Runtime API says ===================================================================================== */

struct str lambda_refusal(const struct lambda_conn *c) {
    return str_take(buf_view(&c->body), REFUSAL_MAX);
}
