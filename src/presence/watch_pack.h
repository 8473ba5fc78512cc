/* A pack: whom a connection watched, by name, for the one that resumes its session.
 *
 * Owns     one block, immutable once made, handed from one owner to the next.
 * Threads  its owner's. Made by the worker whose watch index the watcher is in.
 * Memory   an id and a byte a watch. Time: one pass over the watcher's list, some 0.1 us a watch. */
#ifndef PRESENCE_WATCH_PACK_H
#define PRESENCE_WATCH_PACK_H

#include "presence/watch.h"

struct watch_pack {
	uint32_t n; /* names */
	uint32_t len, at; /* bytes of them; how far they have been taken out */
	char names[]; /* a byte of length and the id, one after the other */
};

/* All that the watcher (NULL: none) watches, and what another pack (NULL: none) still holds. '*ret' is for free(), NULL
 * where there are none. -ENOMEM. */
int watch_pack_new(const struct watcher *, const struct watch_pack *more, struct watch_pack **ret);

/* The next name out of the pack, which points into it; false at the end. */
bool watch_pack_next(struct watch_pack *, const char **ret_user, size_t *ret_len);
bool watch_pack_has_next(const struct watch_pack *);

#endif
