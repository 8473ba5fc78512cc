#include "presence/watch.h"

#include "base/ensure.h"
#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct watch) == 72, "2 words of map, 6 of links, 1 of number and mark");

struct watch_index {
	/* const after start */
	uint32_t max_held;
	/* owner: the worker */
	struct map users; /* struct watched, by the table's hash of the id */
	struct map pairs; /* struct watch, by watcher and watched */
	struct watched *all; /* the ring; where the next resync step goes on */
	uint64_t n_watched;
	uint64_t n_to_resync;
	struct watched *news_first, *news_last; /* with watches to be marked */
	struct watcher *flush_first, *flush_last;
	uint64_t n_watches;
	uint64_t n_skipped; /* since they were asked for last */
	uint32_t n_held;
};

int watch_index_new(uint32_t max_held, struct watch_index **ret)
{
	struct watch_index *x = calloc(1, sizeof(*x));
	if (!x)
		return -ENOMEM;
	x->max_held = max_held;
	if (map_init(&x->users) || map_init(&x->pairs)) {
		watch_index_free(x);
		return -ENOMEM;
	}
	*ret = x;
	return 0;
}

void watch_index_free(struct watch_index *x)
{
	if (!x)
		return;
	char user[USER_MAX];
	size_t len;
	while (x->all)
		watch_remove(x, x->all->cursor, user, &len);
	map_destroy(&x->users);
	map_destroy(&x->pairs);
	free(x);
}

/* --- lists --- */

static void list_append(struct watch_list *l, struct watch *w)
{
	w->in_prev = l->last;
	w->in_next = NULL;
	if (l->last)
		l->last->in_next = w;
	else
		l->first = w;
	l->last = w;
}

static void list_remove(struct watch_list *l, struct watch *w)
{
	if (w->in_prev)
		w->in_prev->in_next = w->in_next;
	else
		l->first = w->in_next;
	if (w->in_next)
		w->in_next->in_prev = w->in_prev;
	else
		l->last = w->in_prev;
}

static struct watch_list *list_of(struct watch *w)
{
	return w->is_dirty ? &w->watcher->dirty : &w->watcher->clean;
}

void watch_want_flush(struct watch_index *x, struct watcher *c)
{
	if (c->is_flushing || !c->dirty.first)
		return;
	c->is_flushing = true;
	c->flush_prev = x->flush_last;
	c->flush_next = NULL;
	if (x->flush_last)
		x->flush_last->flush_next = c;
	else
		x->flush_first = c;
	x->flush_last = c;
}

void watch_forget_flush(struct watch_index *x, struct watcher *c)
{
	if (!c->is_flushing)
		return;
	c->is_flushing = false;
	if (c->flush_prev)
		c->flush_prev->flush_next = c->flush_next;
	else
		x->flush_first = c->flush_next;
	if (c->flush_next)
		c->flush_next->flush_prev = c->flush_prev;
	else
		x->flush_last = c->flush_prev;
}

struct watcher *watch_next_flush(struct watch_index *x)
{
	struct watcher *c = x->flush_first;
	if (c)
		watch_forget_flush(x, c);
	return c;
}

bool watch_has_flush(const struct watch_index *x)
{
	return x->flush_first;
}

static void news_append(struct watch_index *x, struct watched *u)
{
	if (u->is_news)
		return;
	u->is_news = true;
	u->news_prev = x->news_last;
	u->news_next = NULL;
	if (x->news_last)
		x->news_last->news_next = u;
	else
		x->news_first = u;
	x->news_last = u;
}

static void news_remove(struct watch_index *x, struct watched *u)
{
	if (!u->is_news)
		return;
	u->is_news = false;
	if (u->news_prev)
		u->news_prev->news_next = u->news_next;
	else
		x->news_first = u->news_next;
	if (u->news_next)
		u->news_next->news_prev = u->news_prev;
	else
		x->news_last = u->news_prev;
}

/* --- watched users --- */

static struct watched *find_watched(
	const struct watch_index *x, const char *user, size_t len, uint64_t hash)
{
	for (struct map_node *n = map_first(&x->users, hash); n; n = map_next(n)) {
		struct watched *u = (struct watched *)(void *)n;
		if (u->user_len == len && memcmp(u->user, user, len) == 0)
			return u;
	}
	return NULL;
}

/* New ones go just behind the cursor, where a resync under way comes last, and needs not come. */
static struct watched *add_watched(
	struct watch_index *x, const char *user, size_t len, uint64_t hash)
{
	struct watched *u = calloc(1, sizeof(*u) + len);
	if (!u)
		return NULL;
	u->node.hash = hash;
	u->user_len = (uint8_t)len;
	memcpy(u->user, user, len);
	map_insert(&x->users, &u->node);
	if (x->all) {
		u->all_next = x->all;
		u->all_prev = x->all->all_prev;
		u->all_prev->all_next = u;
		x->all->all_prev = u;
	} else {
		x->all = u->all_next = u->all_prev = u;
	}
	x->n_watched++;
	return u;
}

static void drop_event(struct watch_index *x, struct watched *u)
{
	if (!u->event)
		return;
	event_unref(u->event);
	u->event = NULL;
	x->n_held--;
}

static void drop_event_if_told(struct watch_index *x, struct watched *u)
{
	if (u->n_dirty == 0 && u->n_unmarked == 0)
		drop_event(x, u);
}

static void free_watched(struct watch_index *x, struct watched *u)
{
	news_remove(x, u);
	drop_event(x, u);
	map_remove(&x->users, &u->node);
	if (x->all == u)
		x->all = u->all_next == u ? NULL : u->all_next;
	u->all_prev->all_next = u->all_next;
	u->all_next->all_prev = u->all_prev;
	x->n_watched--;
	if (x->n_to_resync > x->n_watched)
		x->n_to_resync = x->n_watched;
	free(u);
}

/* --- watches --- */

static uint64_t pair_hash(const struct watcher *c, const struct watched *u)
{
	return hash_mix((uint64_t)(uintptr_t)c * 31 + (uint64_t)(uintptr_t)u);
}

struct watch *watch_find(const struct watch_index *x, const struct watcher *c, const char *user,
	size_t len, uint64_t hash)
{
	struct watched *u = find_watched(x, user, len, hash);
	if (!u)
		return NULL;
	for (struct map_node *n = map_first(&x->pairs, pair_hash(c, u)); n; n = map_next(n)) {
		struct watch *w = (struct watch *)(void *)n;
		if (w->watcher == c && w->watched == u)
			return w;
	}
	return NULL;
}

int watch_add(struct watch_index *x, struct watcher *c, const char *user, size_t len, uint64_t hash,
	struct watch **ret)
{
	struct watch *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	struct watched *u = find_watched(x, user, len, hash);
	if (!u)
		u = add_watched(x, user, len, hash);
	if (!u) {
		free(w);
		return -ENOMEM;
	}
	w->watched = u;
	w->watcher = c;
	w->node.hash = pair_hash(c, u);
	map_insert(&x->pairs, &w->node);
	/* Just behind the cursor: a spread under way comes there last, and needs not come. */
	if (u->cursor) {
		w->ring_next = u->cursor;
		w->ring_prev = u->cursor->ring_prev;
		w->ring_prev->ring_next = w;
		u->cursor->ring_prev = w;
	} else {
		u->cursor = w->ring_next = w->ring_prev = w;
	}
	u->n_watches++;
	list_append(&c->clean, w);
	c->n_watches++;
	x->n_watches++;
	*ret = w;
	return 0;
}

static void set_clean(struct watch *w)
{
	if (!w->is_dirty)
		return;
	list_remove(&w->watcher->dirty, w);
	w->is_dirty = 0;
	list_append(&w->watcher->clean, w);
	w->watched->n_dirty--;
}

void watch_set_told(struct watch_index *x, struct watch *w, uint64_t seq)
{
	if (seq > w->told)
		w->told = seq & (UINT64_MAX >> 1);
	if (w->told < w->watched->seq)
		return;
	set_clean(w);
	drop_event_if_told(x, w->watched);
}

bool watch_remove(struct watch_index *x, struct watch *w, char *ret_user, size_t *ret_len)
{
	struct watched *u = w->watched;
	struct watcher *c = w->watcher;
	map_remove(&x->pairs, &w->node);
	list_remove(list_of(w), w);
	c->n_watches--;
	if (!c->dirty.first)
		watch_forget_flush(x, c);
	if (u->cursor == w)
		u->cursor = w->ring_next;
	w->ring_prev->ring_next = w->ring_next;
	w->ring_next->ring_prev = w->ring_prev;
	u->n_dirty -= w->is_dirty;
	u->n_watches--;
	x->n_watches--;
	free(w);
	if (u->n_watches == 0) {
		memcpy(ret_user, u->user, u->user_len);
		*ret_len = u->user_len;
		free_watched(x, u);
		return true;
	}
	if (u->n_unmarked > u->n_watches)
		u->n_unmarked = u->n_watches;
	drop_event_if_told(x, u);
	return false;
}

struct watch *watch_any(const struct watcher *c)
{
	return c->clean.first ? c->clean.first : c->dirty.first;
}

/* --- news --- */

/* From the cursor on all around: also where an earlier round was not done, so that no watch is passed over however
 * often news come. */
static void renew(struct watch_index *x, struct watched *u, uint64_t seq)
{
	x->n_skipped += u->n_unmarked;
	u->seq = seq;
	u->n_unmarked = u->n_watches;
	news_append(x, u);
}

bool watch_news(struct watch_index *x, struct event *e)
{
	struct watched *u = find_watched(x, event_user(e), e->user_len, e->user_hash);
	if (!u || e->seq <= u->seq) {
		event_unref(e);
		return false;
	}
	drop_event(x, u);
	renew(x, u, e->seq);
	if (x->n_held < x->max_held) {
		u->event = e;
		x->n_held++;
	} else {
		event_unref(e);
	}
	return true;
}

void watch_news_seq(struct watch_index *x, struct watched *u, uint64_t seq)
{
	if (seq <= u->seq)
		return;
	drop_event(x, u);
	renew(x, u, seq);
}

void watch_resync_begin(struct watch_index *x)
{
	x->n_to_resync = x->n_watched;
}

bool watch_is_resyncing(const struct watch_index *x)
{
	return x->n_to_resync > 0;
}

struct watched *watch_resync_next(struct watch_index *x)
{
	if (x->n_to_resync == 0)
		return NULL;
	struct watched *u = x->all;
	x->all = u->all_next;
	x->n_to_resync--;
	return u;
}

static void mark(struct watch_index *x, struct watch *w)
{
	if (w->told >= w->watched->seq)
		return;
	if (!w->is_dirty) {
		list_remove(&w->watcher->clean, w);
		w->is_dirty = 1;
		list_append(&w->watcher->dirty, w);
		w->watched->n_dirty++;
	} else {
		x->n_skipped++;
	}
	watch_want_flush(x, w->watcher);
}

size_t watch_spread(struct watch_index *x, size_t budget)
{
	size_t n = 0;
	struct watched *u;
	while (n < budget && (u = x->news_first)) {
		for (; u->n_unmarked > 0 && n < budget; n++) {
			mark(x, u->cursor);
			u->cursor = u->cursor->ring_next;
			u->n_unmarked--;
		}
		news_remove(x, u);
		if (u->n_unmarked > 0)
			news_append(x,
				u); /* at the end: whose news never end must not hold up the others */
		else
			drop_event_if_told(x, u);
	}
	return n;
}

bool watch_is_idle(const struct watch_index *x)
{
	return x->n_to_resync == 0 && !x->news_first && !x->flush_first;
}

uint64_t watch_take_skipped(struct watch_index *x)
{
	uint64_t n = x->n_skipped;
	x->n_skipped = 0;
	return n;
}

bool watch_has_news(const struct watch_index *x)
{
	return x->news_first;
}

struct watch *watch_next_dirty(struct watch_index *x, struct watcher *c)
{
	struct watch *w;
	while ((w = c->dirty.first) && w->told >= w->watched->seq) {
		set_clean(w);
		drop_event_if_told(x, w->watched);
	}
	return w;
}

uint64_t watch_count(const struct watch_index *x)
{
	return x->n_watches;
}

uint64_t watch_held(const struct watch_index *x)
{
	return x->n_held;
}
