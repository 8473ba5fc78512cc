/* What the kernel and the hardware allow: a server that does nothing else than take connections and
 * answer, in one thread, with fixed lines, by the same calls as a server that knows something.
 *
 * It checks nothing and remembers nobody. It answers a hello, a heartbeat of either kind and a watch; an
 * update goes to everyone who has watched anyone. The other benches run against it for their floor.
 * Says where it listens on stderr like the server does, and ends by SIGTERM. */
#include "options.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	IN_BYTES = 65536,
	EVENTS_A_TURN = 512,
	BACKLOG = 4096,
	WATCHERS_MAX = 1 << 20,
	LINE_MAX_BYTES = 256
};

#define WELCOME                                                                                     \
	"{\"type\":\"welcome\",\"v\":1,\"user\":\"u000000000000000\",\"device\":\"d\",\"session\":" \
	"\"0000000000000000\",\"server\":\"0000000000000000\",\"heartbeat_ms\":10000,"              \
	"\"timeout_ms\":30000,\"now_ms\":1763794282100,\"resumed\":false}\n"
#define EVENT_HEAD                                                                                 \
	"{\"type\":\"presence\",\"user\":\"u000000000000000\",\"state\":\"online\",\"reason\":"    \
	"\"update\",\"seq\":42,\"at_ms\":1763794312345,\"last_seen_ms\":1763794282100,\"status\":\""

static int epoll_fd;
static int *watchers; /* descriptors; those that have gone since fail harmlessly */
static size_t n_watchers;
static char in[IN_BYTES], out[IN_BYTES * 2];

static void take_connections(int listener)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		event.data.fd = fd;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			close(fd);
	}
}

static void tell_watchers(const char *line, size_t len)
{
	static const char key[] = "\"status\":\"";
	const char *status = memmem(line, len, key, sizeof(key) - 1);
	char event[sizeof(EVENT_HEAD) + LINE_MAX_BYTES];
	int n;

	if (!status)
		return;
	status += sizeof(key) - 1;
	n = snprintf(event, sizeof(event), "%s%.*s\"}\n", EVENT_HEAD, (int)strcspn(status, "\"\n"),
		status);
	for (size_t i = 0; i < n_watchers; i++)
		(void)send(watchers[i], event, (size_t)n, MSG_NOSIGNAL);
}

static size_t answer(int fd, const char *line, size_t len, char *to)
{
	static const char beat[] = "{\"type\":\"heartbeat\"}\n";
	static const char watching[] = "{\"type\":\"watching\",\"id\":1,\"presences\":[]}\n";

	if (len < 10) {
		*to = '\n';
		return 1;
	}
	switch (line[10]) { /* after {"type":"h */
	case 'e':
		if (line[11] == 'a') {
			memcpy(to, beat, sizeof(beat) - 1);
			return sizeof(beat) - 1;
		}
		memcpy(to, WELCOME, sizeof(WELCOME) - 1);
		return sizeof(WELCOME) - 1;
	case 'a':
		if (n_watchers < WATCHERS_MAX)
			watchers[n_watchers++] = fd;
		memcpy(to, watching, sizeof(watching) - 1);
		return sizeof(watching) - 1;
	case 'p':
		tell_watchers(line, len);
		return 0;
	default:
		return 0;
	}
}

/* Requests here are whole in one read, or can wait for the end of the line to be the only part seen. */
static void read_connection(int fd, bool is_over)
{
	size_t done = 0, n_out = 0;
	ssize_t n = recv(fd, in, sizeof(in), 0);

	if (is_over || n == 0 || (n < 0 && errno != EAGAIN)) {
		close(fd);
		return;
	}
	while (n > 0 && done < (size_t)n && n_out < IN_BYTES) {
		const char *end = memchr(in + done, '\n', (size_t)n - done);
		size_t len;

		if (!end)
			break;
		len = (size_t)(end - (in + done));
		n_out += answer(fd, in + done, len, out + n_out);
		done += len + 1;
	}
	if (n_out)
		(void)send(fd, out, n_out, MSG_NOSIGNAL);
}

static int listen_anywhere(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int on = 1, low_water = 16384;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low_water, sizeof(low_water)) < 0 ||
		bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, BACKLOG) < 0 ||
		getsockname(fd, (struct sockaddr *)&at, &len) < 0) {
		perror("bench_floor: listen");
		exit(69);
	}
	fprintf(stderr, "msg=listening url=tcp://127.0.0.1:%u\nmsg=ready\n",
		(unsigned)ntohs(at.sin_port));
	return fd;
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {{.name = NULL}};
	struct epoll_event event = {.events = EPOLLIN}, events[EVENTS_A_TURN];
	struct rlimit limit;
	int listener;

	options_read_own(argc, argv, own);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	watchers = calloc(WATCHERS_MAX, sizeof(*watchers));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listener = listen_anywhere();
	event.data.fd = listener;
	if (!watchers || epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) < 0) {
		perror("bench_floor");
		return 1;
	}
	for (;;) {
		int n = epoll_wait(epoll_fd, events, EVENTS_A_TURN, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.fd == listener)
				take_connections(listener);
			else
				read_connection(events[i].data.fd,
					events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
		}
	}
}
