#include "admin/stats.h"

#include "presence/mailbox.h"

#include <stdatomic.h>
#include <stdio.h>

/* Statistics: relaxed, no decision hangs on their order. */
static uint64_t peek(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static json_t *number(uint64_t value)
{
	/* jansson's integers are signed; a counter gets there after 2^63 of whatever it counts. */
	return json_integer((json_int_t)(value <= INT64_MAX ? value : INT64_MAX));
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

/* 'scale' of the histogram's units are one of the shown. */
static json_t *quantiles(const struct histogram *h, unsigned scale)
{
	json_t *object = json_object();
	const struct {
		const char *key;
		uint64_t value;
	} shown[] = {
		{"p50", histogram_quantile(h, 0.50)},
		{"p99", histogram_quantile(h, 0.99)},
		{"max", histogram_max(h)},
	};
	bool is_whole = true;

	for (size_t i = 0; i < ARRAY_LEN(shown); i++)
		is_whole &= set(object, shown[i].key,
			scale == 1 ? number(shown[i].value)
				   : json_real((double)shown[i].value / scale));
	return whole_or_null(object, is_whole);
}

/* Of one block, or with NULL of all. */
static json_t *counters_object(const struct telemetry *t, const struct counters *block)
{
	json_t *object = json_object();
	bool is_whole = true;

	for (enum counter i = 0; i < COUNTER_N; i++)
		is_whole &= set(object, counter_name(i),
			number(block ? counter_read(block, i) : telemetry_counter(t, i)));
	return whole_or_null(object, is_whole);
}

static bool is_stalled(const struct worker_telemetry *w)
{
	/* Relaxed: it says something about the worker, and guards nothing. */
	return atomic_load_explicit(&w->stalled, memory_order_relaxed);
}

static json_t *worker_object(const struct telemetry *t, const struct worker_telemetry *w)
{
	json_t *object = json_object();
	bool is_whole = true;

	is_whole &= set(object, "sessions", number(peek(&w->sessions)));
	is_whole &= set(object, "connections", number(peek(&w->connections)));
	is_whole &= set(object, "lingering", number(peek(&w->lingering)));
	is_whole &= set(object, "watches", number(peek(&w->watches)));
	is_whole &= set(object, "descriptors", number(peek(&w->descriptors)));
	is_whole &= set(object, "mailbox_depth", number(peek(&w->mailbox_depth)));
	is_whole &= set(object, "loop_ms", quantiles(&w->loop_us, 1000));
	is_whole &= set(object, "event_ms", quantiles(&w->event_us, 1000));
	is_whole &= set(object, "stalled", json_boolean(is_stalled(w)));
	is_whole &= set(object, "counters", counters_object(t, &w->counters));
	return whole_or_null(object, is_whole);
}

static json_t *workers_array(const struct telemetry *t)
{
	json_t *array = json_array();
	bool is_whole = true;

	for (unsigned i = 0; i < t->n_workers; i++)
		is_whole &= json_array_append_new(array, worker_object(t, &t->workers[i])) == 0;
	return whole_or_null(array, is_whole);
}

static json_t *watchdog_object(const struct telemetry *t)
{
	const struct watchdog_telemetry *w = &t->watchdog;
	json_t *object = json_object();
	bool is_whole = true;

	is_whole &= set(object, "scans", number(peek(&w->scans)));
	is_whole &= set(object, "scan_us", quantiles(&w->scan_us, 1));
	is_whole &= set(object, "lateness_ms", quantiles(&w->lateness_ms, 1));
	is_whole &= set(object, "expired", number(telemetry_counter(t, COUNTER_ended_timeout)));
	is_whole &= set(object, "mistakes", number(telemetry_counter(t, COUNTER_mistakes)));
	is_whole &= set(object, "stalls", number(peek(&w->stalls)));
	return whole_or_null(object, is_whole);
}

/* What the file lacks of what the table holds, in time. */
static uint64_t store_lag_ms(const struct stats_view *view)
{
	uint64_t saved_ms = peek(&view->telemetry->store.saved_mono_ms);
	return view->now_mono_ms > saved_ms ? view->now_mono_ms - saved_ms : 0;
}

static json_t *fault_text(int fault)
{
	return fault ? json_string(store_fault_words(fault)) : json_null();
}

static json_t *store_object(const struct stats_view *view)
{
	const struct store_telemetry *s = &view->telemetry->store;
	/* Relaxed: statistics. */
	int fault = atomic_load_explicit(&s->fault, memory_order_relaxed);
	int last_fault = atomic_load_explicit(&s->last_fault, memory_order_relaxed);
	bool is_whole = true;
	json_t *object;

	if (!atomic_load_explicit(&s->is_on, memory_order_relaxed))
		return json_null();
	object = json_object();
	is_whole &= set(object, "fault", fault_text(fault));
	is_whole &= set(object, "lag_ms", number(store_lag_ms(view)));
	is_whole &= set(object, "users", number(peek(&s->users)));
	is_whole &=
		set(object, "batches", number(counter_read(&s->counters, COUNTER_store_batches)));
	is_whole &= set(object, "rows", number(counter_read(&s->counters, COUNTER_store_users)));
	is_whole &= set(object, "batch_ms", quantiles(&s->batch_us, 1000));
	is_whole &= set(object, "errors", number(counter_read(&s->counters, COUNTER_store_errors)));
	is_whole &= set(object, "last_error", fault_text(last_fault));
	is_whole &= set(object, "last_error_ms",
		last_fault ? number(peek(&s->last_fault_ms)) : json_null());
	return whole_or_null(object, is_whole);
}

static json_t *memory_object(const struct stats_view *view)
{
	uint64_t mailboxes_bytes = view->telemetry->n_workers * view->limits->mailbox_events *
				   sizeof(struct mailbox_cell);
	json_t *object = json_object();
	bool is_whole = true;

	is_whole &= set(object, "rss_bytes",
		view->rss_bytes < 0 ? json_null() : number((uint64_t)view->rss_bytes));
	is_whole &= set(object, "table_bytes", number(view->table.bytes));
	is_whole &= set(object, "mailboxes_bytes", number(mailboxes_bytes));
	is_whole &= set(object, "users_known", number(view->table.users_known));
	is_whole &= set(object, "users_remembered", number(view->table.users_remembered));
	return whole_or_null(object, is_whole);
}

static json_t *feed_object(const struct stats_view *view)
{
	json_t *object = json_object();
	bool is_whole = true;

	is_whole &= set(object, "events", number(view->feed.n_events));
	is_whole &= set(object, "kept", number(view->feed.n_kept));
	is_whole &= set(object, "histories", number(view->feed.n_users));
	is_whole &= set(object, "transitions", number(view->feed.n_transitions));
	is_whole &= set(object, "streams", number(view->n_streams));
	return whole_or_null(object, is_whole);
}

static json_t *limits_object(const struct admin_limits *limits)
{
	json_t *object = json_object();
	bool is_whole = true;

#define SET_LIMIT(name) is_whole &= set(object, #name, number(limits->name));
	ADMIN_LIMITS(SET_LIMIT)
#undef SET_LIMIT
	return whole_or_null(object, is_whole);
}

json_t *stats_document(const struct stats_view *view)
{
	const struct telemetry *t = view->telemetry;
	uint64_t connections = 0, watches = 0;
	json_t *object = json_object();
	bool is_whole = true;

	for (unsigned i = 0; i < t->n_workers; i++) {
		connections += peek(&t->workers[i].connections);
		watches += peek(&t->workers[i].watches);
	}
	is_whole &= set(object, "version", json_string(view->version));
	is_whole &= set(object, "server", json_string(t->server_id));
	is_whole &= set(object, "uptime_ms", number(view->now_mono_ms - t->started_mono_ms));
	is_whole &= set(object, "sessions", number(view->table.sessions));
	is_whole &= set(object, "sessions_in_grace", number(view->table.sessions_in_grace));
	is_whole &= set(object, "connections", number(connections));
	is_whole &= set(object, "users_online", number(view->table.users_online));
	is_whole &= set(object, "watches", number(watches));
	is_whole &= set(object, "counters", counters_object(t, NULL));
	is_whole &= set(object, "workers", workers_array(t));
	is_whole &= set(object, "watchdog", watchdog_object(t));
	is_whole &= set(object, "feed", feed_object(view));
	is_whole &= set(object, "store", store_object(view));
	is_whole &= set(object, "memory", memory_object(view));
	is_whole &= set(object, "limits", limits_object(view->limits));
	return whole_or_null(object, is_whole);
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
