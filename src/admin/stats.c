#include "admin/stats.h"

#include "admin/object.h"
#include "presence/mailbox.h"

#include <stdatomic.h>
#include <stdio.h>

/* Statistics: relaxed, no decision hangs on their order. */
static uint64_t peek(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

/* In the histogram's own unit, or in thousands of it. */
static void put_quantiles(struct buffer *to, const char *name, const struct histogram *h,
	void (*put)(struct buffer *, const char *, uint64_t))
{
	static const double fractions[] = {0.50, 0.99};
	uint64_t values[ARRAY_LEN(fractions)];

	histogram_quantiles(h, fractions, ARRAY_LEN(fractions), values);
	object_key(to, name);
	object_begin(to);
	put(to, "p50", values[0]);
	put(to, "p99", values[1]);
	put(to, "max", histogram_max(h));
	object_end(to);
}

/* Of one block, or with NULL of all. */
static void put_counters(struct buffer *to, const struct telemetry *t, const struct counters *block)
{
	object_key(to, "counters");
	object_begin(to);
	for (enum counter i = 0; i < COUNTER_N; i++)
		object_u64(to, counter_name(i),
			block ? counter_read(block, i) : telemetry_counter(t, i));
	object_end(to);
}

static bool is_stalled(const struct worker_telemetry *w)
{
	/* Relaxed: it says something about the worker, and guards nothing. */
	return atomic_load_explicit(&w->stalled, memory_order_relaxed);
}

static void put_worker(
	struct buffer *to, const struct telemetry *t, const struct worker_telemetry *w)
{
	object_begin(to);
	object_u64(to, "sessions", peek(&w->sessions));
	object_u64(to, "connections", peek(&w->connections));
	object_u64(to, "lingering", peek(&w->lingering));
	object_u64(to, "watches", peek(&w->watches));
	object_u64(to, "descriptors", peek(&w->descriptors));
	object_u64(to, "mailbox_depth", peek(&w->mailbox_depth));
	put_quantiles(to, "loop_ms", &w->loop_us, object_thousandths);
	put_quantiles(to, "event_ms", &w->event_us, object_thousandths);
	object_bool(to, "stalled", is_stalled(w));
	put_counters(to, t, &w->counters);
	object_end(to);
}

static void put_workers(struct buffer *to, const struct telemetry *t)
{
	object_key(to, "workers");
	for (unsigned i = 0; i < t->n_workers; i++) {
		buffer_append(to, i > 0 ? "," : "[", 1);
		put_worker(to, t, &t->workers[i]);
	}
	buffer_append(to, "]", 1);
}

static void put_watchdog(struct buffer *to, const struct telemetry *t)
{
	const struct watchdog_telemetry *w = &t->watchdog;

	object_key(to, "watchdog");
	object_begin(to);
	object_u64(to, "scans", peek(&w->scans));
	put_quantiles(to, "scan_us", &w->scan_us, object_u64);
	put_quantiles(to, "lateness_ms", &w->lateness_ms, object_u64);
	object_u64(to, "expired", telemetry_counter(t, COUNTER_ended_timeout));
	object_u64(to, "mistakes", telemetry_counter(t, COUNTER_mistakes));
	object_u64(to, "stalls", peek(&w->stalls));
	object_end(to);
}

/* What the file lacks of what the table holds, in time. */
static uint64_t store_lag_ms(const struct stats_view *view)
{
	uint64_t saved_ms = peek(&view->telemetry->store.saved_mono_ms);
	return view->now_mono_ms > saved_ms ? view->now_mono_ms - saved_ms : 0;
}

static const char *fault_text(int fault)
{
	return fault ? store_fault_words(fault) : NULL;
}

static void put_store(struct buffer *to, const struct stats_view *view)
{
	const struct store_telemetry *s = &view->telemetry->store;
	/* Relaxed: statistics. */
	int fault = atomic_load_explicit(&s->fault, memory_order_relaxed);
	int last_fault = atomic_load_explicit(&s->last_fault, memory_order_relaxed);

	if (!atomic_load_explicit(&s->is_on, memory_order_relaxed)) {
		object_text(to, "store", NULL);
		return;
	}
	object_key(to, "store");
	object_begin(to);
	object_text(to, "fault", fault_text(fault));
	object_u64(to, "lag_ms", store_lag_ms(view));
	object_u64(to, "users", peek(&s->users));
	object_u64(to, "batches", counter_read(&s->counters, COUNTER_store_batches));
	object_u64(to, "rows", counter_read(&s->counters, COUNTER_store_users));
	put_quantiles(to, "batch_ms", &s->batch_us, object_thousandths);
	object_u64(to, "errors", counter_read(&s->counters, COUNTER_store_errors));
	object_text(to, "last_error", fault_text(last_fault));
	object_i64(to, "last_error_ms", last_fault ? (int64_t)peek(&s->last_fault_ms) : -1);
	object_end(to);
}

static void put_memory(struct buffer *to, const struct stats_view *view)
{
	uint64_t mailboxes_bytes = view->telemetry->n_workers * view->limits->mailbox_events *
				   sizeof(struct mailbox_cell);

	object_key(to, "memory");
	object_begin(to);
	object_i64(to, "rss_bytes", view->rss_bytes);
	object_u64(to, "table_bytes", view->table.bytes);
	object_u64(to, "mailboxes_bytes", mailboxes_bytes);
	object_u64(to, "users_known", view->table.users_known);
	object_u64(to, "users_remembered", view->table.users_remembered);
	object_end(to);
}

static void put_feed(struct buffer *to, const struct stats_view *view)
{
	object_key(to, "feed");
	object_begin(to);
	object_u64(to, "events", view->feed.n_events);
	object_u64(to, "kept", view->feed.n_kept);
	object_u64(to, "histories", view->feed.n_users);
	object_u64(to, "transitions", view->feed.n_transitions);
	object_u64(to, "streams", view->n_streams);
	object_end(to);
}

void stats_put_limits(struct buffer *to, const struct admin_limits *limits)
{
	object_key(to, "limits");
	object_begin(to);
#define PUT_LIMIT(name) object_u64(to, #name, limits->name);
	ADMIN_LIMITS(PUT_LIMIT)
#undef PUT_LIMIT
	object_end(to);
}

void stats_put(struct buffer *to, const struct stats_view *view)
{
	const struct telemetry *t = view->telemetry;
	uint64_t connections = 0, watches = 0;

	for (unsigned i = 0; i < t->n_workers; i++) {
		connections += peek(&t->workers[i].connections);
		watches += peek(&t->workers[i].watches);
	}
	object_begin(to);
	object_text(to, "version", view->version);
	object_text(to, "server", t->server_id);
	object_u64(to, "uptime_ms", view->now_mono_ms - t->started_mono_ms);
	object_u64(to, "sessions", view->table.sessions);
	object_u64(to, "sessions_in_grace", view->table.sessions_in_grace);
	object_u64(to, "connections", connections);
	object_u64(to, "users_online", view->table.users_online);
	object_u64(to, "watches", watches);
	put_counters(to, t, NULL);
	put_workers(to, t);
	put_watchdog(to, t);
	put_feed(to, view);
	put_store(to, view);
	put_memory(to, view);
	stats_put_limits(to, view->limits);
	object_end(to);
	buffer_append(to, "\n", 1); /* a line, for who reads it in a terminal */
}

/* An object whose fields could not all be set is none: NULL, and 'object' is released. */
static json_t *whole_or_null(json_t *object, bool is_whole)
{
	if (is_whole)
		return object;
	json_decref(object);
	return NULL;
}

/* json_object_set_new() refuses a NULL object and a NULL value, and releases the value where it refuses: so
 * the refusals of memory below meet here, and need no checks of their own. */
static bool set(json_t *object, const char *key, json_t *value)
{
	return json_object_set_new(object, key, value) == 0;
}

json_t *stats_error(const char *code, const char *message)
{
	json_t *inner = json_object(), *outer = json_object();
	bool is_whole = true;

	is_whole &= set(inner, "code", json_string(code));
	is_whole &= set(inner, "message", json_string(message));
	is_whole &= set(outer, "error", whole_or_null(inner, is_whole));
	return whole_or_null(outer, is_whole);
}

const char *stats_degraded(const struct telemetry *t)
{
	int fault = atomic_load_explicit(&t->store.fault, memory_order_relaxed);

	return fault ? store_fault_words(fault) : NULL;
}

bool stats_is_ready(const struct telemetry *t, char ret_reason[STATS_REASON_MAX])
{
	/* Relaxed: nothing else is read because of it. */
	enum readiness readiness = atomic_load_explicit(&t->readiness, memory_order_relaxed);

	if (readiness != READINESS_READY) {
		snprintf(ret_reason, STATS_REASON_MAX, "%s", readiness_word(readiness));
		return false;
	}
	for (unsigned i = 0; i < t->n_workers; i++) {
		if (is_stalled(&t->workers[i])) {
			snprintf(ret_reason, STATS_REASON_MAX, "worker %u is stalled", i);
			return false;
		}
	}
	return true;
}
