#include "base/slice.h"

#include <errno.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As linux/sched/types.h has it, which does not go with sched.h. */
struct attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

int slice_change(uint64_t ns, enum slice_manner manner)
{
	struct attributes wanted = {
		.size = sizeof(wanted),
		.policy = manner == SLICE_PATIENT ? SCHED_BATCH : SCHED_OTHER,
		.runtime_ns = ns,
	};
	errno = 0;
	wanted.nice = getpriority(PRIO_PROCESS, 0);
	if (errno != 0)
		return -errno;
	return syscall(SYS_sched_setattr, 0, &wanted, 0) == 0 ? 0 : -errno;
}

int slice_set(uint64_t ns, enum slice_manner manner)
{
	return sched_getscheduler(0) == SCHED_OTHER ? slice_change(ns, manner) : -EINVAL;
}
