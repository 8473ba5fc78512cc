/* Logins as fast as they come: so many a second, what each costs the server, and what clients that are
 * already there notice of it.
 *
 * With --again 1 all have been logged in before, and their connections are aborted as the measurement
 * begins: the figures are called "reconnect", over TLS "reconnect-tls". With --after-ms everyone stays and beats for so long
 * afterwards: who is then lost was falsely expired. */
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
	PROCESSES_MIN = 2, /* one client's processor is not enough for a server that has one */
	LIMIT_S = 180,
	MARGIN_MS = 10000,
	LIVE = 100, /* clients that are there already, each beating every LIVE_EVERY_MS */
	LIVE_EVERY_MS = 50,
	LIVE_FIRST_USER = 90000000,
};

static struct options options;
static uint64_t n_sessions = 10000, n_parallel = 64, heartbeat_ms, again, after_ms;
static _Atomic uint32_t *taken; /* sessions that any process has begun to log in */

struct result {
	struct load_totals before, totals;
};

/* Those who come anew are shared by the processes, where one could hold them all. */
static bool is_shared(void)
{
	return !again && n_sessions <= SESSIONS_A_PROCESS;
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
		.taken = self->index && is_shared() ? taken : NULL,
		.wake_fd = self->go_fd,
	};

	return load_new(&params, ret);
}

static uint64_t limit_ns(void)
{
	return clock_mono_ns() + LIMIT_S * UINT64_C(1000000000);
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
	error = load_login(load, 0, LIVE, LIVE, limit_ns());
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

static int log_in(struct member *self)
{
	uint64_t first = is_shared() ? 0 : n_sessions * (self->index - 1) / (self->n - 1);
	uint64_t n = is_shared() ? n_sessions : n_sessions * self->index / (self->n - 1) - first;
	uint32_t parallel = (uint32_t)(n_parallel / (self->n - 1)) + 1;
	struct result *result = self->result;
	struct load *load;
	int error = open_load(self, first, n, &load);

	if (error)
		return error;
	/* Who comes anew shares the server's processor, and takes what it leaves: so it never waits for clients. A crowd that
	 * comes back has to say hello in time. */
	if (!again)
		error = member_be_idle();
	load_count_into(load, &result->before);
	if (heartbeat_ms)
		load_beat_every(load, 0, (uint32_t)n, heartbeat_ms * 1000000);
	if (again && !error)
		error = load_login(load, 0, (uint32_t)n, parallel, limit_ns());
	if (!error)
		error = member_report(self);
	if (!error)
		error = load_run(load, UINT64_MAX);
	load_count_into(load, &result->totals);
	load_drop(load, 0, (uint32_t)n);
	if (error >= 0)
		error = load_login(load, 0, (uint32_t)n, parallel, limit_ns());
	if (!error)
		error = member_report(self);
	if (!error)
		error = load_run(load, UINT64_MAX); /* there while others still log in */
	load_free(load);
	return error < 0 ? error : 0;
}

static int run(struct member *self, void *arg)
{
	(void)arg;
	return self->index ? log_in(self) : live(self);
}

static void print(const struct fleet *fleet, unsigned n_members, uint64_t took_ns, uint64_t cpu_ns)
{
	const struct result *live_result = fleet_result(fleet, 0);
	uint64_t n_lost = live_result->before.n_lost + live_result->totals.n_lost, n_retries = 0;
	double n = (double)n_sessions;

	for (unsigned i = 1; i < n_members; i++) {
		const struct result *result = fleet_result(fleet, i);

		n_lost += result->before.n_lost + result->totals.n_lost;
		n_retries += result->totals.n_retries;
	}
	figure_of(!again           ? "login"
		  : options.is_tls ? "reconnect-tls"
				   : "reconnect",
		"\"server\":\"%s\",\"n\":%" PRIu64 ",\"parallel\":%" PRIu64, options.server_name,
		n_sessions, n_parallel);
	figure_print("logins_per_s", n * 1e9 / (double)took_ns, "1/s");
	figure_print("cpu_us_per_login", (double)cpu_ns / 1e3 / n, "us");
	figure_print("sessions_lost", (double)n_lost, "1");
	figure_print("logins_retried", (double)n_retries, "1");
	figure_print_quantiles("live_answer", &live_result->totals.beat_ns, "us");
}

static void sleep_ms(uint64_t ms)
{
	struct timespec time = {
		.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};

	nanosleep(&time, NULL);
}

static int measure(struct fleet *fleet, unsigned n_members)
{
	struct proc_cpu from, to;
	uint64_t start_ns, end_ns;
	int error = fleet_wait(fleet, LIMIT_S * 1000);

	if (!error)
		error = proc_cpu(options.pid, &from);
	if (error)
		return error;
	start_ns = clock_mono_ns();
	fleet_go(fleet);
	for (unsigned i = 1; i < n_members && !error; i++)
		error = fleet_wait_for(fleet, i, LIMIT_S * 1000);
	end_ns = clock_mono_ns();
	if (!error)
		error = proc_cpu(options.pid, &to);
	if (error)
		return error;
	fleet_go_one(fleet, 0);
	error = fleet_wait_for(fleet, 0, MARGIN_MS);
	sleep_ms(after_ms);
	if (!error)
		print(fleet, n_members, end_ns - start_ns, to.cpu_ns - from.cpu_ns);
	fleet_go(fleet);
	return error;
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {
		{.name = "n", .number = &n_sessions},
		{.name = "parallel", .number = &n_parallel},
		{.name = "heartbeat-ms", .number = &heartbeat_ms},
		{.name = "again", .number = &again},
		{.name = "after-ms", .number = &after_ms},
		{.name = NULL},
	};
	struct fleet *fleet = NULL;
	unsigned n_members;
	int error, end_error;

	options_read(argc, argv, own, &options);
	n_members = 1 + (unsigned)((n_sessions + SESSIONS_A_PROCESS - 1) / SESSIONS_A_PROCESS);
	if (n_members < 1 + PROCESSES_MIN)
		n_members = 1 + PROCESSES_MIN;
	taken = fleet_shared(sizeof(*taken));
	error = taken ? fleet_start(n_members, sizeof(struct result), run, NULL, &fleet) : -ENOMEM;
	if (!error)
		error = measure(fleet, n_members);
	end_error = fleet_end(fleet, error ? 0 : 60000);
	if (!error)
		error = end_error;
	if (error)
		fprintf(stderr, "bench_login: %s\n", strerror(-error));
	return error ? 1 : 0;
}
