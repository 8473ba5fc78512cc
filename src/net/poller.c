#include "net/poller.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

/* atomic: any poller -> all. Whether the kernel (before 5.11) or a filter refused epoll_pwait2.
 * Relaxed: who reads an old value asks once more. */
static atomic_bool pwait2_is_refused;

int poller_open(struct poller *ret)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return -errno;
	ret->fd = fd;
	return 0;
}

void poller_close(struct poller *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

static int add(struct poller *p, int fd, uint64_t token, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = token};

	return epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int poller_add_connection(struct poller *p, int fd, uint64_t token)
{
	return add(p, fd, token, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET);
}

int poller_add_shared(struct poller *p, int fd, uint64_t token, bool exclusive)
{
	return add(p, fd, token, exclusive ? EPOLLIN | EPOLLEXCLUSIVE : EPOLLIN);
}

int poller_remove(struct poller *p, int fd)
{
	return epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, NULL) < 0 ? -errno : 0;
}

static int wait_in_ms(struct poller *p, struct epoll_event *events, uint64_t timeout_us)
{
	int timeout_ms = -1;

	/* Rounded up: waking a little late is a little late, waking early is a loop that spins. */
	if (timeout_us < (uint64_t)INT_MAX * 1000)
		timeout_ms = (int)((timeout_us + 999) / 1000);
	else if (timeout_us != UINT64_MAX)
		timeout_ms = INT_MAX;
	return epoll_wait(p->fd, events, POLLER_BATCH, timeout_ms);
}

static int wait_for_events(struct poller *p, struct epoll_event *events, uint64_t timeout_us)
{
	struct timespec timeout = {
		.tv_sec = (time_t)(timeout_us / 1000000),
		.tv_nsec = (long)(timeout_us % 1000000) * 1000,
	};
	int n;

	if (atomic_load_explicit(&pwait2_is_refused, memory_order_relaxed))
		return wait_in_ms(p, events, timeout_us);
	n = epoll_pwait2(
		p->fd, events, POLLER_BATCH, timeout_us == UINT64_MAX ? NULL : &timeout, NULL);
	/* EPERM is what the system call filters of some containers say to a call that they don't
	 * know. */
	if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
		atomic_store_explicit(&pwait2_is_refused, true, memory_order_relaxed);
		return wait_in_ms(p, events, timeout_us);
	}
	return n;
}

int poller_wait(struct poller *p, struct poller_event events[POLLER_BATCH], uint64_t timeout_us)
{
	struct epoll_event raw[POLLER_BATCH];
	int n = wait_for_events(p, raw, timeout_us);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		uint32_t got = raw[i].events;

		events[i] = (struct poller_event){
			.token = raw[i].data.u64,
			.is_readable =
				got & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI),
			.is_writable = got & EPOLLOUT,
			.has_hangup = got & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI),
			.is_dead = got & (EPOLLHUP | EPOLLERR),
		};
	}
	return n;
}
