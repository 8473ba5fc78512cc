/* The feed under nine threads: four make events of a few users, with a mailbox that is too small; the feed's own moves them
 * into a ring that is too small; three follow, and one reads histories. Followers do as admin/events.c does: where their
 * cursor is gone they read the table, user by user, beside its changes, and go on from there.
 *
 * Checked all the time: of a user no follower is told a number twice, or one that goes back, and none from the barrier
 * on that the reading of the table had already; who sleeps is woken. At the end each follower's last word of every user
 * is the table's, posted = moved + lost, and every event is freed (by the sanitizer). */
#include "support/torture.h"

#include "base/lock.h"
#include "feed/feed.h"
#include "net/descriptors.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum {
	N_PRODUCERS = 4,
	N_FOLLOWERS = 3,
	N_USERS = 48,
	N_STRIPES = 8,
	N_HISTORY = 4,
	RING = 2048,
	MAILBOX = 2048,
	ASLEEP_FOREVER_MS = 15000
};

struct stripe {
	struct lock lock;
	uint64_t counter;
};

struct producer {
	struct rng rng;
	struct event_spares spares;
	uint64_t n_posted, n_lost;
	pthread_t thread;
};

struct follower {
	struct rng rng;
	struct feed_listener listener;
	uint64_t cursor, known[N_USERS], barriers[N_USERS];
	uint64_t n_told, n_skipped, n_resets, n_sleeps;
	pthread_t thread;
};

static struct torture torture;
static struct feed *feed;
static struct counters counters;
static struct stripe stripes[N_STRIPES];
static uint64_t users[N_USERS]; /* guarded: the stripe's lock. The last number of each */
static struct producer producers[N_PRODUCERS];
static struct follower followers[N_FOLLOWERS];
static _Atomic bool is_over; /* all has been posted */

static struct stripe *stripe_of(unsigned user)
{
	return &stripes[user % N_STRIPES];
}

/* --- producers --- */

static struct event *event_of(struct producer *p, unsigned user, uint64_t seq)
{
	char name[2] = {(char)('0' + user), '\0'};
	struct snapshot snapshot = {.is_known = true, .seq = seq};
	struct cause cause = {.device_len = 0};
	struct event *e = event_make(&p->spares, name, 1, user, &snapshot, &cause);
	CHECK(e);
	return e;
}

static void change(struct producer *p)
{
	unsigned user = rng_below(&p->rng, N_USERS);
	struct stripe *st = stripe_of(user);
	bool wake = false;
	event_spares_fill(&p->spares);
	lock_acquire(&st->lock);
	users[user] = ++st->counter;
	struct event *e = event_of(p, user, users[user]);
	if (mailbox_post(feed_mailbox(feed), e, &wake))
		p->n_posted++;
	else
		p->n_lost++;
	event_unref(e);
	lock_release(&st->lock);
	if (wake)
		wakeup_signal(feed_wakeup(feed));
}

static void *produce(void *argument)
{
	struct producer *p = argument;
	for (uint64_t i = 0; i < torture.n_ops / N_PRODUCERS; i++) {
		change(p);
		/* A calm now and then, of any length, so that followers come up with it. */
		if (rng_below(&p->rng, 24) == 0)
			for (unsigned n = rng_below(&p->rng, 64); n > 0; n--)
				sched_yield();
		if (i % 256 == 0 && torture_is_late(&torture))
			break;
	}
	event_spares_free(&p->spares);
	return NULL;
}

/* --- followers --- */

static void begin_again(struct follower *f)
{
	f->n_resets++;
	f->cursor = feed_end(feed);
	for (unsigned user = 0; user < N_USERS; user++) {
		lock_acquire(&stripe_of(user)->lock);
		uint64_t seq = users[user];
		lock_release(&stripe_of(user)->lock);
		CHECK(seq >= f->known[user]);
		f->known[user] = seq;
		f->barriers[user] = feed_barrier(feed);
		if (rng_below(&f->rng, 8) == 0)
			sched_yield();
	}
}

static void hear(struct follower *f, const struct event *e, uint64_t number)
{
	unsigned user = (unsigned)e->user_hash;
	if (number < f->barriers[user] && e->seq <= f->known[user]) {
		f->n_skipped++;
		return;
	}
	CHECK(e->seq > f->known[user]);
	f->known[user] = e->seq;
	f->n_told++;
}

static bool knows_all(const struct follower *f)
{
	for (unsigned user = 0; user < N_USERS; user++) {
		lock_acquire(&stripe_of(user)->lock);
		bool is_known = users[user] == f->known[user];
		lock_release(&stripe_of(user)->lock);
		if (!is_known)
			return false;
	}
	return true;
}

static void fall_asleep(struct follower *f)
{
	struct pollfd wakeup = {.fd = f->listener.wakeup, .events = POLLIN};
	if (!feed_sleep(feed, &f->listener, f->cursor) || atomic_load(&is_over))
		return;
	CHECK(poll(&wakeup, 1, ASLEEP_FOREVER_MS) == 1); /* else: a wake-up was lost */
	wakeup_drain(f->listener.wakeup);
	f->n_sleeps++;
}

static void *follow(void *argument)
{
	struct follower *f = argument;
	struct event *events[16];
	size_t n;
	uint64_t end_ms = 0;
	while (!atomic_load(&is_over) || !knows_all(f)) {
		if (atomic_load(&is_over)) {
			end_ms = end_ms ? end_ms : clock_mono_ms() + ASLEEP_FOREVER_MS;
			CHECK(clock_mono_ms() < end_ms); /* it never comes to know it all */
		}
		uint64_t number = f->cursor;
		if (feed_read(feed, &f->cursor, events, 1 + rng_below(&f->rng, 16), &n)) {
			begin_again(f);
			continue;
		}
		for (size_t i = 0; i < n; i++) {
			hear(f, events[i], number + i);
			event_unref(events[i]);
		}
		if (n == 0)
			fall_asleep(f);
		else if (rng_below(&f->rng, 64) == 0)
			sched_yield();
	}
	return NULL;
}

static void *look_back(void *argument)
{
	struct rng rng = {torture.seed + 99};
	while (!atomic_load(&is_over)) {
		struct transition all[N_HISTORY];
		unsigned user = rng_below(&rng, N_USERS);
		char name[2] = {(char)('0' + user), '\0'};
		size_t n = feed_history(feed, name, 1, all, N_HISTORY);
		for (size_t i = 1; i < n; i++)
			CHECK(all[i].seq < all[i - 1].seq);
		struct feed_counts counts = feed_count(feed);
		CHECK(counts.n_kept <= RING &&
			counts.n_transitions <= (uint64_t)N_HISTORY * N_USERS);
		sched_yield();
	}
	return argument;
}

/* --- */

static void set_up(void)
{
	struct feed_params params = {.n_events = RING,
		.n_history = N_HISTORY,
		.n_history_total = N_HISTORY * N_USERS / 2, /* some are forgotten */
		.mailbox_capacity = MAILBOX,
		.counters = &counters};
	CHECK(feed_new(&params, &feed) == 0);
	for (unsigned i = 0; i < N_STRIPES; i++)
		lock_init(&stripes[i].lock, RANK_STRIPE);
	for (unsigned i = 0; i < N_PRODUCERS; i++)
		producers[i].rng.state = torture.seed * N_PRODUCERS + i;
	for (unsigned i = 0; i < N_FOLLOWERS; i++) {
		followers[i].rng.state = torture.seed * 31 + i;
		CHECK(wakeup_open(&followers[i].listener.wakeup) == 0);
		feed_listen(feed, &followers[i].listener);
	}
	CHECK(feed_start(feed) == 0);
}

static void play(void)
{
	pthread_t historian;
	for (unsigned i = 0; i < N_FOLLOWERS; i++)
		CHECK(pthread_create(&followers[i].thread, NULL, follow, &followers[i]) == 0);
	CHECK(pthread_create(&historian, NULL, look_back, NULL) == 0);
	for (unsigned i = 0; i < N_PRODUCERS; i++)
		CHECK(pthread_create(&producers[i].thread, NULL, produce, &producers[i]) == 0);
	for (unsigned i = 0; i < N_PRODUCERS; i++)
		CHECK(pthread_join(producers[i].thread, NULL) == 0);
	atomic_store(&is_over, true);
	for (unsigned i = 0; i < N_FOLLOWERS; i++) {
		wakeup_signal(followers[i].listener.wakeup);
		CHECK(pthread_join(followers[i].thread, NULL) == 0);
	}
	CHECK(pthread_join(historian, NULL) == 0);
	feed_stop(feed);
}

int main(int argc, char **argv)
{
	torture = torture_begin(argc, argv, IS_SANITIZED ? 300000 : 1000000);
	set_up();
	play();
	uint64_t n_posted = 0, n_lost = 0, n_told = 0, n_resets = 0, n_skipped = 0, n_sleeps = 0;
	for (unsigned i = 0; i < N_PRODUCERS; i++) {
		n_posted += producers[i].n_posted;
		n_lost += producers[i].n_lost;
	}
	for (unsigned i = 0; i < N_FOLLOWERS; i++) {
		struct follower *f = &followers[i];
		CHECK(knows_all(f));
		n_told += f->n_told;
		n_resets += f->n_resets;
		n_skipped += f->n_skipped;
		n_sleeps += f->n_sleeps;
		feed_unlisten(feed, &f->listener);
		close(f->listener.wakeup);
	}
	CHECK(counter_read(&counters, COUNTER_feed_events) == n_posted);
	CHECK(feed_count(feed).n_events == n_posted);
	CHECK(mailbox_depth(feed_mailbox(feed)) == 0);
	CHECK(n_lost == 0 || counter_read(&counters, COUNTER_feed_gaps) > 0);
	CHECK(counter_read(&counters, COUNTER_out_of_memory) == 0);
	printf("%llu posted, %llu lost in %llu gaps, %llu told, %llu held back, %llu resets, %llu sleeps, %llu forgotten, "
	       "%llu ms\n",
		(unsigned long long)n_posted, (unsigned long long)n_lost,
		(unsigned long long)counter_read(&counters, COUNTER_feed_gaps),
		(unsigned long long)n_told, (unsigned long long)n_skipped,
		(unsigned long long)n_resets, (unsigned long long)n_sleeps,
		(unsigned long long)counter_read(&counters, COUNTER_history_forgotten),
		(unsigned long long)(clock_mono_ms() - torture.began_ms));
	feed_free(feed);
	for (unsigned i = 0; i < N_STRIPES; i++)
		lock_destroy(&stripes[i].lock);
	return 0;
}
