/* Messages to clients: by template, into a buffer of the caller's.
 *
 * Each writes one whole line with its '\n'. 'id' is a request's id as JSON text (struct message), id_len 0
 * for none. Pure. Threads any. Errors as struct buffer: a buffer that can't grow says 'failed'. */
#ifndef WIRE_REPLY_H
#define WIRE_REPLY_H

#include "base/buffer.h"
#include "wire/message.h"

struct welcome {
	struct slice user, device;
	const char *session, *server; /* terminated */
	uint64_t heartbeat_ms, timeout_ms, now_ms;
	bool resumed;
	const char *resume; /* terminated; NULL: there is no grace */
};

void reply_welcome(struct buffer *, const char *id, size_t id_len, const struct welcome *);
void reply_heartbeat(
	struct buffer *, const struct message *); /* in kind: an empty line for an empty line */
void reply_updated(
	struct buffer *, const struct message *, enum state, const char *status, size_t status_len);
void reply_unwatched(struct buffer *, const struct message *, uint64_t count);
/* retry_ms: UINT64_MAX for none */
void reply_error(struct buffer *, const char *id, size_t id_len, enum wire_error, const char *why,
	uint64_t retry_ms);
void reply_bye(struct buffer *, const char *id, size_t id_len, enum reason, uint64_t retry_ms);

/* A list of presences, in parts: open, the caller appends presence objects (with ',' between them), close.
 * 'request' is REQUEST_WATCH ("watching") or REQUEST_QUERY ("presences"). */
void reply_presences_open(struct buffer *, const char *id, size_t id_len, enum request);
void reply_presences_close(struct buffer *, bool more);

#endif
