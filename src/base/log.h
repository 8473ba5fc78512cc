/* The log: one line an event on stderr, logfmt or JSON.
 *
 *   log_info("session ended", LOG_STR("user", user, len), LOG_U64("silent_ms", n), LOG_ERRNO(err));
 *
 * Threads  any; lines are written whole (one write(2) each, no lock held over it).
 * Memory   a line is at most LOG_LINE_MAX bytes, longer values are cut and end in "...".
 * Limits   each call site may write 10 lines a second, in bursts of 20; what is dropped is counted and said
 *          with the site's next line (dropped=N) and in log_dropped(). log_write() with no site (NULL)
 *          is not limited.
 * Secrets  never passed here. Ids and other foreign text come by LOG_STR and are escaped: quotes,
 *          backslashes, control characters, and bytes that are no UTF-8 as \xNN.
 * Errors   a log that can't be written is lost, and nothing waits for it beyond the write itself. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/compiler.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_LEVELS(X)        X(DEBUG, "debug") X(INFO, "info") X(WARNING, "warning") X(ERROR, "error")
#define LOG_ENUM(name, word) LOG_LEVEL_##name,
enum log_level { LOG_LEVELS(LOG_ENUM) LOG_LEVEL_N };
#undef LOG_ENUM

enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON, LOG_FORMAT_N };

enum { LOG_LINE_MAX = 2048 };

struct log_field {
	const char *key; /* NULL ends the list */
	enum { LOG_TYPE_STRING, LOG_TYPE_U64, LOG_TYPE_I64, LOG_TYPE_BOOL, LOG_TYPE_ERRNO } type;
	const char *text;
	size_t len;
	uint64_t number;
};

/* One a call site, static: its token bucket. */
struct log_site {
	_Atomic uint64_t allowance; /* atomic: any -> any: see log.c */
	_Atomic uint64_t dropped;
};

#define LOG_TEXT(k, s)                                                                             \
	((struct log_field){.key = (k), .type = LOG_TYPE_STRING, .text = (s), .len = (size_t)-1})
#define LOG_STR(k, s, n)                                                                           \
	((struct log_field){.key = (k), .type = LOG_TYPE_STRING, .text = (s), .len = (n)})
#define LOG_U64(k, n) ((struct log_field){.key = (k), .type = LOG_TYPE_U64, .number = (n)})
#define LOG_I64(k, n)                                                                              \
	((struct log_field){.key = (k), .type = LOG_TYPE_I64, .number = (uint64_t)(int64_t)(n)})
#define LOG_BOOL(k, b) ((struct log_field){.key = (k), .type = LOG_TYPE_BOOL, .number = (b)})
#define LOG_ERRNO(e)                                                                               \
	((struct log_field){.key = "error", .type = LOG_TYPE_ERRNO, .number = (uint64_t)(e)})

/* Before the threads; until then: info, logfmt. */
void log_configure(enum log_level, enum log_format);
void log_redirect(int fd); /* for tests: where the lines go, 2 at first */
uint64_t log_dropped(void); /* lines that the rate limit kept back, since the start */

void log_write(
	enum log_level, struct log_site *, const char *message, const struct log_field *fields);
_Bool log_enabled(enum log_level);

#define LOG_AT(level, message, ...)                                                                \
	do {                                                                                       \
		static struct log_site log_site_here;                                              \
		if (log_enabled(level))                                                            \
			log_write((level), &log_site_here, (message),                              \
				(const struct log_field[]){                                        \
					__VA_ARGS__ __VA_OPT__(, ){.key = NULL}});                 \
	} while (0)

#define log_debug(...)   LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)    LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) LOG_AT(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)   LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__)

#endif
