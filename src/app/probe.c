#include "app/probe.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char scheme[] = "http://", default_path[] = "/healthz";

int probe_parse(const char *url, struct probe *ret, const char **ret_why)
{
	struct probe p;
	size_t len = strlen(scheme);

	*ret_why = "http://host:port, and a path of visible ASCII after it";
	if (strncmp(url, scheme, len) != 0)
		return -EINVAL;
	url += len;
	len = strcspn(url, "/");
	const char *path = url[len] ? url + len : default_path;
	if (strlen(path) >= sizeof(p.path))
		return -EINVAL;
	for (const char *c = path; *c; c++)
		if (*c <= ' ' || *c > '~')
			return -EINVAL;
	if (address_parse(url, len, &p.to, ret_why) < 0)
		return -EINVAL;
	if (address_port(&p.to) == 0)
		return -EINVAL;
	strcpy(p.path, path);
	*ret = p;
	return 0;
}

int probe_of_setting(const struct address *admin_listen, struct probe *ret, const char **ret_why)
{
	if (address_port(admin_listen) == 0) {
		*ret_why = "a port: the kernel chose one, which only the server's log knows";
		return -EINVAL;
	}
	*ret = (struct probe){.to = *admin_listen};
	strcpy(ret->path, default_path);
	return 0;
}

/* Of all addresses, which can be bound to and not connected to, the loopback one. "*" is IPv6 and IPv4 both, and one that
 * takes both answers on either. */
static void make_loopback(struct address *a)
{
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a->u.storage;
	struct sockaddr_in *in = (struct sockaddr_in *)&a->u.storage;
	uint16_t port = address_port(a);

	if (a->u.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
		*a = (struct address){.len = sizeof(*in)};
		a->u.any.sa_family = AF_INET;
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address_set_port(a, port);
	} else if (a->u.any.sa_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY)) {
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
}

static int wait_until(int fd, short events, uint64_t end_ms)
{
	for (;;) {
		struct pollfd wanted = {.fd = fd, .events = events};
		uint64_t now_ms = clock_mono_ms();
		if (now_ms >= end_ms)
			return -ETIMEDOUT;
		int n = poll(&wanted, 1, (int)(end_ms - now_ms));
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int connect_until(int fd, const struct address *to, uint64_t end_ms)
{
	int error = 0, err;
	socklen_t len = sizeof(error);

	if (connect(fd, &to->u.any, to->len) == 0)
		return 0;
	if (errno != EINPROGRESS)
		return -errno;
	err = wait_until(fd, POLLOUT, end_ms);
	if (err == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		err = -errno;
	return err ? err : -error;
}

/* The status line's number, once there is so much of it; 0: what came is no HTTP. */
static int read_status(int fd, uint64_t end_ms, unsigned *ret)
{
	enum { LINE = 12 /* HTTP/1.1 200 */ };
	char text[LINE + 1] = "";
	size_t len = 0;

	while (len < LINE) {
		int err = wait_until(fd, POLLIN, end_ms);
		if (err < 0)
			return err;
		ssize_t n = recv(fd, text + len, LINE - len, 0);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n == 0)
			return -EBADMSG;
		len += n > 0 ? (size_t)n : 0;
	}
	return sscanf(text, "HTTP/1.%*1u %3u", ret) == 1 ? 0 : -EBADMSG;
}

static int ask(int fd, const struct probe *p, const struct address *to, uint64_t end_ms,
	unsigned *ret_status)
{
	char host[ADDRESS_TEXT_MAX], request[PROBE_PATH_MAX + ADDRESS_TEXT_MAX + 64];
	int err = connect_until(fd, to, end_ms);

	if (err < 0)
		return err;
	address_format(to, host);
	int len = snprintf(request, sizeof(request),
		"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", p->path, host);
	ssize_t n = send(fd, request, (size_t)len, MSG_NOSIGNAL);
	if (n != len) /* it fits into any new socket */
		return n < 0 ? -errno : -EIO;
	return read_status(fd, end_ms, ret_status);
}

int probe_run(const struct probe *p, unsigned timeout_ms, unsigned *ret_status)
{
	uint64_t end_ms = clock_mono_ms() + timeout_ms;
	struct address to = p->to;
	int fd, err;

	*ret_status = 0;
	make_loopback(&to);
	fd = socket(to.u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = ask(fd, p, &to, end_ms, ret_status);
	close(fd);
	if (err < 0)
		return err;
	return *ret_status == 200 ? 0 : -EBADMSG;
}
