/* What the kernel says of the server's process and of itself.
 *
 * Threads  any: nothing is kept. Errors: 0 or negative errno; what a machine does not tell is
 * PROC_UNKNOWN, which is not an error. */
#ifndef BENCH_PROC_H
#define BENCH_PROC_H

#include <stdint.h>
#include <sys/types.h>

#define PROC_UNKNOWN UINT64_MAX

struct proc_memory {
	uint64_t rss_bytes;
	uint64_t private_bytes; /* not shared with another process: what the process costs */
	uint64_t anonymous_bytes;
};

struct proc_cpu {
	uint64_t cpu_ns; /* of all threads, user and system */
	uint64_t n_switches; /* of all threads: to wait, and taken off the processor */
};

struct proc_kernel {
	uint64_t
		slab_bytes; /* live objects of all slabs where slabinfo can be read, else all of Slab */
	uint64_t tcp_bytes; /* buffers of all TCP sockets */
	uint64_t n_tcp; /* TCP sockets in use */
};

int proc_memory(pid_t, struct proc_memory *ret);
int proc_cpu(pid_t, struct proc_cpu *ret);
int proc_kernel(struct proc_kernel *ret);

/* Wait until the process has used less than 1 % of a processor for 'quiet_ms': -ETIMEDOUT. */
int proc_settle(pid_t, uint64_t quiet_ms, uint64_t timeout_ms);

#endif
