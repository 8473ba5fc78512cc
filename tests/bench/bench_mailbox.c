/* The mailbox: what posting an event and taking it cost, and how long it takes to wake a sleeping owner. */
#include "base/clock.h"
#include "figure.h"
#include "options.h"
#include "presence/event.h"
#include "presence/mailbox.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { CAPACITY = 4096, WAKE_PAUSE_US = 500 };

static uint64_t n_rounds = 2000, n_wakes = 2000;

/* An event of one's own making: here only its references count. */
static struct event *make_event(void)
{
	struct event *event = calloc(1, sizeof(*event) + 16);

	if (event)
		atomic_init(&event->n_refs, 1);
	return event;
}

/* A full ring in, a full ring out, by one thread: no waiting in the figures. */
static int measure_posts(struct mailbox *mailbox, struct event *event)
{
	uint64_t post_ns = 0, take_ns = 0;

	for (uint64_t round = 0; round < n_rounds; round++) {
		uint64_t start_ns = clock_mono_ns(), middle_ns;
		unsigned n = 0;
		bool wake = false;

		while (n < CAPACITY && mailbox_post(mailbox, event, &wake))
			n++;
		middle_ns = clock_mono_ns();
		for (struct event *taken; (taken = mailbox_take(mailbox)); n--)
			event_unref(taken);
		if (n)
			return -EPROTO;
		post_ns += middle_ns - start_ns;
		take_ns += clock_mono_ns() - middle_ns;
	}
	figure_of("mailbox", "\"capacity\":%d", CAPACITY);
	figure_print("post_ns", (double)post_ns / (double)(n_rounds * CAPACITY), "ns");
	figure_print("take_ns", (double)take_ns / (double)(n_rounds * CAPACITY), "ns");
	return 0;
}

struct owner {
	struct mailbox *mailbox;
	int wake_fd;
	/* atomic: the producer -> the owner, relaxed: ordered by the mailbox */
	_Atomic uint64_t posted_ns;
	struct histogram wake_ns;
};

/* Sleeps as a worker does, and notes how long after the post it has the event. */
static void *own(void *arg)
{
	struct owner *owner = arg;
	uint64_t n, n_taken = 0;

	while (n_taken < n_wakes) {
		struct event *event;

		if (mailbox_sleep(owner->mailbox) && read(owner->wake_fd, &n, sizeof(n)) < 0)
			break;
		mailbox_wake(owner->mailbox);
		while ((event = mailbox_take(owner->mailbox))) {
			uint64_t posted_ns =
				atomic_load_explicit(&owner->posted_ns, memory_order_relaxed);

			histogram_record(&owner->wake_ns, clock_mono_ns() - posted_ns);
			event_unref(event);
			n_taken++;
		}
	}
	return NULL;
}

static int measure_wakes(struct mailbox *mailbox, struct event *event)
{
	/* The pause lets the owner go to sleep: to be woken is what is measured. */
	struct timespec pause = {.tv_nsec = WAKE_PAUSE_US * 1000};
	struct owner owner = {.mailbox = mailbox, .wake_fd = eventfd(0, EFD_CLOEXEC)};
	uint64_t one = 1;
	pthread_t thread;
	int error = owner.wake_fd < 0 ? -errno : -pthread_create(&thread, NULL, own, &owner);

	for (uint64_t i = 0; i < n_wakes && !error; i++) {
		bool wake = false;

		nanosleep(&pause, NULL);
		atomic_store_explicit(&owner.posted_ns, clock_mono_ns(), memory_order_relaxed);
		(void)mailbox_post(mailbox, event, &wake);
		if (wake && write(owner.wake_fd, &one, sizeof(one)) < 0)
			error = -errno;
	}
	if (error)
		return error;
	pthread_join(thread, NULL);
	close(owner.wake_fd);
	figure_of("mailbox", "\"wakes\":%" PRIu64, n_wakes);
	figure_print_quantiles("wake", &owner.wake_ns, "us");
	return 0;
}

int main(int argc, char **argv)
{
	const struct option_spec own_options[] = {
		{.name = "rounds", .number = &n_rounds},
		{.name = "wakes", .number = &n_wakes},
		{.name = NULL},
	};
	struct event *event = make_event();
	struct mailbox mailbox;
	int error;

	options_read_own(argc, argv, own_options);
	error = event ? mailbox_init(&mailbox, CAPACITY) : -ENOMEM;
	if (!error)
		error = measure_posts(&mailbox, event);
	if (!error)
		error = measure_wakes(&mailbox, event);
	if (error) {
		fprintf(stderr, "bench_mailbox: %s\n", strerror(-error));
		return 1;
	}
	mailbox_destroy(&mailbox);
	event_unref(event);
	return 0;
}
