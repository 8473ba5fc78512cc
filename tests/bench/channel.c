#include "channel.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_AN_ADDRESS = 5000, ADDRESSES_A_NET = 250, SEND_PATIENCE_MS = 5000 };

static SSL_CTX *tls_context(void)
{
	static SSL_CTX *context; /* for as long as the process runs */

	if (!context) {
		context = SSL_CTX_new(TLS_client_method());
		if (context)
			SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
	}
	return context;
}

static int wrap(struct channel *c)
{
	SSL_CTX *context = tls_context();

	c->tls = context ? SSL_new(context) : NULL;
	if (!c->tls)
		return -ENOMEM;
	SSL_set_connect_state(c->tls);
	return SSL_set_fd(c->tls, c->fd) == 1 ? 0 : -ENOMEM;
}

int channel_open(const struct sockaddr_in *server, uint64_t user, bool is_tls, struct channel *ret,
	bool *ret_connected)
{
	uint32_t source = (uint32_t)(user / CONNECTIONS_AN_ADDRESS);
	struct sockaddr_in from = {.sin_family = AF_INET};
	struct channel c = {.tls = NULL};
	int on = 1, error;

	from.sin_addr.s_addr = htonl(
		0x7f010000u + ((1 + source / ADDRESSES_A_NET) << 8) + 1 + source % ADDRESSES_A_NET);
	/* On loopback a handshake is done when connect() returns, and to be told so by a poller would cost as much again as
	 * all of the login. OpenSSL wants a socket that does not block; the others say so with each call. */
	c.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | (is_tls ? SOCK_NONBLOCK : 0), 0);
	if (c.fd < 0)
		return -errno;
	error = is_tls ? wrap(&c) : 0;
	if (!error && (setsockopt(c.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
			      setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
			      bind(c.fd, (struct sockaddr *)&from, sizeof(from)) < 0))
		error = -errno;
	if (!error && connect(c.fd, (const struct sockaddr *)server, sizeof(*server)) < 0)
		error = -errno;
	if (error && error != -EINPROGRESS) {
		channel_abort(&c);
		return error;
	}
	*ret_connected = !error;
	*ret = c;
	return 0;
}

/* Of a call that did not do: what the socket is waited on for, or negative errno. */
static int tls_wants(struct channel *c, int result)
{
	switch (SSL_get_error(c->tls, result)) {
	case SSL_ERROR_WANT_READ:
		return POLLIN;
	case SSL_ERROR_WANT_WRITE:
		return POLLOUT;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return -ECONNRESET;
	}
}

int channel_shake_hands(struct channel *c)
{
	int result = c->tls ? SSL_do_handshake(c->tls) : 1;
	int wants = result == 1 ? 0 : tls_wants(c, result);

	/* What a client writes of a handshake always fits into a fresh socket. */
	return result == 1 ? 1 : wants == POLLIN ? 0 : -ECONNRESET;
}

/* How many were taken, or negative errno; '*ret_wants': what to wait for where it is -EAGAIN. */
static ssize_t send_some(struct channel *c, const char *data, size_t len, short *ret_wants)
{
	ssize_t n;
	int wants;

	*ret_wants = POLLOUT;
	if (!c->tls) {
		n = send(c->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		return n < 0 ? -errno : n;
	}
	n = SSL_write(c->tls, data, (int)len);
	if (n > 0)
		return n;
	wants = tls_wants(c, (int)n);
	*ret_wants = (short)wants;
	return wants > 0 ? -EAGAIN : -ECONNRESET;
}

int channel_send(struct channel *c, const char *data, size_t len)
{
	while (len) {
		struct pollfd ready = {.fd = c->fd};
		ssize_t n = send_some(c, data, len, &ready.events);

		if (n >= 0) {
			data += n;
			len -= (size_t)n;
			continue;
		}
		if (n != -EAGAIN && n != -EINTR)
			return (int)n;
		if (poll(&ready, 1, SEND_PATIENCE_MS) == 0)
			return -ETIMEDOUT;
	}
	return 0;
}

ssize_t channel_receive(struct channel *c, char *to, size_t max)
{
	size_t len = 0;
	int n, wants;

	if (!c->tls) {
		ssize_t got = recv(c->fd, to, max, MSG_DONTWAIT);

		return got < 0 ? -errno : got;
	}
	/* Until the socket is empty: what OpenSSL holds back no poller knows of. */
	do {
		n = SSL_read(c->tls, to + len, (int)(max - len));
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && len < max);
	if (len)
		return (ssize_t)len;
	wants = tls_wants(c, n);
	return wants > 0 ? -EAGAIN : wants;
}

void channel_abort(struct channel *c)
{
	struct linger abort = {.l_onoff = 1, .l_linger = 0};

	SSL_free(c->tls);
	if (c->fd >= 0) {
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
		close(c->fd);
	}
	*c = (struct channel){.fd = -1};
}
