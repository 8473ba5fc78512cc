#include "net/inherited.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_number(const char *text, long *ret)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*ret = strtol(text, &end, 10);
	return *end == '\0' && errno == 0;
}

static int get_option(int fd, int option, int *ret)
{
	socklen_t len = sizeof(*ret);

	return getsockopt(fd, SOL_SOCKET, option, ret, &len) < 0 ? -errno : 0;
}

/* What the descriptor is; its name is the caller's. */
static int look_at(int fd, struct inherited *ret)
{
	int type, is_listening;
	int err = get_option(fd, SO_TYPE, &type);

	if (err == 0)
		err = get_option(fd, SO_ACCEPTCONN, &is_listening);
	if (err < 0)
		return err;
	if (type != SOCK_STREAM || !is_listening)
		return -EOPNOTSUPP;
	ret->fd = fd;
	ret->bound = (struct address){.len = sizeof(ret->bound.u)};
	return getsockname(fd, &ret->bound.u.any, &ret->bound.len) < 0 ? -errno : 0;
}

/* The next of the names; '*at' moves behind it. One that is too long is cut: it is for people. */
static void take_name(const char **at, char to[INHERITED_NAME_MAX])
{
	size_t len = strcspn(*at, ":");
	size_t fits = len < INHERITED_NAME_MAX - 1 ? len : INHERITED_NAME_MAX - 1;

	memcpy(to, *at, fits);
	to[fits] = '\0';
	*at += len + ((*at)[len] == ':');
}

int inherited_list(const char *listen_pid, const char *listen_fds, const char *listen_fdnames,
	struct inherited ret[INHERITED_MAX], size_t *ret_n)
{
	const char *names = listen_fdnames ? listen_fdnames : "";
	long pid, n;

	*ret_n = 0;
	if (!listen_pid || !listen_fds)
		return 0;
	if (!read_number(listen_pid, &pid) || !read_number(listen_fds, &n) || n > INHERITED_MAX)
		return -EINVAL;
	if (pid != getpid())
		return 0;
	for (; (long)*ret_n < n; ++*ret_n) {
		int err = look_at(INHERITED_FIRST + (int)*ret_n, &ret[*ret_n]);
		if (err < 0)
			return err;
		take_name(&names, ret[*ret_n].name);
	}
	return 0;
}
