/* What the client says: whole lines, by template.
 *
 * Pure. Threads any. Memory the buffer's; Errors its 'failed'. All texts are valid UTF-8. */
#ifndef CLIENT_OUTGOING_H
#define CLIENT_OUTGOING_H

#include "base/buffer.h"
#include "presence.h"

#include <stdint.h>

struct hello {
	const char *user, *device, *token, *resume; /* NULL: absent */
	uint32_t heartbeat_ms; /* 0: absent */
	enum presence_state state; /* NONE: absent */
	const char *status; /* NULL: absent, "": null */
};

void put_hello(struct buffer *, const struct hello *);
void put_heartbeat(struct buffer *);
void put_bye(struct buffer *);

/* 'state' NONE, 'status' and 'token' NULL: absent; a status of "" is null. One of them is there. */
void put_update(struct buffer *, uint64_t id, enum presence_state state, const char *status,
	const char *token);

/* A request for users, piece by piece: open, each user, close. put_user() says whether the request still fits into
 * 'max_bytes' with it; if not it is as it was before, but the first one is always taken. */
struct party {
	size_t begin; /* of the line in the buffer */
	size_t n;
};
struct party put_party(struct buffer *, const char *type, uint64_t id);
bool put_user(struct buffer *, struct party *, const char *user, size_t max_bytes);
void put_party_end(struct buffer *, const struct party *); /* one without users is taken back */

#endif
