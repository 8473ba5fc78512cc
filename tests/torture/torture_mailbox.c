/* A mailbox with a tiny ring, four producers, and an owner who really sleeps: in poll(2), on an eventfd that only
 * those write who were told to. Producers stop now and then until the owner has had all they sent, so that it falls
 * asleep at every possible moment; a wake-up that is lost leaves it there, and that is the failure.
 *
 * Checked: each producer's events come in its order; posted = taken + refused; a link pushed comes back once;
 * after a refusal the resync flag is seen; every event is freed (by the sanitizer). */
#include "support/torture.h"

#include "presence/mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { N_PRODUCERS = 4, N_LINKS = 8, RING = 8, ASLEEP_FOREVER_MS = 15000 };

struct parcel {
	struct mailbox_link link; /* first */
	_Atomic bool is_out;
	unsigned producer;
};

struct producer {
	unsigned index;
	struct rng rng;
	struct parcel parcels[N_LINKS];
	struct event_spares spares;
	/* the producer's */
	uint64_t n_posted, n_refused, n_pushed, n_wakes;
	/* atomic: owner -> producer */
	_Atomic uint64_t n_taken, n_returned;
	uint64_t last; /* owner: the number taken last */
	pthread_t thread;
};

static struct torture torture;
static struct mailbox mailbox;
static struct producer producers[N_PRODUCERS];
static unsigned n_producing; /* set before these threads are there */
static int wake_fd;
static _Atomic unsigned n_done;
static _Atomic uint64_t n_resyncs; /* atomic: owner -> producers */
static uint64_t n_sleeps;

static void signal_owner(void)
{
	uint64_t one = 1;
	CHECK(write(wake_fd, &one, sizeof(one)) == sizeof(one));
}

static void post(struct producer *p)
{
	struct snapshot snapshot = {.is_known = true, .seq = p->n_posted + p->n_refused + 1};
	event_spares_fill(&p->spares);
	struct event *e = event_make(&p->spares, "p", 1, p->index, &snapshot, NULL);
	CHECK(e);
	bool wake = false;
	uint64_t resyncs = atomic_load(&n_resyncs);
	bool is_in = mailbox_post(&mailbox, e, &wake);
	event_unref(e);
	if (wake) {
		p->n_wakes++;
		signal_owner();
	}
	if (is_in) {
		p->n_posted++;
		return;
	}
	p->n_refused++;
	/* The owner takes the flag after the refusal, whatever it did before. */
	while (atomic_load(&n_resyncs) == resyncs) {
		CHECK(clock_mono_ms() - torture.began_ms < TIME_LIMIT_MS + ASLEEP_FOREVER_MS);
		sched_yield();
	}
}

static void push(struct producer *p)
{
	struct parcel *parcel = &p->parcels[rng_below(&p->rng, N_LINKS)];
	if (atomic_exchange(&parcel->is_out, true))
		return;
	p->n_pushed++;
	if (mailbox_push(&mailbox, &parcel->link)) {
		p->n_wakes++;
		signal_owner();
	}
}

static void wait_for_owner(struct producer *p)
{
	while (atomic_load(&p->n_taken) < p->n_posted || atomic_load(&p->n_returned) < p->n_pushed)
		sched_yield();
}

/* A moment of any length up to a microsecond or so: so that mail comes at every point of a falling asleep. */
static void rest(struct rng *rng)
{
	for (unsigned n = rng_below(rng, 1000); n > 0; n--)
		atomic_signal_fence(memory_order_seq_cst);
}

/* The same, and without giving the processor away. */
static void wait_closely(struct producer *p)
{
	unsigned n = 0;
	while (atomic_load(&p->n_taken) < p->n_posted || atomic_load(&p->n_returned) < p->n_pushed)
		if (++n % 4096 == 0)
			sched_yield();
	rest(&p->rng);
}

static void *produce(void *argument)
{
	struct producer *p = argument;
	uint64_t n = torture.n_ops / 2 / n_producing;
	for (uint64_t i = 0; i < n && !(i % 256 == 0 && torture_is_late(&torture)); i++) {
		if (rng_one_in(&p->rng, 4))
			push(p);
		else
			post(p);
		if (n_producing == 1)
			wait_closely(p);
		else if (rng_one_in(&p->rng, 16))
			wait_for_owner(p);
	}
	wait_for_owner(p);
	event_spares_free(&p->spares);
	/* The last word, by way of a link, so that the owner does not sleep on. */
	atomic_fetch_add(&n_done, 1);
	push(p);
	return NULL;
}

static void take_all(void)
{
	if (mailbox_take_resync(&mailbox))
		atomic_fetch_add(&n_resyncs, 1);
	struct event *e;
	while ((e = mailbox_take(&mailbox))) {
		struct producer *p = &producers[e->user_hash];
		CHECK(e->seq > p->last);
		p->last = e->seq;
		event_unref(e);
		atomic_fetch_add(&p->n_taken, 1);
	}
	struct mailbox_link *next;
	for (struct mailbox_link *l = mailbox_take_links(&mailbox); l; l = next) {
		next = l->next;
		struct parcel *parcel = (struct parcel *)(void *)l;
		CHECK(atomic_load(&parcel->is_out));
		atomic_store(&parcel->is_out, false);
		atomic_fetch_add(&producers[parcel->producer].n_returned, 1);
	}
}

static void own(void)
{
	struct rng rng = {torture.seed};
	while (atomic_load(&n_done) < n_producing) {
		take_all();
		if (n_producing == 1)
			rest(&rng);
		if (!mailbox_sleep(&mailbox))
			continue;
		struct pollfd pfd = {.fd = wake_fd, .events = POLLIN};
		CHECK(poll(&pfd, 1, ASLEEP_FOREVER_MS) == 1); /* else: a wake-up was lost */
		uint64_t n;
		CHECK(read(wake_fd, &n, sizeof(n)) == sizeof(n));
		mailbox_wake(&mailbox);
		n_sleeps++;
	}
}

static void play(unsigned n)
{
	n_producing = n;
	atomic_store(&n_done, 0);
	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_create(&producers[i].thread, NULL, produce, &producers[i]) == 0);
	own();
	for (unsigned i = 0; i < n; i++)
		CHECK(pthread_join(producers[i].thread, NULL) == 0);
	take_all();
}

int main(int argc, char **argv)
{
	torture = torture_begin(argc, argv, IS_SANITIZED ? 400000 : 1000000);
	CHECK(mailbox_init(&mailbox, RING) == 0);
	wake_fd = eventfd(0, EFD_CLOEXEC);
	CHECK(wake_fd >= 0);
	for (unsigned i = 0; i < N_PRODUCERS; i++) {
		struct producer *p = &producers[i];
		p->index = i;
		p->rng.state = torture.seed * N_PRODUCERS + i;
		for (unsigned l = 0; l < N_LINKS; l++)
			p->parcels[l].producer = i;
	}
	/* All at once, for the full ring; then one alone, whose lost wake-up nobody else's mail makes good. */
	play(N_PRODUCERS);
	play(1);

	uint64_t n_posted = 0, n_taken = 0, n_refused = 0, n_pushed = 0, n_wakes = 0;
	for (unsigned i = 0; i < N_PRODUCERS; i++) {
		struct producer *p = &producers[i];
		CHECK(p->n_taken == p->n_posted && p->n_returned == p->n_pushed);
		n_posted += p->n_posted;
		n_taken += p->n_taken;
		n_refused += p->n_refused;
		n_pushed += p->n_pushed;
		n_wakes += p->n_wakes;
	}
	CHECK(mailbox_depth(&mailbox) == 0);
	CHECK(n_refused == 0 || atomic_load(&n_resyncs) > 0);
	CHECK(n_refused == 0 || !mailbox_take_resync(&mailbox));
	printf("%llu posted, %llu taken, %llu refused, %llu resyncs, %llu links, %llu sleeps, %llu wake-ups, %llu ms\n",
		(unsigned long long)n_posted, (unsigned long long)n_taken,
		(unsigned long long)n_refused, (unsigned long long)atomic_load(&n_resyncs),
		(unsigned long long)n_pushed, (unsigned long long)n_sleeps,
		(unsigned long long)n_wakes,
		(unsigned long long)(clock_mono_ms() - torture.began_ms));
	mailbox_destroy(&mailbox);
	close(wake_fd);
	return 0;
}
