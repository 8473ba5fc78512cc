/* An inquiry: what the admin thread asks the workers about the connections of some sessions, and waits for a little.
 *
 * Only a worker may touch its connections. So it is asked, by its mailbox, and answers in its turn; the admin thread waits
 * no longer than it likes, and does without the answers of those who were too busy. At most one inquiry lies with a
 * worker: one that has not taken the last is not asked again.
 * Owns     a block of entries, one a session, shared by the asker and by those who are still to answer; the last of them
 *          frees it.
 * Threads  inquiry_begin, _wait, _address, _end: admin. inquiry_from_link, _answer: the worker that was asked; after the
 *          workers' end whoever empties their mailboxes.
 * Errors   0 or negative errno. */
#ifndef PRESENCE_INQUIRY_H
#define PRESENCE_INQUIRY_H

#include "base/address.h"
#include "presence/table_admin.h"

struct inquiry;

struct inquiry_entry {
	/* const once asked */
	struct mailbox_link link;
	struct inquiry *inquiry;
	uint64_t session_id;
	uint32_t connection; /* the worker's own number for it */
	/* the worker's until it has answered, the asker's then */
	struct address address; /* len 0: not known */
	/* atomic: worker -> asker, with the address */
	_Atomic bool is_answered;
};

/* Asks the workers of these sessions; whom to wake the actor is told. -ENOMEM. */
int inquiry_begin(struct table *, struct actor *, const struct session_view *, size_t n,
	struct inquiry **ret) REQUIRES(role_admin);
/* Until all have answered, or 'timeout_ms' is over. */
void inquiry_wait(struct inquiry *, unsigned timeout_ms) REQUIRES(role_admin);
/* Of the i-th session; false: nobody has said. */
bool inquiry_address(const struct inquiry *, size_t i, struct address *ret) REQUIRES(role_admin);
void inquiry_end(struct inquiry *) REQUIRES(role_admin); /* NULL is fine */

struct inquiry_entry *inquiry_from_link(struct mailbox_link *);
/* The entry is not to be touched after it. NULL: there is no address. */
void inquiry_answer(struct inquiry_entry *, const struct address *);

#endif
