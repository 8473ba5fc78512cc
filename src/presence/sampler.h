/* Sampler: what moved in the session table since the store last looked, without holding anybody up.
 *
 * Heartbeats make no events, and a user has devices of which watchers see nothing: so the store does not live on events.
 * It looks over all slots instead, of which two numbers lie densely packed: the stamp, and one that goes up with each
 * change of the session in the slot. What it finds is where to look closer. Nothing can overflow, and nothing that
 * happened while it was busy elsewhere is lost.
 *
 * Owns     a copy of those numbers, 12 bytes a slot.
 * Threads  the store's.
 * Locks    none to look; one stripe's, for one session, in sampler_who().
 * Time     told by the caller; a look over a million slots takes some 3 ms.
 * Errors   -ENOMEM: nothing was looked at. */
#ifndef PRESENCE_SAMPLER_H
#define PRESENCE_SAMPLER_H

#include "presence/table.h"

struct sampler;

/* Begins with nothing seen. The table outlives it. */
int sampler_new(struct table *, struct sampler **ret);
void sampler_free(struct sampler *);
/* As if it had never looked: every session is reported as changed. */
void sampler_reset(struct sampler *);

struct sample {
	uint32_t slot;
	/* Begun, ended, or other words: what its user is now is for table_sessions() to say, and whose it is for
	 * sampler_who(). Else it was heard, and that is all. */
	bool is_changed;
	uint64_t last_seen_ms; /* Unix time; of one that was heard */
};

/* What moved among a worker's slots from '*cursor' on, at most 'max' of them; '*cursor', 0 at first, is UINT32_MAX when the
 * end was reached. Each is reported once, and as it was when looked at: what comes after is for the next time. */
int sampler_look(struct sampler *, unsigned worker, struct instant now, uint32_t *cursor,
	struct sample *ret, size_t max, size_t *ret_n) REQUIRES(role_store);

/* Whose session it is that is in a slot which was reported as changed: the length of the id; 0: nobody's. What the table says
 * of that user from now on has in it whatever was reported of the slot so far, and is not reported again. */
size_t sampler_who(struct sampler *, unsigned worker, uint32_t slot, char ret_user[USER_MAX])
	REQUIRES(role_store);

#endif
