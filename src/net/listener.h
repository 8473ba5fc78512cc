/* Listening sockets, and what comes out of them.
 *
 * Every TCP listener carries, for its connections to inherit: TCP_NODELAY (with Nagle on, an answer
 * after a burst is one beat late), SO_KEEPALIVE, TCP_USER_TIMEOUT as asked, TCP_NOTSENT_LOWAT of 16
 * KiB (a peer that never reads then takes 174 KB of kernel memory instead of 4.3 MB).
 * Threads  any, each on its own descriptors. Errors 0 or negative errno; what was opened is
 *          closed again. */
#ifndef NET_LISTENER_H
#define NET_LISTENER_H

#include "base/address.h"

#include <stdint.h>

struct listener_params {
	uint32_t user_timeout_ms; /* unacknowledged data kills the connection after this */
	int backlog;
};

/* Claim a TCP address for this process before the workers share it: SO_REUSEPORT would let a
 * second server slip in beside us, so this binds without it first (-EADDRINUSE then), and then
 * allows sharing. Port 0 is filled in with the one that the kernel chose. The descriptor holds
 * the claim, does not listen, and is closed once the workers' own listeners stand. IPv6
 * addresses are bound for IPv6 alone, but "*" for both. */
int listener_claim(struct address *, int *ret_fd);

/* A worker's own listener on a claimed address: bound with SO_REUSEPORT, listening,
 * non-blocking. */
int listener_open_shared(const struct address *, const struct listener_params *, int *ret_fd);

/* The one listener on a Unix path that all workers wait on (EPOLLEXCLUSIVE). A path where nobody
 * answers is unlinked first, one that answers is -EADDRINUSE, one that is no socket -ENOTSOCK.
 * Mode 0660. Servers that do this at the same time in one folder do it one after the other (by a
 * lock on the folder, for as long as it takes). */
int listener_open_unix(const struct address *, const struct listener_params *, int *ret_fd);

/* At the stop, before 'fd' is closed: unlinks the path it was opened on, if it is still this
 * process that answers there. */
void listener_unlink_unix(const struct address *, int fd);

/* A listener that somebody else opened, and handed down: non-blocking, close-on-exec, and with all
 * that the connections of our own inherit. It stays the caller's. */
int listener_adopt(int fd, const struct listener_params *);

/* One connection: non-blocking, close-on-exec. -EAGAIN when none waits; -ECONNABORTED and the
 * network's own errors for one that is gone already; -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM when
 * there is no room. */
int listener_accept(int listener_fd, struct address *ret_peer, int *ret_fd);

#endif
