/* File descriptors: the limit, tables, wake-ups and the reserve.
 *
 * Numbers mean nothing in another thread's table: mail never carries one. Errors 0 or negative
 * errno. */
#ifndef NET_DESCRIPTORS_H
#define NET_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

/* Raises the soft limit of open files to the hard one; the limit now in force. */
uint64_t descriptors_raise_limit(void);

/* Makes the calling thread's descriptor table its own, keeping the numbers below 'first' and
 * dropping the rest (close_range(2), CLOSE_RANGE_UNSHARE). Where that is refused (-ENOSYS,
 * -EPERM, -EINVAL, -ENOMEM): nothing has changed, and the table goes on being shared. */
int descriptors_unshare(unsigned first);

/* A wake-up: an eventfd, non-blocking, close-on-exec. */
int wakeup_open(int *ret_fd);
void wakeup_signal(int fd); /* any thread; never blocks, never fails in a way that matters */
void wakeup_drain(int fd); /* its owner */

/* A descriptor kept back, so that when there are none left a connection can still be accepted
 * and told so. */
struct reserve {
	int fd; /* -1 while it is spent */
};

int reserve_open(struct reserve *);
void reserve_close(struct reserve *);
/* Frees the descriptor for one accept; false if there was none. */
bool reserve_spend(struct reserve *);

#endif
