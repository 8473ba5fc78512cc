#include "feed/history.h"

#include "base/ensure.h"
#include "base/hash.h"
#include "base/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	struct entry *newer;
	uint64_t seq, at_ms, last_seen_ms;
	struct evidence evidence;
	uint8_t state, reason, device_len;
	char device[];
};

struct past {
	struct past *next; /* in its bucket */
	struct past *older, *younger; /* by the last change */
	struct entry *oldest, *newest;
	uint64_t hash;
	uint32_t n;
	uint8_t len;
	char user[];
};

struct history_data {
	struct past **buckets;
	struct past *oldest, *youngest;
	uint64_t n_users, n_transitions;
};

struct history {
	/* const after start */
	uint64_t seed, n_total;
	size_t n_buckets; /* a power of two */
	uint32_t n_per_user;
	struct lock lock;
	/* guarded: lock; by history_data(). The one who notes is the only one who changes it, and reads it without. */
	struct history_data guarded;
};

static inline struct history_data *history_data(struct history *h) REQUIRES(h->lock)
{
	return &h->guarded;
}

static struct past **bucket_of(struct history *h, uint64_t hash)
{
	return &h->guarded.buckets[hash & (h->n_buckets - 1)];
}

static struct past *find(struct history *h, const char *user, size_t len, uint64_t hash)
{
	struct past *p = *bucket_of(h, hash);
	while (p && (p->hash != hash || p->len != len || memcmp(p->user, user, len) != 0))
		p = p->next;
	return p;
}

static void past_free(struct past *p)
{
	struct entry *newer;
	for (struct entry *e = p ? p->oldest : NULL; e; e = newer) {
		newer = e->newer;
		free(e);
	}
	free(p);
}

/* --- creation --- */

int history_new(uint32_t n_per_user, uint64_t n_total, struct history **ret)
{
	ensure(n_per_user >= 1 && n_total >= 1);
	struct history *h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->seed = random_u64();
	h->n_total = n_total;
	h->n_per_user = n_per_user < n_total ? n_per_user : (uint32_t)n_total;
	h->n_buckets = 16;
	while (h->n_buckets < n_total / 4)
		h->n_buckets *= 2;
	h->guarded.buckets = calloc(h->n_buckets, sizeof(*h->guarded.buckets));
	if (!h->guarded.buckets) {
		free(h);
		return -ENOMEM;
	}
	lock_init(&h->lock, RANK_FEED);
	*ret = h;
	return 0;
}

void history_free(struct history *h)
{
	if (!h)
		return;
	struct past *younger;
	for (struct past *p = h->guarded.oldest; p; p = younger) {
		younger = p->younger;
		past_free(p);
	}
	free(h->guarded.buckets);
	lock_destroy(&h->lock);
	free(h);
}

/* --- noting --- */

static struct entry *entry_new(const struct event *e)
{
	struct entry *entry = malloc(sizeof(*entry) + e->device_len);
	if (!entry)
		return NULL;
	*entry = (struct entry){.seq = e->seq,
		.at_ms = e->at_ms,
		.last_seen_ms = e->last_seen_ms,
		.evidence = e->evidence,
		.state = e->state,
		.reason = e->reason,
		.device_len = e->device_len};
	memcpy(entry->device, event_device(e), e->device_len);
	return entry;
}

static struct past *past_new(const struct event *e, uint64_t hash)
{
	struct past *p = malloc(sizeof(*p) + e->user_len);
	if (!p)
		return NULL;
	*p = (struct past){.hash = hash, .len = e->user_len};
	memcpy(p->user, event_user(e), e->user_len);
	return p;
}

static void unlink_by_age(struct history_data *data, struct past *p)
{
	if (p->older)
		p->older->younger = p->younger;
	else
		data->oldest = p->younger;
	if (p->younger)
		p->younger->older = p->older;
	else
		data->youngest = p->older;
}

static void link_youngest(struct history_data *data, struct past *p)
{
	p->younger = NULL;
	p->older = data->youngest;
	if (data->youngest)
		data->youngest->younger = p;
	else
		data->oldest = p;
	data->youngest = p;
}

/* The user who changed longest ago, taken out. */
static struct past *take_oldest(struct history *h) REQUIRES(h->lock)
{
	struct history_data *data = history_data(h);
	struct past *p = data->oldest;
	struct past **place = bucket_of(h, p->hash);
	unlink_by_age(data, p);
	while (*place != p)
		place = &(*place)->next;
	*place = p->next;
	data->n_users--;
	data->n_transitions -= p->n;
	return p;
}

/* The entry becomes the newest of 'p'; the one that is too many then. */
static struct entry *append(struct history *h, struct past *p, struct entry *entry)
	REQUIRES(h->lock)
{
	struct history_data *data = history_data(h);
	if (p->newest)
		p->newest->newer = entry;
	else
		p->oldest = entry;
	p->newest = entry;
	if (p->n < h->n_per_user) {
		p->n++;
		data->n_transitions++;
		return NULL;
	}
	struct entry *spent = p->oldest;
	p->oldest = spent->newer;
	return spent;
}

int history_note(struct history *h, const struct event *e, unsigned *ret_n_forgotten)
{
	uint64_t hash = hash_bytes(event_user(e), e->user_len, h->seed);
	struct past *p = find(h, event_user(e), e->user_len, hash); /* see 'guarded' */
	struct past *fresh = p ? NULL : past_new(e, hash);
	struct entry *entry = entry_new(e);
	if (!entry || (!p && !fresh)) {
		free(entry);
		free(fresh);
		return -ENOMEM;
	}

	struct past *forgotten = NULL;
	lock_acquire(&h->lock);
	struct history_data *data = history_data(h);
	if (fresh) {
		p = fresh;
		struct past **bucket = bucket_of(h, hash);
		p->next = *bucket;
		*bucket = p;
		data->n_users++;
	} else {
		unlink_by_age(data, p);
	}
	link_youngest(data, p);
	struct entry *spent = append(h, p, entry);
	/* One more than there may be: then somebody else is older, for one user has no more than all may have. */
	if (data->n_transitions > h->n_total)
		forgotten = take_oldest(h);
	lock_release(&h->lock);

	free(spent);
	past_free(forgotten);
	*ret_n_forgotten = forgotten ? 1 : 0;
	return 0;
}

/* --- reading --- */

static void copy(const struct entry *e, struct transition *ret)
{
	ret->seq = e->seq;
	ret->at_ms = e->at_ms;
	ret->last_seen_ms = e->last_seen_ms;
	ret->evidence = e->evidence;
	ret->state = e->state;
	ret->reason = e->reason;
	ret->device_len = e->device_len;
	memcpy(ret->device, e->device, e->device_len);
}

size_t history_read(
	struct history *h, const char *user, size_t len, struct transition *to, size_t max)
{
	uint64_t hash = hash_bytes(user, len, h->seed);
	size_t n = 0;

	lock_acquire(&h->lock);
	const struct past *p = find(h, user, len, hash);
	if (p) {
		size_t skip = p->n > max ? p->n - max : 0;
		n = p->n - skip;
		/* They are kept the oldest first. */
		size_t at = n;
		for (const struct entry *e = p->oldest; e; e = e->newer)
			if (skip > 0)
				skip--;
			else
				copy(e, &to[--at]);
	}
	lock_release(&h->lock);
	return n;
}

void history_count(struct history *h, uint64_t *ret_n_users, uint64_t *ret_n_transitions)
{
	lock_acquire(&h->lock);
	*ret_n_users = history_data(h)->n_users;
	*ret_n_transitions = history_data(h)->n_transitions;
	lock_release(&h->lock);
}
