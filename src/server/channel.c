#include "server/channel.h"

#include "net/tls.h"

#include <errno.h>
#include <sys/socket.h>

ssize_t channel_receive(struct connection *c, void *to, size_t max, bool *ret_grew)
{
	ssize_t n;
	if (channel_is_bare(c)) {
		n = recv(c->fd, to, max, MSG_DONTWAIT);
		*ret_grew = n > 0;
		return n < 0 ? -errno : n;
	}
	uint64_t before = tls_raw_bytes(c->side->tls);
	n = tls_read(c->side->tls, to, max);
	*ret_grew = tls_raw_bytes(c->side->tls) != before;
	return n;
}

ssize_t channel_send(struct connection *c, const void *bytes, size_t len)
{
	ssize_t n;
	if (channel_is_bare(c)) {
		n = send(c->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		n = n < 0 ? -errno : n;
	} else {
		n = tls_write(c->side->tls, bytes, len);
	}
	return n == -EAGAIN || n == -EINTR ? 0 : n;
}

void channel_shut(struct connection *c)
{
	if (!channel_is_bare(c))
		tls_shutdown(c->side->tls);
	shutdown(c->fd, SHUT_WR);
}

bool channel_has_more(const struct connection *c)
{
	return !channel_is_bare(c) && tls_has_more(c->side->tls);
}

bool channel_reads_when_writable(const struct connection *c)
{
	return !channel_is_bare(c) && tls_reads_when_writable(c->side->tls);
}

size_t channel_promised(const struct connection *c)
{
	return channel_is_bare(c) ? 0 : tls_promised(c->side->tls);
}
