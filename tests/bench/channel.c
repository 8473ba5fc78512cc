#include "channel.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_AN_ADDRESS = 5000, ADDRESSES_A_NET = 250, SEND_PATIENCE_MS = 5000 };

int channel_open(const struct sockaddr_in *server, uint64_t user, bool *ret_connected)
{
	uint32_t source = (uint32_t)(user / CONNECTIONS_AN_ADDRESS);
	struct sockaddr_in from = {.sin_family = AF_INET};
	int on = 1, error, fd;

	from.sin_addr.s_addr = htonl(
		0x7f010000u + ((1 + source / ADDRESSES_A_NET) << 8) + 1 + source % ADDRESSES_A_NET);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	*ret_connected = true;
	if (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0)
		goto fail;
	if (connect(fd, (const struct sockaddr *)server, sizeof(*server)) == 0)
		return fd;
	*ret_connected = false;
	if (errno == EINPROGRESS)
		return fd;
fail:
	error = -errno;
	close(fd);
	return error;
}

int channel_send(int fd, const char *data, size_t len)
{
	struct pollfd ready = {.fd = fd, .events = POLLOUT};

	while (len) {
		ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (poll(&ready, 1, SEND_PATIENCE_MS) == 0)
			return -ETIMEDOUT;
	}
	return 0;
}

void channel_abort(int fd)
{
	struct linger abort = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
	close(fd);
}
