#include "feed/history.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The user's transition of that number, its device "d<number>". */
static int note(struct history *h, const char *user, uint64_t seq, unsigned *ret_n_forgotten)
{
	struct event_spares spares = {.small = NULL};
	struct snapshot snapshot = {.is_known = true,
		.state = seq % 2 ? STATE_ONLINE : STATE_OFFLINE,
		.reason = seq % 2 ? REASON_LOGIN : REASON_CLOSED,
		.seq = seq,
		.at_ms = 1000 + seq,
		.last_seen_ms = 500 + seq};
	struct cause cause = {
		.evidence = {.session = seq, .timeout_ms = 3000, .socket = SOCKET_CLOSED}};
	cause.device_len = (uint8_t)snprintf(cause.device, DEVICE_MAX, "d%u", (unsigned)seq);
	event_spares_fill(&spares);
	struct event *e = event_make(&spares, user, strlen(user), 7, &snapshot, &cause);
	event_spares_free(&spares);
	assert_non_null(e);
	int err = history_note(h, e, ret_n_forgotten);
	event_unref(e);
	return err;
}

static unsigned must_note(struct history *h, const char *user, uint64_t seq)
{
	unsigned n_forgotten = 77;
	assert_int_equal(note(h, user, seq, &n_forgotten), 0);
	return n_forgotten;
}

/* What there is of the user, the numbers with spaces between. */
static const char *numbers(struct history *h, const char *user, size_t max)
{
	static char text[1024];
	struct transition all[64];
	size_t n = history_read(h, user, strlen(user), all, max), len = 0;
	assert_true(n <= max);
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		len += (size_t)sprintf(text + len, "%s%u", i > 0 ? " " : "", (unsigned)all[i].seq);
	return text;
}

static void assert_counts(struct history *h, uint64_t n_users, uint64_t n_transitions)
{
	uint64_t users, transitions;
	history_count(h, &users, &transitions);
	assert_int_equal(users, n_users);
	assert_int_equal(transitions, n_transitions);
}

static void the_newest_comes_first(void **state)
{
	(void)state;
	struct history *h;
	struct transition t[4];
	assert_int_equal(history_new(3, 100, &h), 0);
	assert_string_equal(numbers(h, "bob", 64), "");
	must_note(h, "bob", 1);
	must_note(h, "carol", 2);
	must_note(h, "bob", 4);
	assert_string_equal(numbers(h, "bob", 64), "4 1");
	assert_string_equal(numbers(h, "bob", 1), "4");
	assert_string_equal(numbers(h, "carol", 64), "2");
	assert_string_equal(numbers(h, "bo", 64), "");
	assert_int_equal(history_read(h, "bob", 3, t, 4), 2);
	assert_int_equal(t[0].state, STATE_OFFLINE);
	assert_int_equal(t[0].reason, REASON_CLOSED);
	assert_int_equal(t[0].at_ms, 1004);
	assert_int_equal(t[0].last_seen_ms, 504);
	assert_int_equal(t[0].evidence.session, 4);
	assert_int_equal(t[0].evidence.timeout_ms, 3000);
	assert_int_equal(t[0].evidence.socket, SOCKET_CLOSED);
	assert_int_equal(t[0].device_len, 2);
	assert_memory_equal(t[0].device, "d4", 2);
	assert_int_equal(t[1].state, STATE_ONLINE);
	history_free(h);
}

static void a_user_keeps_the_last_of_its_own(void **state)
{
	(void)state;
	struct history *h;
	assert_int_equal(history_new(3, 100, &h), 0);
	for (uint64_t seq = 1; seq <= 50; seq++)
		assert_int_equal(must_note(h, "bob", seq), 0);
	assert_string_equal(numbers(h, "bob", 64), "50 49 48");
	assert_string_equal(numbers(h, "bob", 2), "50 49");
	assert_counts(h, 1, 3);
	history_free(h);

	assert_int_equal(history_new(1, 1, &h), 0);
	must_note(h, "bob", 1);
	must_note(h, "bob", 2);
	assert_string_equal(numbers(h, "bob", 64), "2");
	assert_int_equal(must_note(h, "carol", 3), 1);
	assert_string_equal(numbers(h, "bob", 64), "");
	assert_counts(h, 1, 1);
	history_free(h);
}

/* All together have no more than n_total: whoever changed longest ago goes, whatever came first. */
static void who_changed_longest_ago_is_forgotten(void **state)
{
	(void)state;
	struct history *h;
	assert_int_equal(history_new(3, 4, &h), 0);
	must_note(h, "bob", 1);
	must_note(h, "carol", 2);
	must_note(h, "bob", 3);
	assert_int_equal(must_note(h, "dave", 4), 0);
	assert_int_equal(must_note(h, "erin", 5), 1);
	assert_string_equal(numbers(h, "carol", 64), "");
	assert_string_equal(numbers(h, "bob", 64), "3 1");
	assert_counts(h, 3, 4);
	assert_int_equal(must_note(h, "frank", 6), 1); /* bob, with both */
	assert_string_equal(numbers(h, "bob", 64), "");
	assert_counts(h, 3, 3);
	assert_int_equal(must_note(h, "dave", 7), 0);
	assert_int_equal(must_note(h, "dave", 8), 1); /* erin */
	assert_int_equal(must_note(h, "dave", 9), 0);
	assert_string_equal(numbers(h, "dave", 64), "9 8 7");
	assert_string_equal(numbers(h, "erin", 64), "");
	assert_counts(h, 2, 4);
	history_free(h);
}

/* Against a plain model: many users, whose buckets collide. */
static void many_come_and_go(void **state)
{
	(void)state;
	enum { USERS = 40, PER_USER = 4, TOTAL = 60, STEPS = 20000 };
	uint64_t kept[USERS][PER_USER] = {{0}}, n_transitions = 0;
	unsigned n[USERS] = {0};
	struct history *h;
	uint64_t seed = 1;
	assert_int_equal(history_new(PER_USER, TOTAL, &h), 0);
	for (uint64_t seq = 1; seq <= STEPS; seq++) {
		seed = seed * 6364136223846793005u + 1442695040888963407u;
		unsigned user = (unsigned)(seed >> 33) % USERS;
		char name[16];
		snprintf(name, sizeof(name), "user-%u", user);
		if (n[user] == PER_USER) {
			memmove(&kept[user][0], &kept[user][1], sizeof(kept[user]) - sizeof(seq));
			n[user]--;
			n_transitions--;
		}
		kept[user][n[user]++] = seq;
		if (++n_transitions > TOTAL) {
			unsigned oldest = USERS;
			for (unsigned i = 0; i < USERS; i++)
				if (n[i] > 0 &&
					(oldest == USERS ||
						kept[i][n[i] - 1] < kept[oldest][n[oldest] - 1]))
					oldest = i;
			n_transitions -= n[oldest];
			n[oldest] = 0;
		}
		must_note(h, name, seq);
	}
	uint64_t n_users = 0;
	for (unsigned i = 0; i < USERS; i++) {
		char name[16], want[128] = "";
		size_t len = 0;
		snprintf(name, sizeof(name), "user-%u", i);
		n_users += n[i] > 0;
		for (unsigned k = n[i]; k > 0; k--)
			len += (size_t)sprintf(
				want + len, "%s%u", len ? " " : "", (unsigned)kept[i][k - 1]);
		assert_string_equal(numbers(h, name, 64), want);
	}
	assert_counts(h, n_users, n_transitions);
	history_free(h);
}

static void refused_memory_is_told(void **state)
{
	(void)state;
	struct history *h = NULL;
	int err;
	for (long n = 1; alloc_fail_begin(n), err = history_new(3, 4, &h), alloc_fail_end(); n++) {
		assert_int_equal(err, -ENOMEM);
		assert_null(h);
	}
	assert_int_equal(err, 0);
	must_note(h, "bob", 1);
	/* The test's own allocations, for the event, are three. */
	unsigned unused = 77;
	for (long n = 4; alloc_fail_begin(n), err = note(h, "carol", 2, &unused), alloc_fail_end();
		n++) {
		assert_int_equal(err, -ENOMEM);
		assert_counts(h, 1, 1);
		assert_int_equal(unused, 77);
	}
	assert_int_equal(err, 0);
	assert_counts(h, 2, 2);
	history_free(h);
	history_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_newest_comes_first),
		cmocka_unit_test(a_user_keeps_the_last_of_its_own),
		cmocka_unit_test(who_changed_longest_ago_is_forgotten),
		cmocka_unit_test(many_come_and_go),
		cmocka_unit_test(refused_memory_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
