/* The way from one client to the server: TCP, or TLS over it.
 *
 * Owns     a descriptor, and with TLS some 30 KB of OpenSSL's.
 * Threads  one a process. Errors: 0 or negative errno.
 * A client's connection comes from the source address 127.1.x.y that its user's number gives, 5,000 to an
 * address: past that connect() searches for a port. TLS takes any certificate: what is measured is the server. */
#ifndef BENCH_CHANNEL_H
#define BENCH_CHANNEL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct channel {
	int fd; /* -1: closed */
	struct ssl_st *tls; /* NULL: plain */
};

/* A socket that is connected, or on its way to the server: wait for it to be writable. */
int channel_open(const struct sockaddr_in *server, uint64_t user, bool is_tls, struct channel *ret,
	bool *ret_connected);

/* Goes on with the handshake, once connected and whenever there is something to read: 1 done (plain: at once), 0 not yet. */
int channel_shake_hands(struct channel *);

/* All of it, waiting for room where the socket has none: rare here, and bounded to seconds. */
int channel_send(struct channel *, const char *data, size_t len);

/* What is there, at most 'max' bytes; 0 at the end; -EAGAIN. */
ssize_t channel_receive(struct channel *, char *to, size_t max);

/* By RST, so that nothing lingers in TIME_WAIT to spoil the next measurement. Of a closed one: nothing. */
void channel_abort(struct channel *);

#endif
