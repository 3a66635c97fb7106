#include "local/s3/form.h"

enum { BOUNDARY_MAX = 70 /* RFC 2046, 5.1.1 */, HEAD_MAX = 8192 };

struct form {
    struct arena *a;
    struct str delimiter; /* "--" boundary */
    struct err *e;
};

static int malformed(struct err *e, const char *what) {
    return err_set(e, ERR_S3_FORM, "The body of your POST request is not well-formed multipart/form-data: %s.", what);
}

/* == parameters of header fields ====================================================================================
 */

/* A quoted string at the beginning of *rest, or a token up to ';'. Browsers escape a quote as %22 or \". */
static struct str parameter_value(struct arena *a, struct str *rest) {
    if (!rest->n || rest->p[0] != '"') return str_trim(str_cut(rest, ';'));
    char *copy = arena_alloc(a, rest->n);
    size_t n = 0, i = 1;
    for (; i < rest->n && rest->p[i] != '"'; i++) {
        if (rest->p[i] == '\\' && i + 1 < rest->n && rest->p[i + 1] == '"') i++;
        copy[n++] = rest->p[i];
    }
    *rest = str_from(*rest, i);
    str_cut(rest, ';');
    return str_n(copy, n);
}

/* The parameter `name` of a header value behind its first part: `form-data; name="key"`. */
static struct str parameter(struct arena *a, struct str header, const char *name) {
    struct str rest = header;
    str_cut(&rest, ';');
    while (rest.n) {
        ptrdiff_t equals = str_chr(rest, '=', 0), end = str_chr(rest, ';', 0);
        if (equals < 0) break;
        if (end >= 0 && end < equals) {
            str_cut(&rest, ';');
            continue;
        }
        struct str key = str_trim(str_cut(&rest, '='));
        while (rest.n && rest.p[0] == ' ') rest = str_from(rest, 1);
        struct str value = rest.p ? parameter_value(a, &rest) : STR("");
        if (str_ieq(key, str_c(name))) return value;
    }
    return STR_NONE;
}

static int read_boundary(struct form *f, struct str content_type) {
    struct str rest = content_type, kind = str_trim(str_cut(&rest, ';'));
    if (!str_ieq(kind, STR("multipart/form-data"))) return malformed(f->e, "the Content-Type is another");
    struct str boundary = parameter(f->a, content_type, "boundary");
    if (!boundary.n || boundary.n > BOUNDARY_MAX) return malformed(f->e, "the Content-Type has no valid boundary");
    f->delimiter = arena_printf(f->a, "--%.*s", STR_ARG(boundary));
    return 0;
}

/* == parts ==========================================================================================================
 */

static int read_head(struct form *f, struct str head, struct form_field *ret) {
    struct str disposition = STR_NONE;
    *ret = (struct form_field){.name = STR_NONE};
    while (head.n) {
        struct str line = str_cut(&head, '\n'), value = line, name;
        if (line.n && line.p[line.n - 1] == '\r') value.n--;
        name = str_trim(str_cut(&value, ':'));
        if (!value.p) return malformed(f->e, "a part has a header line without a colon");
        if (str_ieq(name, STR("content-disposition"))) disposition = str_trim(value);
        if (str_ieq(name, STR("content-type"))) ret->content_type = str_trim(value);
        if (str_ieq(name, STR("content-transfer-encoding")) && !str_ieq(str_trim(value), STR("binary")) &&
            !str_ieq(str_trim(value), STR("8bit")) && !str_ieq(str_trim(value), STR("7bit")))
            return malformed(f->e, "a part has a transfer encoding");
    }
    struct str rest = disposition;
    if (!str_ieq(str_trim(str_cut(&rest, ';')), STR("form-data"))) return malformed(f->e, "a part is no form-data");
    ret->name = parameter(f->a, disposition, "name");
    ret->filename = parameter(f->a, disposition, "filename");
    return ret->name.n ? 0 : malformed(f->e, "a part has no name");
}

/* The next delimiter at the beginning of a line at or after `from`, and what follows it. 1: there is one; 2: it is the
 * last; 0: none. */
static int find_delimiter(const struct form *f, struct str body, size_t from, size_t *ret_at, size_t *ret_after) {
    for (size_t at = from;; at++) {
        ptrdiff_t found = str_find(body, f->delimiter, at);
        if (found < 0) return 0;
        at = (size_t)found;
        bool starts = at == 0 || (at >= 2 && body.p[at - 1] == '\n' && body.p[at - 2] == '\r');
        struct str rest = str_from(body, at + f->delimiter.n);
        if (!starts) continue;
        *ret_at = at;
        if (str_starts(rest, STR("--"))) return 2;
        size_t blanks = 0;
        while (blanks < rest.n && (rest.p[blanks] == ' ' || rest.p[blanks] == '\t')) blanks++;
        if (!str_starts(str_from(rest, blanks), STR("\r\n"))) continue; /* a longer boundary of a part's own */
        *ret_after = at + f->delimiter.n + blanks + 2;
        return 1;
    }
}

/* The part between two delimiters, without the line end that belongs to the second. */
static int read_part(struct form *f, struct str part, struct form_field *ret) {
    ptrdiff_t blank = str_starts(part, STR("\r\n")) ? 0 : str_find(part, STR("\r\n\r\n"), 0);
    if (blank <= 0) return malformed(f->e, "a part has no header lines, or no end of them");
    if (blank > HEAD_MAX) return malformed(f->e, "the header lines of a part are larger than 8 KiB");
    if (read_head(f, str_take(part, (size_t)blank), ret)) return -1;
    ret->value = str_from(part, (size_t)blank + 4);
    return 0;
}

int form_parse(struct arena *a, struct str content_type, struct str body, size_t max, struct form_field **ret,
               size_t *ret_n, struct err *e) {
    struct form f = {.a = a, .e = e};
    struct form_field *fields = ARENA_ARRAY(a, struct form_field, max);
    size_t n = 0, at = 0, after = 0, end = 0, next = 0;
    if (read_boundary(&f, content_type)) return -1;
    int kind = find_delimiter(&f, body, 0, &at, &after);
    if (!kind) return malformed(e, "the boundary does not occur");
    while (kind == 1) {
        int following = find_delimiter(&f, body, after, &end, &next);
        if (!following) return malformed(e, "the last part has no end");
        if (n == max) return err_set(e, ERR_S3_FORM, "The form has more than %zu fields.", max);
        if (end < after + 2) return malformed(e, "a part is empty");
        if (read_part(&f, str_n(body.p + after, end - 2 - after), &fields[n])) return -1;
        n++;
        kind = following;
        after = next;
    }
    *ret = fields;
    *ret_n = n;
    return 0;
}
