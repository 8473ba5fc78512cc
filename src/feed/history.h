/* History: the last transitions of recently changed users, each with what the server knew as it happened.
 *
 * Owns     for each user that changed recently its last n_per_user transitions, and n_total of all users: beyond that
 *          whoever changed longest ago is forgotten with all of them.
 * Threads  history_note: one, the feed's. history_read, history_count: any.
 * Locks    RANK_FEED, over one user's transitions; nothing is allocated or freed under it, or called.
 * Memory   some 100 bytes a transition and 80 and the id a user: at HISTORY_TOTAL 13 MB and, were they all of different
 *          users, 15 MB more.
 * Errors   0 or negative errno. */
#ifndef FEED_HISTORY_H
#define FEED_HISTORY_H

#include "presence/event.h"

enum { HISTORY_TOTAL = 131072 };

struct transition {
	uint64_t seq, at_ms, last_seen_ms;
	struct evidence evidence;
	uint8_t state, reason; /* enum state, enum reason */
	uint8_t device_len; /* 0: its name is the session's */
	char device[DEVICE_MAX];
};

struct history;

/* Both numbers are at least 1. -ENOMEM */
int history_new(uint32_t n_per_user, uint64_t n_total, struct history **ret);
void history_free(struct history *);

/* The event is this user's newest. '*ret_n_forgotten': users that were forgotten for it. -ENOMEM: it is not noted. */
int history_note(struct history *, const struct event *, unsigned *ret_n_forgotten);

/* The newest first, at most 'max'; how many. */
size_t history_read(
	struct history *, const char *user, size_t len, struct transition *, size_t max);

void history_count(struct history *, uint64_t *ret_n_users, uint64_t *ret_n_transitions);

#endif
