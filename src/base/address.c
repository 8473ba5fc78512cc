#include "base/address.h"

#include "base/ensure.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define TRANSPORT_WORD(name, word) [TRANSPORT_##name] = word,
static const char *const transport_words[TRANSPORT_N] = {TRANSPORTS(TRANSPORT_WORD)};

/* The longest of what is made here: "unix://" with a path that fills sun_path and has no NUL of its own. */
static_assert(sizeof("unix://") + sizeof(((struct sockaddr_un *)0)->sun_path) <= ADDRESS_TEXT_MAX,
	"a Unix path fits");
static_assert(sizeof("wss://[]:65535") + INET6_ADDRSTRLEN <= ADDRESS_TEXT_MAX, "an IPv6 URL fits");

static struct sockaddr_in *v4(struct address *a)
{
	return (struct sockaddr_in *)&a->u.storage;
}

static struct sockaddr_in6 *v6(struct address *a)
{
	return (struct sockaddr_in6 *)&a->u.storage;
}

static const struct sockaddr_in *v4_const(const struct address *a)
{
	return (const struct sockaddr_in *)&a->u.storage;
}

static const struct sockaddr_in6 *v6_const(const struct address *a)
{
	return (const struct sockaddr_in6 *)&a->u.storage;
}

const char *transport_word(enum transport transport)
{
	ensure(transport < TRANSPORT_N);
	return transport_words[transport];
}

static bool text_is(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(text, word, len) == 0;
}

/* Only digits: no sign, no space, as strtoul() would let through. */
static int port_parse(const char *text, size_t len, uint16_t *ret)
{
	unsigned port = 0;

	if (len < 1 || len > 5)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -EINVAL;
		port = port * 10 + (unsigned)(text[i] - '0');
	}
	if (port > UINT16_MAX)
		return -EINVAL;
	*ret = (uint16_t)port;
	return 0;
}

static int host_parse(const char *text, size_t len, bool bracketed, struct address *ret)
{
	char host[INET6_ADDRSTRLEN];
	struct address made = {0};

	if (!bracketed && text_is(text, len, "*")) {
		/* Dual stack: the listener leaves IPV6_V6ONLY off. */
		v6(&made)->sin6_family = AF_INET6;
		v6(&made)->sin6_addr = in6addr_any;
		made.len = sizeof(struct sockaddr_in6);
		*ret = made;
		return 0;
	}
	if (!bracketed && text_is(text, len, "localhost")) {
		text = "127.0.0.1";
		len = strlen(text);
	}
	if (len >= sizeof(host) || memchr(text, '\0', len))
		return -EINVAL;
	memcpy(host, text, len);
	host[len] = '\0';
	if (bracketed) {
		if (inet_pton(AF_INET6, host, &v6(&made)->sin6_addr) != 1)
			return -EINVAL;
		v6(&made)->sin6_family = AF_INET6;
		made.len = sizeof(struct sockaddr_in6);
	} else {
		if (inet_pton(AF_INET, host, &v4(&made)->sin_addr) != 1)
			return -EINVAL;
		v4(&made)->sin_family = AF_INET;
		made.len = sizeof(struct sockaddr_in);
	}
	*ret = made;
	return 0;
}

int address_parse(const char *text, size_t len, struct address *ret, const char **ret_why)
{
	bool bracketed = len > 0 && text[0] == '[';
	const char *colon = memrchr(text, ':', len);
	struct address made;
	uint16_t port;

	if (bracketed && !memchr(text, ']', len)) {
		*ret_why = "expected a ] after the IPv6 address";
		return -EINVAL;
	}
	if (!colon || (bracketed && colon < (const char *)memchr(text, ']', len))) {
		*ret_why = "expected a port: host:port";
		return -EINVAL;
	}
	if (port_parse(colon + 1, (size_t)(text + len - colon - 1), &port) < 0) {
		*ret_why = "expected a port of 0 to 65535, and nothing after it";
		return -EINVAL;
	}

	const char *host = text + (bracketed ? 1 : 0);
	size_t host_len = (size_t)(colon - host);
	if (bracketed && colon[-1] != ']') {
		*ret_why = "expected a port after the ]: [address]:port";
		return -EINVAL;
	}
	if (bracketed)
		host_len--;
	if (host_parse(host, host_len, bracketed, &made) < 0) {
		*ret_why = "expected a numeric host: an IPv4 address, an IPv6 address in [ ], "
			   "localhost or *";
		return -EINVAL;
	}
	address_set_port(&made, port);
	*ret = made;
	return 0;
}

static int local_parse(const char *path, size_t len, struct address *ret, const char **ret_why)
{
	struct address made = {0};

	if (len < 2 || path[0] != '/' || memchr(path, '\0', len)) {
		*ret_why = "expected an absolute path: unix:///run/presenced.sock";
		return -EINVAL;
	}
	if (path[len - 1] == '/') {
		*ret_why = "expected the path of a socket, not of a folder";
		return -EINVAL;
	}
	/* One less than the kernel takes: with a NUL at the end no reader of sun_path can go astray. */
	static_assert(sizeof(made.u.local.sun_path) == 108, "the text below says 107");
	if (len >= sizeof(made.u.local.sun_path)) {
		*ret_why = "expected a socket path of at most 107 bytes";
		return -EINVAL;
	}
	made.u.local.sun_family = AF_UNIX;
	memcpy(made.u.local.sun_path, path, len);
	made.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
	*ret = made;
	return 0;
}

int listen_url_parse(const char *text, size_t len, struct listen_url *ret, const char **ret_why)
{
	const char *rest = memmem(text, len, "://", 3);
	struct listen_url made = {.transport = TRANSPORT_N};

	for (enum transport t = 0; rest && t < TRANSPORT_N; t++) {
		if (text_is(text, (size_t)(rest - text), transport_words[t]))
			made.transport = t;
	}
	if (made.transport == TRANSPORT_N) {
		*ret_why = "expected a URL: tcp, tls, ws or wss ://host:port, or unix:///path";
		return -EINVAL;
	}

	rest += strlen("://");
	size_t rest_len = (size_t)(text + len - rest);
	int r = made.transport == TRANSPORT_UNIX
			? local_parse(rest, rest_len, &made.address, ret_why)
			: address_parse(rest, rest_len, &made.address, ret_why);
	if (r < 0)
		return r;
	*ret = made;
	return 0;
}

/* The peer of a Unix socket mostly has no name at all; an abstract one is shown with @ as in ss(8). */
static void local_format(const struct address *a, char *to)
{
	size_t len = a->len > offsetof(struct sockaddr_un, sun_path)
			     ? a->len - offsetof(struct sockaddr_un, sun_path)
			     : 0;
	const char *path = a->u.local.sun_path;

	if (len == 0)
		snprintf(to, ADDRESS_TEXT_MAX, "unix");
	else if (path[0] == '\0')
		snprintf(to, ADDRESS_TEXT_MAX, "@%.*s", (int)len - 1, path + 1);
	else
		snprintf(to, ADDRESS_TEXT_MAX, "%.*s", (int)len, path);
}

static void v6_format(const struct sockaddr_in6 *in6, char *to)
{
	char host[INET6_ADDRSTRLEN] = "";
	unsigned port = ntohs(in6->sin6_port);

	if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		inet_ntop(AF_INET, in6->sin6_addr.s6_addr + 12, host, sizeof(host));
		snprintf(to, ADDRESS_TEXT_MAX, "%s:%u", host, port);
	} else if (IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr)) {
		snprintf(to, ADDRESS_TEXT_MAX, "*:%u", port);
	} else {
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(to, ADDRESS_TEXT_MAX, "[%s]:%u", host, port);
	}
}

void address_format(const struct address *a, char *to)
{
	char host[INET_ADDRSTRLEN] = "";

	switch (a->u.any.sa_family) {
	case AF_INET:
		inet_ntop(AF_INET, &v4_const(a)->sin_addr, host, sizeof(host));
		snprintf(to, ADDRESS_TEXT_MAX, "%s:%u", host, ntohs(v4_const(a)->sin_port));
		return;
	case AF_INET6:
		v6_format(v6_const(a), to);
		return;
	case AF_UNIX:
		local_format(a, to);
		return;
	}
	snprintf(to, ADDRESS_TEXT_MAX, "unknown");
}

void listen_url_format(const struct listen_url *url, char *to)
{
	int n = snprintf(to, ADDRESS_TEXT_MAX, "%s://", transport_word(url->transport));
	char text[ADDRESS_TEXT_MAX];

	address_format(&url->address, text);
	snprintf(to + n, ADDRESS_TEXT_MAX - (size_t)n, "%s", text);
}

static bool v4_is_loopback(const void *bytes)
{
	return *(const unsigned char *)bytes == 127;
}

bool address_is_loopback(const struct address *a)
{
	const struct in6_addr *in6 = &v6_const(a)->sin6_addr;

	switch (a->u.any.sa_family) {
	case AF_INET:
		return v4_is_loopback(&v4_const(a)->sin_addr);
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(in6))
			return v4_is_loopback(in6->s6_addr + 12);
		return IN6_IS_ADDR_LOOPBACK(in6);
	case AF_UNIX:
		return true;
	}
	return false;
}

uint16_t address_port(const struct address *a)
{
	switch (a->u.any.sa_family) {
	case AF_INET:
		return ntohs(v4_const(a)->sin_port);
	case AF_INET6:
		return ntohs(v6_const(a)->sin6_port);
	}
	return 0;
}

void address_set_port(struct address *a, uint16_t port)
{
	switch (a->u.any.sa_family) {
	case AF_INET:
		v4(a)->sin_port = htons(port);
		return;
	case AF_INET6:
		v6(a)->sin6_port = htons(port);
		return;
	}
}
