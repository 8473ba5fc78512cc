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

/* Whether a short read says that nothing is left: not so with TLS, which hands out records. */
static inline bool channel_is_bare(const struct connection *c)
{
	return !c->side || !c->side->tls;
}

#endif
