/* What an idle session costs: the server's memory and the kernel's, N sessions against none.
 *
 * The kernel's figure holds both ends of the connection, for both are on this machine; the clients' end
 * costs the same whatever the server, so that the floor's figure (bench_floor) taken from it is what the server
 * adds. */
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
	LOGIN_LIMIT_S = 120,
	QUIET_MS = 300,
	SETTLE_MS = 5000
};

static struct options options;
static uint64_t n_sessions = 10000;
static uint64_t heartbeat_ms = 300000; /* so that nobody has to beat meanwhile */

static uint32_t share(const struct member *self)
{
	return (uint32_t)(n_sessions * (self->index + 1) / self->n -
			  n_sessions * self->index / self->n);
}

static int hold(struct member *self, void *arg)
{
	uint64_t until_ns = clock_mono_ns() + LOGIN_LIMIT_S * UINT64_C(1000000000);
	struct load_params params = {
		.server = options.server,
		.is_tls = options.is_tls,
		.dialect = options.dialect,
		.n_sessions = share(self),
		.first_user = n_sessions * self->index / self->n,
		.heartbeat_ms = heartbeat_ms,
		.wake_fd = self->go_fd,
	};
	struct load *load;
	int error = load_new(&params, &load);

	(void)arg;
	if (error)
		return error;
	load_count_into(load, self->result);
	/* A first one alone: what the server allocates once is no session's. */
	error = self->index ? 0 : load_login(load, 0, 1, 1, until_ns);
	if (!error)
		error = member_report(self);
	if (!error)
		error = member_wait(self);
	if (!error)
		error = load_login(load, self->index ? 0 : 1,
			params.n_sessions - (self->index ? 0 : 1), PARALLEL, until_ns);
	if (!error)
		error = member_report(self);
	if (!error)
		error = load_run(load, UINT64_MAX);
	load_free(load);
	return error < 0 ? error : 0;
}

static int look(struct proc_memory *memory, struct proc_kernel *kernel)
{
	int error = proc_settle(options.pid, QUIET_MS, SETTLE_MS);

	/* There are servers that are never quiet: by then they are as settled as they will be. */
	if (error == -ETIMEDOUT)
		error = 0;
	if (!error)
		error = proc_memory(options.pid, memory);
	return error ? error : proc_kernel(kernel);
}

static void print(const struct proc_memory memory[2], const struct proc_kernel kernel[2])
{
	double n = (double)(n_sessions - 1);

	figure_of("hold", "\"server\":\"%s\",\"n\":%" PRIu64, options.server_name, n_sessions);
	figure_print("rss_bytes_per_session",
		(double)(int64_t)(memory[1].rss_bytes - memory[0].rss_bytes) / n, "B");
	figure_print("private_bytes_per_session",
		(double)(int64_t)(memory[1].private_bytes - memory[0].private_bytes) / n, "B");
	figure_print("rss_bytes", (double)memory[1].rss_bytes, "B");
	if (kernel[0].slab_bytes != PROC_UNKNOWN && kernel[1].slab_bytes != PROC_UNKNOWN)
		figure_print("kernel_bytes_per_session",
			(double)(int64_t)(kernel[1].slab_bytes + kernel[1].tcp_bytes -
					  kernel[0].slab_bytes - kernel[0].tcp_bytes) /
				n,
			"B");
}

static int measure(struct fleet *fleet)
{
	struct proc_memory memory[2];
	struct proc_kernel kernel[2];
	int error = fleet_wait(fleet, LOGIN_LIMIT_S * 1000);

	if (!error)
		error = look(&memory[0], &kernel[0]);
	if (error)
		return error;
	fleet_go(fleet);
	error = fleet_wait(fleet, LOGIN_LIMIT_S * 1000);
	if (!error)
		error = look(&memory[1], &kernel[1]);
	if (!error)
		print(memory, kernel);
	fleet_go(fleet);
	return error;
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {
		{.name = "n", .number = &n_sessions},
		{.name = "heartbeat-ms", .number = &heartbeat_ms},
		{.name = NULL},
	};
	struct fleet *fleet = NULL;
	int error, end_error;

	options_read(argc, argv, own, &options);
	if (n_sessions < 2)
		n_sessions = 2;
	error = fleet_start((unsigned)((n_sessions + SESSIONS_A_PROCESS - 1) / SESSIONS_A_PROCESS),
		sizeof(struct load_totals), hold, NULL, &fleet);
	if (!error)
		error = measure(fleet);
	end_error = fleet_end(fleet, error ? 0 : 60000);
	if (!error)
		error = end_error;
	if (error)
		fprintf(stderr, "bench_hold: %s\n", strerror(-error));
	return error ? 1 : 0;
}
