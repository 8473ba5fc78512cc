/* Contacts: who is watched, what the server said of each, how long that holds, and which of it the application has
 * yet to be told.
 *
 * Owns     the contacts, each in a hash map, in the order of watching, and (where it changed) in the order of telling.
 * Threads  the client's. Memory one block a contact, one for its status.
 * Time     presence_now(), passed in. Errors 0 or negative errno.
 *
 * A contact whose user may not be looked at any more, because the application unwatched it while it was being told of
 * it, lies in the graveyard until contacts_bury(). */
#ifndef CLIENT_CONTACTS_H
#define CLIENT_CONTACTS_H

#include "base/map.h"
#include "client/c/incoming.h"
#include "presence.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum contact_phase {
	CONTACT_WANTED, /* to be asked for */
	CONTACT_SUSPECT, /* to be asked for in a smaller party: the server refused one that it was in */
	CONTACT_ASKED, /* in the request contact.asked_id */
	CONTACT_WATCHED, /* the server tells of it */
	CONTACT_REFUSED, /* the server does not; until the next login */
	CONTACT_PHASE_N
};

struct contact {
	struct map_node node;
	struct contact *previous, *next; /* in the order of watching */
	struct contact *next_untold; /* in the order of telling, where is_untold */
	bool is_untold;
	bool is_confirmed; /* by this connection: its word holds as long as the connection is heard */
	enum contact_phase phase; /* set by contacts_set_phase() */
	uint64_t asked_id;
	enum presence_truth told; /* the truth that the application knows */
	struct presence_contact
		view; /* but as_of_ms and fresh_until_ms, of one that is confirmed */
	char *status; /* owned; view.status */
	char user[];
};

struct contacts {
	struct map map;
	uint64_t seed;
	struct contact *first, *last;
	struct contact *first_untold, *last_untold;
	struct contact *graveyard; /* by next */
	size_t n;
	size_t n_in[CONTACT_PHASE_N];
	/* Of the connection. */
	uint64_t heard_ms; /* when it was heard last */
	uint64_t timeout_ms;
	uint64_t
		stale_at_ms; /* the first moment at which a contact that is not confirmed goes stale; UINT64_MAX */
};

int contacts_init(struct contacts *); /* -ENOMEM */
void contacts_destroy(struct contacts *);

struct contact *contacts_find(const struct contacts *, const char *user);

/* -ENOMEM; -EEXIST. It is wanted, and its truth unknown. */
int contacts_add(struct contacts *, const char *user, struct contact **ret);
void contacts_remove(struct contacts *, struct contact *);
void contacts_bury(struct contacts *);

/* The server's word, over a connection that is up. A word that is older than what is known (seq) only confirms it.
 * -ENOMEM: the status can't be kept. */
int contacts_apply(struct contacts *, struct contact *, const struct word *);

void contacts_set_phase(struct contacts *, struct contact *, enum contact_phase);

/* The server does not tell of it. */
void contacts_refuse(struct contacts *, struct contact *, enum presence_error);

/* The connection was heard; it is lost: from now on each contact goes stale at its own time, and is to be asked for
 * again with the next login. */
void contacts_heard(struct contacts *, uint64_t now_ms);
void contacts_lost(struct contacts *);

/* Another run of the server counts its events anew. */
void contacts_forget_seq(struct contacts *);

/* Makes those unknown whose word no longer holds. */
void contacts_expire(struct contacts *, uint64_t now_ms);

/* The next one that the application does not know as it is; NULL. It knows it then. */
struct contact *contacts_next_untold(struct contacts *);

/* The contact as it is to be seen at 'now_ms'. Its strings live until it changes. */
struct presence_contact contacts_view(
	const struct contacts *, const struct contact *, uint64_t now_ms);

#endif
