/* What the server says: lines to their fields.
 *
 * Pure. Threads any. Memory none: an incoming points into its line. No recursion; depth and keys are bounded.
 * Errors   -EPROTO for what is no JSON object, or lacks what its type needs. Unknown types and fields are well. */
#ifndef CLIENT_INCOMING_H
#define CLIENT_INCOMING_H

#include "base/json_read.h"
#include "base/terms.h"
#include "presence.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, word) */
#define INCOMING_TYPES(X)                                                                          \
	X(WELCOME, "welcome")                                                                      \
	X(HEARTBEAT, "heartbeat")                                                                  \
	X(WATCHING, "watching")                                                                    \
	X(UNWATCHED, "unwatched")                                                                  \
	X(PRESENCES, "presences")                                                                  \
	X(PRESENCE, "presence")                                                                    \
	X(UPDATED, "updated")                                                                      \
	X(ERROR, "error")                                                                          \
	X(BYE, "bye")

#define INCOMING_ENUM(name, word) INCOMING_##name,
enum incoming_type { INCOMING_TYPES(INCOMING_ENUM) INCOMING_OTHER };
#undef INCOMING_ENUM

struct incoming {
	enum incoming_type type;
	uint64_t id; /* of the request that it answers; 0: of none */
	bool has_more; /* parts of the same reply follow */
	struct json_part whole;
	struct json_part presences; /* WATCHING, PRESENCES: its array */
};

/* Larger ones are as if they were not there: three million years, and more events than a server lives to count. */
#define INCOMING_NUMBER_MAX UINT64_C(100000000000000000)

/* An empty line is a heartbeat. */
int incoming_parse(const char *line, size_t len, struct incoming *ret);

/* A text of up to 'size' - 1 bytes, terminated; false where there is none, or it is longer or holds U+0000. */
bool incoming_text(const struct incoming *, const char *name, char *to, size_t size);
bool incoming_u64(const struct incoming *, const char *name, uint64_t max, uint64_t *ret);
bool incoming_is_true(const struct incoming *, const char *name);

/* The server's word on one user. */
struct word {
	char user[USER_MAX + 1];
	enum presence_state state;
	bool has_status;
	char status[STATUS_MAX + 1];
	enum presence_reason reason;
	bool is_reconnecting;
	uint64_t seq;
	int64_t at_ms, last_seen_ms; /* -1: null */
};

/* -EPROTO where user or state are missing or not what they must be. */
int word_read(struct json_part, struct word *ret);

#endif
