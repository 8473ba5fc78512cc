#include "net/descriptors.h"

#include "base/compiler.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t descriptors_raise_limit(void)
{
	struct rlimit limit, raised;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	raised = (struct rlimit){.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
	if (setrlimit(RLIMIT_NOFILE, &raised) < 0)
		return limit.rlim_cur;
	return raised.rlim_cur;
}

int descriptors_unshare(unsigned first)
{
	/* ThreadSanitizer takes a number for the same descriptor in every thread: with tables of their own it would see
	 * races where there are none. So its builds try the shared table. */
	if (SANITIZE_THREAD)
		return -ENOSYS;
	return close_range(first, ~0U, CLOSE_RANGE_UNSHARE) < 0 ? -errno : 0;
}

int wakeup_open(int *ret_fd)
{
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

void wakeup_signal(int fd)
{
	uint64_t one = 1;

	/* EAGAIN: the counter is full, and so the owner is woken already. EINTR can't happen: an
	 * eventfd that doesn't block has nothing to wait in. */
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

void wakeup_drain(int fd)
{
	uint64_t count;

	/* One read takes all; EAGAIN: there was nothing. */
	if (read(fd, &count, sizeof(count)) < 0)
		return;
}

int reserve_open(struct reserve *r)
{
	/* An eventfd, for it needs neither a path nor memory worth the name. */
	int fd = eventfd(0, EFD_CLOEXEC);

	r->fd = fd < 0 ? -1 : fd;
	return fd < 0 ? -errno : 0;
}

void reserve_close(struct reserve *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
}

bool reserve_spend(struct reserve *r)
{
	if (r->fd < 0)
		return false;
	reserve_close(r);
	return true;
}
