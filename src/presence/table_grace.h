/* What becomes of a session when its connection ends, and how another one goes on with it.
 *
 * A session in its grace is a record without a connection. Nothing is told of it; it counts as any; when the grace is over
 * the watchdog ends it and its watchers are told, with the moment of its end. A login of the same user and device
 * goes on with it, and so does one that shows the session's secret, at any time.
 *
 * Baggage  Whom the connection watched. Its own worker packs that, for the watch index is nobody else's: as the connection
 *          ends, or, where a login with the secret replaces it while it lives, when the worker finds its session ended
 *          elsewhere (table_owes_baggage). The new connection's worker is then given the new session in its list.
 * Threads  Workers. Each with an actor of its own.
 * Memory   Some 100 bytes a session in grace, and its pack. Where that is refused the session ends at once.
 * The rest as in table.h. */
#ifndef PRESENCE_TABLE_GRACE_H
#define PRESENCE_TABLE_GRACE_H

#include "presence/table.h"
#include "presence/watch_pack.h"

/* What shows that somebody may go on with the session; 48 characters. False: there is no grace, or no memory. */
enum { RESUME_TEXT_MAX = 49 };
bool table_resume_text(const struct table *, uint64_t id, char ret[RESUME_TEXT_MAX]);

/* Whether sessions have a grace: else there is no baggage to pack. */
bool table_has_grace(const struct table *);

/* The session's connection has ended with CLOSED or RESET, and the caller forgets it. Ended with it, or, where there is a
 * grace, KEPT: then the record is not the caller's to release, but comes back by its list when it is. The baggage
 * is taken over. */
enum loss { LOSS_STALE, LOSS_ENDED, LOSS_KEPT };
enum loss table_lose(struct table *, struct actor *, struct session *, uint64_t id, enum reason,
	struct baggage, struct instant now) REQUIRES(role_worker);

/* The connection is gone, the session stays until its timeout. False where it had ended already. The baggage is taken
 * over. */
bool table_detach(struct table *, struct actor *, struct session *, uint64_t id, struct baggage)
	REQUIRES(role_worker);

/* Of a session that is parting, from its list: its time was over. The connection is to be closed, and is forgotten here:
 * its baggage is due then, by table_deliver_baggage(). Or bytes came since the verdict: it goes on as if that had not
 * been. Or it has ended meanwhile, and is to be treated as any ended session from the list. */
enum parting { PARTING_CLOSE, PARTING_ALIVE, PARTING_ENDED };
enum parting table_part(struct table *, struct session *, uint64_t id) REQUIRES(role_worker);

/* Owner, of a session that others have ended: whose baggage is wanted, an id; 0: nobody's. If it is, it is due, once and
 * before table_release(). */
uint64_t table_owes_baggage(const struct session *) REQUIRES(role_worker);
/* Taken over in any case; who waits for it gets its session in its list. */
void table_deliver_baggage(struct table *, struct actor *, struct session *, uint64_t id,
	struct baggage) REQUIRES(role_worker);

/* Of a session whose baggage was late, whenever its worker has it from the list, after table_acquit(); with 'is_last_call'
 * it is not waited for any longer. */
enum claim { CLAIM_THERE, CLAIM_LATE, CLAIM_GIVEN_UP, CLAIM_STALE };
enum claim table_claim_baggage(struct table *, struct session *, uint64_t id, bool is_last_call,
	struct baggage *ret) REQUIRES(role_worker);

#endif
