/* Listeners that somebody opened for this process before it began: systemd's sockets, or whoever else speaks its protocol
 * (sd_listen_fds(3)): LISTEN_PID says for which process, LISTEN_FDS how many, from descriptor 3 on, LISTEN_FDNAMES their
 * names with colons between.
 *
 * Pure but for looking at the descriptors. Threads  main. Errors  0 or negative errno. */
#ifndef NET_INHERITED_H
#define NET_INHERITED_H

#include "base/address.h"

#include <stddef.h>

enum { INHERITED_FIRST = 3, INHERITED_MAX = 64, INHERITED_NAME_MAX = 256 };

struct inherited {
	int fd;
	struct address bound;
	char name[INHERITED_NAME_MAX]; /* "" where it has none */
};

/* What the three variables say (NULL: not set), and the descriptors with it. '*ret_n' is 0 where they
 * are not there, or are for another process. -EINVAL: they are no numbers, or more than INHERITED_MAX. -EBADF, -ENOTSOCK,
 * -EOPNOTSUPP (no listening stream socket): of the descriptor INHERITED_FIRST + '*ret_n'. */
int inherited_list(const char *listen_pid, const char *listen_fds, const char *listen_fdnames,
	struct inherited ret[INHERITED_MAX], size_t *ret_n);

#endif
