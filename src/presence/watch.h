/* Watch index: one worker's own record of who watches whom, and of what each watcher has yet to be told.
 *
 * Owns     watched users (those that some connection of this worker watches), watches (one a pair), and the
 *          dirty marks. A watcher is embedded in whatever the caller has for a connection.
 * Threads  the owning worker's only; no lock.
 * Events   Newest state only. An event for a user replaces the one before and marks the user's watches
 *          dirty, a slice at a time (watch_spread); a connection with dirty watches is linked into the flush list;
 *          whoever writes to it takes them one by one and says which number was told. A watch is told a number
 *          only if it is above what it was told before: here, and nowhere else, promise 3 (order) is kept.
 * Memory   72 bytes a watch and its map's bucket, 128 and the id a watched user. The event of a user is held
 *          while a watch of it is dirty, and at most params 'max_held' of them at once: beyond that
 *          only the number is kept and the writer reads the table. So a mass death costs its marks.
 * Time     none. Errors 0 or negative errno. */
#ifndef PRESENCE_WATCH_H
#define PRESENCE_WATCH_H

#include "base/lock.h"
#include "base/map.h"
#include "presence/event.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct watch_index;

/* A list of watches, linked through 'in_watcher'. */
struct watch_list {
	struct watch *first, *last;
};

/* A connection that watches. Zeroed at first; 'is_flushing' etc. are the index's. */
struct watcher {
	struct watch_list clean, dirty;
	uint32_t n_watches;
	bool is_flushing; /* in the flush list */
	struct watcher *flush_prev, *flush_next;
};

struct watched {
	struct map_node node;
	struct watch *cursor; /* the ring of its watches; the next to be marked dirty */
	uint32_t n_watches;
	uint32_t n_unmarked; /* still to be marked dirty, from the cursor on */
	uint32_t n_dirty;
	uint8_t user_len;
	bool is_news; /* in the news list */
	uint64_t seq; /* the newest number known here */
	struct event *event; /* the newest event; NULL: read the table */
	struct watched *news_prev, *news_next;
	struct watched *all_prev, *all_next; /* a ring of all that are watched here */
	char user[];
};

struct watch {
	struct map_node node; /* by watcher and watched */
	struct watched *watched;
	struct watcher *watcher;
	struct watch *ring_prev, *ring_next; /* of the same user */
	struct watch *in_prev, *in_next; /* of the same watcher: in its clean or its dirty list */
	uint64_t told : 63, is_dirty : 1; /* the number that the watcher was told last */
};

int watch_index_new(uint32_t max_held, struct watch_index **ret);
void watch_index_free(struct watch_index *); /* with all that is in it; watchers are the caller's */

/* The watch of that user by that watcher; NULL where there is none. 'hash' is table_hash() of the id. */
struct watch *watch_find(const struct watch_index *, const struct watcher *, const char *user,
	size_t len, uint64_t hash);

/* A new watch, clean, told nothing yet (0); there was none. The caller then reads the table (table_watch) and says
 * with watch_set_told() what its snapshot holds. -ENOMEM. */
int watch_add(struct watch_index *, struct watcher *, const char *user, size_t len, uint64_t hash,
	struct watch **ret);
void watch_set_told(struct watch_index *, struct watch *, uint64_t seq);

/* Ends the watch. True where it was this worker's last of that user: 'ret_user' (USER_MAX bytes) then holds the id,
 * for table_unwatch(). */
bool watch_remove(struct watch_index *, struct watch *, char *ret_user, size_t *ret_len);

/* Any watch of the watcher; NULL when it has none left. */
struct watch *watch_any(const struct watcher *);

/* News of a user: takes over the caller's reference. False where nobody here watches that user any more, or newer
 * is known. */
bool watch_news(struct watch_index *, struct event *);
/* Reading again all that is watched, a slice at a time: _begin (also while one is under way: then all are read
 * once more), then _next until NULL. Users may come and go between the slices. watch_news_seq(): the table says
 * that the user's last event has number 'seq'. */
void watch_resync_begin(struct watch_index *);
bool watch_is_resyncing(const struct watch_index *);
struct watched *watch_resync_next(struct watch_index *);
void watch_news_seq(struct watch_index *, struct watched *, uint64_t seq);

/* Nothing to read again, to mark or to flush. */
bool watch_is_idle(const struct watch_index *);

/* Marks at most 'budget' watches dirty; how many were. has_news: whether there are more to mark. */
size_t watch_spread(struct watch_index *, size_t budget);
bool watch_has_news(const struct watch_index *);
/* News that were never told to a watcher, since a newer one took their place; counted since the last call. */
uint64_t watch_take_skipped(struct watch_index *);

/* The next watcher of the flush list, taken out of it; NULL when it is empty. */
struct watcher *watch_next_flush(struct watch_index *);
bool watch_has_flush(const struct watch_index *);
/* Put (again) into the flush list, at its end, where it has dirty watches. */
void watch_want_flush(struct watch_index *, struct watcher *);
void watch_forget_flush(struct watch_index *, struct watcher *);

/* The watcher's oldest dirty watch; it stays so until watch_set_told(). NULL when it is all told. One whose news were
 * told already (a snapshot held them) is cleaned here and not returned. */
struct watch *watch_next_dirty(struct watch_index *, struct watcher *);

uint64_t watch_count(const struct watch_index *); /* watches */
uint64_t watch_held(const struct watch_index *); /* events held */

#endif
