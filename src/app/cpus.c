#include "app/cpus.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct cpus_paths cpus_system_paths = {
	.self = "/proc/self/cgroup",
	.v2_root = "/sys/fs/cgroup",
	.v1_root = "/sys/fs/cgroup/cpu",
};

enum { SELF_MAX = 16 * 1024 };

/* The file's content as a string, as much as there is room for; false where it can't be read. */
static bool read_text(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	do {
		n = read(fd, to + len, size - 1 - len);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	close(fd);
	to[len] = '\0';
	return n == 0;
}

/* A quota in CPUs, rounded up; 0 for none ("max" in cgroup 2, -1 in cgroup 1). */
static unsigned quota_cpus(long long quota_us, long long period_us)
{
	if (quota_us <= 0 || period_us <= 0)
		return 0;
	long long cpus = quota_us / period_us + (quota_us % period_us != 0);
	return cpus > INT_MAX ? INT_MAX : (unsigned)cpus;
}

static unsigned read_v2(const char *folder)
{
	char path[PATH_MAX], text[128];
	long long quota_us, period_us;

	if (snprintf(path, sizeof(path), "%s/cpu.max", folder) >= (int)sizeof(path))
		return 0;
	if (!read_text(path, text, sizeof(text)) ||
		sscanf(text, "%lld %lld", &quota_us, &period_us) != 2)
		return 0;
	return quota_cpus(quota_us, period_us);
}

static bool read_number(const char *folder, const char *file, long long *ret)
{
	char path[PATH_MAX], text[128];

	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path))
		return false;
	return read_text(path, text, sizeof(text)) && sscanf(text, "%lld", ret) == 1;
}

static unsigned read_v1(const char *folder)
{
	long long quota_us, period_us;

	if (!read_number(folder, "cpu.cfs_quota_us", &quota_us) ||
		!read_number(folder, "cpu.cfs_period_us", &period_us))
		return 0;
	return quota_cpus(quota_us, period_us);
}

/* 0 is none. */
static unsigned tighter(unsigned a, unsigned b)
{
	if (a == 0 || b == 0)
		return a + b;
	return a < b ? a : b;
}

/* From the group up to the root of the mount. A group that isn't there is one seen from inside a
 * container, whose own lies at that root. */
static unsigned walk_up(const char *root, const char *group, unsigned (*read_folder)(const char *))
{
	char folder[PATH_MAX];
	size_t root_len = strlen(root);
	unsigned cpus = 0;

	if (snprintf(folder, sizeof(folder), "%s%s", root, group) >= (int)sizeof(folder))
		return read_folder(root);
	for (;;) {
		char *slash;

		cpus = tighter(cpus, read_folder(folder));
		slash = strrchr(folder + root_len, '/');
		if (!slash)
			return cpus;
		*slash = '\0';
	}
}

/* Whether 'name' is one of the words of a list like "cpu,cpuacct". */
static bool list_has(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, len) == 0 && (at[len] == ',' || at[len] == '\0'))
			return true;
	}
	return false;
}

unsigned cpus_in_quota(const struct cpus_paths *paths)
{
	char text[SELF_MAX], *save = NULL;
	unsigned cpus = 0;

	if (!read_text(paths->self, text, sizeof(text)))
		return 0;
	/* Lines of "id:controllers:/group"; that of cgroup 2 is "0::/group". */
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *controllers = strchr(line, ':');
		char *group = controllers ? strchr(controllers + 1, ':') : NULL;

		if (!group)
			continue;
		*controllers++ = '\0';
		*group++ = '\0';
		if (controllers[0] == '\0')
			cpus = tighter(cpus, walk_up(paths->v2_root, group, read_v2));
		else if (list_has(controllers, "cpu"))
			cpus = tighter(cpus, walk_up(paths->v1_root, group, read_v1));
	}
	return cpus;
}

static unsigned count_affinity(void)
{
	cpu_set_t set;
	long online;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned)CPU_COUNT(&set);
	/* More than 1,024 CPUs don't fit: many enough, whatever the affinity. */
	online = sysconf(_SC_NPROCESSORS_ONLN);
	return online > 0 ? (unsigned)online : 1;
}

unsigned cpus_usable(const struct cpus_paths *paths)
{
	unsigned cpus = tighter(count_affinity(), cpus_in_quota(paths));

	return cpus > 0 ? cpus : 1;
}
