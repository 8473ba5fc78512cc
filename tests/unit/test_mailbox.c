#include "presence/mailbox.h"

#include "support/cmocka_all.h"
#include "support/dies.h"
#include "support/failing_alloc.h"

#include <errno.h>

static struct event *event_numbered(uint64_t seq)
{
	struct event_spares spares = {.small = NULL};
	struct snapshot s = {.seq = seq};
	event_spares_fill(&spares);
	struct event *e = event_make(&spares, "u", 1, 0, &s, NULL);
	event_spares_free(&spares);
	assert_non_null(e);
	return e;
}

/* Posts a new event and lets go of it, as a producer does. */
static bool post(struct mailbox *m, uint64_t seq, bool *wake)
{
	struct event *e = event_numbered(seq);
	bool is_in = mailbox_post(m, e, wake);
	event_unref(e);
	return is_in;
}

static uint64_t take(struct mailbox *m)
{
	struct event *e = mailbox_take(m);
	uint64_t seq = e ? e->seq : 0;
	event_unref(e);
	return seq;
}

static void events_come_in_order_round_after_round(void **state)
{
	(void)state;
	static const uint64_t capacities[] = {2, 4, 64};
	for (unsigned c = 0; c < 3; c++) {
		struct mailbox m;
		assert_int_equal(mailbox_init(&m, capacities[c]), 0);
		assert_null(mailbox_take(&m));
		uint64_t posted = 0, taken = 0;
		bool wake = false;
		for (unsigned round = 0; round < 100; round++) {
			for (uint64_t n = round % capacities[c] + 1; n > 0; n--)
				assert_true(post(&m, ++posted, &wake));
			assert_int_equal(mailbox_depth(&m), posted - taken);
			while (taken < posted)
				assert_int_equal(take(&m), ++taken);
			assert_null(mailbox_take(&m));
		}
		assert_false(wake); /* nobody slept */
		mailbox_destroy(&m);
	}
}

static void a_full_ring_raises_resync(void **state)
{
	(void)state;
	struct mailbox m;
	bool wake = false;
	assert_int_equal(mailbox_init(&m, 4), 0);
	assert_false(mailbox_take_resync(&m));
	for (uint64_t i = 1; i <= 4; i++)
		assert_true(post(&m, i, &wake));
	assert_false(mailbox_take_resync(&m));
	assert_false(post(&m, 5, &wake));
	assert_false(post(&m, 6, &wake));
	assert_int_equal(mailbox_depth(&m), 4);
	assert_true(mailbox_take_resync(&m));
	assert_false(mailbox_take_resync(&m)); /* asked for once */
	assert_int_equal(take(&m), 1);
	assert_true(post(&m, 7, &wake)); /* room again */
	assert_false(post(&m, 8, &wake));
	assert_true(mailbox_take_resync(&m));
	static const uint64_t rest[] = {2, 3, 4, 7, 0};
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(take(&m), rest[i]);
	mailbox_destroy(&m);
}

static void an_event_is_shared_by_reference(void **state)
{
	(void)state;
	struct mailbox a, b;
	bool wake = false;
	assert_int_equal(mailbox_init(&a, 2), 0);
	assert_int_equal(mailbox_init(&b, 2), 0);
	struct event *e = event_numbered(5);
	assert_true(mailbox_post(&a, e, &wake));
	assert_true(mailbox_post(&b, e, &wake));
	assert_int_equal(atomic_load(&e->n_refs), 3);
	assert_true(mailbox_post(&b, e, &wake));
	assert_false(mailbox_post(&b, e, &wake)); /* refused: no reference is taken */
	assert_int_equal(atomic_load(&e->n_refs), 4);
	event_unref(e);
	assert_ptr_equal(mailbox_take(&a), e);
	event_unref(e);
	mailbox_destroy(&a);
	mailbox_destroy(&b); /* drops what is in it, or the sanitizer says so */
}

static void links_come_once_and_oldest_first(void **state)
{
	(void)state;
	struct mailbox m;
	struct mailbox_link links[3];
	assert_int_equal(mailbox_init(&m, 0), 0); /* links only */
	assert_null(mailbox_take_links(&m));
	assert_null(mailbox_take(&m));
	for (unsigned i = 0; i < 3; i++)
		assert_false(mailbox_push(&m, &links[i]));
	struct mailbox_link *l = mailbox_take_links(&m);
	for (unsigned i = 0; i < 3; i++, l = l->next)
		assert_ptr_equal(l, &links[i]);
	assert_null(l);
	assert_null(mailbox_take_links(&m));
	mailbox_push(&m, &links[1]);
	l = mailbox_take_links(&m);
	assert_ptr_equal(l, &links[1]);
	assert_null(l->next);
	mailbox_destroy(&m);
}

enum kind { AN_EVENT, A_LINK, A_RESYNC, A_REFUSAL, N_KINDS };

static bool send(struct mailbox *m, enum kind kind, struct mailbox_link *link)
{
	bool wake = false;
	switch (kind) {
	case AN_EVENT:
		assert_true(post(m, 1, &wake));
		return wake;
	case A_LINK:
		return mailbox_push(m, link);
	case A_RESYNC:
		return mailbox_raise_resync(m);
	case A_REFUSAL:
		assert_false(post(m, 1, &wake));
		return wake;
	case N_KINDS:
		break;
	}
	return false;
}

/* Whatever the mail: who sends it to a sleeper is told so, once; and with mail there nobody falls asleep. */
static void a_sleeper_is_woken_once_by_any_mail(void **state)
{
	(void)state;
	for (enum kind kind = 0; kind < N_KINDS; kind++) {
		struct mailbox m;
		struct mailbox_link links[2];
		assert_int_equal(mailbox_init(&m, 2), 0);
		if (kind ==
			A_REFUSAL) { /* a full ring, as the owner leaves it who wakes up for other things */
			send(&m, AN_EVENT, NULL);
			send(&m, AN_EVENT, NULL);
			atomic_store(&m.is_asleep, true);
		} else {
			assert_true(mailbox_sleep(&m));
		}
		assert_true(send(&m, kind, &links[0]));
		assert_false(send(&m, kind, &links[1])); /* one wake-up is on its way */
		mailbox_wake(&m);
		assert_false(mailbox_sleep(&m)); /* there is mail */
		while (take(&m) || mailbox_take_links(&m) || mailbox_take_resync(&m))
			;
		assert_true(mailbox_sleep(&m));
		mailbox_wake(&m);
		assert_false(send(&m, AN_EVENT, NULL)); /* awake */
		mailbox_destroy(&m);
	}
}

/* What is left for a sleeper wakes nobody, and takes nobody else's wake-up from it; a reminder does, once. */
static void a_sleeper_is_reminded_of_what_was_left(void **state)
{
	(void)state;
	struct mailbox m;
	struct mailbox_link links[3];
	assert_int_equal(mailbox_init(&m, 2), 0);
	assert_true(mailbox_sleep(&m));
	assert_false(mailbox_remind(&m)); /* of nothing */
	mailbox_leave(&m, &links[0]);
	assert_true(send(&m, AN_EVENT, NULL));
	assert_false(mailbox_remind(&m)); /* its wake-up is on its way */
	mailbox_wake(&m);
	assert_ptr_equal(mailbox_take_links(&m), &links[0]);
	assert_int_equal(take(&m), 1);

	assert_true(mailbox_sleep(&m));
	mailbox_leave(&m, &links[1]);
	mailbox_leave(&m, &links[2]);
	assert_true(mailbox_remind(&m));
	assert_false(mailbox_remind(&m));
	mailbox_wake(&m);
	assert_false(mailbox_sleep(&m)); /* there is mail */
	assert_false(mailbox_remind(&m)); /* awake */
	assert_ptr_equal(mailbox_take_links(&m), &links[1]);
	mailbox_destroy(&m);
}

static void a_wake_up_said_before_stays_said(void **state)
{
	(void)state;
	struct mailbox m;
	bool wake = true;
	assert_int_equal(mailbox_init(&m, 2), 0);
	assert_true(post(&m, 1, &wake));
	assert_true(wake);
	mailbox_destroy(&m);
}

static void init_with(void *capacity)
{
	struct mailbox m;
	mailbox_init(&m, *(uint64_t *)capacity);
}

static void impossible_capacities_die(void **state)
{
	(void)state;
	uint64_t one = 1, three = 3;
	assert_true(dies(init_with, &three));
	assert_true(dies(init_with, &one)); /* its single cell would be overwritten */
}

static void refused_memory_is_said(void **state)
{
	(void)state;
	struct mailbox m;
	alloc_fail_begin(1);
	assert_int_equal(mailbox_init(&m, 8), -ENOMEM);
	assert_true(alloc_fail_end());
	mailbox_destroy(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(events_come_in_order_round_after_round),
		cmocka_unit_test(a_full_ring_raises_resync),
		cmocka_unit_test(an_event_is_shared_by_reference),
		cmocka_unit_test(links_come_once_and_oldest_first),
		cmocka_unit_test(a_sleeper_is_woken_once_by_any_mail),
		cmocka_unit_test(a_sleeper_is_reminded_of_what_was_left),
		cmocka_unit_test(a_wake_up_said_before_stays_said),
		cmocka_unit_test(impossible_capacities_die),
		cmocka_unit_test(refused_memory_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
