/* libharu and libqrencode, loaded when the first of their functions is called: a line for each that is. */
#include "base/lazy.h"
#include "pdf/content.h"
#include <hpdf.h>
#include <qrencode.h>

LAZY_LIBRARY(libhpdf, "libhpdf-2.3.0.so", "a PDF");
LAZY(libhpdf, HPDF_Doc, HPDF_NewEx,
     (HPDF_Error_Handler fn, HPDF_Alloc_Func allocate, HPDF_Free_Func release, HPDF_UINT pool, void *ud),
     (fn, allocate, release, pool, ud))
LAZY(libhpdf, void, HPDF_Free, (HPDF_Doc pdf), (pdf))
LAZY(libhpdf, HPDF_STATUS, HPDF_SetCompressionMode, (HPDF_Doc pdf, HPDF_UINT mode), (pdf, mode))
LAZY(libhpdf, HPDF_STATUS, HPDF_SetInfoAttr, (HPDF_Doc pdf, HPDF_InfoType type, const char *value), (pdf, type, value))
LAZY(libhpdf, HPDF_STATUS, HPDF_SetInfoDateAttr, (HPDF_Doc pdf, HPDF_InfoType type, HPDF_Date value),
     (pdf, type, value))
LAZY(libhpdf, HPDF_Page, HPDF_AddPage, (HPDF_Doc pdf), (pdf))
LAZY(libhpdf, HPDF_STATUS, HPDF_Page_SetWidth, (HPDF_Page page, HPDF_REAL points), (page, points))
LAZY(libhpdf, HPDF_STATUS, HPDF_Page_SetHeight, (HPDF_Page page, HPDF_REAL points), (page, points))
LAZY(libhpdf, HPDF_STATUS, HPDF_SaveToStream, (HPDF_Doc pdf), (pdf))
LAZY(libhpdf, HPDF_UINT32, HPDF_GetStreamSize, (HPDF_Doc pdf), (pdf))
LAZY(libhpdf, HPDF_STATUS, HPDF_ResetStream, (HPDF_Doc pdf), (pdf))
LAZY(libhpdf, HPDF_STATUS, HPDF_ReadFromStream, (HPDF_Doc pdf, HPDF_BYTE *p, HPDF_UINT32 *n), (pdf, p, n))
LAZY(libhpdf, HPDF_STATUS, HPDF_Stream_Write, (HPDF_Stream s, const HPDF_BYTE *p, HPDF_UINT n), (s, p, n))
LAZY(libhpdf, HPDF_Array, HPDF_Array_New, (HPDF_MMgr m), (m))
LAZY(libhpdf, HPDF_STATUS, HPDF_Array_Add, (HPDF_Array a, void *item), (a, item))
LAZY(libhpdf, HPDF_STATUS, HPDF_Array_AddNumber, (HPDF_Array a, HPDF_INT32 v), (a, v))
LAZY(libhpdf, HPDF_Dict, HPDF_Dict_New, (HPDF_MMgr m), (m))
LAZY(libhpdf, HPDF_Dict, HPDF_DictStream_New, (HPDF_MMgr m, HPDF_Xref x), (m, x))
LAZY(libhpdf, HPDF_STATUS, HPDF_Dict_Add, (HPDF_Dict d, const char *key, void *item), (d, key, item))
LAZY(libhpdf, HPDF_STATUS, HPDF_Dict_AddName, (HPDF_Dict d, const char *key, const char *v), (d, key, v))
LAZY(libhpdf, HPDF_STATUS, HPDF_Dict_AddNumber, (HPDF_Dict d, const char *key, HPDF_INT32 v), (d, key, v))
LAZY(libhpdf, HPDF_STATUS, HPDF_Dict_AddBoolean, (HPDF_Dict d, const char *key, HPDF_BOOL v), (d, key, v))
LAZY(libhpdf, void *, HPDF_Dict_GetItem, (HPDF_Dict d, const char *key, HPDF_UINT16 class), (d, key, class))
LAZY(libhpdf, HPDF_Binary, HPDF_Binary_New, (HPDF_MMgr m, HPDF_BYTE *p, HPDF_UINT n), (m, p, n))
LAZY(libhpdf, HPDF_String, HPDF_String_New, (HPDF_MMgr m, const char *v, HPDF_Encoder encoder), (m, v, encoder))
LAZY(libhpdf, HPDF_STATUS, HPDF_Xref_Add, (HPDF_Xref x, void *item), (x, item))

LAZY_LIBRARY(libqrencode, "libqrencode.so.4", "a QR code");
LAZY(libqrencode, QRcode *, QRcode_encodeData, (int n, const unsigned char *p, int version, QRecLevel level),
     (n, p, version, level))
LAZY(libqrencode, void, QRcode_free, (QRcode * q), (q))

int pdf_load(struct err *e) {
    return lazy_load(&libhpdf, e);
}

int qr_load(struct err *e) {
    return lazy_load(&libqrencode, e);
}
