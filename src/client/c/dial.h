/* Dialling: from addresses to one connected socket. The addresses are tried in their order, each beside those before it
 * when these took DIAL_STAGGER_MS or failed; the first to be connected wins (RFC 8305, without its sorting).
 *
 * Owns     the sockets under way; while there are several, an epoll descriptor over them, so that one descriptor is to
 *          be waited on. Threads one at a time. Memory one block.
 * Time     milliseconds, passed in. Never blocks. Errors 0 or negative errno. */
#ifndef CLIENT_DIAL_H
#define CLIENT_DIAL_H

#include "client/c/url.h"

#include <stdint.h>

enum { DIAL_ADDRESSES_MAX = 8, DIAL_STAGGER_MS = 250 };

struct dial;
struct addrinfo;

/* -ENOMEM; -ENOENT: no address is among these. */
int dial_new(const struct addrinfo *, struct dial **ret);
int dial_new_unix(const char *path, struct dial **ret);
void dial_free(struct dial *); /* closes what is under way */

/* Goes on. 0 with '*ret_fd' the socket, the caller's from now on; -EINPROGRESS; or why the last address failed. It may
 * close descriptors that were waited on. 'user_timeout_ms' is the TCP_USER_TIMEOUT they get. */
int dial_step(struct dial *, uint32_t user_timeout_ms, uint64_t now_ms, int *ret_fd);

/* What to wait for, after -EINPROGRESS. */
int dial_fd(const struct dial *);
bool dial_wants_write(const struct dial *); /* else to read */
uint64_t dial_deadline(const struct dial *);

#endif
