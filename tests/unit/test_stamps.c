#include "presence/stamps.h"

#include "support/cmocka_all.h"
#include "support/dies.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void set(struct stamps *s, uint32_t slot, uint32_t stamp)
{
	atomic_store(stamps_at(s, slot), stamp);
}

static void begin(struct stamps *s)
{
	assert_int_equal(stamps_init(s), 0);
}

static uint32_t take(struct stamps *s, uint32_t stamp) REQUIRES(role_worker)
{
	uint32_t slot = UINT32_MAX;
	assert_int_equal(stamps_take(s, stamp, &slot), 0);
	assert_int_equal(atomic_load(stamps_at(s, slot)), stamp);
	return slot;
}

/* All of a scan, in slices of 'max'; the number of slots. */
static size_t scan_all(
	const struct stamps *s, uint32_t now, uint32_t *slots, size_t room, size_t max)
{
	uint32_t cursor = 0;
	size_t n = 0;
	uint32_t slice[4096];
	assert_true(max <= 4096);
	while (cursor != UINT32_MAX) {
		uint32_t before = cursor;
		size_t got = stamps_scan(s, now, &cursor, slice, max);
		assert_true(got <= max && n + got <= room);
		assert_true(cursor > before || got > 0 || cursor == UINT32_MAX);
		memcpy(slots + n, slice, got * sizeof(*slots));
		n += got;
	}
	return n;
}

static void gives_the_lowest_free_slot(void **state)
{
	(void)state;
	role_worker_begin();
	struct stamps s;
	begin(&s);
	for (uint32_t i = 0; i < 3 * STAMPS_CHUNK; i++)
		assert_int_equal(take(&s, i), i);
	assert_int_equal(s.n_used, 3 * STAMPS_CHUNK);
	static const uint32_t given[] = {9000, 17, 4096, 8191, 63, 64, 12287, 0};
	static const uint32_t again[] = {0, 17, 63, 64, 4096, 8191, 9000, 12287};
	for (unsigned i = 0; i < 8; i++)
		stamps_give(&s, given[i]);
	assert_int_equal(s.n_used, 3 * STAMPS_CHUNK - 8);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(take(&s, 1), again[i]);
	assert_int_equal(take(&s, 1), 3 * STAMPS_CHUNK);
	stamps_destroy(&s);
}

static void staleness_is_serial(void **state)
{
	(void)state;
	static const struct {
		uint32_t stamp, now;
		bool is_stale;
	} rows[] = {
		{100, 99, false}, {100, 100, true}, /* the deadline itself is silence enough */
		{100, 101, true}, {0xffffffff, 0xfffffffe, false}, {0xffffffff, 0, true},
		{5, 0xffffffff, false}, /* after the wrap, seen from before it */
		{5, 4, false}, {5, 5, true}, {0, 0, true}, {0, 0x7fffffff, true}, /* 24 days late */
		{0x7fffffff, 0, false}, /* 24 days ahead */
	};
	for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		assert_int_equal(stamp_is_stale(rows[i].stamp, rows[i].now), rows[i].is_stale);
}

static void scan_is_the_naive_scan(void **state)
{
	(void)state;
	role_worker_begin();
	enum { N = 2 * STAMPS_CHUNK + 700 };
	static const uint32_t nows[] = {
		1000000, 0, 1, 5000, 0xffffffff, 0xffffff00, 0x7fffffff, 0x80000000, 0x80000005};
	static uint32_t slots[N], want[N];
	static bool is_used[N];
	uint32_t r = 7;
	for (unsigned k = 0; k < sizeof(nows) / sizeof(*nows); k++) {
		struct stamps s;
		begin(&s);
		for (uint32_t i = 0; i < N; i++) {
			r = r * 1664525 + 1013904223;
			/* From far ahead to long past; mostly fresh, so that whole blocks are passed over. */
			uint32_t ahead = r >> 16 & 0xffff;
			bool is_past = i / 512 % 3 == 1 && (r & 15) == 0;
			take(&s, is_past ? nows[k] - ahead % 50 : nows[k] + 1 + ahead);
			is_used[i] = true;
		}
		for (uint32_t i = 0; i < N; i += 3) {
			stamps_give(&s, i);
			is_used[i] = false;
		}
		size_t n_want = 0;
		for (uint32_t i = 0; i < N; i++)
			if (is_used[i] && stamp_is_stale(atomic_load(stamps_at(&s, i)), nows[k]))
				want[n_want++] = i;
		assert_true(n_want > 50);
		static const size_t slices[] = {64, 65, 100, 512, 4096};
		for (unsigned i = 0; i < 5; i++) {
			assert_int_equal(scan_all(&s, nows[k], slots, N, slices[i]), n_want);
			assert_memory_equal(slots, want, n_want * sizeof(*want));
		}
		stamps_destroy(&s);
	}
}

static void the_edges_of_blocks_are_seen(void **state)
{
	(void)state;
	role_worker_begin();
	static const uint32_t edges[] = {0, 63, 64, 511, 512, 4095, 4096, 8191};
	struct stamps s;
	begin(&s);
	for (uint32_t i = 0; i < 2 * STAMPS_CHUNK; i++)
		take(&s, 2000);
	for (unsigned i = 0; i < 8; i++) {
		uint32_t slots[64];
		set(&s, edges[i], 1000);
		assert_int_equal(scan_all(&s, 1000, slots, 64, 64), 1);
		assert_int_equal(slots[0], edges[i]);
		assert_int_equal(scan_all(&s, 999, slots, 64, 64), 0);
		set(&s, edges[i], 2000);
	}
	stamps_destroy(&s);
}

static void all_stale_at_once_come_in_slices(void **state)
{
	(void)state;
	role_worker_begin();
	static uint32_t slots[2 * STAMPS_CHUNK];
	struct stamps s;
	begin(&s);
	for (uint32_t i = 0; i < 2 * STAMPS_CHUNK; i++)
		take(&s, 10);
	assert_int_equal(scan_all(&s, 20, slots, 2 * STAMPS_CHUNK, 64), 2 * STAMPS_CHUNK);
	for (uint32_t i = 0; i < 2 * STAMPS_CHUNK; i++)
		assert_int_equal(slots[i], i);
	stamps_destroy(&s);
}

static void free_slots_are_never_reported(void **state)
{
	(void)state;
	role_worker_begin();
	struct stamps s;
	begin(&s);
	uint32_t slots[128];
	assert_int_equal(scan_all(&s, 5000, slots, 128, 64), 0);
	for (uint32_t i = 0; i < 100; i++)
		take(&s, 100);
	for (uint32_t i = 0; i < 100; i++)
		if (i != 42)
			stamps_give(&s, i);
	assert_int_equal(scan_all(&s, 5000, slots, 128, 64), 1);
	assert_int_equal(slots[0], 42);
	stamps_give(&s, 42);
	assert_int_equal(scan_all(&s, 5000, slots, 128, 64), 0);
	stamps_destroy(&s);
}

static void the_passed_over_are_found_when_taken_anew(void **state)
{
	(void)state;
	role_worker_begin();
	role_watchdog_begin();
	static const uint32_t over[] = {0, 5, 63, 64, 511, 512, STAMPS_CHUNK - 1, STAMPS_CHUNK};
	static uint32_t slots[2 * STAMPS_CHUNK];
	enum { N = STAMPS_CHUNK + 100, N_OVER = sizeof(over) / sizeof(*over) };
	struct stamps s;
	begin(&s);
	for (uint32_t i = 0; i < N; i++)
		take(&s, 100);
	for (unsigned i = 0; i < N_OVER; i++)
		stamps_pass_over(&s, over[i]);
	assert_int_equal(scan_all(&s, 100, slots, 2 * STAMPS_CHUNK, 64), N - N_OVER);
	for (size_t k = 0; k < N - N_OVER; k++)
		for (unsigned i = 0; i < N_OVER; i++)
			assert_int_not_equal(slots[k], over[i]);
	for (unsigned i = 0; i < N_OVER; i++)
		stamps_give(&s, over[i]);
	assert_int_equal(scan_all(&s, 100, slots, 2 * STAMPS_CHUNK, 64), N - N_OVER);
	for (unsigned i = 0; i < N_OVER; i++)
		assert_int_equal(take(&s, 100), over[i]);
	assert_int_equal(scan_all(&s, 100, slots, 2 * STAMPS_CHUNK, 64), N);
	stamps_destroy(&s);
}

static void no_more_than_there_may_be(void **state)
{
	(void)state;
	role_worker_begin();
	struct stamps s;
	begin(&s);
	uint32_t slot = 77;
	uint32_t n = STAMPS_CHUNKS_MAX;
	take(&s, 1);
	/* As if all chunks were there and full: 64 MB are not needed to see it end. */
	for (uint32_t i = 1; i < n; i++)
		s.chunks[i] = s.chunks[0];
	s.chunks[0]->full = UINT64_MAX;
	atomic_store(&s.n_chunks, n);
	assert_int_equal(stamps_take(&s, 1, &slot), -ENOSPC);
	assert_int_equal(slot, 77);
	atomic_store(&s.n_chunks, 1);
	stamps_destroy(&s);
}

static void refused_memory_is_said(void **state)
{
	(void)state;
	role_worker_begin();
	struct stamps s = {.chunks = NULL};
	alloc_fail_begin(1);
	assert_int_equal(stamps_init(&s), -ENOMEM);
	alloc_fail_end();
	begin(&s);
	uint32_t slot = 77;
	alloc_fail_begin(1);
	assert_int_equal(stamps_take(&s, 1, &slot), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(slot, 77);
	assert_int_equal(take(&s, 1), 0);
	stamps_destroy(&s);
	stamps_destroy(&s); /* of what is gone: nothing */
}

static void give_twice(void *stamps)
{
	role_worker_begin();
	stamps_give(stamps, 3);
}

static void scan_too_little(void *stamps)
{
	uint32_t slots[63], cursor = 0;
	stamps_scan(stamps, 0, &cursor, slots, 63);
}

static void broken_calls_die(void **state)
{
	(void)state;
	role_worker_begin();
	struct stamps s;
	begin(&s);
	take(&s, 1);
	assert_true(dies(give_twice, &s));
	assert_true(dies(scan_too_little, &s)); /* it would never have got on */
	stamps_destroy(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_lowest_free_slot),
		cmocka_unit_test(staleness_is_serial),
		cmocka_unit_test(scan_is_the_naive_scan),
		cmocka_unit_test(the_edges_of_blocks_are_seen),
		cmocka_unit_test(all_stale_at_once_come_in_slices),
		cmocka_unit_test(free_slots_are_never_reported),
		cmocka_unit_test(the_passed_over_are_found_when_taken_anew),
		cmocka_unit_test(no_more_than_there_may_be),
		cmocka_unit_test(refused_memory_is_said),
		cmocka_unit_test(broken_calls_die),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
