/* presence_run(): a loop for those who have none. It uses what every other loop uses. */
#include "client/c/client.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

static int wait_ms(const struct presence *p, bool has_end, uint64_t end_ms)
{
	int wait = presence_timeout(p);
	uint64_t now_ms = presence_now();

	if (!has_end)
		return wait;
	uint64_t left = end_ms > now_ms ? end_ms - now_ms : 0;
	int most = left < INT_MAX ? (int)left : INT_MAX;
	return wait == -1 || wait > most ? most : wait;
}

static enum presence_error turn(struct presence *p, int wait)
{
	unsigned want = presence_want(p), ready = 0;
	struct pollfd one = {.fd = presence_fd(p)};

	one.events = (short)((want & PRESENCE_READABLE ? POLLIN : 0) |
			     (want & PRESENCE_WRITABLE ? POLLOUT : 0));
	int n = poll(&one, 1, wait);
	if (n < 0)
		return errno == EINTR ? PRESENCE_ERROR_INTERRUPTED : PRESENCE_ERROR_MEMORY;
	if (one.revents & (POLLIN | POLLERR | POLLHUP))
		ready |= PRESENCE_READABLE;
	if (one.revents & (POLLOUT | POLLERR | POLLHUP))
		ready |= PRESENCE_WRITABLE;
	presence_ready(p, ready);
	return PRESENCE_OK;
}

enum presence_error presence_run(struct presence *p, int timeout_ms)
{
	uint64_t end_ms = presence_now() + (uint64_t)(timeout_ms > 0 ? timeout_ms : 0);
	bool has_end = timeout_ms >= 0;
	enum presence_error error;

	if (p && (p->n_callbacks > 0 || p->is_in_turn) && p->pid == getpid())
		return PRESENCE_ERROR_BUSY;
	error = presence_start(p);
	while (error == PRESENCE_OK && p->link != PRESENCE_LINK_STOPPED) {
		if (has_end && presence_now() >= end_ms)
			return PRESENCE_ERROR_TIME_OVER;
		error = turn(p, wait_ms(p, has_end, end_ms));
	}
	return error == PRESENCE_OK ? p->last_error : error;
}
