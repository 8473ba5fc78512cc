/* Readiness of descriptors: epoll(7), edge-triggered, behind a door of its own.
 *
 * Threads  one owner a poller. Errors 0 or negative errno. */
#ifndef NET_POLLER_H
#define NET_POLLER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct poller {
	int fd;
};

enum { POLLER_BATCH = 256 }; /* events a wait returns at most */

struct poller_event {
	uint64_t token; /* as given to poller_add */
	bool is_readable; /* bytes, or an end, are waiting */
	bool is_writable;
	bool has_hangup; /* RDHUP, HUP, ERR or PRI: a short read does not mean drained */
	bool is_dead; /* HUP or ERR: nothing more can be written */
};

int poller_open(struct poller *ret);
void poller_close(struct poller *);

/* A connection: edge-triggered, read, write and hang-up, for good: never modified. */
int poller_add_connection(struct poller *, int fd, uint64_t token);
/* A listener or an eventfd: level-triggered reads; 'exclusive' where several pollers wait on one
 * descriptor. */
int poller_add_shared(struct poller *, int fd, uint64_t token, bool exclusive);
int poller_remove(struct poller *, int fd);

/* Waits at most 'timeout_us' (0: not at all, UINT64_MAX: until something comes); the number of
 * events filled in, or negative errno; -EINTR is 0 events. */
int poller_wait(struct poller *, struct poller_event events[POLLER_BATCH], uint64_t timeout_us);

#endif
