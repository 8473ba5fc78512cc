#include "proc.h"

#include "base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool line_number(const char *line, const char *name, uint64_t *ret)
{
	size_t len = strlen(name);

	if (strncmp(line, name, len) != 0)
		return false;
	*ret = strtoull(line + len, NULL, 10);
	return true;
}

int proc_memory(pid_t pid, struct proc_memory *ret)
{
	uint64_t clean_kb = 0, dirty_kb = 0, rss_kb = 0, anonymous_kb = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		(void)(line_number(line, "Rss:", &rss_kb) ||
			line_number(line, "Private_Clean:", &clean_kb) ||
			line_number(line, "Private_Dirty:", &dirty_kb) ||
			line_number(line, "Anonymous:", &anonymous_kb));
	}
	fclose(file);
	ret->rss_bytes = rss_kb * 1024;
	ret->private_bytes = (clean_kb + dirty_kb) * 1024;
	ret->anonymous_bytes = anonymous_kb * 1024;
	return 0;
}

static bool task_cpu(const char *task, uint64_t *ret_ns)
{
	char path[320];
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "%s/schedstat", task);
	file = fopen(path, "re");
	if (!file)
		return false;
	ok = fscanf(file, "%" SCNu64, ret_ns) == 1;
	fclose(file);
	return ok;
}

static uint64_t task_switches(const char *task)
{
	uint64_t waits = 0, taken = 0;
	char path[320], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/status", task);
	file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		(void)(line_number(line, "voluntary_ctxt_switches:", &waits) ||
			line_number(line, "nonvoluntary_ctxt_switches:", &taken));
	fclose(file);
	return waits + taken;
}

/* Ticks of 10 ms: for kernels that keep no schedstat. */
static int process_cpu_ticks(pid_t pid, uint64_t *ret_ns)
{
	uint64_t user, system;
	char path[64], line[1024];
	const char *after;
	FILE *file;
	bool ok;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	ok = fgets(line, sizeof(line), file) != NULL;
	fclose(file);
	after = ok ? strrchr(line, ')') : NULL; /* the name before it may hold anything */
	if (!after ||
		sscanf(after, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
			&user, &system) != 2)
		return -EPROTO;
	*ret_ns = (user + system) * (1000000000 / (uint64_t)sysconf(_SC_CLK_TCK));
	return 0;
}

int proc_cpu(pid_t pid, struct proc_cpu *ret)
{
	struct proc_cpu sum = {0};
	char path[300];
	uint64_t ns;
	struct dirent *entry;
	DIR *dir;
	int error = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s", (int)pid, entry->d_name);
		if (task_cpu(path, &ns))
			sum.cpu_ns += ns;
		sum.n_switches += task_switches(path);
	}
	closedir(dir);
	if (!sum.cpu_ns)
		error = process_cpu_ticks(pid, &sum.cpu_ns);
	if (!error)
		*ret = sum;
	return error;
}

/* The sum over all caches of the objects in use, each with its share of the slab's slack. */
static uint64_t slab_live_bytes(void)
{
	uint64_t total = 0, live, per_slab, pages;
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[512];

	if (!file)
		return PROC_UNKNOWN;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%*s %" SCNu64 " %*u %*u %" SCNu64 " %" SCNu64, &live, &per_slab,
			    &pages) == 3 &&
			per_slab)
			total += live * (pages * page_bytes / per_slab);
	fclose(file);
	return total ? total : PROC_UNKNOWN;
}

static uint64_t slab_bytes(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	uint64_t kb = PROC_UNKNOWN;
	char line[256];

	if (!file)
		return PROC_UNKNOWN;
	while (kb == PROC_UNKNOWN && fgets(line, sizeof(line), file))
		(void)line_number(line, "Slab:", &kb);
	fclose(file);
	return kb == PROC_UNKNOWN ? kb : kb * 1024;
}

int proc_kernel(struct proc_kernel *ret)
{
	FILE *file = fopen("/proc/net/sockstat", "re");
	uint64_t n_tcp = 0, pages = 0;
	char line[256];

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "TCP: inuse %" SCNu64 " orphan %*u tw %*u alloc %*u mem %" SCNu64,
			    &n_tcp, &pages) == 2)
			break;
	fclose(file);
	ret->n_tcp = n_tcp;
	ret->tcp_bytes = pages * (uint64_t)sysconf(_SC_PAGESIZE);
	ret->slab_bytes = slab_live_bytes();
	if (ret->slab_bytes == PROC_UNKNOWN)
		ret->slab_bytes = slab_bytes();
	return 0;
}

int proc_settle(pid_t pid, uint64_t quiet_ms, uint64_t timeout_ms)
{
	/* There is no event for "nothing happens": looked at in steps. */
	struct timespec step = {
		.tv_sec = (time_t)(quiet_ms / 1000), .tv_nsec = (long)(quiet_ms % 1000) * 1000000};
	uint64_t until_ms = clock_mono_ms() + timeout_ms;
	struct proc_cpu before, after;
	int error = proc_cpu(pid, &before);

	while (!error) {
		nanosleep(&step, NULL);
		error = proc_cpu(pid, &after);
		if (!error && (after.cpu_ns - before.cpu_ns) * 100 < quiet_ms * 1000000)
			return 0;
		if (!error && clock_mono_ms() >= until_ms)
			error = -ETIMEDOUT;
		before = after;
	}
	return error;
}
