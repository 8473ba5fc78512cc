#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	NOTSENT_LOWAT_BYTES = 16 * 1024,
	LOCK_TRIES = 100, /* for a second */
	LOCK_PAUSE_NS = 10000000,
};

static int set_option(int fd, int level, int option, int value)
{
	return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static bool is_any_ipv6(const struct address *a)
{
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->u.storage;

	return a->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr);
}

static void make_any_ipv4(struct address *a)
{
	uint16_t port = address_port(a);

	memset(a, 0, sizeof(*a));
	a->len = sizeof(struct sockaddr_in);
	a->u.any.sa_family = AF_INET;
	address_set_port(a, port);
}

/* A TCP socket for the address's family, bound to nothing. */
static int open_tcp(const struct address *a, int *ret_fd)
{
	int family = a->u.any.sa_family, err = 0;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);

	if (fd < 0)
		return -errno;
	if (family == AF_INET6)
		err = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_any_ipv6(a));
	if (err < 0) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

/* Takes the address for this socket alone, as a claim that others can share by SO_REUSEPORT only.
 *
 * With SO_REUSEADDR, or what an earlier server left in TIME_WAIT would block a restart for a
 * minute. But it also lets two sockets bind beside each other as long as neither listens, so
 * that two servers started at the same moment would both get through: hence the listen, which
 * the kernel grants to one of them, taken back at once, with the option gone by then. */
static int claim_port(int fd, const struct address *a)
{
	int err = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);

	if (err < 0)
		return err;
	if (bind(fd, &a->u.any, a->len) < 0 || listen(fd, 0) < 0)
		return -errno;
	err = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 0);
	if (err == 0)
		err = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (err == 0 && shutdown(fd, SHUT_RD) < 0)
		err = -errno;
	return err;
}

/* The same for a port that the kernel chooses, which is one that nobody has. A shutdown would
 * give it back. */
static int claim_any_port(int fd, struct address *a)
{
	struct address bound = {.len = sizeof(bound.u)};
	int err;

	if (bind(fd, &a->u.any, a->len) < 0)
		return -errno;
	err = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (err < 0)
		return err;
	if (getsockname(fd, &bound.u.any, &bound.len) < 0)
		return -errno;
	*a = bound;
	return 0;
}

static int claim(struct address *a, int *ret_fd)
{
	int fd, err;

	err = open_tcp(a, &fd);
	if (err < 0)
		return err;
	err = address_port(a) == 0 ? claim_any_port(fd, a) : claim_port(fd, a);
	if (err < 0) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int listener_claim(struct address *a, int *ret_fd)
{
	struct address ipv4 = *a;
	int err = claim(a, ret_fd);

	/* "*" where the machine has no IPv6 at all, or none for this process, is every IPv4
	 * address. */
	if (is_any_ipv6(a) && (err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL)) {
		make_any_ipv4(&ipv4);
		err = claim(&ipv4, ret_fd);
		if (err == 0)
			*a = ipv4;
	}
	return err;
}

static int set_inherited_options(int fd, const struct listener_params *params)
{
	int err = set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);

	if (err == 0)
		err = set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	if (err == 0)
		err = set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)params->user_timeout_ms);
	if (err == 0)
		err = set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, NOTSENT_LOWAT_BYTES);
	return err;
}

int listener_open_shared(const struct address *a, const struct listener_params *params, int *ret_fd)
{
	int fd, err;

	err = open_tcp(a, &fd);
	if (err < 0)
		return err;
	err = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (err == 0)
		err = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	if (err == 0)
		err = set_inherited_options(fd, params);
	if (err == 0 && (bind(fd, &a->u.any, a->len) < 0 || listen(fd, params->backlog) < 0))
		err = -errno;
	if (err < 0) {
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

/* Who answers at a Unix path: 0 and a connected descriptor, or the error of connect(2). */
static int connect_unix(const struct address *a, int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err;

	if (fd < 0)
		return -errno;
	if (connect(fd, &a->u.any, a->len) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

/* Unlinks what lies at the path where it is a socket that nobody listens on. */
static int clear_stale_path(const struct address *a)
{
	const char *path = a->u.local.sun_path;
	struct stat st;
	int fd, err;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	err = connect_unix(a, &fd);
	if (err == 0) {
		close(fd);
		return -EADDRINUSE;
	}
	if (err == -ECONNREFUSED)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	if (err == -ENOENT)
		return 0;
	/* A full backlog (EAGAIN) or a socket of another type is someone's, too. */
	return err == -EACCES || err == -EPERM ? err : -EADDRINUSE;
}

/* Locks the folder that the path is in against others who open a listener there: of two servers that find the same stale
 * path at the same moment, the later one would unlink what the earlier one has just bound. The descriptor holds the lock;
 * -1: there is none to be had, for we may not read the folder, or somebody keeps it locked for reasons of his own (flock(2)
 * knows no time limit, hence the pauses). Then we do without: it takes two starts within a millisecond to need it. */
static int lock_folder(const struct address *a)
{
	char folder[sizeof(a->u.local.sun_path)];
	const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
	const char *slash = strrchr(a->u.local.sun_path, '/');
	size_t len = slash ? (size_t)(slash - a->u.local.sun_path) : 0;
	int fd;

	memcpy(folder, a->u.local.sun_path, len);
	folder[len] = '\0';
	fd = open(len > 0 ? folder : slash ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	for (unsigned i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return fd;
		nanosleep(&pause, NULL);
	}
	close(fd);
	return -1;
}

static int open_unix(const struct address *a, const struct listener_params *params, int *ret_fd)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	/* On the socket, so that the path is born with no more than this, whatever the umask;
	 * the umask may still take from it, which the second one gives back. */
	if (fchmod(fd, 0660) < 0)
		err = -errno;
	if (err == 0)
		err = clear_stale_path(a);
	if (err == 0 && bind(fd, &a->u.any, a->len) < 0)
		err = -errno;
	if (err < 0) {
		close(fd);
		return err;
	}
	if (chmod(a->u.local.sun_path, 0660) < 0 || listen(fd, params->backlog) < 0) {
		err = -errno;
		unlink(a->u.local.sun_path);
		close(fd);
		return err;
	}
	*ret_fd = fd;
	return 0;
}

int listener_open_unix(const struct address *a, const struct listener_params *params, int *ret_fd)
{
	int lock = lock_folder(a);
	int err = open_unix(a, params, ret_fd);

	if (lock >= 0)
		close(lock);
	return err;
}

int listener_adopt(int fd, const struct listener_params *params)
{
	struct address bound = {.len = sizeof(bound.u)};
	int flags, err = 0;

	if (getsockname(fd, &bound.u.any, &bound.len) < 0)
		return -errno;
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	if (bound.u.any.sa_family != AF_UNIX)
		err = set_inherited_options(fd, params);
	if (err == 0 && listen(fd, params->backlog) < 0) /* again: this one's backlog */
		err = -errno;
	return err;
}

/* Whether who answers at the path is this process: the kernel notes the listener's pid at
 * listen(2). */
static bool answers_as_us(const struct address *a)
{
	struct ucred cred = {0};
	socklen_t len = sizeof(cred);
	bool is_us;
	int fd;

	if (connect_unix(a, &fd) < 0)
		return false;
	is_us = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid == getpid();
	close(fd);
	return is_us;
}

void listener_unlink_unix(const struct address *a, int fd)
{
	struct address bound = {.len = sizeof(bound.u)};

	if (getsockname(fd, &bound.u.any, &bound.len) < 0 || bound.u.any.sa_family != AF_UNIX)
		return;
	if (strcmp(bound.u.local.sun_path, a->u.local.sun_path) != 0 || !answers_as_us(a))
		return;
	unlink(a->u.local.sun_path);
}

int listener_accept(int listener_fd, struct address *ret_peer, int *ret_fd)
{
	struct address peer;
	int fd;

	do {
		peer = (struct address){.len = sizeof(peer.u)};
		fd = accept4(listener_fd, &peer.u.any, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 && errno == EINTR);
	if (fd < 0)
		return -errno;
	*ret_peer = peer;
	*ret_fd = fd;
	return 0;
}
