/* Several processes that make one load together, started and steered by the program they come from.
 *
 * Owns     the processes, from fleet_start() to fleet_end(); they die with the parent.
 * Threads  the parent's only thread calls fleet_*; each process its own member_*.
 * Memory   one shared, zeroed mapping a fleet: 'result_bytes' for each member, written by it, read by the
 *          parent at any time (so atomics, or after a report).
 * Errors   0 or negative errno. A member that fails says why on stderr and exits; the parent sees -ECHILD.
 *
 * They go in step: a member reports when it has come to the end of a step, the parent waits for all
 * reports, and lets them go on. A report and a go are both messages of the kernel's, so that whatever was
 * written before is seen after. */
#ifndef BENCH_FLEET_H
#define BENCH_FLEET_H

#include <stddef.h>
#include <stdint.h>

struct fleet;

/* What a member knows of itself. */
struct member {
	unsigned index; /* 0..n-1 */
	unsigned n;
	int go_fd; /* an eventfd: for load_params.wake_fd, or member_wait() */
	int report_fd;
	void *result;
};

/* 'run' is a member's whole life: 0 or negative errno. */
int fleet_start(unsigned n, size_t result_bytes, int (*run)(struct member *, void *arg), void *arg,
	struct fleet **ret);

/* Until each member has reported once more. -ETIMEDOUT; -ECHILD where one has failed. */
int fleet_wait(struct fleet *, uint64_t timeout_ms);
int fleet_wait_for(struct fleet *, unsigned index, uint64_t timeout_ms); /* until this one has */
void fleet_go(struct fleet *); /* all of them */
void fleet_go_one(struct fleet *, unsigned index);
void *fleet_result(const struct fleet *, unsigned index);

/* Waits 'timeout_ms' for the members to exit by themselves, then kills what is left. -ECHILD where any
 * had to be, or failed. NULL is fine. */
int fleet_end(struct fleet *, uint64_t timeout_ms);

int member_report(const struct member *);
int member_wait(const struct member *); /* for the parent's go */

/* In the field the clients' processors are others than the server's. Here they share its own, in short slices (see
 * base/slice.h): each member runs for half a millisecond, and then whoever is ready has its turn.
 *
 * Who measures the time of answers asks often and briefly: it has the shortest slices, so that an answer does not wait for
 * its reader. Who is many yields: 'nice' from now on. Who may wait for ever takes what all others leave (SCHED_IDLE). */
void member_be_brief(void);
int member_yield(int nice);
int member_be_idle(void);

/* Zeroed memory that processes forked later share; ended with the process. NULL when refused. */
void *fleet_shared(size_t bytes);

#endif
