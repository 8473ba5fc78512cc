/* Moments and lengths of time, as people read them.
 *
 * Pure but for the time zone (TZ), which localtime_r() reads. Times are Unix milliseconds, and a server's word for
 * them may be anything. Threads any. Memory and errors: the buffer's. */
#ifndef CLI_WHEN_H
#define CLI_WHEN_H

#include "base/buffer.h"

/* How a command's output looks. */
struct style {
	bool is_terminal; /* short local times, and how long ago */
	bool has_colour;
	bool is_utc;
	int64_t now_ms;
};

/* For a terminal 10:31:04, with the date where it isn't today's; else, and with is_utc, ISO 8601 to the
 * millisecond with the offset from UTC. */
void when_append(struct buffer *, const struct style *, int64_t at_ms);
/* The time of day alone, to the millisecond: for what lies around a moment that was shown in full. */
void when_append_time(struct buffer *, const struct style *, int64_t at_ms);

void when_append_ago(struct buffer *, int64_t ago_ms); /* "3 min ago"; "just now" */
void when_append_length(
	struct buffer *, int64_t length_ms); /* "340 ms", "30 s", "30.1 s", "3 h 12 min" */

/* A duration as the settings write it: 500ms, 30s, 5m, 24h. -EINVAL, -ERANGE. */
int when_parse_duration(const char *text, uint32_t *ret_ms);

#endif
