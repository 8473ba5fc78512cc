#include "admin/live.h"

#include "admin/object.h"
#include "base/ensure.h"
#include "base/histogram_window.h"
#include "base/lock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- samples ------------------------------------------------------------------------------------- */

#define COUNTED_ENUM(name) COUNTED_##name,
/* 'refused' are several counters, and standstills are the watchdog's. */
enum counted { LIVE_COUNTERS(COUNTED_ENUM) COUNTED_refused, COUNTED_standstills, COUNTED_N };
#undef COUNTED_ENUM

#define COUNTED_NAME(name) #name,
static const char *const counted_names[] = {LIVE_COUNTERS(COUNTED_NAME) "refused", "standstills"};
#undef COUNTED_NAME
static_assert(ARRAY_LEN(counted_names) == COUNTED_N, "each has a name");

#define COUNTED_COUNTER(name) COUNTER_##name,
static const enum counter counted_counters[] = {LIVE_COUNTERS(COUNTED_COUNTER)};
#undef COUNTED_COUNTER

/* Connections turned away before a hello, for whatever reason. */
static const enum counter refusals[] = {COUNTER_accept_errors, COUNTER_refused_descriptors,
	COUNTER_refused_full, COUNTER_refused_address, COUNTER_refused_plaintext};

/* X(name): measured at the sample, in this order; a negative one is told as null. */
#define MEASURED(X)                                                                                \
	X(at_ms) /* Unix time */                                                                   \
	X(uptime_ms)                                                                               \
	X(took_ms) /* since the sample before */                                                   \
	X(sessions)                                                                                \
	X(users_online)                                                                            \
	X(connections)                                                                             \
	X(watches)                                                                                 \
	X(rss_bytes)                                                                               \
	X(lateness_p99_ms) /* of the verdicts since the sample before */                           \
	X(lateness_max_ms)

#define MEASURED_FIELD(name) int64_t name;
struct sample {
	MEASURED(MEASURED_FIELD)
	uint32_t counted[COUNTED_N]; /* since the sample before */
	uint16_t loads_permille[]; /* of each worker: its time that it did not wait */
};
#undef MEASURED_FIELD

/* "200 bytes" of the header. */
static_assert(sizeof(struct sample) <= 200, "see live.h");

/* What is told of a worker's present. */
struct worker_now {
	uint64_t sessions, connections, watches, mailbox_depth, descriptors;
	int64_t turn_p99_us; /* of the turns since the sample before; -1: none ended */
	bool is_stalled;
};

struct worker_past {
	struct histogram_window turns;
	uint64_t busy_us;
};

struct live_data {
	uint64_t n_taken; /* the last one is that less one */
	struct table_counts table; /* at the last sample, as the rest of the present */
	struct worker_now *now;
	char *ring; /* LIVE_KEPT samples */
};

struct live {
	/* const after start */
	struct live_params params;
	size_t sample_size;
	unsigned n_workers;
	/* owner: who takes samples */
	uint64_t totals[COUNTED_N]; /* at the last one */
	uint64_t taken_mono_ms;
	struct histogram_window lateness;
	struct worker_past *past;
	struct sample *draft;
	struct worker_now *draft_now;
	/* owner: who fills */
	struct sample *row;
	struct worker_now *row_now;
	struct buffer text; /* what is built */
	struct buffer sample_text; /* the event of the sample with this number */
	uint64_t sample_number;
	struct lock lock;
	/* guarded: lock; by live_data() */
	struct live_data guarded;
};

static inline struct live_data *live_data(struct live *l) REQUIRES(l->lock)
{
	return &l->guarded;
}

static bool allocate(struct live *l)
{
	unsigned n = l->n_workers;

	l->past = calloc(n, sizeof(*l->past));
	l->draft = calloc(1, l->sample_size);
	l->draft_now = calloc(n, sizeof(*l->draft_now));
	l->row = calloc(1, l->sample_size);
	l->row_now = calloc(n, sizeof(*l->row_now));
	l->guarded.now = calloc(n, sizeof(*l->guarded.now));
	l->guarded.ring = calloc(LIVE_KEPT, l->sample_size);
	return l->past && l->draft && l->draft_now && l->row && l->row_now && l->guarded.now &&
	       l->guarded.ring && buffer_reserve(&l->text, 2 * (size_t)LIVE_ROOM) &&
	       buffer_reserve(&l->sample_text, LIVE_ROOM);
}

struct live *live_new(const struct live_params *params)
{
	struct live *l = calloc(1, sizeof(*l));
	size_t align = _Alignof(struct sample), size;

	if (!l)
		return NULL;
	l->params = *params;
	l->n_workers = params->telemetry->n_workers;
	size = sizeof(struct sample) + l->n_workers * sizeof(uint16_t);
	l->sample_size = (size + align - 1) / align * align;
	l->sample_number = UINT64_MAX;
	lock_init(&l->lock, RANK_LIVE);
	if (!allocate(l)) {
		live_free(l);
		return NULL;
	}
	return l;
}

void live_free(struct live *l)
{
	if (!l)
		return;
	lock_destroy(&l->lock);
	free(l->past);
	free(l->draft);
	free(l->draft_now);
	free(l->row);
	free(l->row_now);
	free(l->guarded.now);
	free(l->guarded.ring);
	buffer_free(&l->text);
	buffer_free(&l->sample_text);
	free(l);
}

static void *sample_at(const struct live *l, const struct live_data *data, uint64_t number)
{
	return data->ring + number % LIVE_KEPT * l->sample_size;
}

/* ---- taking one ---------------------------------------------------------------------------------- */

/* Statistics: relaxed, no decision hangs on their order. */
static uint64_t peek(const _Atomic uint64_t *value)
{
	return atomic_load_explicit(value, memory_order_relaxed);
}

static uint64_t total_of(const struct telemetry *t, enum counted which)
{
	uint64_t sum = 0;

	if (which == COUNTED_standstills)
		return peek(&t->watchdog.stalls);
	if (which != COUNTED_refused)
		return telemetry_counter(t, counted_counters[which]);
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++)
		sum += telemetry_counter(t, refusals[i]);
	return sum;
}

static uint32_t at_most_u32(uint64_t n)
{
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void take_counted(struct live *l, struct sample *s)
{
	for (enum counted i = 0; i < COUNTED_N; i++) {
		uint64_t total = total_of(l->params.telemetry, i);
		s->counted[i] = at_most_u32(total - l->totals[i]);
		l->totals[i] = total;
	}
}

static void take_lateness(struct live *l, struct sample *s)
{
	histogram_window_look(&l->lateness, &l->params.telemetry->watchdog.lateness_ms);
	s->lateness_p99_ms = s->lateness_max_ms = -1;
	if (l->lateness.n == 0)
		return;
	s->lateness_p99_ms = (int64_t)histogram_window_quantile(&l->lateness, 0.99);
	s->lateness_max_ms = (int64_t)histogram_window_quantile(&l->lateness, 1);
}

/* The time that a worker's turns took, the one under way included: else one that is stuck would look idle. The turn's
 * begin first: one that ends meanwhile is counted twice for once, and not never. */
static uint64_t busy_us(const struct worker_telemetry *t, uint64_t now_mono_ms)
{
	uint64_t began_ms = peek(&t->turn_began_ms);
	uint64_t under_way_ms = began_ms > 0 && now_mono_ms > began_ms ? now_mono_ms - began_ms : 0;

	return histogram_sum(&t->loop_us) + under_way_ms * 1000;
}

static void take_worker(struct live *l, struct sample *s, unsigned i, uint64_t now_mono_ms)
{
	const struct worker_telemetry *t = &l->params.telemetry->workers[i];
	struct worker_past *past = &l->past[i];
	uint64_t busy = busy_us(t, now_mono_ms);
	/* Microseconds a millisecond are thousandths. */
	uint64_t load = busy > past->busy_us ? (busy - past->busy_us) / (uint64_t)s->took_ms : 0;

	histogram_window_look(&past->turns, &t->loop_us);
	past->busy_us = busy;
	s->loads_permille[i] = load < 1000 ? (uint16_t)load : 1000;
	l->draft_now[i] = (struct worker_now){
		.sessions = peek(&t->sessions),
		.connections = peek(&t->connections),
		.watches = peek(&t->watches),
		.mailbox_depth = peek(&t->mailbox_depth),
		.descriptors = peek(&t->descriptors),
		.turn_p99_us = past->turns.n > 0
				       ? (int64_t)histogram_window_quantile(&past->turns, 0.99)
				       : -1,
		.is_stalled = atomic_load_explicit(&t->stalled, memory_order_relaxed),
	};
	s->connections += (int64_t)l->draft_now[i].connections;
	s->watches += (int64_t)l->draft_now[i].watches;
}

static void publish(struct live *l, const struct table_counts *table)
{
	struct live_data *data;

	lock_acquire(&l->lock);
	data = live_data(l);
	memcpy(sample_at(l, data, data->n_taken), l->draft, l->sample_size);
	memcpy(data->now, l->draft_now, l->n_workers * sizeof(*data->now));
	data->table = *table;
	data->n_taken++;
	lock_release(&l->lock);
}

void live_take(struct live *l, const struct stats_view *view, uint64_t wall_ms)
{
	struct sample *s = l->draft;
	uint64_t started_ms = l->params.telemetry->started_mono_ms;
	uint64_t before_ms = l->taken_mono_ms > 0 ? l->taken_mono_ms : started_ms;
	uint64_t took_ms = view->now_mono_ms > before_ms ? view->now_mono_ms - before_ms : 1;

	s->at_ms = (int64_t)wall_ms;
	s->uptime_ms = (int64_t)(view->now_mono_ms - started_ms);
	s->took_ms = (int64_t)took_ms;
	s->sessions = (int64_t)view->table.sessions;
	s->users_online = (int64_t)view->table.users_online;
	s->connections = s->watches = 0;
	s->rss_bytes = view->rss_bytes;
	take_lateness(l, s);
	take_counted(l, s);
	for (unsigned i = 0; i < l->n_workers; i++)
		take_worker(l, s, i, view->now_mono_ms);
	l->taken_mono_ms = view->now_mono_ms;
	publish(l, &view->table);
}

/* ---- telling it ---------------------------------------------------------------------------------- */

/* Of a row; an object's are object_i64()'s. */
static void put_measured(struct buffer *to, int64_t value)
{
	if (value < 0)
		buffer_append(to, "null", 4);
	else
		buffer_append_u64(to, (uint64_t)value);
}

static void put_loads(struct buffer *to, const struct live *l, const struct sample *s)
{
	for (unsigned i = 0; i < l->n_workers; i++) {
		buffer_append(to, i > 0 ? "," : "[", 1);
		buffer_append_u64(to, s->loads_permille[i]);
	}
	buffer_append(to, "]", 1);
}

/* ---- about --------------------------------------------------------------------------------------- */

static void put_columns(struct buffer *to)
{
	object_key(to, "columns");
	buffer_append(to, "[", 1);
#define PUT_COLUMN(name) buffer_append_string(to, "\"" #name "\",");
	MEASURED(PUT_COLUMN)
#undef PUT_COLUMN
	for (enum counted i = 0; i < COUNTED_N; i++)
		buffer_printf(to, "\"%s\",", counted_names[i]);
	buffer_append_string(to, "\"loads_permille\"]");
}

static void put_about(struct live *l, struct buffer *to)
{
	const struct telemetry *t = l->params.telemetry;

	buffer_append_string(to, "event: about\ndata: {");
	object_text(to, "version", l->params.version);
	object_text(to, "server", t->server_id);
	object_u64(to, "interval_ms", LIVE_INTERVAL_MS);
	object_u64(to, "scan_interval_ms", l->params.scan_interval_ms);
	object_u64(to, "workers", l->n_workers);
	stats_put_limits(to, l->params.limits);
	put_columns(to);
	buffer_append(to, "}\n\n", 3);
}

/* ---- history ------------------------------------------------------------------------------------- */

/* Of the columns, as put_columns() names them. */
static void put_row(struct buffer *to, const struct live *l, const struct sample *s)
{
	buffer_append(to, "[", 1);
#define PUT_MEASURED(name)                                                                         \
	put_measured(to, s->name);                                                                 \
	buffer_append(to, ",", 1);
	MEASURED(PUT_MEASURED)
#undef PUT_MEASURED
	for (enum counted i = 0; i < COUNTED_N; i++) {
		buffer_append_u64(to, s->counted[i]);
		buffer_append(to, ",", 1);
	}
	put_loads(to, l, s);
	buffer_append(to, "]", 1);
}

/* Into l->row. False where it has left the ring. */
static bool copy_row(struct live *l, uint64_t number)
{
	const struct live_data *data;
	bool is_kept;

	lock_acquire(&l->lock);
	data = live_data(l);
	is_kept = number < data->n_taken && data->n_taken - number <= LIVE_KEPT;
	if (is_kept)
		memcpy(l->row, sample_at(l, data, number), l->sample_size);
	lock_release(&l->lock);
	return is_kept;
}

/* Rows from '*next' on, and before 'end', as long as there is room; '*next' is moved past them. */
static void put_history(
	struct live *l, uint64_t *next, uint64_t end, struct buffer *to, size_t room)
{
	static const char tail[] = "]}\n\n";
	size_t whole, n = 0;

	buffer_append_string(to, "event: history\ndata: {\"samples\":[");
	for (; *next < end; ++*next) {
		whole = to->len;
		if (!copy_row(l, *next))
			continue;
		if (n++ > 0)
			buffer_append(to, ",", 1);
		put_row(to, l, l->row);
		if (to->len + strlen(tail) > room) {
			to->len = whole;
			break;
		}
	}
	buffer_append_string(to, tail);
}

/* ---- the present --------------------------------------------------------------------------------- */

static void put_worker(struct buffer *to, const struct worker_now *now, uint16_t load_permille)
{
	object_begin(to);
	object_u64(to, "load_permille", load_permille);
	object_i64(to, "turn_p99_us", now->turn_p99_us);
	object_u64(to, "sessions", now->sessions);
	object_u64(to, "connections", now->connections);
	object_u64(to, "watches", now->watches);
	object_u64(to, "mailbox_depth", now->mailbox_depth);
	object_u64(to, "descriptors", now->descriptors);
	object_bool(to, "stalled", now->is_stalled);
	object_end(to);
}

static void put_present(struct live *l, const struct table_counts *table, struct buffer *to)
{
	char reason[STATS_REASON_MAX];
	bool is_ready = stats_is_ready(l->params.telemetry, reason);

	object_text(to, "not_ready", is_ready ? NULL : reason);
	object_text(to, "degraded", stats_degraded(l->params.telemetry));
	object_key(to, "states");
	object_begin(to);
	for (enum state i = 0; i < STATE_INVISIBLE; i++)
		object_u64(to, state_word(i), table->users_in_state[i]);
	object_end(to);
	object_key(to, "transports");
	object_begin(to);
	for (enum transport i = 0; i < TRANSPORT_N; i++)
		object_u64(to, transport_word(i), table->sessions_by_transport[i]);
	object_end(to);
	object_key(to, "workers");
	for (unsigned i = 0; i < l->n_workers; i++) {
		buffer_append(to, i > 0 ? "," : "[", 1);
		put_worker(to, &l->row_now[i], l->row->loads_permille[i]);
	}
	buffer_append(to, "]", 1);
}

static void put_sample(struct live *l, const struct table_counts *table, struct buffer *to)
{
	const struct sample *s = l->row;

	buffer_append_string(to, "event: sample\ndata: {");
#define PUT_MEASURED(name) object_i64(to, #name, s->name);
	MEASURED(PUT_MEASURED)
#undef PUT_MEASURED
	for (enum counted i = 0; i < COUNTED_N; i++)
		object_u64(to, counted_names[i], s->counted[i]);
	object_key(to, "loads_permille");
	put_loads(to, l, s);
	put_present(l, table, to);
	buffer_append(to, "}\n\n", 3);
}

/* The newest sample's number, and its event made, once, in l->sample_text. False: none was taken. */
static bool make_sample(struct live *l, uint64_t *ret_number)
{
	const struct live_data *data;
	struct table_counts table;
	uint64_t n_taken;

	lock_acquire(&l->lock);
	data = live_data(l);
	n_taken = data->n_taken;
	table = data->table;
	if (n_taken > 0)
		memcpy(l->row, sample_at(l, data, n_taken - 1), l->sample_size);
	memcpy(l->row_now, data->now, l->n_workers * sizeof(*data->now));
	lock_release(&l->lock);
	if (n_taken == 0)
		return false;
	*ret_number = n_taken - 1;
	if (l->sample_number == n_taken - 1)
		return true;
	buffer_clear(&l->sample_text);
	put_sample(l, &table, &l->sample_text);
	l->sample_number = n_taken - 1;
	return true;
}

/* ---- all of it ----------------------------------------------------------------------------------- */

static void put_events(struct live *l, struct live_follower *f, struct buffer *to, size_t room)
{
	uint64_t newest;

	if (!f->has_about)
		put_about(l, to);
	f->has_about = true;
	if (!make_sample(l, &newest) || f->next > newest)
		return;
	if (newest >= LIVE_KEPT && f->next <= newest - LIVE_KEPT)
		f->next = newest - LIVE_KEPT + 1;
	if (f->next < newest)
		put_history(l, &f->next, newest, to, room);
	if (f->next < newest || to->len + l->sample_text.len > room)
		return;
	buffer_append(to, l->sample_text.data, l->sample_text.len);
	f->next = newest + 1;
}

size_t live_fill(struct live *l, struct live_follower *f, char *to, size_t room)
{
	struct live_follower before = *f;
	struct buffer *text = &l->text;

	ensure(room >= LIVE_ROOM);
	buffer_clear(text);
	put_events(l, f, text, room);
	if (text->failed || l->sample_text.failed || text->len > room) {
		/* Memory was refused: it is told with the next second. */
		*f = before;
		l->sample_number = UINT64_MAX;
		return 0;
	}
	if (text->len > 0)
		memcpy(to, text->data, text->len);
	return text->len;
}
