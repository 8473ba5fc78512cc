/* N clients fall silent at once, watched by others who read: how soon is everyone told, and what do
 * those who live notice meanwhile?
 *
 * Silent at once means: each sends a last beat, as fast as one process can write them, and then nothing,
 * its connection still standing. How far the last beats lie apart is a figure too (silence_spread_ms): so far
 * apart the deaths themselves are. Lateness is counted for each death from its own last beat + the timeout. With
 * --silence-ms the last beats are spread over that time: where they alone would take all of the processors, what is
 * late is that they are read.
 *
 * With --crowd that many more sessions live on and beat, each once a heartbeat; whoever of them or of the
 * others is lost before its time was falsely expired. --quiet-ms is how long all of that stands before the
 * silence.
 *
 * Process 0: clients that live on, and whose answers are measured.  1: the watchers, of one even part of
 * the victims each.  2..: those who fall silent, then the crowd. */
#include "base/clock.h"
#include "figure.h"
#include "fleet.h"
#include "load.h"
#include "options.h"
#include "proc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	SESSIONS_A_PROCESS = 19000,
	PARALLEL = 128, /* logins under way at once, of all processes together */
	MARGIN_MS = 10000,
	STEP_MS = 200, /* between looks at the server's memory */
	SILENCE_STEP_MS = 5, /* between last beats that are spread */
	WATCHES_MAX = 10000, /* of one watcher: the server's default limit */
	NICE_VICTIMS = 10, /* whose last beats go before the crowd's */
	NICE_CROWD = 15,
	LIVE = 100,
	LIVE_FIRST_USER = 90000000,
	WATCHER_FIRST_USER = 80000000,
};

static struct options options;
/* The live clients ask for the same heartbeat; how often they really beat is for the measuring. */
static uint64_t n_victims = 10000, heartbeat_ms = 1000, timeout_ms = 3000, quiet_ms = 500;
static uint64_t n_crowd, n_watchers, limit_s = 200, live_every_ms = 20, beat_grain_ms, silence_ms;
static unsigned n_victim_processes, n_crowd_processes, n_parallel;

struct result {
	struct load_totals before, totals;
	struct histogram late_ns; /* how long after its promised end each was told */
	uint64_t first_told_ns, last_told_ns;
	uint64_t n_told, n_early, n_other; /* told of a death; before its time; of anything else */
};

/* When each of those who fall silent last sent something. Written by them, read by the watchers, later
 * by seconds and after a report and a go. */
static _Atomic uint64_t *sent_ns;

static void told(void *arg, const struct item *item, uint64_t now_ns)
{
	struct result *result = arg;
	uint64_t end_ns;

	if (!item->is_offline || !item->is_timeout || item->user >= n_victims) {
		result->n_other++;
		return;
	}
	end_ns = atomic_load_explicit(&sent_ns[item->user], memory_order_relaxed) +
		 timeout_ms * 1000000;
	if (now_ns < end_ns)
		result->n_early++;
	histogram_record(&result->late_ns, now_ns < end_ns ? 0 : now_ns - end_ns);
	if (!result->n_told++)
		result->first_told_ns = now_ns;
	result->last_told_ns = now_ns;
}

static int open_load(const struct member *self, uint64_t first_user, uint64_t n, struct load **ret)
{
	struct result *result = self->result;
	uint64_t grain_ns = self->index ? beat_grain_ms * 1000000 : 0;
	struct load_params params = {
		.server = options.server,
		.is_tls = options.is_tls,
		.dialect = options.dialect,
		.n_sessions = (uint32_t)n,
		.first_user = first_user,
		.heartbeat_ms = heartbeat_ms,
		.beat_grain_ns = grain_ns,
		.beat_phase_ns = grain_ns * self->index / self->n,
		.wake_fd = self->go_fd,
		.on_event = self->index == 1 ? told : NULL,
		.on_event_arg = result,
		.sent_ns = self->index > 1 && first_user < n_victims ? sent_ns + first_user : NULL,
	};
	int error = load_new(&params, ret);

	if (!error)
		load_count_into(*ret, &result->before);
	return error;
}

static uint64_t limit_ns(void)
{
	return clock_mono_ns() + limit_s * UINT64_C(1000000000);
}

static int live(struct member *self)
{
	struct result *result = self->result;
	struct load *load;
	int error = open_load(self, LIVE_FIRST_USER, LIVE, &load);

	if (error)
		return error;
	member_be_brief();
	error = load_login(load, 0, LIVE, LIVE, limit_ns());
	load_beat_every(load, 0, LIVE, live_every_ms * UINT64_C(1000000));
	if (!error)
		error = member_report(self);
	if (!error)
		error = load_run(load, UINT64_MAX);
	load_count_into(load, &result->totals); /* the deaths begin */
	if (error >= 0)
		error = load_run(load, UINT64_MAX);
	load_count_into(load, &result->before);
	if (error >= 0)
		error = member_report(self);
	load_free(load);
	return error < 0 ? error : 0;
}

static int watch(struct member *self)
{
	uint32_t n = (uint32_t)n_watchers;
	struct result *result = self->result;
	struct load *load;
	int error = open_load(self, WATCHER_FIRST_USER, n, &load);

	if (error)
		return error;
	error = load_login(load, 0, n, n, limit_ns());
	load_beat_every(load, 0, n, heartbeat_ms * UINT64_C(1000000) / 2);
	if (!error)
		error = member_report(self);
	if (!error)
		error = load_run(load, UINT64_MAX); /* until the others are there */
	for (uint32_t i = 0; i < n && error >= 0; i++) {
		uint64_t first = n_victims * i / n, end = n_victims * (i + 1) / n;

		error = load_watch(load, i, first, (uint32_t)(end - first), limit_ns());
	}
	if (error >= 0)
		error = member_report(self);
	while (error >= 0 && result->n_told < n_victims)
		error = load_turn(load, limit_ns());
	if (error >= 0)
		error = member_report(self);
	while (error == 0)
		error = load_turn(load, limit_ns());
	load_free(load);
	return error < 0 ? error : 0;
}

/* The last beat of each. */
static int beat_last(struct load *load, uint32_t n)
{
	uint64_t begun_ms = clock_mono_ms(), passed_ms = 0;
	uint32_t n_sent = 0;
	int error = 0;

	load_beat_every(load, 0, n, 0);
	while (n_sent < n && error >= 0) {
		uint32_t n_due = n;

		passed_ms = clock_mono_ms() - begun_ms + SILENCE_STEP_MS;
		if (passed_ms < silence_ms)
			n_due = (uint32_t)(n * passed_ms / silence_ms);
		load_beat_now(load, n_sent, n_due - n_sent);
		n_sent = n_due;
		if (n_sent < n)
			error = load_run(load, (begun_ms + passed_ms) * 1000000);
	}
	return error;
}

static int fall_silent(struct member *self)
{
	unsigned index = self->index - 2;
	uint64_t first = n_victims * index / n_victim_processes;
	uint32_t n = (uint32_t)(n_victims * (index + 1) / n_victim_processes - first);
	struct load *load;
	int error = open_load(self, first, n, &load);

	if (error)
		return error;
	/* From the start: the first must not die while the last log in. */
	load_beat_every(load, 0, n, heartbeat_ms * UINT64_C(1000000));
	error = load_login(load, 0, n, n_parallel, limit_ns());
	if (!error)
		error = member_yield(NICE_VICTIMS); /* not before: a hello must come in time */
	if (!error)
		error = member_report(self);
	if (!error)
		error = load_run(load, UINT64_MAX);
	if (error >= 0)
		error = beat_last(load, n);
	if (error >= 0)
		error = member_report(self);
	if (error >= 0)
		error = member_wait(self); /* nothing is read any more either */
	load_free(load);
	return error < 0 ? error : 0;
}

static int live_on(struct member *self)
{
	unsigned index = self->index - 2 - n_victim_processes;
	uint64_t first = n_crowd * index / n_crowd_processes;
	uint32_t n = (uint32_t)(n_crowd * (index + 1) / n_crowd_processes - first);
	struct load *load;
	int error = open_load(self, n_victims + first, n, &load);

	if (error)
		return error;
	load_beat_every(load, 0, n, heartbeat_ms * UINT64_C(1000000));
	error = load_login(load, 0, n, n_parallel, limit_ns());
	if (!error)
		error = member_yield(NICE_CROWD);
	if (!error)
		error = member_report(self);
	if (!error)
		error = load_run(load, UINT64_MAX);
	load_free(load);
	return error < 0 ? error : 0;
}

static int run(struct member *self, void *arg)
{
	(void)arg;
	if (self->index == 0)
		return live(self);
	if (self->index == 1)
		return watch(self);
	return self->index < 2 + n_victim_processes ? fall_silent(self) : live_on(self);
}

static void sleep_until_ns(uint64_t at_ns)
{
	struct timespec time = {
		.tv_sec = (time_t)(at_ns / 1000000000), .tv_nsec = (long)(at_ns % 1000000000)};

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL);
}

/* The first and the last of the last beats. */
static void silence(uint64_t *ret_first_ns, uint64_t *ret_last_ns)
{
	*ret_first_ns = UINT64_MAX;
	*ret_last_ns = 0;
	for (uint64_t i = 0; i < n_victims; i++) {
		uint64_t at_ns = atomic_load_explicit(&sent_ns[i], memory_order_relaxed);

		if (at_ns < *ret_first_ns)
			*ret_first_ns = at_ns;
		if (at_ns > *ret_last_ns)
			*ret_last_ns = at_ns;
	}
}

struct growth {
	uint64_t rss_bytes, kernel_bytes; /* PROC_UNKNOWN where the kernel does not say */
};

static int look(struct growth *ret)
{
	struct proc_memory memory;
	struct proc_kernel kernel;
	int error = proc_memory(options.pid, &memory);

	if (!error)
		error = proc_kernel(&kernel);
	if (error)
		return error;
	ret->rss_bytes = memory.rss_bytes;
	ret->kernel_bytes = kernel.slab_bytes == PROC_UNKNOWN
				    ? PROC_UNKNOWN
				    : kernel.slab_bytes + kernel.tcp_bytes;
	return 0;
}

static unsigned n_members(void)
{
	return 2 + n_victim_processes + n_crowd_processes;
}

static void print_growth(const char *rss_name, const char *kernel_name, const struct growth *from,
	const struct growth *to, double divisor)
{
	figure_print(rss_name, (double)(int64_t)(to->rss_bytes - from->rss_bytes) / divisor, "B");
	if (from->kernel_bytes != PROC_UNKNOWN && to->kernel_bytes != PROC_UNKNOWN)
		figure_print(kernel_name,
			(double)(int64_t)(to->kernel_bytes - from->kernel_bytes) / divisor, "B");
}

static void print(struct fleet *fleet, uint64_t spread_ns)
{
	const struct result *live_result = fleet_result(fleet, 0),
			    *watch_result = fleet_result(fleet, 1);
	double span_ms = (double)(watch_result->last_told_ns - watch_result->first_told_ns) / 1e6;
	double spread_ms = (double)spread_ns / 1e6;
	uint64_t n_lost = 0;

	for (unsigned i = 0; i < n_members(); i++) {
		const struct result *result = fleet_result(fleet, i);

		n_lost += result->before.n_lost + result->totals.n_lost;
	}
	figure_print("first_to_last_ms", span_ms, "ms");
	figure_print("silence_spread_ms", spread_ms, "ms");
	figure_print("beyond_spread_ms", span_ms > spread_ms ? span_ms - spread_ms : 0, "ms");
	figure_print_quantiles("lateness", &watch_result->late_ns, "ms");
	figure_print("lateness_max_ms", (double)histogram_max(&watch_result->late_ns) / 1e6, "ms");
	figure_print("told_early", (double)watch_result->n_early, "1");
	figure_print("told_other", (double)watch_result->n_other, "1");
	figure_print("sessions_lost", (double)n_lost, "1");
	figure_print_quantiles("live_before_answer", &live_result->before.beat_ns, "us");
	figure_print_quantiles("live_answer", &live_result->totals.beat_ns, "us");
}

/* Until the watchers have been told of all: the memory's high water meanwhile. */
static int watch_deaths(struct fleet *fleet, struct growth *ret_peak)
{
	uint64_t until_ms = clock_mono_ms() + timeout_ms + MARGIN_MS;
	struct growth now;
	int error;

	*ret_peak = (struct growth){0};
	do {
		error = fleet_wait_for(fleet, 1, STEP_MS);
		if (error && error != -ETIMEDOUT)
			return error;
		if (look(&now))
			return -ESRCH;
		if (now.rss_bytes > ret_peak->rss_bytes)
			ret_peak->rss_bytes = now.rss_bytes;
		if (now.kernel_bytes > ret_peak->kernel_bytes)
			ret_peak->kernel_bytes = now.kernel_bytes;
	} while (error && clock_mono_ms() < until_ms);
	return error;
}

static int let_die(struct fleet *fleet)
{
	unsigned end = 2 + n_victim_processes;
	uint64_t first_ns, last_ns;
	struct growth from, peak;
	int error = 0;

	for (unsigned i = 2; i < end; i++)
		fleet_go_one(fleet, i);
	for (unsigned i = 2; i < end && !error; i++)
		error = fleet_wait_for(fleet, i, MARGIN_MS);
	if (error)
		return error;
	silence(&first_ns, &last_ns);
	/* The live clients' answers count from just before the first death. */
	sleep_until_ns(first_ns + (timeout_ms - 10) * 1000000);
	error = look(&from);
	fleet_go_one(fleet, 0);
	if (!error)
		error = watch_deaths(fleet, &peak);
	fleet_go_one(fleet, 0);
	if (!error)
		error = fleet_wait_for(fleet, 0, MARGIN_MS);
	if (error)
		return error;
	print(fleet, last_ns - first_ns);
	print_growth("rss_growth_bytes", "kernel_growth_bytes", &from, &peak, 1);
	return 0;
}

static uint64_t count_beats(const struct fleet *fleet)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < n_members(); i++) {
		const struct result *result = fleet_result(fleet, i);

		n += result->before.n_beats_answered;
	}
	return n;
}

/* All are there and beat: what that costs. */
static int keep_quiet(const struct fleet *fleet)
{
	uint64_t start_ns = clock_mono_ns(), n = count_beats(fleet);
	struct proc_cpu from, to;
	int error = proc_cpu(options.pid, &from);

	sleep_until_ns(start_ns + quiet_ms * 1000000);
	if (!error)
		error = proc_cpu(options.pid, &to);
	n = count_beats(fleet) - n;
	if (error || !n)
		return error;
	figure_print(
		"cpu_us_per_heartbeat", (double)(to.cpu_ns - from.cpu_ns) / 1e3 / (double)n, "us");
	figure_print(
		"heartbeats_per_s", (double)n * 1e9 / (double)(clock_mono_ns() - start_ns), "1/s");
	return 0;
}

static int measure(struct fleet *fleet, const struct growth *empty)
{
	struct growth full;
	int error = fleet_wait(fleet, limit_s * 1000);

	if (!error)
		error = look(&full);
	if (error)
		return error;
	figure_of("storm",
		"\"server\":\"%s\",\"n\":%" PRIu64 ",\"crowd\":%" PRIu64 ",\"timeout_ms\":%" PRIu64,
		options.server_name, n_victims, n_crowd, timeout_ms);
	print_growth("rss_bytes_per_session", "kernel_bytes_per_session", empty, &full,
		(double)(n_victims + n_crowd + n_watchers + LIVE));
	fleet_go_one(fleet, 1);
	error = fleet_wait_for(fleet, 1, limit_s * 1000);
	if (error)
		return error;
	error = keep_quiet(fleet);
	if (!error)
		error = let_die(fleet);
	for (unsigned i = 1; i < n_members() && !error; i++)
		fleet_go_one(fleet, i);
	return error;
}

static void prepare(void)
{
	n_victim_processes = (unsigned)((n_victims + SESSIONS_A_PROCESS - 1) / SESSIONS_A_PROCESS);
	n_crowd_processes = (unsigned)((n_crowd + SESSIONS_A_PROCESS - 1) / SESSIONS_A_PROCESS);
	n_parallel = PARALLEL / (n_victim_processes + n_crowd_processes);
	if (n_parallel < 2)
		n_parallel = 2;
	if (!n_watchers)
		n_watchers = (n_victims + WATCHES_MAX - 1) / WATCHES_MAX;
	sent_ns = fleet_shared(n_victims * sizeof(*sent_ns));
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {
		{.name = "n", .number = &n_victims},
		{.name = "heartbeat-ms", .number = &heartbeat_ms},
		{.name = "timeout-ms", .number = &timeout_ms},
		{.name = "quiet-ms", .number = &quiet_ms},
		{.name = "crowd", .number = &n_crowd},
		{.name = "watchers", .number = &n_watchers},
		{.name = "patience-s", .number = &limit_s},
		{.name = "live-every-ms", .number = &live_every_ms},
		{.name = "beat-grain-ms", .number = &beat_grain_ms},
		{.name = "silence-ms", .number = &silence_ms},
		{.name = NULL},
	};
	struct fleet *fleet = NULL;
	struct growth empty;
	int error, end_error;

	options_read(argc, argv, own, &options);
	prepare();
	error = sent_ns ? look(&empty) : -ENOMEM;
	if (!error)
		error = fleet_start(n_members(), sizeof(struct result), run, NULL, &fleet);
	if (!error)
		error = measure(fleet, &empty);
	end_error = fleet_end(fleet, error ? 0 : 60000);
	if (!error)
		error = end_error;
	if (error)
		fprintf(stderr, "bench_storm: %s\n", strerror(-error));
	return error ? 1 : 0;
}
