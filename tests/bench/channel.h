/* The way from one client to the server.
 *
 * Threads  any: nothing is kept. Errors: 0 or negative errno.
 * A client's connection comes from the source address 127.1.x.y that its user's number gives, 5,000 to an
 * address: past that connect() searches for a port. */
#ifndef BENCH_CHANNEL_H
#define BENCH_CHANNEL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A non-blocking socket on its way to the server, or there already. */
int channel_open(const struct sockaddr_in *server, uint64_t user, bool *ret_connected);

/* All of it, waiting for room where the socket has none: rare here, and bounded to seconds. */
int channel_send(int fd, const char *data, size_t len);

/* By RST, so that nothing lingers in TIME_WAIT to spoil the next measurement. */
void channel_abort(int fd);

#endif
