#include "app/notify.h"

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MESSAGE_MAX = 512, US_A_MS = 1000 };

static bool read_number(const char *text, uint64_t *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtoull(text, &end, 10);
	return *end == '\0' && errno == 0;
}

/* A leading @ stands for the NUL of an abstract name, which has no other at its end. */
static int read_address(const char *text, struct address *ret)
{
	size_t len = strlen(text);
	bool is_abstract = text[0] == '@';

	if ((text[0] != '/' && !is_abstract) || len < 2)
		return -EAFNOSUPPORT;
	if (len + !is_abstract > sizeof(ret->u.local.sun_path))
		return -ENAMETOOLONG;
	*ret = (struct address){
		.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + !is_abstract)};
	ret->u.local.sun_family = AF_UNIX;
	memcpy(ret->u.local.sun_path, text, len);
	if (is_abstract)
		ret->u.local.sun_path[0] = '\0';
	return 0;
}

void notify_open(struct notify *ret, const char *socket_name, const char *watchdog_usec,
	const char *watchdog_pid)
{
	uint64_t usec, pid = (uint64_t)getpid();
	int err;

	*ret = (struct notify){.fd = -1};
	if (!socket_name || !*socket_name)
		return;
	err = read_address(socket_name, &ret->to);
	if (err == 0)
		ret->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ret->fd < 0) {
		log_warning("NOTIFY_SOCKET can't be used", LOG_TEXT("socket", socket_name),
			LOG_ERRNO(err ? -err : errno));
		return;
	}
	/* A watchdog that is meant for another process is not ours to feed. */
	if (watchdog_usec && read_number(watchdog_usec, &usec) && usec >= US_A_MS &&
		(!watchdog_pid || (read_number(watchdog_pid, &pid) && pid == (uint64_t)getpid())))
		ret->watchdog_ms = usec / US_A_MS;
}

void notify_close(struct notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

void notify_send(const struct notify *n, const char *format, ...)
{
	char text[MESSAGE_MAX];
	va_list arguments;
	int len;

	if (n->fd < 0)
		return;
	va_start(arguments, format);
	len = vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (len <= 0 || (size_t)len >= sizeof(text))
		return;
	if (sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL, &n->to.u.any, n->to.len) < 0)
		log_warning("the service manager can't be told", LOG_ERRNO(errno));
}
