/* Places: when each session was last heard, packed. */
#include "store/places.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void a_place_has_a_user_and_a_time(void **state)
{
	(void)state;
	struct places p = {.n_chunks = {0}};
	unsigned worker = 0;
	uint32_t chunk = 0;
	assert_null(places_user(&p, 1, 700));
	assert_null(places_leave(&p, 1, 700));
	places_hear(&p, 1, 700, 5); /* nobody: nothing */
	assert_false(places_are_dirty(&p));
	assert_int_equal(places_enter(&p, 1, 700, "bob", 3), 0);
	assert_int_equal(places_user(&p, 1, 700)->len, 3);
	assert_memory_equal(places_user(&p, 1, 700)->bytes, "bob", 3);
	assert_null(places_user(&p, 0, 700));
	assert_null(places_user(&p, 1, 701));

	places_hear(&p, 1, 701, 5);
	assert_false(places_are_dirty(&p));
	places_hear(&p, 1, 700, UINT64_C(0x0123456789ab));
	assert_true(places_are_dirty(&p));
	const struct places_chunk *dirty = places_next(&p, &worker, &chunk);
	assert_non_null(dirty);
	assert_int_equal(worker, 1);
	assert_int_equal(chunk, 1);
	assert_int_equal(place_read(dirty->seen[700 - PLACES_CHUNK]), UINT64_C(0x0123456789ab));
	assert_int_equal(place_read(dirty->seen[0]), 0);
	assert_null(places_next(&p, &worker, &chunk));
	assert_false(places_are_dirty(&p));

	struct user_id *left = places_leave(&p, 1, 700);
	assert_memory_equal(left->bytes, "bob", 3);
	free(left);
	assert_true(places_are_dirty(&p));
	worker = chunk = 0;
	dirty = places_next(&p, &worker, &chunk);
	assert_int_equal(place_read(dirty->seen[700 - PLACES_CHUNK]), 0);
	places_touch_all(&p);
	assert_true(places_are_dirty(&p));
	places_free(&p);
	assert_false(places_are_dirty(&p));
}

static void numbers_of_workers_do_not_meet(void **state)
{
	(void)state;
	uint32_t last = (1 << 24) - 1;
	assert_int_equal(place_number(0, 0), 0);
	assert_int_equal(place_number(0, PLACES_CHUNK), PLACES_CHUNK);
	assert_true(place_number(0, last) < place_number(1, 0));
	assert_int_equal(place_number(1, 5) / PLACES_CHUNK, PLACES_WORKER_CHUNKS);
	assert_int_equal(place_number(WORKERS_MAX - 1, last) % PLACES_CHUNK, last % PLACES_CHUNK);
}

static void refused_memory_changes_nothing(void **state)
{
	(void)state;
	long n = 1;
	for (;; n++) {
		struct places p = {.n_chunks = {0}};
		alloc_fail_begin(n);
		int err = places_enter(&p, 3, 1000, "eve", 3);
		bool is_refused = alloc_fail_end();
		assert_int_equal(err, is_refused ? -ENOMEM : 0);
		assert_int_equal(!places_user(&p, 3, 1000), is_refused);
		places_free(&p);
		if (!is_refused)
			break;
	}
	assert_true(n > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_place_has_a_user_and_a_time),
		cmocka_unit_test(numbers_of_workers_do_not_meet),
		cmocka_unit_test(refused_memory_changes_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
