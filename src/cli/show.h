/* How a presence looks: as a line for people, and as a JSON object for programs.
 *
 * Pure. What comes from the server is made safe. JSON is ASCII: other characters are escaped, so that it too can be
 * looked at in a terminal. Memory and errors: the buffer's. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include "cli/when.h"

#include <jansson.h>

/* Words are those of the protocol. Points into what it was read from. */
struct shown {
	const char *user, *state;
	const char *reason; /* NULL: none is known */
	const char *status; /* NULL: none */
	size_t user_len, state_len, reason_len, status_len;
	int64_t seq, at_ms, last_seen_ms; /* -1: not known */
	bool is_reconnecting;
};

/* A presence object of the API. -EPROTO where it is none. */
int show_read(const json_t *object, struct shown *ret);

/* "10:31:04  bob is offline (timeout), last seen 10:30:34", a newline at its end. */
void show_append_change(struct buffer *, const struct style *, const struct shown *);
/* "bob is offline (timeout) since 10:31:04 (3 min ago), last seen 10:30:34" and a newline. */
void show_append_state(struct buffer *, const struct style *, const struct shown *);
/* The same in columns, the narrow ones first: for many. */
void show_append_row(struct buffer *, const struct style *, const struct shown *);

/* A presence object of the protocol, open at its end: "{…", for more fields and "}\n". */
void show_append_json(struct buffer *, const struct shown *);

/* The state in its colour, where there are any. */
void show_append_word(struct buffer *, const struct style *, const char *state, size_t len);

/* A text in quotes, ASCII only. */
void show_append_json_string(struct buffer *, const char *text, size_t len);
/* A document on one line. */
void show_append_json_document(struct buffer *, const json_t *);

#endif
