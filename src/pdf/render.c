/* A document as data to a PDF file, by libharu. Its handler records the first error and returns: its errors are
 * sticky, so one check at the end is enough. */
#include "base/crypto.h"
#include "base/fs.h"
#include "pdf/content.h"
#include <hpdf_doc.h>
#include <hpdf_pages.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

#define PAGE_MIN 3 /* points; hpdf_pages.c refuses others */
#define PAGE_MAX 14400
#define YEAR_MAX 9999

struct failure {
    HPDF_STATUS code, detail;
};

static void on_error(HPDF_STATUS code, HPDF_STATUS detail, void *ud) {
    struct failure *f = ud;
    if (!f->code) *f = (struct failure){code, detail};
}

static void *allocate(HPDF_UINT n) {
    void *p = malloc(n ? n : 1);
    if (!p) fatal("out of memory for %u bytes of a PDF", n);
    return p;
}

static int check_page(const struct pdf_doc *doc, struct err *e) {
    if (doc->page_w >= PAGE_MIN && doc->page_w <= PAGE_MAX && doc->page_h >= PAGE_MIN && doc->page_h <= PAGE_MAX)
        return 0;
    return err_set(e, ERR_PDF, "a page of %g by %g points is not possible (%d to %d)", (double)doc->page_w,
                   (double)doc->page_h, PAGE_MIN, PAGE_MAX);
}

/* ---- document information ---- */

/* A text string as UTF-16BE with its mark (ISO 32000-1 7.9.2.2). */
static void add_info(HPDF_Doc pdf, const char *key, struct str text) {
    struct buf b = BUF_MAX(HPDF_LIMIT_MAX_STRING_LEN - 4);
    uint32_t c;
    bool bad;
    if (text.n) buf_c(&b, "\xfe\xff");
    while (text_next(&text, &c, &bad) && b.n + 4 < b.max) {
        uint32_t pair[2] = {0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff)};
        for (int i = c > 0xffff ? 0 : 1; i < 2; i++) {
            uint32_t u = c > 0xffff ? pair[i] : c;
            buf_byte(&b, (char)(u >> 8));
            buf_byte(&b, (char)u);
        }
    }
    if (b.n) HPDF_Dict_Add(pdf->info, key, HPDF_Binary_New(pdf->mmgr, (HPDF_BYTE *)b.p, (HPDF_UINT)b.n));
    buf_free(&b);
}

static int add_date(HPDF_Doc pdf, int64_t unix_ms, struct err *e) {
    time_t t = (time_t)(unix_ms / 1000 - (unix_ms % 1000 < 0));
    struct tm tm;
    if (!gmtime_r(&t, &tm) || tm.tm_year + 1900 < 1 || tm.tm_year + 1900 > YEAR_MAX)
        return err_set(e, ERR_PDF, "the creation date %lld ms is outside the years 1 to %d", (long long)unix_ms,
                       YEAR_MAX);
    HPDF_Date date = {tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, 'Z', 0, 0};
    HPDF_SetInfoDateAttr(pdf, HPDF_INFO_CREATION_DATE, date);
    return 0;
}

/* The file identifier follows from the content: the same document has the same. */
static void add_id(HPDF_Doc pdf, const struct pdf_doc *doc, struct str content) {
    struct crypto_digest *d = crypto_digest_new("sha256");
    uint8_t hash[32];
    crypto_digest_add(d, content);
    crypto_digest_add(d, doc->title);
    crypto_digest_add(d, str_n((const char *)&doc->created_ms, sizeof doc->created_ms));
    crypto_digest_end(d, hash);
    HPDF_Array id = HPDF_Array_New(pdf->mmgr);
    for (int i = 0; i < 2; i++) HPDF_Array_Add(id, HPDF_Binary_New(pdf->mmgr, hash, 16));
    HPDF_Dict_Add(pdf->trailer, "ID", id);
}

static int add_document(HPDF_Doc pdf, const struct pdf_doc *doc, struct str content, struct err *e) {
    HPDF_Dict preferences = HPDF_Dict_New(pdf->mmgr);
    pdf->pdf_version = HPDF_VER_14;
    HPDF_SetInfoAttr(pdf, HPDF_INFO_CREATOR, "Perigee");
    add_info(pdf, "Title", doc->title);
    add_info(pdf, "Author", doc->author);
    add_info(pdf, "Subject", doc->subject);
    HPDF_Dict_AddBoolean(preferences, "DisplayDocTitle", HPDF_TRUE);
    HPDF_Dict_Add(pdf->catalog, "ViewerPreferences", preferences);
    add_id(pdf, doc, content);
    return doc->created_ms ? add_date(pdf, doc->created_ms, e) : 0;
}

/* ---- pages ---- */

static HPDF_Dict font_resources(HPDF_Doc pdf, const struct fonts *f) {
    HPDF_Dict d = HPDF_Dict_New(pdf->mmgr);
    HPDF_Xref_Add(pdf->xref, d);
    for (size_t i = 0; i < f->n; i++) {
        char name[16] = "F";
        name[1 + (i > 9)] = (char)('0' + i % 10);
        if (i > 9) name[1] = '1';
        if (f->faces[i].dict) HPDF_Dict_Add(d, name, f->faces[i].dict);
    }
    return d;
}

static void add_page(HPDF_Doc pdf, const struct pdf_doc *doc, HPDF_Dict fonts, struct str content) {
    HPDF_Page page = HPDF_AddPage(pdf);
    if (!page) return;
    HPDF_PageAttr attr = page->attr;
    HPDF_Page_SetWidth(page, doc->page_w);
    HPDF_Page_SetHeight(page, doc->page_h);
    HPDF_Stream_Write(attr->stream, (const HPDF_BYTE *)content.p, (HPDF_UINT)content.n);
    HPDF_Dict_Add(HPDF_Dict_GetItem(page, "Resources", HPDF_OCLASS_DICT), "Font", fonts);
}

static void add_pages(HPDF_Doc pdf, const struct pdf_doc *doc, const struct fonts *f, const struct content *c) {
    HPDF_Dict fonts = font_resources(pdf, f);
    for (size_t i = 0; i < c->n_pages; i++)
        add_page(pdf, doc, fonts, str_n(c->out.p + c->starts[i], c->starts[i + 1] - c->starts[i]));
}

/* ---- the file ---- */

static int save(HPDF_Doc pdf, const struct failure *f, struct buf *out, struct err *e) {
    HPDF_UINT32 n = 0;
    if (!f->code) HPDF_SaveToStream(pdf);
    if (!f->code) n = HPDF_GetStreamSize(pdf);
    if (f->code)
        return err_set(e, ERR_PDF, "libharu failed with 0x%04lX (detail %lu)", (unsigned long)f->code,
                       (unsigned long)f->detail);
    if (n > out->max || out->n > out->max - n)
        return err_set(e, ERR_TOO_LARGE, "the PDF of %u bytes is larger than %zu bytes", n, out->max);
    buf_reserve(out, n);
    HPDF_ResetStream(pdf);
    HPDF_UINT32 got = n;
    HPDF_ReadFromStream(pdf, (HPDF_BYTE *)out->p + out->n, &got);
    if (got != n) return err_set(e, ERR_PDF, "libharu gave %u of %u bytes", got, n);
    out->n += n;
    out->p[out->n] = 0;
    return 0;
}

static int write_file(const struct pdf_doc *doc, struct fonts *f, const struct content *c, struct buf *out,
                      struct err *e) {
    struct failure failure = {0};
    if (pdf_load(e)) return -1;
    HPDF_Doc pdf = HPDF_NewEx(on_error, allocate, free, 0, &failure);
    if (!pdf) return err_set(e, ERR_PDF, "libharu failed with 0x%04lX", (unsigned long)failure.code);
    HPDF_SetCompressionMode(pdf, HPDF_COMP_ALL);
    int rc = add_document(pdf, doc, buf_view(&c->out), e) || fonts_embed(f, pdf, e) ? -1 : 0;
    if (!rc) add_pages(pdf, doc, f, c);
    if (!rc) rc = save(pdf, &failure, out, e);
    HPDF_Free(pdf);
    return rc;
}

int pdf_render(const struct pdf_doc *doc, struct buf *out, size_t *ret_missing, struct err *e) {
    struct fonts f = {0};
    struct content c = {.out = BUF_MAX(CONTENT_MAX)};
    int rc = -1;
    if (check_page(doc, e) || fonts_open(doc, &f, e) || content_draw(doc, &f, &c, e) || write_file(doc, &f, &c, out, e))
        goto out;
    *ret_missing = c.missing;
    rc = 0;
out:
    content_free(&c);
    fonts_free(&f);
    return rc;
}

void pdf_font_stamp(struct str paths, struct buf *out) {
    for (struct str rest = paths; rest.p;) {
        struct buf name = BUF_MAX(4096);
        struct stat st;
        buf_str(&name, str_cut(&rest, ':'));
        bool there = name.n && !name.over && !stat(buf_cstr(&name), &st) && S_ISREG(st.st_mode);
        if (there)
            buf_printf(out, "%s %lld %lld.%ld %llu", buf_cstr(&name), (long long)st.st_size,
                       (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (unsigned long long)st.st_ino);
        buf_free(&name);
        if (there) return;
    }
}

int pdf_font_load(struct str paths, struct buf *out, struct err *e) {
    size_t before = out->n;
    for (struct str rest = paths; rest.p;) {
        struct str path = str_cut(&rest, ':');
        struct buf name = BUF_MAX(4096);
        buf_str(&name, path);
        bool there = path.n && !name.over && fs_is_file(buf_cstr(&name));
        int rc = there ? fs_read(buf_cstr(&name), out, e) : 0;
        buf_free(&name);
        if (there) return rc;
    }
    out->n = before;
    return err_set(e, ERR_PDF, "none of the font files \"%.*s\" exists", STR_ARG(str_take(paths, 800)));
}
