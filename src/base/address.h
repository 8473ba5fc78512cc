/* Socket addresses and listen URLs, as text and back.
 *
 * Pure: no name service is asked; hosts are numeric, "localhost" (127.0.0.1) or "*" (every address, IPv6
 * and IPv4). Threads any. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define TRANSPORTS(X)              X(TCP, "tcp") X(TLS, "tls") X(WS, "ws") X(WSS, "wss") X(UNIX, "unix")
#define TRANSPORT_ENUM(name, word) TRANSPORT_##name,
enum transport { TRANSPORTS(TRANSPORT_ENUM) TRANSPORT_N };
#undef TRANSPORT_ENUM

const char *transport_word(enum transport);

enum { ADDRESS_TEXT_MAX = 160 }; /* of any text made here, its NUL included */

struct address {
	socklen_t len;
	union {
		struct sockaddr any;
		struct sockaddr_storage storage;
		struct sockaddr_un local;
	} u;
};

struct listen_url {
	enum transport transport;
	struct address address;
};

/* "tcp://127.0.0.1:7400", "tcp://[::1]:7400", "unix:///run/x.sock", and * as the host for every address. Port
 * 0 asks the kernel for one. -EINVAL, with '*ret_why' a static text of what was expected. */
int listen_url_parse(const char *text, size_t len, struct listen_url *ret, const char **ret_why);

/* "127.0.0.1:7402", "[::1]:7402", "*:7402": as in a URL, without the scheme. */
int address_parse(const char *text, size_t len, struct address *ret, const char **ret_why);

/* Both write at most ADDRESS_TEXT_MAX bytes with the NUL. A v4-mapped IPv6 address is shown as IPv4. */
void address_format(const struct address *, char *to);
void listen_url_format(const struct listen_url *, char *to);

bool address_is_loopback(const struct address *); /* 127.0.0.0/8, ::1, Unix sockets */
uint16_t address_port(const struct address *); /* 0 for Unix sockets */
void address_set_port(struct address *, uint16_t port);

#endif
