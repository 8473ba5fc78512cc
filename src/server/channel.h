/* The bytes of a connection in and out, whatever carries them: the socket itself, or TLS on it.
 *
 * Threads  the owning worker's only. No call blocks. Errors as negative errno, told apart as the kernel does: a
 *          connection's end says how the session ended. */
#ifndef SERVER_CHANNEL_H
#define SERVER_CHANNEL_H

#include "server/connection.h"

#include <sys/types.h>

/* Bytes (> 0), 0 at the end of the stream, -EAGAIN when there are none. '*ret_grew': something came from the peer, be it
 * only a part of a record: life. */
ssize_t channel_receive(struct connection *, void *to, size_t max, bool *ret_grew);
/* Bytes taken, 0 for none at this time, or negative errno. */
ssize_t channel_send(struct connection *, const void *bytes, size_t len);
/* No more will be sent. */
void channel_shut(struct connection *);

/* The socket itself, without TLS on it. */
static inline bool channel_is_bare(const struct connection *c)
{
	return !c->side || !c->side->tls;
}

/* There is more to read that no edge will tell. */
bool channel_has_more(const struct connection *);
/* A read could not go on for want of room to write: to be tried at the next writable edge. */
bool channel_reads_when_writable(const struct connection *);
/* How many of the bytes that were offered and not taken must come first in the next send: TLS has them in a record already. */
size_t channel_promised(const struct connection *);

#endif
