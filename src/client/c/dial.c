#include "client/c/dial.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct dial {
	struct address addresses[DIAL_ADDRESSES_MAX];
	unsigned n_addresses, n_begun;
	int fds[DIAL_ADDRESSES_MAX]; /* under way */
	unsigned n_fds;
	int epoll; /* over them, once there were two; -1 */
	uint64_t next_at_ms; /* when the next address is tried beside them */
	int error; /* of the last that failed: negative errno */
};

static struct dial *make(void)
{
	struct dial *d = calloc(1, sizeof(*d));

	if (d) {
		d->epoll = -1;
		d->error = -ENOENT;
	}
	return d;
}

int dial_new(const struct addrinfo *list, struct dial **ret)
{
	struct dial *d = make();

	if (!d)
		return -ENOMEM;
	for (; list && d->n_addresses < DIAL_ADDRESSES_MAX; list = list->ai_next) {
		struct address *a = &d->addresses[d->n_addresses];

		if ((list->ai_family != AF_INET && list->ai_family != AF_INET6) ||
			list->ai_addrlen > sizeof(a->u))
			continue;
		a->len = list->ai_addrlen;
		memcpy(&a->u, list->ai_addr, list->ai_addrlen);
		d->n_addresses++;
	}
	if (d->n_addresses == 0) {
		free(d);
		return -ENOENT;
	}
	*ret = d;
	return 0;
}

int dial_new_unix(const char *path, struct dial **ret)
{
	struct dial *d = make();

	if (!d)
		return -ENOMEM;
	struct address *a = &d->addresses[d->n_addresses++];
	a->u.local.sun_family = AF_UNIX;
	strncpy(a->u.local.sun_path, path, sizeof(a->u.local.sun_path) - 1);
	a->len = sizeof(a->u.local);
	*ret = d;
	return 0;
}

void dial_free(struct dial *d)
{
	if (!d)
		return;
	for (unsigned i = 0; i < d->n_fds; i++)
		close(d->fds[i]);
	if (d->epoll != -1)
		close(d->epoll);
	free(d);
}

static int open_socket(const struct address *a, uint32_t user_timeout_ms)
{
	int family = a->u.any.sa_family, one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (family != AF_UNIX) {
		/* Refused options are no reason to do without a connection. */
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
			sizeof(user_timeout_ms));
	}
	return fd;
}

static int watch(struct dial *d, int fd)
{
	struct epoll_event event = {.events = EPOLLOUT, .data.fd = fd};

	return epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

/* From the second on there is an epoll over all. */
static int watch_all(struct dial *d)
{
	int err = 0;

	if (d->n_fds < 2)
		return 0;
	if (d->epoll != -1)
		return watch(d, d->fds[d->n_fds - 1]);
	d->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (d->epoll == -1)
		return -errno;
	for (unsigned i = 0; i < d->n_fds && err == 0; i++)
		err = watch(d, d->fds[i]);
	return err;
}

/* Begins with the next address. 0: it is connected already; -EINPROGRESS; or why not. */
static int begin_next(struct dial *d, uint32_t user_timeout_ms, uint64_t now_ms)
{
	const struct address *a = &d->addresses[d->n_begun++];
	int fd = open_socket(a, user_timeout_ms);

	d->next_at_ms = now_ms + DIAL_STAGGER_MS;
	if (fd < 0)
		return fd;
	int err = connect(fd, &a->u.any, a->len) == 0 ? 0 : -errno;
	if (err == 0 || err == -EINPROGRESS) {
		d->fds[d->n_fds++] = fd;
		int watched = err == 0 ? 0 : watch_all(d);
		if (watched == 0)
			return err;
		d->n_fds--;
		err = watched;
	}
	close(fd);
	return err;
}

static void take_out(struct dial *d, unsigned i)
{
	if (d->epoll != -1)
		(void)epoll_ctl(d->epoll, EPOLL_CTL_DEL, d->fds[i], NULL);
	d->fds[i] = d->fds[--d->n_fds];
}

/* Looks at those under way. 0 with '*ret_fd': one is connected; else -EINPROGRESS, those that failed being gone. */
static int look(struct dial *d, int *ret_fd)
{
	unsigned i = 0;

	while (i < d->n_fds) {
		struct pollfd one = {.fd = d->fds[i], .events = POLLOUT};
		int err = 0;
		socklen_t len = sizeof(err);

		if (poll(&one, 1, 0) <= 0) {
			i++;
			continue;
		}
		int fd = d->fds[i];
		if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0)
			err = errno;
		take_out(d, i);
		if (err == 0) {
			*ret_fd = fd;
			return 0;
		}
		d->error = -err;
		d->next_at_ms = 0;
		close(fd);
	}
	return -EINPROGRESS;
}

int dial_step(struct dial *d, uint32_t user_timeout_ms, uint64_t now_ms, int *ret_fd)
{
	int err = look(d, ret_fd);

	if (err == 0)
		return 0;
	while (d->n_begun < d->n_addresses && (d->n_fds == 0 || now_ms >= d->next_at_ms)) {
		err = begin_next(d, user_timeout_ms, now_ms);
		if (err == 0) {
			*ret_fd = d->fds[d->n_fds - 1];
			take_out(d, d->n_fds - 1);
			return 0;
		}
		if (err == -EINPROGRESS)
			break;
		d->error = err;
	}
	return d->n_fds > 0 ? -EINPROGRESS : d->error;
}

int dial_fd(const struct dial *d)
{
	return d->epoll != -1 ? d->epoll : d->n_fds > 0 ? d->fds[0] : -1;
}

bool dial_wants_write(const struct dial *d)
{
	return d->epoll == -1;
}

uint64_t dial_deadline(const struct dial *d)
{
	return d->n_begun < d->n_addresses ? d->next_at_ms : UINT64_MAX;
}
