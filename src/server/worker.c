#include "server/worker.h"

#include "base/ensure.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/slice.h"
#include "net/tls.h"
#include "server/channel.h"
#include "server/drain.h"
#include "server/worker_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The slices of one turn, about 2 ms in all. */
enum {
	SLICE_READ_NS = 1000000,
	SLICE_HEAR_NS = 300000,
	SLICE_FLUSH_NS = 400000,
	SLICE_RESYNC_NS = 200000,
	SLICE_ACCEPT_NS = 300000,
	WALL_LOOK_MS = 20, /* how often the wall clock is looked at */
	MAIL_PER_TURN = 4096,
	MARKS_PER_TURN = 4096,
	EXPIRIES_PER_TURN = 32, /* at some 10 us */
};

/* --- lists and clocks --- */

void worker_tick(struct worker *w)
{
	w->now_ns = clock_mono_ns();
	w->now.mono_ms = w->now_ns / 1000000;
	w->now.wall_ms = w->wall_offset_ms + w->now.mono_ms;
	w->stamp_ms = (uint32_t)((w->now_ns + 999999) / 1000000);
	w->actor.now_ns = w->now_ns;
}

/* Wall time may be set at any time: looked at now and then. */
static void tick_after_wait(struct worker *w) REQUIRES(role_worker)
{
	worker_tick(w);
	if (w->now.mono_ms < w->wall_look_ms)
		return;
	struct instant now = clock_instant();
	w->wall_offset_ms = now.wall_ms - now.mono_ms;
	w->suspended_ms = clock_suspended_ms();
	w->wall_look_ms = now.mono_ms + WALL_LOOK_MS;
	w->now.wall_ms = w->wall_offset_ms + w->now.mono_ms;
}

uint64_t worker_retry_ms(const struct worker *w)
{
	uint64_t n = atomic_load_explicit(&w->shared->n_connections, memory_order_relaxed);
	return 500 + random_u64() % (1000 + n / 10);
}

uint64_t worker_shutdown_retry_ms(const struct worker *w)
{
	return DRAIN_HEAD_MS + random_u64() % atomic_load(&w->shared->drain_spread_ms);
}

/* --- the turn --- */

static void handle_connection(struct worker *w, const struct poller_event *e) REQUIRES(role_worker)
{
	struct connection *c = connections_at(&w->connections, (uint32_t)e->token);
	if (!c || c->generation != (uint32_t)(e->token >> 32))
		return;
	uint32_t generation = c->generation;
	c->has_hangup |= e->has_hangup;
	if (c->output && e->is_dead) {
		/* Not read, and nothing more can be written: an end that shows although we don't read. */
		output_free(w, c);
		c->is_broken = true;
	}
	if (c->output && e->is_writable)
		output_continue(w, c);
	if (c->phase == PHASE_FREE || c->generation != generation)
		return;
	if (c->stage == STAGE_TLS) /* after those who are ready: a handshake takes long */
		worker_want_read(w, c);
	else if (e->is_readable || e->has_hangup || channel_reads_when_writable(c))
		worker_read_any(w, c);
}

/* False when there are more. */
static bool handle_events(struct worker *w, uint64_t until_ns) REQUIRES(role_worker)
{
	for (; w->next_event < w->n_events; w->next_event++) {
		const struct poller_event *e = &w->events[w->next_event];
		if (e->token == TOKEN_WAKEUP)
			wakeup_drain(w->shared->wakeups[w->index]);
		else if (e->token > TOKEN_LISTENER(LISTENERS_MAX))
			w->knocked |= UINT64_C(1) << (TOKEN_LISTENER(0) - e->token);
		else
			handle_connection(w, e);
		if (w->actor.wake_workers || w->actor.wake_watchdog)
			shared_wake(w->shared, &w->actor, w->index);
		if (w->now_ns >= until_ns) {
			w->next_event++;
			break;
		}
	}
	return w->next_event >= w->n_events;
}

/* Those with more to read: each one once a turn. */
static bool read_ready(struct worker *w, uint64_t until_ns) REQUIRES(role_worker)
{
	uint32_t last = w->ready_last;
	while (w->ready_first != CONNECTION_NONE) {
		uint32_t fd = w->ready_first;
		struct connection *c = connections_at(&w->connections, fd);
		worker_forget_read(w, c);
		worker_read_any(w, c);
		if (fd == last || w->now_ns >= until_ns)
			break;
	}
	return w->ready_first == CONNECTION_NONE;
}

/* False when there are more. */
static bool drain_events(struct worker *w) REQUIRES(role_worker)
{
	struct event *e = NULL;
	uint64_t n_stale = 0;
	for (unsigned n = 0; n < MAIL_PER_TURN && (e = mailbox_take(w->mailbox)); n++)
		n_stale += !watch_news(w->watches, e);
	counter_add(worker_counters(w), COUNTER_mail_stale, n_stale);
	if (mailbox_take_resync(w->mailbox)) {
		worker_count(w, COUNTER_resyncs);
		watch_resync_begin(w->watches);
	}
	atomic_store_explicit(
		&w->telemetry->mailbox_depth, mailbox_depth(w->mailbox), memory_order_relaxed);
	return !e;
}

/* What other threads have sent, and what is left of what they had. False when there is more. */
static bool take_mail(struct worker *w) REQUIRES(role_worker)
{
	bool has_mail = mailbox_has_mail(w->mailbox), is_done = true;
	if (has_mail)
		hearing_collect(w);
	if (w->to_hear || w->to_part)
		is_done &= hearing_hear(w, w->now_ns + SLICE_HEAR_NS);
	if (has_mail) {
		is_done &= drain_events(w);
		questions_answer(w);
	}
	return is_done;
}

/* On to those who watch. False when there is more. */
static bool tell_news(struct worker *w) REQUIRES(role_worker)
{
	bool is_done = roster_resync(w, w->now_ns + SLICE_RESYNC_NS);
	watch_spread(w->watches, MARKS_PER_TURN);
	counter_add(worker_counters(w), COUNTER_events_skipped, watch_take_skipped(w->watches));
	is_done &= !watch_has_news(w->watches);
	return is_done & output_flush_all(w, w->now_ns + SLICE_FLUSH_NS);
}

/* The first of the list if its time is over; else NULL, and '*next_ms' is brought forward to when it will be. */
static struct connection *overdue(struct worker *w, const struct timed_list *l, uint64_t *next_ms)
	REQUIRES(role_worker)
{
	if (l->first == CONNECTION_NONE)
		return NULL;
	struct connection *c = connections_at(&w->connections, l->first);
	int32_t left_ms = (int32_t)(c->u.timed.deadline_ms - (uint32_t)w->now.mono_ms);
	if (left_ms <= 0)
		return c;
	uint64_t deadline_ms = w->now.mono_ms + (uint32_t)left_ms;
	*next_ms = deadline_ms < *next_ms ? deadline_ms : *next_ms;
	return NULL;
}

/* Connections whose time is over, as many as there is time for; when to look again. */
static uint64_t expire(struct worker *w) REQUIRES(role_worker)
{
	struct connection *c;
	unsigned n = 0;
	uint64_t next_ms = w->output_first ? output_expire(w, EXPIRIES_PER_TURN) : UINT64_MAX;
	for (; n < EXPIRIES_PER_TURN && (c = overdue(w, &w->hellos, &next_ms)); n++)
		if (!peer_turn_out(w, c))
			break;
	for (; n < EXPIRIES_PER_TURN && (c = overdue(w, &w->lingering, &next_ms)); n++)
		worker_close(w, c);
	if (n == EXPIRIES_PER_TURN || (w->hellos.n > 0 && overdue(w, &w->hellos, &next_ms)))
		next_ms = w->now.mono_ms;
	if (w->alarms.n > 0)
		peer_ring(w, EXPIRIES_PER_TURN);
	uint64_t ring_ms = alarm_next_ms(&w->alarms);
	if (ring_ms != UINT64_MAX && ring_ms - w->suspended_ms < next_ms)
		next_ms = ring_ms - w->suspended_ms;
	if ((w->ended || w->dying) && hearing_next_burial_ms(w) < next_ms)
		next_ms = hearing_next_burial_ms(w);
	if (w->accept_again_ms > 0 && w->accept_again_ms <= w->now.mono_ms && accept_begin(w))
		w->accept_again_ms = w->now.mono_ms + 1000;
	if (w->accept_again_ms > 0 && w->accept_again_ms < next_ms)
		next_ms = w->accept_again_ms;
	return next_ms;
}

/* Most turns change nothing of it. */
static void publish(struct worker *w) REQUIRES(role_worker)
{
	struct worker_telemetry *t = w->telemetry;
	if (w->n_connections == w->published_connections &&
		w->n_lingering == w->published_lingering)
		return;
	w->published_connections = w->n_connections;
	w->published_lingering = w->n_lingering;
	atomic_store_explicit(&t->connections, w->n_connections, memory_order_relaxed);
	atomic_store_explicit(&t->lingering, w->n_lingering, memory_order_relaxed);
	uint64_t own = 2 + w->shared->params.n_listen; /* the poller and the reserve */
	atomic_store_explicit(&t->descriptors,
		w->shared->n_low_descriptors + own + w->n_connections, memory_order_relaxed);
}

/* One turn; true when there is more to do at once. Most are for a heartbeat, and have no more than its line to read: what is
 * not there to be done costs a look. */
static bool take_turn(struct worker *w) REQUIRES(role_worker)
{
	w->n_signatures = 0;
	bool is_done = handle_events(w, w->now_ns + SLICE_READ_NS);
	is_done &= read_ready(w, w->now_ns + SLICE_READ_NS);
	is_done &= take_mail(w);
	if (!watch_is_idle(w->watches))
		is_done &= tell_news(w);
	if (w->knocked) {
		worker_tick(w);
		accept_some(w, w->now_ns + SLICE_ACCEPT_NS);
	}
	if (w->ended || w->dying)
		hearing_bury(w, !is_done);
	shared_wake(w->shared, &w->actor, w->index);
	/* What was done may have made more to do. */
	return !is_done || w->ready_first != CONNECTION_NONE || watch_has_flush(w->watches);
}

static void poll_until(struct worker *w, uint64_t until_ms) REQUIRES(role_worker)
{
	uint64_t left_ms = until_ms > w->now.mono_ms ? until_ms - w->now.mono_ms : 0;
	int n = poller_wait(
		&w->poller, w->events, until_ms == UINT64_MAX ? UINT64_MAX : left_ms * 1000);
	ensure(n >= 0);
	w->n_events = n;
	w->next_event = 0;
}

static void look_at_patience(struct worker *w) REQUIRES(role_worker)
{
	if (!patience_count(&w->patience, (unsigned)w->n_events, w->now_ns) || !w->has_slices)
		return;
	/* Refused, its turns are more and smaller. */
	(void)slice_change(SLICE_SHORT_NS, w->patience.is_patient ? SLICE_PATIENT : SLICE_PROMPT);
}

/* Waits for something to do; not at all where there is. */
static void wait_for_events(struct worker *w, bool is_busy, uint64_t next_ms) REQUIRES(role_worker)
{
	if (w->next_event < w->n_events)
		return;
	look_at_patience(w);
	if (is_busy || !mailbox_sleep(w->mailbox)) {
		poll_until(w, 0);
		return;
	}
	atomic_store_explicit(&w->telemetry->turn_began_ms, 0, memory_order_relaxed);
	poll_until(w, next_ms);
	mailbox_wake(w->mailbox);
}

static void run(struct worker *w) REQUIRES(role_worker)
{
	bool is_busy = false;
	while (!atomic_load(&w->shared->is_stopping)) {
		uint64_t next_ms = expire(w);
		publish(w);
		wait_for_events(w, is_busy || w->ready_first != CONNECTION_NONE, next_ms);
		tick_after_wait(w);
		uint64_t began_ns = w->now_ns;
		atomic_store_explicit(
			&w->telemetry->turn_began_ms, w->now.mono_ms, memory_order_relaxed);
		is_busy = take_turn(w);
		worker_tick(w);
		histogram_record(&w->telemetry->loop_us, (w->now_ns - began_ns) / 1000);
	}
}

/* --- the stop --- */

/* Tells everybody bye, and no watcher anything: that users leave with the server is no news about the users. */
static void say_bye(struct worker *w) REQUIRES(role_worker)
{
	for (uint32_t fd = 0; fd < w->connections.n_chunks * CONNECTIONS_CHUNK; fd++) {
		struct connection *c = connections_at(&w->connections, fd);
		if (!c || c->phase == PHASE_LINGER)
			continue;
		if (c->phase == PHASE_LIVE)
			worker_let_go(w, c);
		output_cut(w, c);
		if (c->stage >= STAGE_FRAMES)
			reply_bye(&w->out, NULL, 0, REASON_SHUTDOWN, worker_shutdown_retry_ms(w));
		worker_farewell(w, c, reason_close_code(REASON_SHUTDOWN), false);
	}
}

static void stop(struct worker *w) REQUIRES(role_worker)
{
	accept_close(w);
	worker_tick(w);
	uint64_t end_ms = w->now.mono_ms + w->shared->params.drain_timeout_ms;
	say_bye(w);
	while (w->n_connections > 0 && w->now.mono_ms < end_ms) {
		uint64_t next_ms = expire(w);
		if (w->ready_first != CONNECTION_NONE || w->n_connections == 0)
			next_ms = 0;
		poll_until(w, next_ms < end_ms ? next_ms : end_ms);
		worker_tick(w);
		handle_events(w, UINT64_MAX);
		read_ready(w, UINT64_MAX);
	}
	while (w->lingering.first != CONNECTION_NONE)
		worker_close(w, connections_at(&w->connections, w->lingering.first));
	roster_bury(w, UINT64_MAX);
	publish(w);
}

/* --- the thread --- */

/* Its slices are short, where it has the usual scheduling policy; any other was somebody's choice. */
static void begin_slices(struct worker *w) REQUIRES(role_worker)
{
	w->patience = patience_begin(
		w->shared->params.n_workers, w->shared->params.n_processors, w->now_ns);
	enum slice_manner manner = w->patience.is_patient ? SLICE_PATIENT : SLICE_PROMPT;
	w->has_slices = slice_set(SLICE_SHORT_NS, manner) == 0;
}

static int open_all(struct worker *w) REQUIRES(role_worker)
{
	int err = descriptors_unshare(w->shared->n_low_descriptors);
	if (err)
		log_warning("one descriptor table for all workers", LOG_U64("worker", w->index),
			LOG_ERRNO(-err));
	err = poller_open(&w->poller);
	if (!err)
		err = reserve_open(&w->reserve);
	if (!err)
		err = poller_add_shared(
			&w->poller, w->shared->wakeups[w->index], TOKEN_WAKEUP, false);
	return err ? err : accept_open(w);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	role_worker_begin();
	tick_after_wait(w);
	begin_slices(w);
	w->error = open_all(w);
	sem_post(&w->shared->listening);
	while (sem_wait(&w->shared->accepting) != 0)
		continue; /* EINTR */
	if (!atomic_load(&w->shared->is_stopping)) {
		int err = accept_begin(w);
		if (err)
			log_error("listeners can't be waited on", LOG_ERRNO(-err));
		run(w);
	}
	stop(w);
	reserve_close(&w->reserve);
	poller_close(&w->poller);
	return NULL;
}

int worker_new(struct server_shared *shared, unsigned index, struct worker **ret)
{
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->shared = shared;
	w->table = shared->table;
	w->mailbox = shared->mailboxes[index];
	w->telemetry = &shared->params.telemetry->workers[index];
	w->index = index;
	w->n_descriptors = (uint32_t)shared->params.n_descriptors;
	w->poller.fd = w->reserve.fd = -1;
	w->ready_first = w->ready_last = CONNECTION_NONE;
	w->published_connections = UINT32_MAX;
	w->to_hear_end = &w->to_hear;
	w->to_part_end = &w->to_part;
	w->ended_end = &w->ended;
	timed_list_init(&w->hellos);
	timed_list_init(&w->lingering);
	actor_init(&w->actor, &w->telemetry->counters);
	w->in = malloc(READ_MAX);
	w->listeners = malloc(shared->params.n_listen * sizeof(*w->listeners));
	for (size_t i = 0; w->listeners && i < shared->params.n_listen; i++)
		w->listeners[i] = -1;
	if (!w->in || !w->listeners || connections_init(&w->connections, w->n_descriptors) ||
		watch_index_new(HELD_EVENTS_MAX, &w->watches)) {
		worker_free(w);
		return -ENOMEM;
	}
	*ret = w;
	return 0;
}

int worker_start(struct worker *w)
{
	int err = pthread_create(&w->thread, NULL, worker_main, w);
	if (err)
		return -err;
	char name[16];
	snprintf(name, sizeof(name), "worker-%u", w->index);
	pthread_setname_np(w->thread, name);
	return 0;
}

int worker_error(const struct worker *w)
{
	return w->error;
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	watch_index_free(w->watches);
	connections_destroy(&w->connections);
	actor_destroy(&w->actor);
	buffer_free(&w->out);
	alarm_destroy(&w->alarms);
	websocket_free(w->websocket);
	tls_context_unref(w->tls);
	free(w->in);
	free(w->listeners);
	free(w);
}
