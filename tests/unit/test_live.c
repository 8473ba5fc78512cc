/* The live numbers: what a sample counts, what is kept of it, and the JSON of both. */
#include "admin/live.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_WORKERS = 3, STARTED_MS = 1000 };
static const uint64_t WALL_MS = 1763794282100;

static const struct admin_limits limits = {.max_connections = 500, .max_watches_total = 77};

struct fixture {
	struct telemetry *telemetry;
	struct live *live;
	struct stats_view view;
};

static int setup(void **state)
{
	static struct fixture f;
	struct live_params params = {
		.limits = &limits, .version = "1.2.3", .scan_interval_ms = 100};

	memset(&f, 0, sizeof(f));
	f.telemetry = telemetry_new(N_WORKERS, STARTED_MS);
	assert_non_null(f.telemetry);
	params.telemetry = f.telemetry;
	f.live = live_new(&params);
	assert_non_null(f.live);
	f.view = (struct stats_view){.telemetry = f.telemetry,
		.limits = &limits,
		.rss_bytes = 4096,
		.now_mono_ms = STARTED_MS};
	*state = &f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	live_free(f->live);
	telemetry_free(f->telemetry);
	return 0;
}

static void take(struct fixture *f, uint64_t later_ms)
{
	f->view.now_mono_ms += later_ms;
	live_take(f->live, &f->view, WALL_MS + f->view.now_mono_ms - STARTED_MS);
}

/* What a follower is told next: whole events, at most so many, by their names. */
struct told {
	size_t n, n_bytes;
	char names[8][16];
	json_t *data[8];
};

static void told_free(struct told *t)
{
	for (size_t i = 0; i < t->n; i++)
		json_decref(t->data[i]);
}

static void told_parse(struct told *t, const char *text, const char *end)
{
	json_error_t error;

	while (text < end) {
		const char *name = text + strlen("event: ");
		const char *name_end = strchr(name, '\n');
		const char *data = name_end + strlen("\ndata: ");
		const char *data_end = strchr(data, '\n');

		assert_memory_equal(text, "event: ", strlen("event: "));
		assert_memory_equal(name_end, "\ndata: ", strlen("\ndata: "));
		assert_memory_equal(data_end, "\n\n", 2);
		assert_true(t->n < ARRAY_LEN(t->data));
		snprintf(t->names[t->n], sizeof(t->names[0]), "%.*s", (int)(name_end - name), name);
		t->data[t->n] = json_loadb(data, (size_t)(data_end - data), 0, &error);
		if (!t->data[t->n++])
			fail_msg("%s: %.*s", error.text, (int)(data_end - data), data);
		text = data_end + 2;
	}
}

static struct told tell(struct live *l, struct live_follower *f)
{
	static char text[LIVE_ROOM + 1];
	struct told told = {.n = 0};

	told.n_bytes = live_fill(l, f, text, LIVE_ROOM);
	assert_true(told.n_bytes <= LIVE_ROOM);
	text[told.n_bytes] = '\0';
	told_parse(&told, text, text + told.n_bytes);
	return told;
}

/* The newest sample, as one is told who has been told all before it. */
static json_t *newest(const struct fixture *f)
{
	struct live_follower late = {.next = 0};
	json_t *sample;
	struct told t;

	do {
		t = tell(f->live, &late);
		assert_true(t.n > 0);
		sample = strcmp(t.names[t.n - 1], "sample") == 0 ? json_incref(t.data[t.n - 1])
								 : NULL;
		told_free(&t);
	} while (!sample);
	return sample;
}

static json_int_t integer(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		fail_msg("%s is no integer", key);
	return json_integer_value(value);
}

static json_int_t told(const struct fixture *f, const char *key)
{
	json_t *d = newest(f);
	json_int_t value = integer(d, key);

	json_decref(d);
	return value;
}

static void test_about(void **state)
{
	struct fixture *f = *state;
	struct live_follower follower = {.next = 0};
	struct told t = tell(f->live, &follower);
	const json_t *d;

	/* Before the first sample it is all there is; and it is told once. */
	assert_int_equal(t.n, 1);
	assert_string_equal(t.names[0], "about");
	d = t.data[0];
	assert_string_equal(json_string_value(json_object_get(d, "version")), "1.2.3");
	assert_string_equal(
		json_string_value(json_object_get(d, "server")), f->telemetry->server_id);
	assert_int_equal(integer(d, "workers"), N_WORKERS);
	assert_int_equal(integer(d, "interval_ms"), 1000);
	assert_int_equal(integer(d, "scan_interval_ms"), 100);
	assert_int_equal(integer(json_object_get(d, "limits"), "max_connections"), 500);
	assert_int_equal(integer(json_object_get(d, "limits"), "max_watches_total"), 77);
	told_free(&t);
	t = tell(f->live, &follower);
	assert_int_equal(t.n, 0);
}

static void test_counts_since_the_sample_before(void **state)
{
	struct fixture *f = *state;
	struct counters *of_worker = &f->telemetry->workers[2].counters;

	counter_add(of_worker, COUNTER_heartbeats, 10);
	take(f, 1000);
	assert_int_equal(told(f, "heartbeats"), 10);
	assert_int_equal(told(f, "took_ms"), 1000);
	counter_add(of_worker, COUNTER_heartbeats, 3);
	counter_add(&f->telemetry->workers[0].counters, COUNTER_heartbeats, 4);
	counter_add(of_worker, COUNTER_refused_full, 1);
	counter_add(of_worker, COUNTER_refused_address, 2);
	counter_add(of_worker, COUNTER_refused_plaintext, 4);
	counter_add(of_worker, COUNTER_refused_descriptors, 8);
	counter_add(of_worker, COUNTER_accept_errors, 16);
	atomic_store(&f->telemetry->watchdog.stalls, 2);
	take(f, 1500);
	assert_int_equal(told(f, "heartbeats"), 7);
	assert_int_equal(told(f, "refused"), 31);
	assert_int_equal(told(f, "standstills"), 2);
	assert_int_equal(told(f, "took_ms"), 1500);
	assert_int_equal(told(f, "uptime_ms"), 2500);
	assert_int_equal(told(f, "at_ms"), WALL_MS + 2500);
	take(f, 1000);
	assert_int_equal(told(f, "heartbeats"), 0);
	assert_int_equal(told(f, "refused"), 0);
}

/* Every end has a counter, and all of them are told: a reason that is added must not be missing here. */
static void test_all_ends_are_told(void **state)
{
	struct fixture *f = *state;
	unsigned n = 0;

	take(f, 1000);
	for (enum counter c = 0; c < COUNTER_N; c++) {
		if (strncmp(counter_name(c), "ended_", 6) != 0)
			continue;
		counter_add(&f->telemetry->workers[1].counters, c, 5);
		take(f, 1000);
		assert_int_equal(told(f, counter_name(c)), 5);
		n++;
	}
	assert_int_equal(n, 8);
}

static void test_sums_and_the_present(void **state)
{
	struct fixture *f = *state;
	json_t *d, *worker;

	for (unsigned i = 0; i < N_WORKERS; i++) {
		atomic_store(&f->telemetry->workers[i].connections, 10 + i);
		atomic_store(&f->telemetry->workers[i].watches, 100 + i);
	}
	atomic_store(&f->telemetry->workers[1].descriptors, 99);
	atomic_store(&f->telemetry->workers[1].stalled, true);
	atomic_store(&f->telemetry->readiness, READINESS_READY);
	f->view.table = (struct table_counts){.sessions = 8,
		.users_online = 6,
		.users_in_state = {[STATE_BUSY] = 5},
		.sessions_by_transport = {[TRANSPORT_WSS] = 3}};
	take(f, 1000);
	d = newest(f);
	assert_int_equal(integer(d, "connections"), 33);
	assert_int_equal(integer(d, "watches"), 303);
	assert_int_equal(integer(d, "sessions"), 8);
	assert_int_equal(integer(d, "users_online"), 6);
	assert_int_equal(integer(d, "rss_bytes"), 4096);
	assert_int_equal(integer(json_object_get(d, "states"), "busy"), 5);
	assert_int_equal(integer(json_object_get(d, "transports"), "wss"), 3);
	assert_string_equal(
		json_string_value(json_object_get(d, "not_ready")), "worker 1 is stalled");
	assert_int_equal(json_array_size(json_object_get(d, "workers")), N_WORKERS);
	worker = json_array_get(json_object_get(d, "workers"), 1);
	assert_int_equal(integer(worker, "connections"), 11);
	assert_int_equal(integer(worker, "descriptors"), 99);
	assert_true(json_is_true(json_object_get(worker, "stalled")));
	json_decref(d);
	atomic_store(&f->telemetry->workers[1].stalled, false);
	atomic_store(&f->telemetry->store.fault, ENOSPC);
	take(f, 1000);
	d = newest(f);
	assert_string_equal(json_string_value(json_object_get(d, "degraded")), "disk full");
	json_decref(d);
	atomic_store(&f->telemetry->store.fault, 0);
	f->view.rss_bytes = -1;
	take(f, 1000);
	d = newest(f);
	assert_true(json_is_null(json_object_get(d, "not_ready")));
	assert_true(json_is_null(json_object_get(d, "degraded")));
	assert_true(json_is_null(json_object_get(d, "rss_bytes")));
	json_decref(d);
}

static json_int_t load_of(const struct fixture *f, size_t worker)
{
	json_t *d = newest(f);
	json_int_t load =
		json_integer_value(json_array_get(json_object_get(d, "loads_permille"), worker));

	assert_int_equal(
		integer(json_array_get(json_object_get(d, "workers"), worker), "load_permille"),
		load);
	json_decref(d);
	return load;
}

static void test_load_is_the_time_not_spent_waiting(void **state)
{
	struct fixture *f = *state;
	struct worker_telemetry *w = &f->telemetry->workers[1];

	take(f, 1000);
	histogram_record(&w->loop_us, 100000);
	histogram_record(&w->loop_us, 150000);
	take(f, 1000);
	assert_int_equal(load_of(f, 0), 0);
	assert_int_equal(load_of(f, 1), 250);
	take(f, 1000);
	assert_int_equal(load_of(f, 1), 0);
}

/* A turn that goes on for seconds is no idle worker; and when it is over its time is not counted again. */
static void test_load_of_a_worker_that_is_stuck(void **state)
{
	struct fixture *f = *state;
	struct worker_telemetry *w = &f->telemetry->workers[1];

	take(f, 1000);
	atomic_store(&w->turn_began_ms, f->view.now_mono_ms + 400);
	take(f, 1000);
	assert_int_equal(load_of(f, 1), 600);
	take(f, 1000);
	assert_int_equal(load_of(f, 1), 1000);
	atomic_store(&w->turn_began_ms, 0);
	histogram_record(&w->loop_us, 1800000);
	take(f, 1000);
	assert_in_range(load_of(f, 1), 199, 201);
}

static void test_quantiles_are_of_the_last_second(void **state)
{
	struct fixture *f = *state;
	json_t *d;

	histogram_record(&f->telemetry->watchdog.lateness_ms, 4000);
	histogram_record(&f->telemetry->workers[0].loop_us, 4000000);
	take(f, 1000);
	assert_int_equal(told(f, "lateness_max_ms"), 4000);
	for (unsigned i = 0; i < 200; i++)
		histogram_record(&f->telemetry->watchdog.lateness_ms, 12);
	histogram_record(&f->telemetry->watchdog.lateness_ms, 15);
	histogram_record(&f->telemetry->workers[0].loop_us, 14);
	take(f, 1000);
	assert_int_equal(told(f, "lateness_p99_ms"), 12);
	assert_int_equal(told(f, "lateness_max_ms"), 15);
	d = newest(f);
	assert_int_equal(
		integer(json_array_get(json_object_get(d, "workers"), 0), "turn_p99_us"), 14);
	assert_true(json_is_null(
		json_object_get(json_array_get(json_object_get(d, "workers"), 1), "turn_p99_us")));
	json_decref(d);
	take(f, 1000);
	d = newest(f);
	assert_true(json_is_null(json_object_get(d, "lateness_p99_ms")));
	assert_true(json_is_null(json_object_get(d, "lateness_max_ms")));
	json_decref(d);
}

/* All that a follower is told until there is nothing more: the rows of its history, and how often it was told. */
static json_t *history_of(
	struct live *l, struct live_follower *f, unsigned *ret_n_fills, json_t **ret_columns)
{
	json_t *rows = json_array();
	struct told t;

	*ret_n_fills = 0;
	for (;;) {
		t = tell(l, f);
		if (t.n == 0)
			return rows;
		++*ret_n_fills;
		for (size_t i = 0; i < t.n; i++) {
			if (strcmp(t.names[i], "history") == 0)
				json_array_extend(rows, json_object_get(t.data[i], "samples"));
			if (ret_columns && strcmp(t.names[i], "about") == 0)
				*ret_columns = json_incref(json_object_get(t.data[i], "columns"));
		}
		told_free(&t);
	}
}

/* The rows and the samples are of one shape: whoever reads a row by its columns has a sample without its present. */
static void test_history_has_what_the_samples_had(void **state)
{
	struct fixture *f = *state;
	struct live_follower follower = {.next = 0};
	json_t *before, *rows, *columns = NULL, *row;
	unsigned n_fills;

	counter_add(&f->telemetry->admin, COUNTER_logins, 6);
	take(f, 1000);
	before = newest(f);
	take(f, 1000);
	rows = history_of(f->live, &follower, &n_fills, &columns);
	assert_int_equal(n_fills, 1);
	assert_int_equal(json_array_size(rows), 1);
	row = json_array_get(rows, 0);
	assert_int_equal(json_array_size(row), json_array_size(columns));
	for (size_t i = 0; i < json_array_size(row); i++) {
		const char *name = json_string_value(json_array_get(columns, i));
		assert_true(json_equal(json_array_get(row, i), json_object_get(before, name)));
	}
	json_decref(rows);
	json_decref(columns);
	json_decref(before);
}

/* In pieces of what there is room for; none is missing, and none is told twice. */
static void test_history_keeps_the_last_quarter_of_an_hour(void **state)
{
	struct fixture *f = *state;
	struct live_follower follower = {.next = 0};
	json_t *rows;
	unsigned n_fills;

	for (unsigned i = 0; i < 2 * LIVE_KEPT + 10; i++)
		take(f, 1000);
	rows = history_of(f->live, &follower, &n_fills, NULL);
	assert_true(n_fills > 2);
	assert_int_equal(json_array_size(rows), LIVE_KEPT - 1);
	for (unsigned i = 0; i + 1 < LIVE_KEPT; i++) /* the second column is the uptime */
		assert_int_equal(json_integer_value(json_array_get(json_array_get(rows, i), 1)),
			(LIVE_KEPT + 11 + i) * 1000);
	json_decref(rows);
	assert_int_equal(told(f, "uptime_ms"), (2 * LIVE_KEPT + 10) * 1000);
}

static void test_each_follower_is_told_each_sample_once(void **state)
{
	struct fixture *f = *state;
	struct live_follower quick = {.next = 0}, slow = {.next = 0};
	struct told t;

	take(f, 1000);
	t = tell(f->live, &quick);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.names[1], "sample");
	told_free(&t);
	assert_int_equal(tell(f->live, &quick).n, 0);
	t = tell(f->live, &slow);
	assert_int_equal(t.n, 2);
	told_free(&t);
	for (unsigned i = 0; i < 3; i++) {
		take(f, 1000);
		t = tell(f->live, &quick);
		assert_int_equal(t.n, 1);
		assert_string_equal(t.names[0], "sample");
		assert_int_equal(integer(t.data[0], "uptime_ms"), (i + 2) * 1000);
		told_free(&t);
	}
	/* Who missed two of the three has them as history. */
	t = tell(f->live, &slow);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.names[0], "history");
	assert_int_equal(json_array_size(json_object_get(t.data[0], "samples")), 2);
	assert_string_equal(t.names[1], "sample");
	assert_int_equal(integer(t.data[1], "uptime_ms"), 4000);
	told_free(&t);
	/* Who missed more than is kept has what is kept. */
	for (unsigned i = 0; i < LIVE_KEPT + 5; i++)
		take(f, 1000);
	json_decref(history_of(f->live, &slow, &(unsigned){0}, NULL));
	assert_int_equal(slow.next, LIVE_KEPT + 9);
}

enum { N_CONCURRENT = 3000 };

static void *take_many(void *arg)
{
	for (unsigned i = 0; i < N_CONCURRENT; i++)
		take(arg, 1000);
	return NULL;
}

/* One thread takes, another tells: each sample whole, none twice, in order; and none is missed by who keeps up. */
static void test_taken_by_one_thread_and_told_by_another(void **state)
{
	struct fixture *f = *state;
	struct live_follower follower = {.next = 0};
	json_int_t last_ms = 0;
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, take_many, f), 0);
	while (last_ms < N_CONCURRENT * 1000) {
		struct told t = tell(f->live, &follower);
		for (size_t i = 0; i < t.n; i++) {
			json_int_t at_ms;
			if (strcmp(t.names[i], "sample") != 0)
				continue;
			at_ms = integer(t.data[i], "uptime_ms");
			assert_true(at_ms > last_ms);
			assert_int_equal(integer(t.data[i], "at_ms"), WALL_MS + (uint64_t)at_ms);
			assert_int_equal(at_ms, (json_int_t)follower.next * 1000);
			last_ms = at_ms;
		}
		told_free(&t);
	}
	pthread_join(thread, NULL);
	assert_int_equal(follower.next, N_CONCURRENT);
}

/* A sample of as many workers as there can be, with numbers as long as they get, fits into what a follower takes. */
static void test_the_largest_fits(void **state)
{
	struct fixture *f = *state;
	const uint64_t large = 99999999999;

	telemetry_free(f->telemetry);
	live_free(f->live);
	f->telemetry = telemetry_new(WORKERS_MAX, STARTED_MS);
	f->view.telemetry = f->telemetry;
	f->live = live_new(&(struct live_params){
		.telemetry = f->telemetry, .limits = &limits, .version = "1"});
	assert_non_null(f->live);
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		struct worker_telemetry *w = &f->telemetry->workers[i];
		atomic_store(&w->sessions, large);
		atomic_store(&w->connections, large);
		atomic_store(&w->watches, large);
		atomic_store(&w->mailbox_depth, large);
		atomic_store(&w->descriptors, large);
		histogram_record(&w->loop_us, UINT32_MAX);
	}
	for (enum counter c = 0; c < COUNTER_N; c++)
		counter_add(&f->telemetry->admin, c, UINT32_MAX);
	f->view.table.sessions = f->view.table.users_online = large;
	take(f, 1000);
	take(f, 1000);
	assert_int_equal(told(f, "connections"), WORKERS_MAX * large);
}

/* Two looks within a millisecond divide by no zero. */
static void test_samples_of_one_moment(void **state)
{
	struct fixture *f = *state;

	take(f, 1000);
	histogram_record(&f->telemetry->workers[1].loop_us, 500);
	take(f, 0);
	assert_int_equal(told(f, "took_ms"), 1);
	assert_int_equal(load_of(f, 1), 500);
}

static void test_refused_memory(void **state)
{
	struct fixture *f = *state;
	struct live_params params = {.telemetry = f->telemetry, .limits = &limits, .version = "1"};
	struct live *l = NULL;
	long n;

	for (n = 1; n < 100; n++) {
		alloc_fail_begin(n);
		l = live_new(&params);
		if (!alloc_fail_end())
			break;
		assert_null(l);
	}
	assert_non_null(l);
	assert_true(n > 9);
	live_free(l);
	live_free(NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_about),
		TEST(test_counts_since_the_sample_before),
		TEST(test_all_ends_are_told),
		TEST(test_sums_and_the_present),
		TEST(test_load_is_the_time_not_spent_waiting),
		TEST(test_load_of_a_worker_that_is_stuck),
		TEST(test_quantiles_are_of_the_last_second),
		TEST(test_history_has_what_the_samples_had),
		TEST(test_history_keeps_the_last_quarter_of_an_hour),
		TEST(test_each_follower_is_told_each_sample_once),
		TEST(test_taken_by_one_thread_and_told_by_another),
		TEST(test_the_largest_fits),
		TEST(test_samples_of_one_moment),
		TEST(test_refused_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
