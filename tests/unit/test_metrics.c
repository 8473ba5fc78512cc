/* The Prometheus text: every counter by its name, sums over the blocks, histograms that add up. */
#include "admin/metrics.h"

#include "support/cmocka_all.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { N_WORKERS = 2 };

static const struct admin_limits limits = {.max_watches = 77};
static char text[256 * 1024];

static void print(const struct telemetry *t)
{
	struct stats_view view = {.version = "1.2.3",
		.telemetry = t,
		.limits = &limits,
		.table = {.users_in_state = {[STATE_BUSY] = 5},
			.sessions_by_transport = {[TRANSPORT_WSS] = 6}},
		.rss_bytes = -1,
		.now_mono_ms = 5250};
	struct buffer b = {.data = NULL};

	metrics_put(&b, &view);
	assert_false(b.failed);
	assert_true(b.len < sizeof(text));
	memcpy(text, b.data, b.len);
	text[b.len] = '\0';
	buffer_free(&b);
}

static void assert_line(const char *line)
{
	char key[256];

	snprintf(key, sizeof(key), "\n%s\n", line);
	if (!strstr(text, key))
		fail_msg("there is no line %s", line);
}

static int setup(void **state)
{
	*state = telemetry_new(N_WORKERS, 1000);
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	telemetry_free(*state);
	return 0;
}

static void test_each_counter(void **state)
{
	struct telemetry *t = *state;
	char line[256];

	for (enum counter c = 0; c < COUNTER_N; c++) {
		counter_add(&t->workers[0].counters, c, 1);
		counter_add(&t->workers[1].counters, c, 10 + c);
		counter_add(&t->admin, c, 1000);
	}
	print(t);
	for (enum counter c = 0; c < COUNTER_N; c++) {
		snprintf(line, sizeof(line), "presenced_%s_total %u", counter_name(c), 1011 + c);
		assert_line(line);
		snprintf(line, sizeof(line), "# TYPE presenced_%s_total counter", counter_name(c));
		assert_line(line);
	}
}

static void test_gauges(void **state)
{
	struct telemetry *t = *state;

	atomic_store(&t->workers[1].connections, 3);
	atomic_store(&t->workers[1].stalled, true);
	atomic_store(&t->readiness, READINESS_READY);
	print(t);
	assert_line("presenced_uptime_seconds 4.250");
	assert_line("presenced_users{state=\"busy\"} 5");
	assert_line("presenced_sessions{transport=\"wss\"} 6");
	assert_line("presenced_worker_connections{worker=\"1\"} 3");
	assert_line("presenced_worker_stalled{worker=\"0\"} 0");
	assert_line("presenced_worker_stalled{worker=\"1\"} 1");
	assert_line("presenced_limit{name=\"max_watches\"} 77");
	assert_line("presenced_ready 0");
	assert_line("presenced_build_info{version=\"1.2.3\"} 1");
	assert_null(strstr(text, "resident_memory")); /* not known: not there */
}

static void test_histograms(void **state)
{
	struct telemetry *t = *state;

	histogram_record(&t->watchdog.lateness_ms, 0);
	histogram_record(&t->watchdog.lateness_ms, 63);
	histogram_record(&t->watchdog.lateness_ms, 64);
	histogram_record(&t->watchdog.lateness_ms, 100000);
	histogram_record(&t->watchdog.detection_ms, 3064);
	histogram_record(&t->workers[1].loop_us, 1500);
	print(t);
	assert_line("presenced_detection_lateness_seconds_bucket{le=\"0.001\"} 1");
	assert_line("presenced_detection_lateness_seconds_bucket{le=\"0.064\"} 2");
	assert_line("presenced_detection_lateness_seconds_bucket{le=\"0.128\"} 3");
	assert_line("presenced_detection_lateness_seconds_bucket{le=\"8.192\"} 3");
	assert_line("presenced_detection_lateness_seconds_bucket{le=\"+Inf\"} 4");
	assert_line("presenced_detection_lateness_seconds_sum 100.127");
	assert_line("presenced_detection_lateness_seconds_count 4");
	assert_line("presenced_detection_seconds_bucket{le=\"2.048\"} 0");
	assert_line("presenced_detection_seconds_bucket{le=\"4.096\"} 1");
	assert_line("presenced_scan_seconds_count 0");
	assert_line("presenced_worker_loop_seconds_bucket{worker=\"1\",le=\"0.001024\"} 0");
	assert_line("presenced_worker_loop_seconds_bucket{worker=\"1\",le=\"0.004096\"} 1");
	assert_line("presenced_worker_loop_seconds_sum{worker=\"1\"} 0.0015");
	assert_line("presenced_worker_loop_seconds_count{worker=\"0\"} 0");
}

/* Every family is announced once, before its samples, and by no other name. */
static void test_families(void **state)
{
	char family[128] = "", name[128];
	unsigned n = 0;

	print(*state);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		if (sscanf(line, "# HELP %127s", name) == 1) {
			assert_true(strlen(line) > strlen("# HELP ") + strlen(name) + 2);
			strcpy(family, name);
			n++;
		} else if (sscanf(line, "# TYPE %127s", name) == 1) {
			assert_string_equal(name, family);
		} else {
			assert_memory_equal(line, family, strlen(family));
			assert_non_null(strchr("{ _", line[strlen(family)]));
		}
	}
	assert_true(n > COUNTER_N + 20);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each_counter),
		TEST(test_gauges),
		TEST(test_histograms),
		TEST(test_families),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
