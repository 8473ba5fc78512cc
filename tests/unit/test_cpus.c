#include "app/cpus.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A tree of cgroup files of the test's own. */
static char root[64], self[80], v2[80], v1[80];
static struct cpus_paths paths = {.self = self, .v2_root = v2, .v1_root = v1};

/* Creates the folders above it, too. */
static void write_file(const char *path, const char *text)
{
	char folder[256];
	FILE *f;

	snprintf(folder, sizeof(folder), "%s", path);
	for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		mkdir(folder, 0700);
		*at = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void write_in(const char *folder, const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s", folder, file);
	write_file(path, text);
}

static int make_tree(void **state)
{
	(void)state;
	strcpy(root, "/tmp/presenced-test-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	snprintf(self, sizeof(self), "%s/self", root);
	snprintf(v2, sizeof(v2), "%s/v2", root);
	snprintf(v1, sizeof(v1), "%s/v1", root);
	return 0;
}

static int remove_tree(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r '%s'", root);
	return system(command);
}

static void a_quota_is_rounded_up(void **state)
{
	static const struct {
		const char *max;
		unsigned cpus;
	} cases[] = {
		{"max 100000\n", 0},
		{"100000 100000\n", 1},
		{"100001 100000\n", 2},
		{"1000 100000\n", 1},
		{"250000 100000\n", 3},
		{"6400000 100000\n", 64},
		{"50000 25000\n", 2},
		{"9223372036854775807 1\n", 2147483647},
		{"100000\n", 0},
		{"100000 0\n", 0},
		{"", 0},
		{"nonsense\n", 0},
	};

	(void)state;
	write_file(self, "0::/\n");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		write_in(v2, "/cpu.max", cases[i].max);
		assert_int_equal(cpus_in_quota(&paths), cases[i].cpus);
	}
}

static void the_tightest_group_above_counts(void **state)
{
	(void)state;
	write_file(self, "0::/system.slice/presenced.service\n");
	write_in(v2, "/system.slice/presenced.service/cpu.max", "400000 100000\n");
	assert_int_equal(cpus_in_quota(&paths), 4);
	write_in(v2, "/system.slice/cpu.max", "150000 100000\n");
	assert_int_equal(cpus_in_quota(&paths), 2);
	write_in(v2, "/system.slice/presenced.service/cpu.max", "max 100000\n");
	assert_int_equal(cpus_in_quota(&paths), 2);
	write_in(v2, "/system.slice/other.service/cpu.max", "1000 100000\n");
	assert_int_equal(cpus_in_quota(&paths), 2);
}

static void a_group_seen_from_inside_a_container_is_the_root(void **state)
{
	(void)state;
	write_file(self, "0::/kubepods/pod1/c2\n");
	write_in(v2, "/cpu.max", "300000 100000\n");
	assert_int_equal(cpus_in_quota(&paths), 3);
}

static void the_older_cgroups_say_it_in_two_files(void **state)
{
	(void)state;
	write_file(self, "9:memory:/a\n2:cpu,cpuacct:/a\n1:cpuset:/b\n0::/\n");
	write_in(v1, "/a/cpu.cfs_quota_us", "-1\n");
	write_in(v1, "/a/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpus_in_quota(&paths), 0);
	write_in(v1, "/a/cpu.cfs_quota_us", "120000\n");
	assert_int_equal(cpus_in_quota(&paths), 2);
	write_in(v1, "/b/cpu.cfs_quota_us", "1000\n"); /* cpuset's group, not cpu's */
	write_in(v1, "/b/cpu.cfs_period_us", "100000\n");
	assert_int_equal(cpus_in_quota(&paths), 2);
	write_file(self, "2:cpuacct,cpu:/a\n");
	assert_int_equal(cpus_in_quota(&paths), 2);
	write_file(self, "2:cpuacct:/a\n");
	assert_int_equal(cpus_in_quota(&paths), 0);
}

static void what_cannot_be_read_limits_nothing(void **state)
{
	char line[6000];

	(void)state;
	assert_int_equal(cpus_in_quota(&paths), 0); /* no file at all */
	assert_true(cpus_usable(&paths) >= 1);
	write_file(self, "no colons\n1:\n\n");
	assert_int_equal(cpus_in_quota(&paths), 0);
	/* A group whose path is longer than any: the root is what is left to ask. */
	memset(line, 'x', sizeof(line));
	memcpy(line, "0::/", 4);
	line[sizeof(line) - 1] = '\0';
	write_file(self, line);
	write_in(v2, "/cpu.max", "300000 100000\n");
	assert_int_equal(cpus_in_quota(&paths), 3);
}

static void the_lesser_of_affinity_and_quota_is_usable(void **state)
{
	cpu_set_t before, one;
	int cpu = 0;

	(void)state;
	write_file(self, "0::/\n");
	assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
	assert_int_equal(cpus_usable(&paths), CPU_COUNT(&before));
	write_in(v2, "/cpu.max", "1000 100000\n");
	assert_int_equal(cpus_usable(&paths), 1);
	write_in(v2, "/cpu.max", "100000000 100000\n");
	assert_int_equal(cpus_usable(&paths), CPU_COUNT(&before));

	while (!CPU_ISSET(cpu, &before))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	assert_int_equal(cpus_usable(&paths), 1);
	assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_tree, remove_tree)
	const struct CMUnitTest tests[] = {
		TEST(a_quota_is_rounded_up),
		TEST(the_tightest_group_above_counts),
		TEST(a_group_seen_from_inside_a_container_is_the_root),
		TEST(the_older_cgroups_say_it_in_two_files),
		TEST(what_cannot_be_read_limits_nothing),
		TEST(the_lesser_of_affinity_and_quota_is_usable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
