#include "fleet.h"

#include "base/clock.h"
#include "base/slice.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BRIEF_NS = 100000 };

struct fleet_member {
	struct member self;
	pid_t pid; /* 0: not running (any more) */
	int pid_fd;
	unsigned n_reports, n_taken; /* come in; waited for */
};

struct fleet {
	unsigned n;
	size_t result_bytes; /* a member, rounded up to cache lines */
	char *results;
	int report_fds[2];
	struct fleet_member *members;
};

void *fleet_shared(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int member_report(const struct member *self)
{
	/* Less than PIPE_BUF: whole, whoever else writes. */
	return write(self->report_fd, &self->index, sizeof(self->index)) < 0 ? -errno : 0;
}

void member_be_brief(void)
{
	(void)slice_set(BRIEF_NS, SLICE_PROMPT); /* before Linux 6.12: as all others */
}

int member_yield(int nice)
{
	return setpriority(PRIO_PROCESS, 0, nice) < 0 ? -errno : 0;
}

int member_be_idle(void)
{
	struct sched_param none = {.sched_priority = 0};

	return sched_setscheduler(0, SCHED_IDLE, &none) < 0 ? -errno : 0;
}

int member_wait(const struct member *self)
{
	struct pollfd ready = {.fd = self->go_fd, .events = POLLIN};
	uint64_t n;

	while (read(self->go_fd, &n, sizeof(n)) < 0) {
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		poll(&ready, 1, -1);
	}
	return 0;
}

static int member_start(struct fleet *f, unsigned i, int (*run)(struct member *, void *), void *arg)
{
	struct fleet_member *m = &f->members[i];
	pid_t parent = getpid();
	int error;

	m->self = (struct member){.index = i, .n = f->n, .report_fd = f->report_fds[1]};
	m->self.result = f->results + i * f->result_bytes;
	m->self.go_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
	if (m->self.go_fd < 0)
		return -errno;
	fflush(NULL);
	m->pid = fork();
	if (m->pid < 0) {
		m->pid = 0;
		return -errno;
	}
	if (m->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		(void)slice_set(SLICE_SHORT_NS, SLICE_PROMPT);
		error = run(&m->self, arg);
		if (error)
			fprintf(stderr, "bench: process %u of %u: %s\n", i, f->n, strerror(-error));
		_exit(error ? 1 : 0);
	}
	m->pid_fd = (int)syscall(SYS_pidfd_open, m->pid, 0);
	return m->pid_fd < 0 ? -errno : 0;
}

int fleet_start(unsigned n, size_t result_bytes, int (*run)(struct member *, void *arg), void *arg,
	struct fleet **ret)
{
	struct fleet *f = calloc(1, sizeof(*f));
	int error = -ENOMEM;

	if (!f)
		return -ENOMEM;
	f->report_fds[0] = f->report_fds[1] = -1;
	f->result_bytes = (result_bytes + 63) / 64 * 64;
	f->results = fleet_shared(n * f->result_bytes);
	f->members = calloc(n, sizeof(*f->members));
	if (!f->results || !f->members)
		goto fail;
	f->n = n;
	for (unsigned i = 0; i < n; i++)
		f->members[i].self.go_fd = f->members[i].pid_fd = -1;
	error = pipe2(f->report_fds, O_CLOEXEC) < 0 ? -errno : 0;
	for (unsigned i = 0; i < n && !error; i++)
		error = member_start(f, i, run, arg);
	if (error)
		goto fail;
	*ret = f;
	return 0;
fail:
	(void)fleet_end(f, 0);
	return error;
}

/* Whether a member has ended before its time. */
static bool any_failed(struct fleet *f)
{
	siginfo_t info;

	for (unsigned i = 0; i < f->n; i++) {
		info.si_pid = 0;
		if (waitid(P_PID, (id_t)f->members[i].pid, &info, WEXITED | WNOHANG | WNOWAIT) ==
				0 &&
			info.si_pid && (info.si_code != CLD_EXITED || info.si_status != 0))
			return true;
	}
	return false;
}

static int take_report(struct fleet *f, uint64_t until_ns)
{
	struct pollfd ready = {.fd = f->report_fds[0], .events = POLLIN};
	unsigned index;

	for (;;) {
		uint64_t now_ns = clock_mono_ns();

		/* A look once a second for members that have died: their report never comes. */
		if (poll(&ready, 1, now_ns + 1000000000 < until_ns ? 1000 : 50) > 0)
			break;
		if (any_failed(f))
			return -ECHILD;
		if (now_ns >= until_ns)
			return -ETIMEDOUT;
	}
	if (read(f->report_fds[0], &index, sizeof(index)) != (ssize_t)sizeof(index) ||
		index >= f->n)
		return -EPIPE;
	f->members[index].n_reports++;
	return 0;
}

int fleet_wait_for(struct fleet *f, unsigned index, uint64_t timeout_ms)
{
	uint64_t until_ns = clock_mono_ns() + timeout_ms * 1000000;
	int error = 0;

	while (!error && f->members[index].n_reports == f->members[index].n_taken)
		error = take_report(f, until_ns);
	if (!error)
		f->members[index].n_taken++;
	return error;
}

int fleet_wait(struct fleet *f, uint64_t timeout_ms)
{
	uint64_t until_ms = clock_mono_ms() + timeout_ms;
	int error = 0;

	for (unsigned i = 0; i < f->n && !error; i++) {
		uint64_t now_ms = clock_mono_ms();

		error = fleet_wait_for(f, i, now_ms < until_ms ? until_ms - now_ms : 0);
	}
	return error;
}

void fleet_go_one(struct fleet *f, unsigned index)
{
	uint64_t one = 1;

	/* Fails only at 2^64 - 1 unread ones. */
	if (write(f->members[index].self.go_fd, &one, sizeof(one)) < 0)
		perror("bench: go");
}

void fleet_go(struct fleet *f)
{
	for (unsigned i = 0; i < f->n; i++)
		fleet_go_one(f, i);
}

void *fleet_result(const struct fleet *f, unsigned index)
{
	return f->members[index].self.result;
}

static int member_end(struct fleet_member *m, uint64_t timeout_ms)
{
	struct pollfd ended = {.fd = m->pid_fd, .events = POLLIN};
	int status = 0;

	if (m->pid && poll(&ended, 1, (int)timeout_ms) == 0)
		kill(m->pid, SIGKILL);
	if (m->pid)
		waitpid(m->pid, &status, 0);
	if (m->pid_fd >= 0)
		close(m->pid_fd);
	if (m->self.go_fd >= 0)
		close(m->self.go_fd);
	return status ? -ECHILD : 0;
}

int fleet_end(struct fleet *f, uint64_t timeout_ms)
{
	uint64_t until_ms = clock_mono_ms() + timeout_ms;
	int error = 0;

	if (!f)
		return 0;
	for (unsigned i = 0; f->members && i < f->n; i++) {
		uint64_t now_ms = clock_mono_ms();

		if (member_end(&f->members[i], now_ms < until_ms ? until_ms - now_ms : 0))
			error = -ECHILD;
	}
	for (int i = 0; i < 2; i++)
		if (f->report_fds[i] >= 0)
			close(f->report_fds[i]);
	if (f->results)
		munmap(f->results, f->n * f->result_bytes);
	free(f->members);
	free(f);
	return error;
}
