#include "base/clock.h"

#include "support/cmocka_all.h"

#include <time.h>

static void both_clocks_are_the_systems(void **state)
{
	(void)state;
	uint64_t mono_before = clock_mono_ms();
	time_t wall_before = time(NULL);
	struct instant now = clock_instant();
	uint64_t mono_after = clock_mono_ms();

	assert_in_range(now.mono_ms, mono_before, mono_after);
	/* time() may lag behind the precise clock by a tick */
	assert_in_range(now.wall_ms / 1000, wall_before, (uint64_t)time(NULL) + 1);
}

static void monotonic_never_goes_back(void **state)
{
	(void)state;
	uint64_t last = 0;

	for (int i = 0; i < 10000; i++) {
		uint64_t now = clock_mono_ns();
		assert_true(now >= last);
		last = now;
	}
}

/* A stamp may not be earlier than the moment it stamps, a comparison may not be later. */
static void roundings_enclose_the_moment(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t before_ns = clock_mono_ns();
		uint64_t up_ms = clock_mono_ms_up();
		uint64_t down_ms = clock_mono_ms();
		uint64_t after_ns = clock_mono_ns();
		assert_true(up_ms * 1000000 >= before_ns);
		assert_true(up_ms * 1000000 < after_ns + 1000000);
		assert_true(down_ms * 1000000 <= after_ns);
		assert_true(down_ms * 1000000 + 1000000 > before_ns);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_clocks_are_the_systems),
		cmocka_unit_test(monotonic_never_goes_back),
		cmocka_unit_test(roundings_enclose_the_moment),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
