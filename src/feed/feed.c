#include "feed/feed.h"

#include "base/ensure.h"
#include "net/descriptors.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	BATCH = 128, /* pointers moved under one hold of the lock */
	/* After a batch the thread looks again by itself before it asks to be woken: in a storm it costs the workers
	 * one wake-up and not one an event. The first event after a calm is moved at once. */
	REST_MS = 10
};

struct feed_data {
	struct event **
		ring; /* at number % n_events; may hold what is before 'first', until it is overwritten */
	uint64_t first, next; /* numbers: the oldest that can be read; that of the next event */
	uint64_t
		n_gaps; /* numbers that were given to losses: number = place in the mailbox + gaps before it */
	struct feed_listener *listeners[FEED_LISTENERS_MAX];
	unsigned n_listeners;
};

struct feed {
	/* const after start */
	struct mailbox mailbox;
	struct feed_params params;
	struct history *history; /* NULL: none */
	int wakeup;
	bool has_thread;
	pthread_t thread;
	struct lock lock;
	/* guarded: lock; by feed_data() */
	struct feed_data guarded;
	/* atomic: main -> feed */
	_Atomic bool is_stopping;
};

static inline struct feed_data *feed_data(struct feed *f) REQUIRES(f->lock)
{
	return &f->guarded;
}

/* --- creation --- */

int feed_new(const struct feed_params *params, struct feed **ret)
{
	int err = -ENOMEM;
	struct feed *f = aligned_alloc(CACHE_LINE, sizeof(*f));
	if (!f)
		return err;
	*f = (struct feed){.params = *params, .wakeup = -1};
	if (f->params.mailbox_capacity == 0)
		f->params.mailbox_capacity = FEED_MAILBOX;
	if (f->params.n_history_total == 0)
		f->params.n_history_total = HISTORY_TOTAL;
	lock_init(&f->lock, RANK_FEED);
	err = mailbox_init(&f->mailbox, f->params.mailbox_capacity);
	if (!err)
		err = wakeup_open(&f->wakeup);
	if (!err && params->n_history > 0)
		err = history_new(params->n_history, f->params.n_history_total, &f->history);
	if (!err && params->n_events > 0) {
		f->guarded.ring = calloc(params->n_events, sizeof(*f->guarded.ring));
		err = f->guarded.ring ? 0 : -ENOMEM;
	}
	if (err) {
		feed_free(f);
		return err;
	}
	*ret = f;
	return 0;
}

void feed_free(struct feed *f)
{
	if (!f)
		return;
	ensure(!f->has_thread);
	mailbox_destroy(&f->mailbox);
	for (uint64_t i = 0; f->guarded.ring && i < f->params.n_events; i++)
		event_unref(f->guarded.ring[i]);
	free(f->guarded.ring);
	history_free(f->history);
	if (f->wakeup >= 0)
		close(f->wakeup);
	lock_destroy(&f->lock);
	free(f);
}

struct mailbox *feed_mailbox(struct feed *f)
{
	return &f->mailbox;
}

int feed_wakeup(const struct feed *f)
{
	return f->wakeup;
}

/* --- the turn --- */

/* Under the lock, so that who listens no more is not signalled: an eventfd never blocks, and workers never wait here. */
static void signal_sleepers(struct feed *f) REQUIRES(f->lock)
{
	struct feed_data *data = feed_data(f);
	for (unsigned i = 0; i < data->n_listeners; i++) {
		if (!data->listeners[i]->is_asleep)
			continue;
		data->listeners[i]->is_asleep = false;
		wakeup_signal(data->listeners[i]->wakeup);
	}
}

/* Puts the events into the ring; those that they push out are what 'events' holds then, some of them NULL. Without any:
 * something was lost. */
static void advance(struct feed *f, struct event **events, size_t n)
{
	uint64_t room = f->params.n_events;

	lock_acquire(&f->lock);
	struct feed_data *data = feed_data(f);
	for (size_t i = 0; i < n && room > 0; i++) {
		struct event **place = &data->ring[(data->next + i) % room];
		struct event *spent = *place;
		*place = events[i];
		events[i] = spent;
	}
	data->next += n > 0 ? n : 1;
	if (n == 0) {
		/* A number for what was lost: a cursor that stands here is gone, too. */
		data->n_gaps++;
		data->first = data->next;
	} else if (data->next - data->first > room) {
		data->first = data->next - room;
	}
	signal_sleepers(f);
	lock_release(&f->lock);
}

static void note(struct feed *f, const struct event *e) REQUIRES(role_feed)
{
	unsigned n_forgotten = 0;
	if (history_note(f->history, e, &n_forgotten))
		counter_add(f->params.counters, COUNTER_out_of_memory, 1);
	counter_add(f->params.counters, COUNTER_history_forgotten, n_forgotten);
}

bool feed_turn(struct feed *f)
{
	struct event *events[BATCH];
	size_t n = 0;

	/* The flag before the events: what is lost from here on raises it again. */
	bool has_gap = mailbox_take_resync(&f->mailbox);
	if (has_gap) {
		counter_add(f->params.counters, COUNTER_feed_gaps, 1);
		advance(f, NULL, 0);
	}
	while (n < BATCH && (events[n] = mailbox_take(&f->mailbox))) {
		if (f->history)
			note(f, events[n]);
		n++;
	}
	if (n == 0)
		return has_gap;
	counter_add(f->params.counters, COUNTER_feed_events, n);
	advance(f, events, n);
	for (size_t i = 0; i < n; i++)
		event_unref(events[i]);
	return true;
}

/* --- the thread --- */

static void wait(struct feed *f, int timeout_ms)
{
	struct pollfd wakeup = {.fd = f->wakeup, .events = POLLIN};
	if (poll(&wakeup, 1, timeout_ms) > 0)
		wakeup_drain(f->wakeup);
}

static bool move_all(struct feed *f) REQUIRES(role_feed)
{
	bool has_moved = false;
	while (feed_turn(f))
		has_moved = true;
	return has_moved;
}

static void *feed_main(void *arg)
{
	struct feed *f = arg;
	role_feed_begin();
	while (!atomic_load(&f->is_stopping)) {
		if (move_all(f)) {
			wait(f, REST_MS);
		} else if (mailbox_sleep(&f->mailbox)) {
			wait(f, -1);
			mailbox_wake(&f->mailbox);
		}
	}
	move_all(f);
	return NULL;
}

int feed_start(struct feed *f)
{
	int err = pthread_create(&f->thread, NULL, feed_main, f);
	if (err)
		return -err;
	pthread_setname_np(f->thread, "feed");
	f->has_thread = true;
	return 0;
}

void feed_stop(struct feed *f)
{
	if (!f || !f->has_thread)
		return;
	atomic_store(&f->is_stopping, true);
	wakeup_signal(f->wakeup);
	pthread_join(f->thread, NULL);
	f->has_thread = false;
}

/* --- reading --- */

uint64_t feed_end(struct feed *f)
{
	lock_acquire(&f->lock);
	uint64_t end = feed_data(f)->next;
	lock_release(&f->lock);
	return end;
}

int feed_read(struct feed *f, uint64_t *cursor, struct event **events, size_t max, size_t *ret_n)
{
	int err = -ESTALE;

	lock_acquire(&f->lock);
	struct feed_data *data = feed_data(f);
	if (*cursor >= data->first && *cursor <= data->next) {
		uint64_t left = data->next - *cursor;
		size_t n = left < max ? (size_t)left : max;
		for (size_t i = 0; i < n; i++)
			events[i] = event_ref(data->ring[(*cursor + i) % f->params.n_events]);
		*cursor += n;
		*ret_n = n;
		err = 0;
	}
	lock_release(&f->lock);
	return err;
}

uint64_t feed_barrier(struct feed *f)
{
	lock_acquire(&f->lock);
	uint64_t n_gaps = feed_data(f)->n_gaps;
	lock_release(&f->lock);
	/* A loss in between moves the numbers up, and makes every cursor go: then the barrier says nothing. */
	return mailbox_posted(&f->mailbox) + n_gaps;
}

size_t feed_history(struct feed *f, const char *user, size_t len, struct transition *to, size_t max)
{
	return f->history ? history_read(f->history, user, len, to, max) : 0;
}

/* --- waiting --- */

void feed_listen(struct feed *f, struct feed_listener *listener)
{
	lock_acquire(&f->lock);
	struct feed_data *data = feed_data(f);
	ensure(data->n_listeners < FEED_LISTENERS_MAX);
	listener->is_asleep = false;
	data->listeners[data->n_listeners++] = listener;
	lock_release(&f->lock);
}

void feed_unlisten(struct feed *f, struct feed_listener *listener)
{
	lock_acquire(&f->lock);
	struct feed_data *data = feed_data(f);
	for (unsigned i = 0; i < data->n_listeners; i++)
		if (data->listeners[i] == listener)
			data->listeners[i--] = data->listeners[--data->n_listeners];
	lock_release(&f->lock);
}

bool feed_sleep(struct feed *f, struct feed_listener *listener, uint64_t cursor)
{
	lock_acquire(&f->lock);
	const struct feed_data *data = feed_data(f);
	bool may_sleep = cursor >= data->first && cursor == data->next;
	listener->is_asleep = may_sleep;
	lock_release(&f->lock);
	return may_sleep;
}

struct feed_counts feed_count(struct feed *f)
{
	struct feed_counts c = {.n_users = 0};
	lock_acquire(&f->lock);
	const struct feed_data *data = feed_data(f);
	c.n_events = data->next - data->n_gaps;
	c.n_kept = data->next - data->first;
	lock_release(&f->lock);
	if (f->history)
		history_count(f->history, &c.n_users, &c.n_transitions);
	return c;
}
