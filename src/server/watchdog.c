#include "server/watchdog.h"

#include "base/ensure.h"
#include "base/log.h"
#include "base/slice.h"
#include "net/descriptors.h"
#include "server/burial.h"
#include "server/pace.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	STANDSTILL_SCANS = 3, /* a gap in our own ticks beyond so many intervals is a standstill */
	VERDICTS_PER_WAKE =
		64, /* in a mass death the first watchers are told while the last are judged */
	STALLED_MS = 1000, /* a worker that owes an answer for so long is reported */
};

struct watchdog {
	/* const after start */
	struct server_shared *shared;
	struct watchdog_telemetry *telemetry;
	pthread_t thread;
	/* owner: the watchdog's thread */
	struct actor actor;
	struct instant now;
	uint64_t wall_offset_ms;
	uint64_t pulse_ms; /* when it was last seen alive, by itself */
	struct standstill standstill;
	struct burial_hold hold;
	uint64_t n_dead; /* nominated and judged, when burials were last looked at */
	uint64_t dead_ms; /* and when that was */
	uint64_t
		reminded_ms; /* when workers were last reminded of the dead that they have to bury */
	uint64_t owes_since_ms
		[WORKERS_MAX]; /* when a worker's list was first found waiting; 0: it is not */
};

/* Looks at the clock. Since the last look at most 'expected_ms' should have passed; what goes far beyond that is time in
 * which this process, or the whole machine, did not run. */
static void pulse(struct watchdog *d, uint64_t expected_ms)
{
	uint64_t now_ns = clock_mono_ns();
	d->now.mono_ms = now_ns / 1000000;
	d->actor.now_ns = now_ns;
	d->now.wall_ms = d->wall_offset_ms + d->now.mono_ms;
	uint64_t passed_ms = d->now.mono_ms - d->pulse_ms;
	d->pulse_ms = d->now.mono_ms;
	uint64_t bound_ms =
		expected_ms + (uint64_t)STANDSTILL_SCANS * d->shared->params.scan_interval_ms;
	if (passed_ms <= bound_ms)
		return;
	uint64_t gap_ms = passed_ms - expected_ms;
	log_warning("standstill: every session gets more time", LOG_U64("gap_ms", gap_ms));
	atomic_store_explicit(&d->telemetry->stalls,
		atomic_load_explicit(&d->telemetry->stalls, memory_order_relaxed) + 1,
		memory_order_relaxed);
	d->standstill = (struct standstill){
		.is_set = true,
		.end_ms = (uint32_t)d->now.mono_ms,
		.gap_ms = gap_ms < INT32_MAX ? (uint32_t)gap_ms : INT32_MAX,
	};
}

static void look_at_wall_clock(struct watchdog *d)
{
	struct instant now = clock_instant();
	d->wall_offset_ms = now.wall_ms - now.mono_ms;
}

/* Whoever was last heard before a standstill has timed out, or was heard again, long before twice the longest timeout or
 * grace; and 32 bits of milliseconds must not come round to it. */
static void forget_standstill(struct watchdog *d)
{
	const struct server_params *p = &d->shared->params;
	uint32_t longest_ms = 2 * p->heartbeat_max_ms * p->missed_beats;
	if (longest_ms < 2 * GRACE_MAX_MS)
		longest_ms = 2 * GRACE_MAX_MS;
	if (d->standstill.is_set && (uint32_t)d->now.mono_ms - d->standstill.end_ms > longest_ms)
		d->standstill.is_set = false;
}

/* Many who are nominated in a scan interval, or judged: their watchers are told before anybody is buried. */
static void hold_burials(struct watchdog *d) REQUIRES(role_watchdog)
{
	const struct counters *c = &d->telemetry->counters;
	uint32_t interval_ms = d->shared->params.scan_interval_ms;
	uint64_t n = counter_read(c, COUNTER_nominated) + counter_read(c, COUNTER_ended_timeout);
	if (n - d->n_dead < BURIAL_MANY && d->now.mono_ms < d->dead_ms + interval_ms)
		return; /* one of several scans in it */
	uint64_t until_ms = burial_hold(&d->hold, n - d->n_dead, d->now.mono_ms, interval_ms);
	d->n_dead = n;
	d->dead_ms = d->now.mono_ms;
	atomic_store_explicit(&d->shared->burial_from_ms, until_ms, memory_order_relaxed);
}

/* Returns how long to wait for the next. */
static uint32_t scan(struct watchdog *d) REQUIRES(role_watchdog)
{
	uint64_t began_ns = clock_mono_ns(), had_ns = clock_thread_ns(), n_found = 0;
	for (unsigned i = 0; i < d->shared->params.n_workers; i++) {
		n_found += table_nominate(d->shared->table, &d->actor, i, (uint32_t)d->now.mono_ms);
		pulse(d, 0); /* work is no standstill */
	}
	histogram_record(&d->telemetry->scan_us, (clock_mono_ns() - began_ns) / 1000);
	hold_burials(d);
	atomic_store_explicit(&d->telemetry->scans,
		atomic_load_explicit(&d->telemetry->scans, memory_order_relaxed) + 1,
		memory_order_relaxed);
	shared_wake(d->shared, &d->actor, UINT_MAX);
	return pace_pause_ms(
		n_found, clock_thread_ns() - had_ns, d->shared->params.scan_interval_ms);
}

/* Whether the worker makes progress: its turns end, and its list is taken. */
static void watch_worker(struct watchdog *d, unsigned i)
{
	struct worker_telemetry *t = &d->shared->params.telemetry->workers[i];
	uint64_t now_ms = d->now.mono_ms;
	uint64_t began_ms = atomic_load_explicit(&t->turn_began_ms, memory_order_relaxed);
	bool is_waiting = mailbox_has_links(d->shared->mailboxes[i]);
	if (!is_waiting)
		d->owes_since_ms[i] = 0;
	else if (d->owes_since_ms[i] == 0)
		d->owes_since_ms[i] = now_ms;
	bool is_stalled = (began_ms > 0 && now_ms > began_ms + STALLED_MS) ||
			  (d->owes_since_ms[i] > 0 && now_ms > d->owes_since_ms[i] + STALLED_MS);
	if (is_stalled == atomic_load_explicit(&t->stalled, memory_order_relaxed))
		return;
	atomic_store_explicit(&t->stalled, is_stalled, memory_order_relaxed);
	if (is_stalled)
		log_error("worker stalled", LOG_U64("worker", i));
	else
		log_warning("worker goes on", LOG_U64("worker", i));
}

/* At once, or, while burials are held, every scan interval: in a mass death there are better reasons to wake a worker. */
static void remind_workers(struct watchdog *d) REQUIRES(role_watchdog)
{
	uint64_t now_ms = d->now.mono_ms;
	bool is_held = now_ms < d->hold.until_ms;
	if (is_held && now_ms < d->reminded_ms + d->shared->params.scan_interval_ms)
		return;
	d->reminded_ms = now_ms;
	for (uint64_t left = d->actor.remind_workers; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		if (mailbox_remind(d->shared->mailboxes[i]))
			d->actor.wake_workers |= UINT64_C(1) << i;
	}
	d->actor.remind_workers = 0;
}

static void judge_heard(struct watchdog *d) REQUIRES(role_watchdog)
{
	unsigned n = 0;
	struct mailbox_link *next;
	for (struct mailbox_link *link = mailbox_take_links(&d->shared->watchdog_mailbox); link;
		link = next) {
		next = link->next;
		struct verdict verdict = table_judge(d->shared->table, &d->actor,
			session_from_link(link), &d->standstill, d->now);
		bool is_silent = verdict.kind == VERDICT_EXPIRED || verdict.kind == VERDICT_PARTED;
		if (is_silent || verdict.kind == VERDICT_OVER)
			histogram_record(&d->telemetry->lateness_ms, verdict.lateness_ms);
		if (is_silent)
			histogram_record(&d->telemetry->detection_ms, verdict.silence_ms);
		if (++n % VERDICTS_PER_WAKE == 0) {
			shared_wake(d->shared, &d->actor, UINT_MAX);
			pulse(d, 0);
		}
	}
	remind_workers(d);
	shared_wake(d->shared, &d->actor, UINT_MAX);
}

/* Until the next scan is due, or a worker has heard someone. */
static void wait_for_heard(struct watchdog *d, uint64_t until_ms)
{
	pulse(d, 0);
	uint64_t left_ms = until_ms > d->now.mono_ms ? until_ms - d->now.mono_ms : 0;
	if (mailbox_sleep(&d->shared->watchdog_mailbox)) {
		struct pollfd wakeup = {.fd = d->shared->watchdog_wakeup, .events = POLLIN};
		struct timespec timeout = {.tv_sec = (time_t)(left_ms / 1000),
			.tv_nsec = (long)(left_ms % 1000) * 1000000};
		if (ppoll(&wakeup, 1, &timeout, NULL) > 0)
			wakeup_drain(wakeup.fd);
		mailbox_wake(&d->shared->watchdog_mailbox);
	}
	pulse(d, left_ms);
}

static void *watchdog_main(void *arg)
{
	struct watchdog *d = arg;
	role_watchdog_begin();
	(void)slice_set(SLICE_BRIEF_NS, SLICE_PROMPT); /* refused, its turn comes later */
	look_at_wall_clock(d);
	d->pulse_ms = clock_mono_ms();
	pulse(d, 0);
	uint32_t interval_ms = d->shared->params.scan_interval_ms, pause_ms;
	uint64_t next_scan_ms = d->now.mono_ms + interval_ms;
	while (!atomic_load(&d->shared->is_watchdog_stopping)) {
		wait_for_heard(d, next_scan_ms);
		look_at_wall_clock(d);
		judge_heard(d);
		if (d->now.mono_ms < next_scan_ms)
			continue;
		pause_ms = scan(d);
		forget_standstill(d);
		for (unsigned i = 0; i < d->shared->params.n_workers; i++)
			watch_worker(d, i);
		/* A short pause is one, and after a standstill scans don't come in a burst: from now on, not from when it was
		 * due. */
		next_scan_ms += pause_ms;
		if (pause_ms < interval_ms || next_scan_ms <= d->now.mono_ms)
			next_scan_ms = d->now.mono_ms + pause_ms;
	}
	return NULL;
}

int watchdog_start(struct server_shared *shared, struct watchdog **ret)
{
	struct watchdog *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->shared = shared;
	d->telemetry = &shared->params.telemetry->watchdog;
	actor_init(&d->actor, &d->telemetry->counters);
	int err = pthread_create(&d->thread, NULL, watchdog_main, d);
	if (err) {
		free(d);
		return -err;
	}
	pthread_setname_np(d->thread, "watchdog");
	*ret = d;
	return 0;
}

void watchdog_stop(struct watchdog *d)
{
	if (!d)
		return;
	atomic_store(&d->shared->is_watchdog_stopping, true);
	wakeup_signal(d->shared->watchdog_wakeup);
	pthread_join(d->thread, NULL);
	actor_destroy(&d->actor);
	free(d);
}
