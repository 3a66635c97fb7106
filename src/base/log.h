/* log: JSON lines on a file descriptor (stderr), one write(2) a line, safe from any thread.
 * {"time":"...","level":"info","msg":"...","request_id":"...","function":"...",...}
 * As AWS Lambda wants them (Lambda developer guide, "Advanced logging controls"), JSON:
 * {"timestamp":"...","level":"INFO","message":"...","requestId":"...","errorType":"...","stackTrace":["..."],...}
 * or text: "timestamp \t requestId \t LEVEL \t message {further members}", newlines as CR. */
#ifndef PERIGEE_BASE_LOG_H
#define PERIGEE_BASE_LOG_H
#include "base/buf.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_OFF };

enum log_style { LOG_PLAIN, LOG_LAMBDA_JSON, LOG_LAMBDA_TEXT };

struct log {
    int fd;
    enum log_level level;
    enum log_style style;
    void (*sink)(void *ud, enum log_level level, struct str line); /* when set: instead of fd (tests) */
    void *ud;
};

/* fmt is a list of fields: 's' name, C string (NULL leaves the field out); 'S' name, struct str; 'i' name, int64_t;
 * 'u' name, uint64_t; 'f' name, double; 'b' name, int. Names are plain words. Values invalid as UTF-8 are written with
 * U+FFFD. log_event(l, LOG_INFO, "request done", "si", "request_id", id, "status", (int64_t)200); l may be
 * NULL: nothing is written. */
void log_event(const struct log *l, enum log_level level, const char *msg, const char *fields, ...);
/* Starts and ends a line whose further members the caller writes itself (each as `,"name":value`, the name as log_name
 * has it). l may be NULL. */
void log_begin(const struct log *l, struct buf *b, enum log_level level, struct str msg);
void log_end(const struct log *l, enum log_level level, struct buf *b);
/* A member's name in the log's style: "request_id" is "requestId" on Lambda. */
const char *log_name(const struct log *l, const char *name);
/* Lines of handlers have a member of that name already. */
bool log_has(const struct log *l, struct str name);
bool log_level_parse(struct str s, enum log_level *ret);
/* From AWS_LAMBDA_LOG_FORMAT (JSON, Text) and AWS_LAMBDA_LOG_LEVEL (TRACE .. FATAL); NULL or unknown: as it is. */
void log_lambda(struct log *l, const char *format, const char *level);

#endif
