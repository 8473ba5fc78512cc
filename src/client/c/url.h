/* The URL of a server, taken apart.
 *
 * Pure: no name is looked up. Threads any. Memory none. */
#ifndef CLIENT_URL_H
#define CLIENT_URL_H

#include "base/address.h"

#include <stdbool.h>
#include <stdint.h>

enum { SERVER_HOST_MAX = 253, SERVER_PATH_MAX = 1024 };

struct server_url {
	enum transport transport;
	bool is_ipv6; /* the host was in brackets */
	uint16_t port;
	char host[SERVER_HOST_MAX +
		  1]; /* a name, or a numeric address without brackets; "" for unix */
	char path[SERVER_PATH_MAX +
		  1]; /* of the socket, or what WebSocket asks for: "/" at least */
};

/* -EINVAL: it is none of ours, or holds a user, a fragment, or a path where there is none. '*ret' is set on success. */
int server_url_parse(const char *text, struct server_url *ret);

bool server_url_is_tls(const struct server_url *);
bool server_url_is_websocket(const struct server_url *);

/* "host" or "host:port" as HTTP's Host wants it: without the scheme's own port. */
enum { SERVER_AUTHORITY_MAX = SERVER_HOST_MAX + 9 };
void server_url_authority(const struct server_url *, char to[SERVER_AUTHORITY_MAX]);

#endif
