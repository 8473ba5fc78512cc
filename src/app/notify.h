/* What the service manager is told, by the protocol of sd_notify(3): datagrams of NAME=value lines to the Unix socket that
 * NOTIFY_SOCKET names, a path or, with an @ in front, a name in the abstract namespace.
 *
 * Owns     one descriptor, opened at the start: there may be none left later.
 * Threads  main. Never blocks: what the manager does not take is lost, and counted by nobody.
 * Errors   without NOTIFY_SOCKET everything is nothing. A socket that is of no use is told in the log, once. */
#ifndef APP_NOTIFY_H
#define APP_NOTIFY_H

#include "base/address.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct notify {
	int fd; /* -1: nobody is told */
	struct address to;
	uint64_t watchdog_ms; /* by when WATCHDOG=1 must come again; 0: nobody waits for it */
};

/* The environment's NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, each NULL where it is not set. */
void notify_open(struct notify *ret, const char *socket, const char *watchdog_usec,
	const char *watchdog_pid);
void notify_close(struct notify *);
static inline bool notify_is_on(const struct notify *n)
{
	return n->fd >= 0;
}

/* One datagram: lines, the last without an end. */
void notify_send(const struct notify *, const char *format, ...) FORMAT_PRINTF(2, 3);

#endif
