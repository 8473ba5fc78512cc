/* One user whom many watch: what it costs to tell a change to all, and how long it takes.
 *
 * The next change is made when everyone has been told of the last (so that nothing is skipped as out of
 * date), and not sooner than --pace-ms after it. Clients that have nothing to do with it beat meanwhile. */
#include "base/clock.h"
#include "figure.h"
#include "fleet.h"
#include "load.h"
#include "options.h"
#include "proc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	SESSIONS_A_PROCESS = 19000,
	PARALLEL = 64,
	LIMIT_S = 120,
	MARGIN_MS = 10000,
	WAVE_LIMIT_S = 20,
	WAVES_MAX = 100000,
	LIVE = 100,
	LIVE_EVERY_MS = 50,
	LIVE_FIRST_USER = 90000000,
	FAMOUS_USER = 80000000,
};

static struct options options;
static uint64_t n_watchers = 1000, n_waves = 50, pace_ms, heartbeat_ms;

/* Told to all processes. */
struct board {
	/* atomic: the watchers -> process 1. An increment each. */
	_Atomic uint64_t n_told;
	/* atomic: process 1 -> the watchers, relaxed: the change's way through the server orders it. */
	_Atomic uint64_t changed_ns[WAVES_MAX + 1];
};

static struct board *board;

struct result {
	struct load_totals before, totals;
	struct histogram told_ns;
	struct histogram wave_ns; /* from a change to the last who was told of it */
	uint64_t took_ns;
};

static void told(void *arg, const struct item *item, uint64_t now_ns)
{
	struct result *result = arg;

	if (item->number && item->number <= n_waves)
		histogram_record(&result->told_ns,
			now_ns - atomic_load_explicit(
					 &board->changed_ns[item->number], memory_order_relaxed));
	if (item->number)
		atomic_fetch_add_explicit(&board->n_told, 1, memory_order_relaxed);
}

static int open_load(const struct member *self, uint64_t first_user, uint64_t n, struct load **ret)
{
	struct load_params params = {
		.server = options.server,
		.is_tls = options.is_tls,
		.dialect = options.dialect,
		.n_sessions = (uint32_t)n,
		.first_user = first_user,
		.heartbeat_ms = heartbeat_ms,
		.wake_fd = self->go_fd,
		.on_event = told,
		.on_event_arg = self->result,
	};

	return load_new(&params, ret);
}

static int live(struct member *self)
{
	struct result *result = self->result;
	struct load *load;
	int error = open_load(self, LIVE_FIRST_USER, LIVE, &load);

	if (error)
		return error;
	load_count_into(load, &result->before);
	member_be_brief();
	error = load_login(load, 0, LIVE, LIVE, clock_mono_ns() + LIMIT_S * UINT64_C(1000000000));
	if (!error)
		error = member_report(self);
	load_beat_every(load, 0, LIVE, LIVE_EVERY_MS * UINT64_C(1000000));
	if (!error)
		error = load_run(load, UINT64_MAX);
	load_count_into(load, &result->totals);
	if (error >= 0)
		error = load_run(load, UINT64_MAX);
	if (error >= 0)
		error = member_report(self);
	load_free(load);
	return error < 0 ? error : 0;
}

/* One change, until all have been told. The famous user turns in the load of process 1, beside watchers. */
static int make_wave(
	struct load *famous, struct load *watchers, struct result *result, uint64_t wave)
{
	uint64_t start_ns = clock_mono_ns(), pace_ns = start_ns + pace_ms * 1000000;
	uint64_t until_ns = start_ns + WAVE_LIMIT_S * UINT64_C(1000000000);
	uint64_t goal = wave * n_watchers;
	int status;

	atomic_store_explicit(&board->changed_ns[wave], start_ns, memory_order_relaxed);
	status = load_update(famous, 0, wave);
	while (status >= 0 && atomic_load_explicit(&board->n_told, memory_order_relaxed) < goal) {
		/* Other processes' watchers wake nobody here: look every millisecond. */
		status = load_turn(watchers, clock_mono_ns() + 1000000);
		if (status >= 0 && clock_mono_ns() >= until_ns)
			status = -ETIMEDOUT;
	}
	histogram_record(&result->wave_ns, clock_mono_ns() - start_ns);
	if (status >= 0)
		status = load_turn(famous, 0); /* the answers to its changes */
	while (status >= 0 && clock_mono_ns() < pace_ns)
		status = load_turn(watchers, pace_ns);
	return status < 0 ? status : 0;
}

static int make_waves(const struct member *self, struct load *watchers)
{
	struct member alone = {.go_fd = -1, .result = self->result};
	struct result *result = self->result;
	uint64_t start_ns;
	struct load *famous;
	int error = open_load(&alone, FAMOUS_USER, 1, &famous);

	if (error)
		return error;
	error = load_login(famous, 0, 1, 1, clock_mono_ns() + LIMIT_S * UINT64_C(1000000000));
	/* Its login was an event too; none of them carries a number, so that it is not counted. */
	start_ns = clock_mono_ns();
	for (uint64_t wave = 1; wave <= n_waves && !error; wave++)
		error = make_wave(famous, watchers, result, wave);
	result->took_ns = clock_mono_ns() - start_ns;
	load_free(famous);
	return error;
}

static int watch(struct member *self)
{
	uint64_t first = n_watchers * (self->index - 1) / (self->n - 1);
	uint64_t n = n_watchers * self->index / (self->n - 1) - first;
	uint64_t until_ns = clock_mono_ns() + LIMIT_S * UINT64_C(1000000000);
	struct result *result = self->result;
	struct load *load;
	int error = open_load(self, first, n, &load);

	if (error)
		return error;
	load_count_into(load, &result->totals);
	error = load_login(load, 0, (uint32_t)n, PARALLEL, until_ns);
	if (!error)
		error = load_watch_all(load, 0, (uint32_t)n, FAMOUS_USER, until_ns);
	if (!error)
		error = member_report(self);
	if (!error)
		error = load_run(load, UINT64_MAX);
	if (error >= 0 && self->index == 1) {
		error = make_waves(self, load);
		if (!error)
			error = member_report(self);
	}
	if (error >= 0)
		error = load_run(load, UINT64_MAX);
	load_free(load);
	return error < 0 ? error : 0;
}

static int run(struct member *self, void *arg)
{
	(void)arg;
	return self->index ? watch(self) : live(self);
}

static void print(const struct fleet *fleet, unsigned n_members, uint64_t cpu_ns)
{
	const struct result *first = fleet_result(fleet, 1), *live_result = fleet_result(fleet, 0);
	double n = (double)(n_watchers * n_waves);
	uint64_t n_lost = 0;
	struct histogram told_ns;

	memset(&told_ns, 0, sizeof(told_ns));
	for (unsigned i = 0; i < n_members; i++) {
		const struct result *result = fleet_result(fleet, i);

		load_histogram_add(&told_ns, &result->told_ns);
		n_lost += result->before.n_lost + result->totals.n_lost;
	}
	figure_of("fan", "\"server\":\"%s\",\"n\":%" PRIu64 ",\"pace_ms\":%" PRIu64,
		options.server_name, n_watchers, pace_ms);
	figure_print("cpu_us_per_delivery", (double)cpu_ns / 1e3 / n, "us");
	if (!pace_ms)
		figure_print("lines_per_s", n * 1e9 / (double)first->took_ns, "1/s");
	figure_print("sessions_lost", (double)n_lost, "1");
	figure_print_quantiles("told", &told_ns, "us");
	figure_print_quantiles("wave", &first->wave_ns, "us");
	figure_print_quantiles("live_answer", &live_result->totals.beat_ns, "us");
}

static int measure(struct fleet *fleet, unsigned n_members)
{
	struct proc_cpu from, to;
	int error = fleet_wait(fleet, LIMIT_S * 1000);

	if (!error)
		error = proc_cpu(options.pid, &from);
	if (error)
		return error;
	/* Process 1 makes the waves; the others have nothing to be told until the end. */
	fleet_go_one(fleet, 0);
	fleet_go_one(fleet, 1);
	error = fleet_wait_for(fleet, 1, LIMIT_S * 1000);
	if (!error)
		error = proc_cpu(options.pid, &to);
	if (error)
		return error;
	fleet_go_one(fleet, 0);
	error = fleet_wait_for(fleet, 0, MARGIN_MS);
	if (!error)
		print(fleet, n_members, to.cpu_ns - from.cpu_ns);
	for (unsigned i = 1; i < n_members; i++) {
		fleet_go_one(fleet, i);
		fleet_go_one(fleet, i);
	}
	return error;
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {
		{.name = "n", .number = &n_watchers},
		{.name = "waves", .number = &n_waves},
		{.name = "pace-ms", .number = &pace_ms},
		{.name = "heartbeat-ms", .number = &heartbeat_ms},
		{.name = NULL},
	};
	struct fleet *fleet = NULL;
	unsigned n_members;
	int error, end_error;

	options_read(argc, argv, own, &options);
	if (n_waves > WAVES_MAX)
		n_waves = WAVES_MAX;
	board = fleet_shared(sizeof(*board));
	n_members = 1 + (unsigned)((n_watchers + SESSIONS_A_PROCESS - 1) / SESSIONS_A_PROCESS);
	error = board ? fleet_start(n_members, sizeof(struct result), run, NULL, &fleet) : -ENOMEM;
	if (!error)
		error = measure(fleet, n_members);
	end_error = fleet_end(fleet, error ? 0 : 30000);
	if (!error)
		error = end_error;
	if (error)
		fprintf(stderr, "bench_fan: %s\n", strerror(-error));
	return error ? 1 : 0;
}
