/* How many CPUs this process may use: its affinity, and its cgroup's quota.
 *
 * Threads  any. Memory  on the stack. Errors  what can't be read limits nothing. */
#ifndef APP_CPUS_H
#define APP_CPUS_H

struct cpus_paths {
	const char *self; /* /proc/self/cgroup */
	const char *v2_root; /* where cgroup 2 is mounted */
	const char *v1_root; /* where the cpu controller of cgroup 1 is */
};

extern const struct cpus_paths cpus_system_paths;

/* The lesser of both, at least 1. */
unsigned cpus_usable(const struct cpus_paths *);

/* The tightest quota on the process's cgroup and those above it, in CPUs rounded up; 0 for none. */
unsigned cpus_in_quota(const struct cpus_paths *);

#endif
