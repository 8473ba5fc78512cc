#include "feed/feed.h"

#include "base/clock.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { RING = 4, MAILBOX = 8, PATIENCE_MS = 10000 };

static struct counters counters;

static struct feed *make(uint64_t n_events, uint32_t n_history)
{
	struct feed *f;
	struct feed_params params = {.n_events = n_events,
		.n_history = n_history,
		.mailbox_capacity = MAILBOX,
		.counters = &counters};
	memset(&counters, 0, sizeof(counters));
	assert_int_equal(feed_new(&params, &f), 0);
	return f;
}

static bool post_waking(struct feed *f, uint64_t seq, bool *wake)
{
	struct event_spares spares = {.small = NULL};
	struct snapshot snapshot = {.is_known = true, .seq = seq};
	struct cause cause = {.device_len = 0};
	event_spares_fill(&spares);
	struct event *e = event_make(&spares, "bob", 3, 0, &snapshot, &cause);
	event_spares_free(&spares);
	bool is_in = mailbox_post(feed_mailbox(f), e, wake);
	event_unref(e);
	return is_in;
}

static bool post(struct feed *f, uint64_t seq)
{
	bool wake = false;
	return post_waking(f, seq, &wake);
}

static void turn(struct feed *f)
{
	role_feed_begin();
	while (feed_turn(f))
		continue;
}

/* What is read from the cursor on, the numbers with spaces between; "gone". */
static const char *read_from(struct feed *f, uint64_t *cursor, size_t max)
{
	static char text[256];
	struct event *events[16];
	size_t n, len = 0;
	text[0] = '\0';
	if (feed_read(f, cursor, events, max, &n) == -ESTALE)
		return "gone";
	assert_true(n <= max);
	for (size_t i = 0; i < n; i++) {
		len += (size_t)sprintf(
			text + len, "%s%u", i > 0 ? " " : "", (unsigned)events[i]->seq);
		event_unref(events[i]);
	}
	return text;
}

static void a_cursor_reads_on(void **state)
{
	(void)state;
	struct feed *f = make(RING, 0);
	uint64_t cursor = feed_end(f), early = cursor;
	assert_string_equal(read_from(f, &cursor, 16), "");
	post(f, 10);
	assert_string_equal(read_from(f, &cursor, 16), ""); /* it is not moved yet */
	turn(f);
	post(f, 11);
	post(f, 12);
	turn(f);
	assert_string_equal(read_from(f, &cursor, 2), "10 11");
	assert_string_equal(read_from(f, &cursor, 2), "12");
	assert_string_equal(read_from(f, &cursor, 2), "");
	assert_int_equal(cursor, feed_end(f));
	assert_string_equal(read_from(f, &early, 16), "10 11 12"); /* another's is its own */
	assert_int_equal(counter_read(&counters, COUNTER_feed_events), 3);
	struct feed_counts counts = feed_count(f);
	assert_int_equal(counts.n_events, 3);
	assert_int_equal(counts.n_kept, 3);
	assert_int_equal(counts.n_users, 0);
	feed_free(f);
}

static void what_left_the_ring_is_gone(void **state)
{
	(void)state;
	struct feed *f = make(RING, 0);
	uint64_t begin = feed_end(f), second = begin + 1;
	for (uint64_t seq = 1; seq <= RING; seq++)
		post(f, seq);
	turn(f);
	uint64_t cursor = begin;
	assert_string_equal(read_from(f, &cursor, 16), "1 2 3 4");
	post(f, 5);
	turn(f);
	cursor = begin;
	assert_string_equal(read_from(f, &cursor, 16), "gone");
	assert_int_equal(cursor, begin);
	cursor = second;
	assert_string_equal(read_from(f, &cursor, 16), "2 3 4 5");
	cursor = feed_end(f) + 1; /* nobody was ever given that */
	assert_string_equal(read_from(f, &cursor, 16), "gone");
	cursor = UINT64_MAX;
	assert_string_equal(read_from(f, &cursor, 16), "gone");
	/* More at once than it holds. */
	for (uint64_t seq = 6; seq <= 13; seq++)
		post(f, seq);
	turn(f);
	cursor = feed_end(f) - RING;
	assert_string_equal(read_from(f, &cursor, 16), "10 11 12 13");
	assert_int_equal(feed_count(f).n_kept, RING);
	feed_free(f);
}

/* Every cursor from before a loss is gone, and none from after it. */
static void a_loss_is_a_gap(void **state)
{
	(void)state;
	struct feed *f = make(64, 0);
	uint64_t before = feed_end(f);
	for (uint64_t seq = 1; seq <= MAILBOX; seq++)
		assert_true(post(f, seq));
	assert_false(post(f, 99));
	uint64_t waiting = feed_end(f); /* of one who has read all there was */
	uint64_t barrier = feed_barrier(f);
	turn(f);
	assert_string_equal(read_from(f, &before, 16), "gone");
	assert_string_equal(read_from(f, &waiting, 16), "gone");
	uint64_t after = feed_end(f);
	assert_true(barrier <= after);
	post(f, 100);
	turn(f);
	assert_string_equal(read_from(f, &after, 16), "100");
	assert_int_equal(counter_read(&counters, COUNTER_feed_gaps), 1);
	struct feed_counts counts = feed_count(f);
	assert_int_equal(counts.n_events, MAILBOX + 1);
	assert_int_equal(counts.n_kept, MAILBOX + 1); /* those that waited in the mailbox, too */

	/* One who had read everything, and was then told of a loss. */
	mailbox_raise_resync(feed_mailbox(f));
	turn(f);
	assert_string_equal(read_from(f, &after, 16), "gone");
	assert_int_equal(feed_count(f).n_kept, 0);
	feed_free(f);
}

static void the_barrier_is_above_what_was_posted(void **state)
{
	(void)state;
	struct feed *f = make(RING, 0);
	assert_int_equal(feed_barrier(f), feed_end(f));
	post(f, 1);
	post(f, 2);
	uint64_t barrier = feed_barrier(f);
	post(f, 3);
	assert_int_equal(barrier, feed_end(f) + 2);
	turn(f);
	assert_string_equal(read_from(f, &barrier, 16), "3");
	mailbox_raise_resync(feed_mailbox(f));
	turn(f);
	assert_int_equal(feed_barrier(f), feed_end(f));
	post(f, 4);
	barrier = feed_barrier(f);
	turn(f);
	assert_int_equal(barrier, feed_end(f));
	feed_free(f);
}

static void without_a_ring_every_cursor_is_gone(void **state)
{
	(void)state;
	struct feed *f = make(0, 2);
	uint64_t cursor = feed_end(f);
	assert_string_equal(read_from(f, &cursor, 16), "");
	post(f, 1);
	post(f, 2);
	turn(f);
	assert_string_equal(read_from(f, &cursor, 16), "gone");
	struct transition t[4];
	assert_int_equal(feed_history(f, "bob", 3, t, 4), 2);
	assert_int_equal(t[0].seq, 2);
	assert_int_equal(feed_history(f, "carol", 5, t, 4), 0);
	assert_int_equal(feed_count(f).n_users, 1);
	assert_int_equal(feed_count(f).n_transitions, 2);
	feed_free(f);
}

static void without_history_there_is_none(void **state)
{
	(void)state;
	struct feed *f = make(RING, 0);
	struct transition t[4];
	post(f, 1);
	turn(f);
	assert_int_equal(feed_history(f, "bob", 3, t, 4), 0);
	feed_free(f);
}

static void a_forgotten_history_is_counted(void **state)
{
	(void)state;
	struct feed *f;
	struct feed_params params = {.n_history = 1, .n_history_total = 1, .counters = &counters};
	memset(&counters, 0, sizeof(counters));
	assert_int_equal(feed_new(&params, &f), 0);
	post(f, 1);
	struct event_spares spares = {.small = NULL};
	struct snapshot snapshot = {.seq = 2};
	struct cause cause = {.device_len = 0};
	bool wake = false;
	event_spares_fill(&spares);
	struct event *e = event_make(&spares, "carol", 5, 0, &snapshot, &cause);
	event_spares_free(&spares);
	mailbox_post(feed_mailbox(f), e, &wake);
	event_unref(e);
	turn(f);
	assert_int_equal(counter_read(&counters, COUNTER_history_forgotten), 1);
	post(f, 3);
	alloc_fail_begin(1);
	turn(f);
	assert_true(alloc_fail_end());
	assert_int_equal(counter_read(&counters, COUNTER_out_of_memory), 1);
	feed_free(f);
}

/* --- waiting --- */

static bool is_signalled(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	uint64_t n;
	return poll(&p, 1, timeout_ms) == 1 && read(fd, &n, sizeof(n)) == sizeof(n);
}

static void who_sleeps_is_signalled_once(void **state)
{
	(void)state;
	struct feed *f = make(RING, 0);
	struct feed_listener one = {.wakeup = eventfd(0, EFD_NONBLOCK)};
	struct feed_listener other = {.wakeup = eventfd(0, EFD_NONBLOCK)};
	uint64_t cursor = feed_end(f);
	feed_listen(f, &one);
	feed_listen(f, &other);
	assert_true(feed_sleep(f, &one, cursor));
	post(f, 1);
	assert_true(feed_sleep(f, &one, cursor)); /* not moved yet */
	turn(f);
	assert_true(is_signalled(one.wakeup, 0));
	assert_false(is_signalled(other.wakeup, 0)); /* it was awake */
	post(f, 2);
	turn(f);
	assert_false(is_signalled(one.wakeup, 0));
	assert_false(feed_sleep(f, &one, cursor)); /* there is something */
	cursor = feed_end(f);
	assert_true(feed_sleep(f, &one, cursor));
	mailbox_raise_resync(feed_mailbox(f));
	turn(f);
	assert_true(is_signalled(one.wakeup, 0));
	assert_false(feed_sleep(f, &one, cursor)); /* it is gone */
	feed_free(f);
	close(one.wakeup);
	close(other.wakeup);
}

static void the_thread_moves_what_comes(void **state)
{
	(void)state;
	struct feed *f = make(1024, 0);
	struct feed_listener listener = {.wakeup = eventfd(0, EFD_NONBLOCK)};
	feed_listen(f, &listener);
	assert_int_equal(feed_start(f), 0);
	uint64_t cursor = feed_end(f);
	for (uint64_t seq = 1; seq <= 20; seq++) {
		bool wake = false;
		while (!post_waking(f, seq, &wake))
			assert_true(false); /* eight fit, and each is waited for */
		if (wake) {
			uint64_t one = 1;
			assert_int_equal(write(feed_wakeup(f), &one, sizeof(one)), sizeof(one));
		}
		char want[16];
		snprintf(want, sizeof(want), "%u", (unsigned)seq);
		if (feed_sleep(f, &listener, cursor))
			assert_true(is_signalled(listener.wakeup, PATIENCE_MS));
		assert_string_equal(read_from(f, &cursor, 16), want);
	}
	post(f, 21); /* nobody wakes it: the stop moves it all the same */
	feed_stop(f);
	assert_string_equal(read_from(f, &cursor, 16), "21");
	feed_stop(f);
	feed_free(f);
	close(listener.wakeup);
}

static void refused_memory_leaves_nothing(void **state)
{
	(void)state;
	struct feed_params params = {.n_events = RING, .n_history = 2, .counters = &counters};
	struct feed *f = NULL;
	int err;
	for (long n = 1; alloc_fail_begin(n), err = feed_new(&params, &f), alloc_fail_end(); n++) {
		assert_int_equal(err, -ENOMEM);
		assert_null(f);
	}
	assert_int_equal(err, 0);
	feed_free(f);
	feed_free(NULL);
	feed_stop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cursor_reads_on),
		cmocka_unit_test(what_left_the_ring_is_gone),
		cmocka_unit_test(a_loss_is_a_gap),
		cmocka_unit_test(the_barrier_is_above_what_was_posted),
		cmocka_unit_test(without_a_ring_every_cursor_is_gone),
		cmocka_unit_test(without_history_there_is_none),
		cmocka_unit_test(a_forgotten_history_is_counted),
		cmocka_unit_test(who_sleeps_is_signalled_once),
		cmocka_unit_test(the_thread_moves_what_comes),
		cmocka_unit_test(refused_memory_leaves_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
