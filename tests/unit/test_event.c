#include "presence/event.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <jansson.h>
#include <string.h>

static struct snapshot snapshot_of(size_t status_len, char fill)
{
	struct snapshot s = {.state = STATE_BUSY,
		.reason = REASON_UPDATE,
		.is_known = true,
		.seq = 12,
		.at_ms = 34};
	s.has_status = status_len > 0;
	s.status_len = status_len;
	memset(s.status, fill, status_len);
	return s;
}

static void holds_the_id_and_the_line(void **state)
{
	(void)state;
	struct event_spares spares = {.small = NULL};
	event_spares_fill(&spares);
	struct snapshot s = snapshot_of(3, 'x');
	struct event *e = event_make(&spares, "bob", 3, 99, &s, NULL);
	assert_non_null(e);
	assert_int_equal(e->seq, 12);
	assert_int_equal(e->user_hash, 99);
	assert_int_equal(e->user_len, 3);
	assert_memory_equal(event_user(e), "bob", 3);
	static const char line[] =
		"{\"type\":\"presence\",\"user\":\"bob\",\"state\":\"busy\",\"reason\":\"update\","
		"\"seq\":12,\"at_ms\":34,\"last_seen_ms\":0,\"status\":\"xxx\"}\n";
	assert_int_equal(e->line_len, sizeof(line) - 1);
	assert_memory_equal(event_line(e), line, sizeof(line) - 1);

	size_t len;
	const char *fields = event_fields(e, &len);
	assert_int_equal(len, sizeof(line) - sizeof("{\"type\":\"presence\",") - 1);
	assert_memory_equal(fields, "\"user\":\"bob\",", 13);
	assert_int_equal(fields[len - 1], '}');
	assert_int_equal(e->state, STATE_BUSY);
	assert_int_equal(e->reason, REASON_UPDATE);
	assert_int_equal(e->at_ms, 34);
	assert_int_equal(e->device_len, 0); /* nobody will ask why */
	assert_int_equal(e->evidence.session, 0);
	assert_int_equal(e->evidence.late_ms, AGO_UNKNOWN);

	char text[EVENT_LINE_MAX];
	assert_int_equal(event_put_line(text, "bob", 3, &s), sizeof(line) - 1);
	assert_memory_equal(text, line, sizeof(line) - 1);
	event_unref(e);
	event_spares_free(&spares);
}

/* Whatever the lengths, the block that is chosen is large enough; the sanitizer sees it if not. */
static void every_length_fits(void **state)
{
	(void)state;
	char user[USER_MAX];
	memset(user, '"', sizeof(user));
	struct event_spares spares = {.small = NULL};
	struct cause cause = {.device_len = 0};
	memset(cause.device, 'd', sizeof(cause.device));
	unsigned n_small = 0, n_medium = 0, n_large = 0;
	for (size_t user_len = 1; user_len <= USER_MAX; user_len++) {
		for (size_t status_len = 0; status_len <= STATUS_MAX; status_len++) {
			struct snapshot s = snapshot_of(status_len, '\\');
			s.seq = s.at_ms = s.last_seen_ms = INT64_MAX;
			s.is_reconnecting = true;
			event_spares_fill(&spares);
			cause.device_len = (uint8_t)((user_len + status_len) % (DEVICE_MAX + 1));
			struct event *e = event_make(&spares, user, user_len, 0, &s, &cause);
			assert_non_null(e);
			n_small += e->capacity == EVENT_SPARE_SMALL;
			n_medium += e->capacity == EVENT_SPARE_MEDIUM;
			n_large += e->capacity == EVENT_SPARE_LARGE;
			assert_int_equal(e->device_len, cause.device_len);
			assert_memory_equal(event_device(e), cause.device, e->device_len);
			assert_true(e->user_len + e->line_len + e->device_len <= (int)e->capacity);
			assert_true(e->line_len <= EVENT_LINE_MAX);
			assert_int_equal(event_line(e)[e->line_len - 1], '\n');
			event_unref(e);
		}
	}
	assert_true(n_small > 0 && n_medium > 0 && n_large > 0);
	event_spares_free(&spares);
}

static void a_missing_spare_makes_no_event(void **state)
{
	(void)state;
	struct event_spares spares = {.small = NULL};
	struct snapshot s = snapshot_of(0, 0), long_one = snapshot_of(STATUS_MAX, 'x');
	assert_null(event_make(&spares, "bob", 3, 0, &s, NULL));

	alloc_fail_begin(2); /* the large one */
	event_spares_fill(&spares);
	assert_true(alloc_fail_end());
	assert_null(event_make(&spares, "bob", 3, 0, &long_one, NULL));
	alloc_fail_begin(1);
	struct event *e = event_make(&spares, "bob", 3, 0, &s, NULL);
	assert_false(alloc_fail_end()); /* it allocates nothing */
	assert_non_null(e);
	assert_null(spares.small);
	event_unref(e);

	event_spares_fill(&spares);
	struct event *small = spares.small, *large = spares.large;
	event_spares_fill(&spares); /* what is there stays */
	assert_ptr_equal(spares.small, small);
	assert_ptr_equal(spares.large, large);
	event_spares_free(&spares);
	assert_null(spares.small);
	assert_null(spares.large);
}

static void lives_as_long_as_its_references(void **state)
{
	(void)state;
	struct event_spares spares = {.small = NULL};
	event_spares_fill(&spares);
	struct snapshot s = snapshot_of(0, 0);
	struct event *e = event_make(&spares, "bob", 3, 0, &s, NULL);
	assert_int_equal(atomic_load(&e->n_refs), 1);
	assert_ptr_equal(event_ref(e), e);
	event_ref(e);
	assert_int_equal(atomic_load(&e->n_refs), 3);
	event_unref(e);
	event_unref(e);
	assert_memory_equal(event_user(e), "bob", 3);
	event_unref(e); /* freed, or the sanitizer says so */
	event_unref(NULL);
	event_spares_free(&spares);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holds_the_id_and_the_line),
		cmocka_unit_test(every_length_fits),
		cmocka_unit_test(a_missing_spare_makes_no_event),
		cmocka_unit_test(lives_as_long_as_its_references),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
