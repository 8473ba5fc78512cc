/* What a heartbeat costs: the server's CPU time, and the clients' wait for the answer.
 *
 *   --mode ping    each session sends --row beats (1) in one write, and the next when all are answered
 *   --mode paced   each session beats every --every-ms, spread evenly: mostly one a wake-up
 *   --mode dense   rounds: the server is stopped, each session sends one beat, the server goes on and
 *                  finds all of them ready at once
 *
 * With --stop-ms the server is stopped for so long first, once everything is under way: what comes of
 * the sessions is what matters then.
 *
 * With --dialect presence-part beats are bytes that count as life and are not answered: the cost of reading
 * and stamping alone. */
#include "base/clock.h"
#include "figure.h"
#include "fleet.h"
#include "load.h"
#include "options.h"
#include "proc.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { SESSIONS_A_PROCESS = 19000, PARALLEL = 64, LIMIT_S = 120, MARGIN_MS = 10000, WARM_MS = 300 };

static struct options options;
static const char *mode = "ping";
static uint64_t n_sessions = 100, n_in_row = 1, every_ms = 10000, for_ms = 3000, heartbeat_ms,
		stop_ms;

/* A member's counts: while warming up, and while measured. */
struct result {
	struct load_totals warm, measured;
};

static bool mode_is(const char *name)
{
	return strcmp(mode, name) == 0;
}

static uint64_t first_of(const struct member *self, unsigned index)
{
	return n_sessions * index / self->n;
}

/* The pause after a round is enough for the server to get through it, at 10 us a beat and more. */
static int run_dense(struct load *load, uint32_t n)
{
	uint64_t pause_ns = 5000000 + n * UINT64_C(20000);
	int status = 0;

	while (!status) {
		if (kill(options.pid, SIGSTOP) < 0)
			return -errno;
		load_beat_now(load, 0, n);
		kill(options.pid, SIGCONT);
		status = load_run(load, clock_mono_ns() + pause_ns);
	}
	return status;
}

static void start_beating(struct load *load, uint32_t n)
{
	if (mode_is("paced"))
		load_beat_every(load, 0, n, every_ms * 1000000);
	else if (mode_is("ping"))
		load_beat_in_rows(load, 0, n, (unsigned)n_in_row);
}

/* Until the parent says so. */
static int go_on(struct load *load, uint32_t n)
{
	return mode_is("dense") ? run_dense(load, n) : load_run(load, UINT64_MAX);
}

static int flood(struct member *self, void *arg)
{
	struct result *result = self->result;
	struct load_params params = {
		.server = options.server,
		.is_tls = options.is_tls,
		.dialect = options.dialect,
		.n_sessions =
			(uint32_t)(first_of(self, self->index + 1) - first_of(self, self->index)),
		.first_user = first_of(self, self->index),
		.heartbeat_ms = heartbeat_ms,
		.wake_fd = self->go_fd,
	};
	struct load *load;
	int error = load_new(&params, &load);

	(void)arg;
	if (error)
		return error;
	load_count_into(load, &result->warm);
	error = load_login(load, 0, params.n_sessions, PARALLEL,
		clock_mono_ns() + LIMIT_S * UINT64_C(1000000000));
	if (!error)
		start_beating(load, params.n_sessions);
	if (!error)
		error = member_report(self);
	if (!error)
		error = go_on(load, params.n_sessions); /* warming up */
	load_count_into(load, &result->measured);
	if (error >= 0)
		error = member_report(self);
	if (error >= 0)
		error = go_on(load, params.n_sessions);
	if (error >= 0)
		error = member_report(self);
	load_free(load);
	return error < 0 ? error : 0;
}

static void sleep_ms(uint64_t ms)
{
	struct timespec time = {
		.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

struct sample {
	struct proc_cpu cpu;
	uint64_t at_ns, n_beats;
};

static int take_sample(const struct fleet *fleet, unsigned n_members, struct sample *ret)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < n_members; i++) {
		const struct result *result = fleet_result(fleet, i);

		n += options.dialect->is_mute ? result->measured.n_beats_sent
					      : result->measured.n_beats_answered;
	}
	ret->n_beats = n;
	ret->at_ns = clock_mono_ns();
	return proc_cpu(options.pid, &ret->cpu);
}

static void print(const struct fleet *fleet, unsigned n_members, const struct sample *from,
	const struct sample *to)
{
	double n = (double)(to->n_beats - from->n_beats);
	uint64_t n_lost = 0;
	struct histogram beats;

	memset(&beats, 0, sizeof(beats));
	for (unsigned i = 0; i < n_members; i++) {
		const struct result *result = fleet_result(fleet, i);

		load_histogram_add(&beats, &result->measured.beat_ns);
		n_lost += result->warm.n_lost + result->measured.n_lost;
	}
	figure_of("flood",
		"\"server\":\"%s\",\"dialect\":\"%s\",\"mode\":\"%s\",\"n\":%" PRIu64
		",\"row\":%" PRIu64 ",\"every_ms\":%" PRIu64 ",\"stop_ms\":%" PRIu64,
		options.server_name, options.dialect->name, mode, n_sessions, n_in_row,
		mode_is("paced") ? every_ms : 0, stop_ms);
	figure_print("cpu_us_per_heartbeat", (double)(to->cpu.cpu_ns - from->cpu.cpu_ns) / 1e3 / n,
		"us");
	figure_print("switches_per_heartbeat",
		(double)(to->cpu.n_switches - from->cpu.n_switches) / n, "1");
	figure_print("heartbeats_per_s", n * 1e9 / (double)(to->at_ns - from->at_ns), "1/s");
	figure_print("sessions_lost", (double)n_lost, "1");
	if (!options.dialect->is_mute)
		figure_print_quantiles("answer", &beats, "us");
}

static int measure(struct fleet *fleet, unsigned n_members)
{
	struct sample from, to;
	int error = fleet_wait(fleet, LIMIT_S * 1000);

	if (error)
		return error;
	sleep_ms(WARM_MS);
	fleet_go(fleet);
	error = fleet_wait(fleet, MARGIN_MS);
	if (!error)
		error = take_sample(fleet, n_members, &from);
	if (error)
		return error;
	if (stop_ms && kill(options.pid, SIGSTOP) == 0) {
		sleep_ms(stop_ms);
		kill(options.pid, SIGCONT);
	}
	sleep_ms(for_ms);
	error = take_sample(fleet, n_members, &to);
	fleet_go(fleet);
	if (!error)
		error = fleet_wait(fleet, MARGIN_MS);
	if (!error && to.n_beats == from.n_beats)
		error = -ENODATA;
	if (!error)
		print(fleet, n_members, &from, &to);
	return error;
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {
		{.name = "mode", .word = &mode},
		{.name = "n", .number = &n_sessions},
		{.name = "row", .number = &n_in_row},
		{.name = "every-ms", .number = &every_ms},
		{.name = "for-ms", .number = &for_ms},
		{.name = "heartbeat-ms", .number = &heartbeat_ms},
		{.name = "stop-ms", .number = &stop_ms},
		{.name = NULL},
	};
	struct fleet *fleet = NULL;
	unsigned n_members;
	int error, end_error;

	options_read(argc, argv, own, &options);
	n_members = (unsigned)((n_sessions + SESSIONS_A_PROCESS - 1) / SESSIONS_A_PROCESS);
	error = fleet_start(n_members, sizeof(struct result), flood, NULL, &fleet);
	if (!error)
		error = measure(fleet, n_members);
	end_error = fleet_end(fleet, error ? 0 : 30000);
	if (!error)
		error = end_error;
	if (error)
		fprintf(stderr, "bench_flood: %s\n", strerror(-error));
	return error ? 1 : 0;
}
