#include "client/c/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const uint16_t default_ports[TRANSPORT_N] = {
	[TRANSPORT_TCP] = 7400,
	[TRANSPORT_TLS] = 7443,
	[TRANSPORT_WS] = 80,
	[TRANSPORT_WSS] = 443,
};

bool server_url_is_tls(const struct server_url *url)
{
	return url->transport == TRANSPORT_TLS || url->transport == TRANSPORT_WSS;
}

bool server_url_is_websocket(const struct server_url *url)
{
	return url->transport == TRANSPORT_WS || url->transport == TRANSPORT_WSS;
}

/* The scheme's transport and what is behind its "://"; NULL for none. */
static const char *parse_scheme(const char *text, enum transport *ret)
{
	const char *end = strstr(text, "://");

	for (enum transport t = 0; end && t < TRANSPORT_N; t++) {
		size_t len = strlen(transport_word(t));

		if (len == (size_t)(end - text) && strncasecmp(text, transport_word(t), len) == 0) {
			*ret = t;
			return end + 3;
		}
	}
	return NULL;
}

static bool is_host_character(char c, bool in_brackets)
{
	bool is_hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');

	if (in_brackets) /* '%' for a zone: fe80::1%eth0 */
		return is_hex || c == ':' || c == '.' || c == '%' || (c >= 'a' && c <= 'z') ||
		       (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
	return is_hex || (c >= 'g' && c <= 'z') || (c >= 'G' && c <= 'Z') || c == '-' || c == '_' ||
	       c == '.';
}

/* What is behind the host; NULL where there is none. */
static const char *parse_host(const char *at, struct server_url *url)
{
	size_t len;

	url->is_ipv6 = at[0] == '[';
	if (url->is_ipv6)
		at++;
	len = strcspn(at, url->is_ipv6 ? "]" : ":/?#");
	if (len == 0 || len > SERVER_HOST_MAX || (url->is_ipv6 && at[len] != ']'))
		return NULL;
	for (size_t i = 0; i < len; i++) {
		if (!is_host_character(at[i], url->is_ipv6))
			return NULL;
	}
	memcpy(url->host, at, len);
	url->host[len] = '\0';
	return at + len + (url->is_ipv6 ? 1 : 0);
}

static const char *parse_port(const char *at, struct server_url *url)
{
	unsigned long port = 0;
	const char *begin;

	url->port = default_ports[url->transport];
	if (*at != ':')
		return at;
	begin = ++at;
	while (*at >= '0' && *at <= '9' && at - begin < 6)
		port = port * 10 + (unsigned long)(*at++ - '0');
	if (port == 0 || port > UINT16_MAX)
		return NULL;
	url->port = (uint16_t)port;
	return at;
}

/* The rest: a path (and a query) for WebSocket, a slash or nothing for the others. */
static bool parse_path(const char *at, struct server_url *url)
{
	size_t len = strlen(at);

	if (len > 0 && at[0] != '/' && at[0] != '?')
		return false;
	if (!server_url_is_websocket(url))
		return len == 0 || strcmp(at, "/") == 0;
	if (len + 1 > SERVER_PATH_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		/* Nothing that could end the request's line or is no part of a URL. */
		if ((unsigned char)at[i] <= ' ' || (unsigned char)at[i] >= 0x7f || at[i] == '#')
			return false;
	}
	snprintf(url->path, sizeof(url->path), "%s%s", at[0] == '/' ? "" : "/", at);
	return true;
}

int server_url_parse(const char *text, struct server_url *ret)
{
	struct server_url url = {.path = "/"};
	const char *at = parse_scheme(text, &url.transport);

	if (!at)
		return -EINVAL;
	if (url.transport == TRANSPORT_UNIX) {
		/* 107 bytes and a NUL are what the kernel takes. */
		if (at[0] != '/' || at[1] == '\0' ||
			strlen(at) >= sizeof(((struct sockaddr_un *)0)->sun_path))
			return -EINVAL;
		snprintf(url.path, sizeof(url.path), "%s", at);
		*ret = url;
		return 0;
	}
	if (!(at = parse_host(at, &url)) || !(at = parse_port(at, &url)) || !parse_path(at, &url))
		return -EINVAL;
	*ret = url;
	return 0;
}

void server_url_authority(const struct server_url *url, char to[SERVER_AUTHORITY_MAX])
{
	const char *open = url->is_ipv6 ? "[" : "", *close = url->is_ipv6 ? "]" : "";

	if (url->port == default_ports[url->transport])
		snprintf(to, SERVER_AUTHORITY_MAX, "%s%s%s", open, url->host, close);
	else
		snprintf(to, SERVER_AUTHORITY_MAX, "%s%s%s:%u", open, url->host, close, url->port);
}
