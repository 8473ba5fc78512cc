/* A snapshot: what is known of one user at one moment, and its JSON form, the protocol's presence object.
 *
 * Pure values; the status is copied in. Threads any. */
#ifndef PRESENCE_SNAPSHOT_H
#define PRESENCE_SNAPSHOT_H

#include "base/json_text.h"
#include "base/terms.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct snapshot {
	enum state state;
	enum reason reason;
	bool is_known; /* false: never seen, or forgotten: at_ms and last_seen_ms say nothing */
	bool is_reconnecting;
	bool has_status;
	uint64_t seq; /* of the user's last event; the stripe's counter where !is_known */
	uint64_t
		counter; /* the stripe's counter at this moment: events up to it are in the snapshot */
	uint64_t at_ms, last_seen_ms; /* Unix time */
	size_t status_len;
	char status[STATUS_MAX];
};

/* The longest object: ids and statuses hold no control characters, so that a byte becomes two at most; the
 * names of the fields and their numbers take 160. */
#define SNAPSHOT_JSON_MAX(user_len, status_len)                                                    \
	(2 * ((size_t)(user_len) + (size_t)(status_len)) + 192)

/* The object's fields and its closing brace: the opening is the caller's, "{" or "{\"type\":...,".
 * Returns the end; SNAPSHOT_JSON_MAX bytes must be there. */
char *snapshot_put_fields(char *to, const char *user, size_t user_len, const struct snapshot *);

#endif
