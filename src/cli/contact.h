/* A contact of libpresence as it is shown. Pure. */
#ifndef CLI_CONTACT_H
#define CLI_CONTACT_H

#include "cli/show.h"

#include "presence.h"

/* Where the truth is unknown, that is the state, and 'why_unknown' the reason: what became of the server, unless the
 * contact itself has an error. Points into both. */
struct shown contact_shown(const struct presence_contact *, enum presence_error why_unknown);

/* A line of watch, for people or (is_json) for programs: what show.h makes of it, and of the unknown, what the user
 * was when the server was last heard, at 'as_of_ms' (Unix time; -1: never). */
void contact_append_change(struct buffer *, const struct style *, bool is_json,
	const struct presence_contact *, enum presence_error why_unknown, int64_t as_of_ms);

#endif
