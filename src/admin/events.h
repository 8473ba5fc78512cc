/* GET /v1/events: every change of every user, as Server-Sent Events; GET /v1/users/{id}/history: the last ones of one.
 *
 * A stream begins with `server`. Then, where the cursor that the client brought (Last-Event-ID, or ?cursor=) can be gone on
 * from, come the events since, each with the next cursor as its `id`. Where it can't (it is of another start of the server, or
 * its event has left the log, or events were lost to the log), and where none was brought: `reset`, all users that are
 * online as `presence` without an id, `live` with an id, and the events since. A stream whose cursor goes while it is
 * read, because its reader is slow, gets the same in its middle.
 *
 * Of one user, what a stream tells never goes back in seq, also while the snapshot and the events run into each other: the table
 * is read in the order of table_page(), and events of users who have not had their turn are left out, for the snapshot will
 * tell them; those of users just read are left out where the reading has them already (feed_barrier()).
 *
 * Threads  the admin thread's. Memory: 1.5 KB a follower, and the ids it asks for. */
#ifndef ADMIN_EVENTS_H
#define ADMIN_EVENTS_H

#include "admin/http_private.h"

enum { EVENTS_USERS_MAX = 1000 }; /* in a filter: a head is 8 KiB */

struct answer events_answer(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer events_history(struct admin *, const struct request *) REQUIRES(role_admin);

#endif
