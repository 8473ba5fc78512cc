#include "admin/metrics.h"

#include "presence/mailbox.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Statistics: relaxed, no decision hangs on their order. */
static uint64_t peek(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

/* ---- counters ------------------------------------------------------------------------------------ */

/* What the table of counters says of it; and of those that are the server's quality of service, which. */
static const char *more_help(enum counter c)
{
	if (c != COUNTER_mistakes)
		return "";
	return ": its rate is the mistake rate of Chen, Toueg and Aguilera (2002)";
}

static void put_head(struct buffer *to, const char *name, const char *help, const char *type)
{
	buffer_printf(
		to, "# HELP presenced_%s %s\n# TYPE presenced_%s %s\n", name, help, name, type);
}

static void put_counters(struct buffer *to, const struct telemetry *t)
{
	for (enum counter c = 0; c < COUNTER_N; c++) {
		const char *name = counter_name(c);
		buffer_printf(to,
			"# HELP presenced_%s_total %s%s\n# TYPE presenced_%s_total counter\n"
			"presenced_%s_total %" PRIu64 "\n",
			name, counter_help(c), more_help(c), name, name, telemetry_counter(t, c));
	}
}

static void put_counter(struct buffer *to, const char *name, const char *help, uint64_t value)
{
	put_head(to, name, help, "counter");
	buffer_printf(to, "presenced_%s %" PRIu64 "\n", name, value);
}

/* ---- gauges -------------------------------------------------------------------------------------- */

static void put_gauge(struct buffer *to, const char *name, const char *help, uint64_t value)
{
	put_head(to, name, help, "gauge");
	buffer_printf(to, "presenced_%s %" PRIu64 "\n", name, value);
}

static void put_tables(struct buffer *to, const struct table_counts *c)
{
	put_head(to, "users",
		"users in memory by state; offline are remembered, watched or invisible", "gauge");
	for (unsigned i = 0; i < STATE_INVISIBLE; i++)
		buffer_printf(to, "presenced_users{state=\"%s\"} %" PRIu64 "\n",
			state_word((enum state)i), c->users_in_state[i]);
	put_head(to, "sessions", "sessions by the transport they came in by", "gauge");
	for (unsigned i = 0; i < TRANSPORT_N; i++)
		buffer_printf(to, "presenced_sessions{transport=\"%s\"} %" PRIu64 "\n",
			transport_word((enum transport)i), c->sessions_by_transport[i]);
	put_gauge(to, "sessions_in_grace",
		"of the sessions: ended, and not told of before their grace is over",
		c->sessions_in_grace);
	put_gauge(to, "users_remembered", "offline users whose last seen is kept",
		c->users_remembered);
	put_gauge(to, "table_bytes", "memory of the session table, about", c->bytes);
}

static void put_feed(struct buffer *to, const struct stats_view *view)
{
	put_gauge(to, "event_log_events", "events in the log, for followers", view->feed.n_kept);
	put_gauge(to, "history_users", "users whose last transitions are kept", view->feed.n_users);
	put_gauge(to, "history_transitions", "transitions kept", view->feed.n_transitions);
	put_gauge(to, "open_streams", "event streams open", view->n_streams);
}

/* X(name, help): the gauges of a worker, by the telemetry's names. */
#define WORKER_GAUGES(X)                                                                           \
	X(sessions, "sessions with a connection at the worker")                                    \
	X(connections, "connections of the worker")                                                \
	X(lingering, "connections of the worker that are closed and wait for the peer's FIN")      \
	X(watches, "watches of the worker")                                                        \
	X(descriptors, "descriptors open in the worker's table")                                   \
	X(mailbox_depth, "events that waited for the worker when it last looked")

static void put_worker_gauges(struct buffer *to, const struct telemetry *t)
{
#define PUT_WORKER_GAUGE(name, help)                                                               \
	put_head(to, "worker_" #name, help, "gauge");                                              \
	for (unsigned i = 0; i < t->n_workers; i++)                                                \
		buffer_printf(to, "presenced_worker_" #name "{worker=\"%u\"} %" PRIu64 "\n", i,    \
			peek(&t->workers[i].name));
	WORKER_GAUGES(PUT_WORKER_GAUGE)
#undef PUT_WORKER_GAUGE
	put_head(to, "worker_stalled", "1 while the worker owes an answer for too long", "gauge");
	for (unsigned i = 0; i < t->n_workers; i++)
		buffer_printf(to, "presenced_worker_stalled{worker=\"%u\"} %d\n", i,
			atomic_load_explicit(&t->workers[i].stalled, memory_order_relaxed));
}

static void put_limits(struct buffer *to, const struct admin_limits *limits)
{
	put_head(to, "limit", "what the server was told to hold at most, as /stats names it",
		"gauge");
#define PUT_LIMIT(name)                                                                            \
	buffer_printf(to, "presenced_limit{name=\"" #name "\"} %" PRIu64 "\n", limits->name);
	ADMIN_LIMITS(PUT_LIMIT)
#undef PUT_LIMIT
}

static void put_process(struct buffer *to, const struct stats_view *view)
{
	char reason[STATS_REASON_MAX];
	uint64_t uptime_ms = view->now_mono_ms - view->telemetry->started_mono_ms;

	put_head(to, "build_info", "1; the version is in the label", "gauge");
	buffer_printf(to, "presenced_build_info{version=\"%s\"} 1\n", view->version);
	put_gauge(to, "ready", "1 while the server should get traffic",
		stats_is_ready(view->telemetry, reason));
	put_head(to, "uptime_seconds", "since the start", "gauge");
	buffer_printf(to, "presenced_uptime_seconds %" PRIu64 ".%03" PRIu64 "\n", uptime_ms / 1000,
		uptime_ms % 1000);
	if (view->rss_bytes >= 0)
		put_gauge(to, "resident_memory_bytes", "resident memory of the process",
			(uint64_t)view->rss_bytes);
}

/* ---- histograms ---------------------------------------------------------------------------------- */

/* Buckets at powers of two of the histogram's own unit: there its edges are exact. */
struct scale {
	unsigned units_a_second;
	unsigned first, step, n; /* exponents */
};

static const struct scale scale_us = {
	.units_a_second = 1000000, .first = 4, .step = 2, .n = 9}; /* 16 us to 1 s */
static const struct scale scale_lateness = {
	.units_a_second = 1000, .first = 0, .step = 1, .n = 14}; /* 1 ms to 8 s */
static const struct scale scale_absence = {
	.units_a_second = 1000, .first = 8, .step = 2, .n = 10}; /* 256 ms to 18 h */
static const struct scale scale_mistake = {
	.units_a_second = 1000, .first = 0, .step = 1, .n = 11}; /* 1 ms to 1 s */
static const struct scale scale_detection = {
	.units_a_second = 1000, .first = 7, .step = 1, .n = 15}; /* 128 ms to 35 min */

/* 'label' is "" or 'name="value",'. The buckets are read from the lowest on, the count last: what is recorded meanwhile
 * makes no bucket less than the one before. */
static void put_histogram(struct buffer *to, const char *name, const char *label,
	const struct histogram *h, const struct scale *s)
{
	uint64_t sum = histogram_sum(h), count;
	int trim = label[0] ? (int)strlen(label) - 1 : 0;

	for (unsigned i = 0; i < s->n; i++) {
		unsigned exponent = s->first + i * s->step;
		buffer_printf(to, "presenced_%s_bucket{%sle=\"%.12g\"} %" PRIu64 "\n", name, label,
			(double)(UINT64_C(1) << exponent) / s->units_a_second,
			histogram_count_below(h, exponent));
	}
	count = histogram_count(h);
	buffer_printf(to, "presenced_%s_bucket{%sle=\"+Inf\"} %" PRIu64 "\n", name, label, count);
	buffer_printf(to, "presenced_%s_sum%s%.*s%s %.12g\n", name, trim ? "{" : "", trim, label,
		trim ? "}" : "", (double)sum / s->units_a_second);
	buffer_printf(to, "presenced_%s_count%s%.*s%s %" PRIu64 "\n", name, trim ? "{" : "", trim,
		label, trim ? "}" : "", count);
}

static void put_histograms(struct buffer *to, const struct telemetry *t)
{
	const struct watchdog_telemetry *w = &t->watchdog;
	char label[32];

	put_head(to, "detection_seconds",
		"detection time (Chen, Toueg and Aguilera, 2002) of the sessions that timed out: from the last byte to the "
		"verdict, their timeout and the lateness",
		"histogram");
	put_histogram(to, "detection_seconds", "", &w->detection_ms, &scale_detection);
	put_head(to, "detection_lateness_seconds",
		"how long past the timeout promised a silent session was expired", "histogram");
	put_histogram(to, "detection_lateness_seconds", "", &w->lateness_ms, &scale_lateness);
	put_head(to, "scan_seconds", "one scan of all sessions by the watchdog", "histogram");
	put_histogram(to, "scan_seconds", "", &w->scan_us, &scale_us);
	put_head(to, "worker_loop_seconds", "one turn of a worker's loop, without the wait",
		"histogram");
	for (unsigned i = 0; i < t->n_workers; i++) {
		snprintf(label, sizeof(label), "worker=\"%u\",", i);
		put_histogram(to, "worker_loop_seconds", label, &t->workers[i].loop_us, &scale_us);
	}
	put_head(to, "event_latency_seconds",
		"from a change to its line being taken by the kernel for a watcher; of lines that "
		"were taken at once",
		"histogram");
	for (unsigned i = 0; i < t->n_workers; i++) {
		snprintf(label, sizeof(label), "worker=\"%u\",", i);
		put_histogram(
			to, "event_latency_seconds", label, &t->workers[i].event_us, &scale_us);
	}
	put_head(to, "absence_seconds",
		"how long users that were offline by silence had been so when they came back",
		"histogram");
	for (unsigned i = 0; i < t->n_workers; i++) {
		snprintf(label, sizeof(label), "worker=\"%u\",", i);
		put_histogram(
			to, "absence_seconds", label, &t->workers[i].absent_ms, &scale_absence);
	}
	put_head(to, "mistake_duration_seconds",
		"from the end of a session by silence to the bytes that proved it wrong, where they "
		"came within a second",
		"histogram");
	for (unsigned i = 0; i < t->n_workers; i++) {
		snprintf(label, sizeof(label), "worker=\"%u\",", i);
		put_histogram(to, "mistake_duration_seconds", label, &t->workers[i].mistake_ms,
			&scale_mistake);
	}
}

/* Where there is a store. */
static void put_store(struct buffer *to, const struct stats_view *view)
{
	const struct store_telemetry *s = &view->telemetry->store;
	uint64_t saved_ms = peek(&s->saved_mono_ms);
	uint64_t lag_ms = view->now_mono_ms > saved_ms ? view->now_mono_ms - saved_ms : 0;

	if (!atomic_load_explicit(&s->is_on, memory_order_relaxed))
		return;
	put_gauge(to, "store_up", "1 while the store is written, 0 while it can't be",
		stats_degraded(view->telemetry) == NULL);
	put_head(to, "store_lag_seconds",
		"how old the state is that a crash would leave in the store", "gauge");
	buffer_printf(to, "presenced_store_lag_seconds %" PRIu64 ".%03" PRIu64 "\n", lag_ms / 1000,
		lag_ms % 1000);
	put_gauge(to, "store_rows", "users in the store", peek(&s->users));
	put_head(to, "store_batch_seconds",
		"one transaction of the store, from the look at the table to the commit",
		"histogram");
	put_histogram(to, "store_batch_seconds", "", &s->batch_us, &scale_us);
}

void metrics_put(struct buffer *to, const struct stats_view *view)
{
	const struct telemetry *t = view->telemetry;

	put_process(to, view);
	put_tables(to, &view->table);
	put_feed(to, view);
	put_worker_gauges(to, t);
	put_limits(to, view->limits);
	put_counters(to, t);
	put_counter(to, "scans_total", "scans of the watchdog", peek(&t->watchdog.scans));
	put_counter(to, "standstills_total",
		"gaps in the watchdog's own ticks: all sessions were given more time",
		peek(&t->watchdog.stalls));
	put_histograms(to, t);
	put_store(to, view);
}
