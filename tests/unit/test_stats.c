#include "admin/stats.h"

#include "presence/mailbox.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_WORKERS = 3, STARTED_MS = 1000, NOW_MS = 5250, RSS = 1234567, MAILBOX_EVENTS = 4096 };

static const struct admin_limits limits = {
	.max_connections = 0,
	.max_sessions_per_user = 16,
	.max_watches = 10000,
	.max_watches_total = 20000000,
	.max_message_bytes = 65536,
	.remember = 100000,
	.descriptors = 20000,
	.mailbox_events = MAILBOX_EVENTS,
};

static struct stats_view view_of(const struct telemetry *t)
{
	return (struct stats_view){
		.version = "1.2.3",
		.telemetry = t,
		.limits = &limits,
		.table = {.sessions = 70,
			.users_online = 60,
			.users_known = 90,
			.users_remembered = 20,
			.bytes = 12345},
		.rss_bytes = RSS,
		.now_mono_ms = NOW_MS,
	};
}

static int setup(void **state)
{
	*state = telemetry_new(N_WORKERS, STARTED_MS);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	telemetry_free(*state);
	return 0;
}

/* As a client reads it. */
static json_t *read_back(const struct stats_view *view)
{
	struct buffer b = {.data = NULL};
	json_error_t error;
	json_t *d;

	stats_put(&b, view);
	assert_false(b.failed);
	assert_int_equal(b.data[b.len - 1], '\n');
	d = json_loadb(b.data, b.len, JSON_REJECT_DUPLICATES, &error);
	if (!d)
		fail_msg("%s: %.*s", error.text, (int)b.len, b.data);
	buffer_free(&b);
	return d;
}

static json_t *document(const struct telemetry *t)
{
	struct stats_view view = view_of(t);

	return read_back(&view);
}

/* The fields of an object are these, all of them and no others, in this order. */
static void assert_fields(const json_t *object, const char *const *names, size_t n)
{
	const char *key;
	json_t *value;
	size_t i = 0;

	assert_true(json_is_object(object));
	json_object_foreach((json_t *)(uintptr_t)object, key, value)
	{
		assert_non_null(value);
		assert_true(i < n);
		assert_string_equal(key, names[i]);
		i++;
	}
	assert_int_equal(i, n);
}

#define ASSERT_FIELDS(object, ...)                                                                 \
	do {                                                                                       \
		static const char *const names_here[] = {__VA_ARGS__};                             \
		assert_fields((object), names_here, ARRAY_LEN(names_here));                        \
	} while (0)

static json_int_t integer(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		fail_msg("%s is no integer", key);
	return json_integer_value(value);
}

static void test_fields_are_those_of_the_protocol(void **state)
{
	json_t *d = document(*state);
	const json_t *worker, *workers = json_object_get(d, "workers");
	const json_t *watchdog = json_object_get(d, "watchdog");
	size_t i;

	ASSERT_FIELDS(d, "version", "server", "uptime_ms", "sessions", "sessions_in_grace",
		"connections", "users_online", "watches", "counters", "workers", "watchdog", "feed",
		"store", "memory", "limits");
	assert_true(json_is_array(workers));
	assert_int_equal(json_array_size(workers), N_WORKERS);
	json_array_foreach(workers, i, worker)
	{
		ASSERT_FIELDS(worker, "sessions", "connections", "lingering", "watches",
			"descriptors", "mailbox_depth", "loop_ms", "event_ms", "stalled",
			"counters");
		ASSERT_FIELDS(json_object_get(worker, "loop_ms"), "p50", "p99", "max");
		assert_true(json_is_boolean(json_object_get(worker, "stalled")));
	}
	assert_true(json_is_null(json_object_get(d, "store")));
	ASSERT_FIELDS(watchdog, "scans", "scan_us", "lateness_ms", "expired", "mistakes", "stalls");
	ASSERT_FIELDS(json_object_get(watchdog, "scan_us"), "p50", "p99", "max");
	ASSERT_FIELDS(json_object_get(watchdog, "lateness_ms"), "p50", "p99", "max");
	ASSERT_FIELDS(json_object_get(d, "memory"), "rss_bytes", "table_bytes", "mailboxes_bytes",
		"users_known", "users_remembered");
	ASSERT_FIELDS(json_object_get(d, "feed"), "events", "kept", "histories", "transitions",
		"streams");
	ASSERT_FIELDS(json_object_get(d, "limits"), "max_connections", "max_sessions_per_user",
		"max_watches", "max_watches_total", "max_message_bytes", "remember", "descriptors",
		"mailbox_events", "event_log", "history");
	json_decref(d);
}

static void test_a_store(void **state)
{
	struct telemetry *t = *state;
	json_t *d, *store;

	atomic_store(&t->store.is_on, true);
	atomic_store(&t->store.saved_mono_ms, NOW_MS - 700);
	atomic_store(&t->store.users, 9);
	counter_add(&t->store.counters, COUNTER_store_batches, 3);
	d = document(t);
	store = json_object_get(d, "store");
	ASSERT_FIELDS(store, "fault", "lag_ms", "users", "batches", "rows", "batch_ms", "errors",
		"last_error", "last_error_ms");
	assert_int_equal(integer(store, "lag_ms"), 700);
	assert_int_equal(integer(store, "users"), 9);
	assert_int_equal(integer(store, "batches"), 3);
	assert_true(json_is_null(json_object_get(store, "fault")));
	assert_true(json_is_null(json_object_get(store, "last_error_ms")));
	assert_null(stats_degraded(t));
	json_decref(d);

	atomic_store(&t->store.fault, ENOSPC);
	atomic_store(&t->store.last_fault, EROFS);
	atomic_store(&t->store.last_fault_ms, 77);
	d = document(t);
	store = json_object_get(d, "store");
	assert_string_equal(json_string_value(json_object_get(store, "fault")), "disk full");
	assert_string_equal(json_string_value(json_object_get(store, "last_error")), "read-only");
	assert_int_equal(integer(store, "last_error_ms"), 77);
	assert_string_equal(stats_degraded(t), "disk full");
	json_decref(d);
}

static void test_totals(void **state)
{
	struct telemetry *t = *state;
	json_t *d;

	for (unsigned i = 0; i < N_WORKERS; i++) {
		atomic_store(&t->workers[i].connections, 10 + i);
		atomic_store(&t->workers[i].watches, 100 + i);
	}
	d = document(t);
	assert_string_equal(json_string_value(json_object_get(d, "version")), "1.2.3");
	assert_string_equal(json_string_value(json_object_get(d, "server")), t->server_id);
	assert_int_equal(integer(d, "uptime_ms"), NOW_MS - STARTED_MS);
	assert_int_equal(integer(d, "sessions"), 70);
	assert_int_equal(integer(d, "users_online"), 60);
	assert_int_equal(integer(d, "connections"), 10 + 11 + 12);
	assert_int_equal(integer(d, "watches"), 100 + 101 + 102);
	json_decref(d);
}

/* Every counter of the table is there by its name: in its worker's own, and summed over all blocks. */
static void test_each_counter(void **state)
{
	struct telemetry *t = *state;
	const json_t *total, *own;
	json_t *d;

	for (enum counter c = 0; c < COUNTER_N; c++) {
		for (unsigned i = 0; i < N_WORKERS; i++)
			counter_add(&t->workers[i].counters, c, (c + 1) * (i + 1));
		counter_add(&t->watchdog.counters, c, 1000 + c);
		counter_add(&t->admin, c, 1000000);
	}
	d = document(t);
	total = json_object_get(d, "counters");
	assert_int_equal(json_object_size(total), COUNTER_N);
	for (enum counter c = 0; c < COUNTER_N; c++) {
		assert_int_equal(integer(total, counter_name(c)), (c + 1) * 6 + 1001000 + c);
		for (unsigned i = 0; i < N_WORKERS; i++) {
			own = json_object_get(
				json_array_get(json_object_get(d, "workers"), i), "counters");
			assert_int_equal(json_object_size(own), COUNTER_N);
			assert_int_equal(integer(own, counter_name(c)), (c + 1) * (i + 1));
		}
	}
	json_decref(d);
}

static void test_worker(void **state)
{
	struct telemetry *t = *state;
	struct worker_telemetry *w = &t->workers[1];
	const json_t *shown, *loop;
	json_t *d;

	atomic_store(&w->sessions, 1);
	atomic_store(&w->connections, 2);
	atomic_store(&w->lingering, 3);
	atomic_store(&w->watches, 4);
	atomic_store(&w->descriptors, 5);
	atomic_store(&w->mailbox_depth, 6);
	atomic_store(&w->stalled, true);
	for (int i = 0; i < 97; i++)
		histogram_record(&w->loop_us, 8);
	for (int i = 0; i < 3; i++)
		histogram_record(&w->loop_us, 2500);
	d = document(t);
	shown = json_array_get(json_object_get(d, "workers"), 1);
	loop = json_object_get(shown, "loop_ms");
	assert_int_equal(integer(shown, "sessions"), 1);
	assert_int_equal(integer(shown, "connections"), 2);
	assert_int_equal(integer(shown, "lingering"), 3);
	assert_int_equal(integer(shown, "watches"), 4);
	assert_int_equal(integer(shown, "descriptors"), 5);
	assert_int_equal(integer(shown, "mailbox_depth"), 6);
	assert_true(json_is_true(json_object_get(shown, "stalled")));
	assert_true(json_is_false(
		json_object_get(json_array_get(json_object_get(d, "workers"), 0), "stalled")));
	assert_true(json_real_value(json_object_get(loop, "p50")) == 0.008);
	assert_true(json_real_value(json_object_get(loop, "p99")) == 2.5);
	assert_true(json_real_value(json_object_get(loop, "max")) == 2.5);
	json_decref(d);
}

static void test_watchdog(void **state)
{
	struct telemetry *t = *state;
	const json_t *shown;
	json_t *d;

	atomic_store(&t->watchdog.scans, 11);
	atomic_store(&t->watchdog.stalls, 12);
	counter_add(&t->watchdog.counters, COUNTER_ended_timeout, 13);
	counter_add(&t->workers[0].counters, COUNTER_mistakes, 1);
	counter_add(&t->workers[2].counters, COUNTER_mistakes, 2);
	histogram_record(&t->watchdog.scan_us, 14);
	histogram_record(&t->watchdog.lateness_ms, 100);
	d = document(t);
	shown = json_object_get(d, "watchdog");
	assert_int_equal(integer(shown, "scans"), 11);
	assert_int_equal(integer(shown, "stalls"), 12);
	assert_int_equal(integer(shown, "expired"), 13);
	assert_int_equal(integer(shown, "mistakes"), 3);
	assert_int_equal(integer(json_object_get(shown, "scan_us"), "p99"), 14);
	assert_int_equal(integer(json_object_get(shown, "lateness_ms"), "max"), 100);
	json_decref(d);
}

static void test_memory_and_limits(void **state)
{
	struct stats_view view = view_of(*state);
	json_t *d = read_back(&view);
	const json_t *memory = json_object_get(d, "memory"), *shown = json_object_get(d, "limits");

	assert_int_equal(integer(memory, "rss_bytes"), RSS);
	assert_int_equal(integer(memory, "table_bytes"), 12345);
	assert_int_equal(integer(memory, "mailboxes_bytes"),
		N_WORKERS * MAILBOX_EVENTS * sizeof(struct mailbox_cell));
	assert_int_equal(integer(memory, "users_known"), 90);
	assert_int_equal(integer(memory, "users_remembered"), 20);
#define CHECK_LIMIT(name) assert_int_equal(integer(shown, #name), limits.name);
	ADMIN_LIMITS(CHECK_LIMIT)
#undef CHECK_LIMIT
	json_decref(d);

	view.rss_bytes = -1;
	d = read_back(&view);
	assert_true(json_is_null(json_object_get(json_object_get(d, "memory"), "rss_bytes")));
	json_decref(d);
}

/* 2^63 and more does not become a negative number. */
static void test_numbers_do_not_wrap(void **state)
{
	struct telemetry *t = *state;
	json_t *d;

	counter_add(&t->admin, COUNTER_bytes_in, UINT64_MAX);
	d = document(t);
	assert_true(integer(json_object_get(d, "counters"), "bytes_in") == INT64_MAX);
	json_decref(d);
}

static void test_readiness(void **state)
{
	struct telemetry *t = *state;
	char reason[STATS_REASON_MAX];

	for (enum readiness r = 0; r < READINESS_N; r++) {
		atomic_store(&t->readiness, r);
		strcpy(reason, "untouched");
		assert_int_equal(stats_is_ready(t, reason), r == READINESS_READY);
		assert_string_equal(reason, r == READINESS_READY ? "untouched" : readiness_word(r));
	}
	atomic_store(&t->readiness, READINESS_READY);
	atomic_store(&t->workers[2].stalled, true);
	assert_false(stats_is_ready(t, reason));
	assert_string_equal(reason, "worker 2 is stalled");
	atomic_store(&t->workers[2].stalled, false);
	assert_true(stats_is_ready(t, reason));
}

static void test_error(void **state)
{
	json_t *d = stats_error("not_found", "there is \"nothing\"");
	const char *code, *message;

	(void)state;
	ASSERT_FIELDS(d, "error");
	assert_int_equal(
		json_unpack(d, "{s:{s:s,s:s!}!}", "error", "code", &code, "message", &message), 0);
	assert_string_equal(code, "not_found");
	assert_string_equal(message, "there is \"nothing\"");
	json_decref(d);
}

/* jansson's allocations, of which the n-th is refused. */
static long until_refused, n_live;

static void *refusing_malloc(size_t size)
{
	void *p = --until_refused == 0 ? NULL : malloc(size);

	n_live += p != NULL;
	return p;
}

static void counting_free(void *p)
{
	n_live -= p != NULL;
	free(p);
}

/* Whichever allocation is refused: NULL, and nothing is left behind. */
static void test_refused_memory_of_an_error(void **state)
{
	json_malloc_t old_malloc;
	json_free_t old_free;
	json_t *d = NULL;
	long n;

	json_decref(document(*state)); /* what jansson makes once is not counted below */
	json_get_alloc_funcs(&old_malloc, &old_free);
	json_set_alloc_funcs(refusing_malloc, counting_free);
	for (n = 1; n < 100000 && !d; n++) {
		until_refused = n;
		n_live = 0;
		d = stats_error("code", "message");
		if (!d)
			assert_int_equal(n_live, 0);
	}
	assert_non_null(d);
	assert_true(until_refused > 0);
	assert_true(n > 5);
	json_decref(d);
	assert_int_equal(n_live, 0);
	json_set_alloc_funcs(old_malloc, old_free);
}

/* Whichever growth is refused: the buffer says so. */
static void test_refused_memory(void **state)
{
	struct stats_view view = view_of(*state);
	bool was_refused = true;
	long n;

	for (n = 1; was_refused; n++) {
		struct buffer b = {.data = NULL};

		alloc_fail_begin(n);
		stats_put(&b, &view);
		was_refused = alloc_fail_end();
		assert_int_equal(b.failed, was_refused);
		buffer_free(&b);
	}
	assert_true(n > 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_fields_are_those_of_the_protocol),
		TEST(test_a_store),
		TEST(test_totals),
		TEST(test_each_counter),
		TEST(test_worker),
		TEST(test_watchdog),
		TEST(test_memory_and_limits),
		TEST(test_numbers_do_not_wrap),
		TEST(test_readiness),
		TEST(test_error),
		TEST(test_refused_memory_of_an_error),
		TEST(test_refused_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
