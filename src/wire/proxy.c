#include "wire/proxy.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

static enum proxy_what malformed(struct proxy_header *ret, const char *why)
{
	*ret = (struct proxy_header){.why = why};
	return PROXY_MALFORMED;
}

/* --- version 1: a line --- */

/* What is left of the line, as text of its own. */
struct line {
	char text[PROXY_LINE_MAX + 1];
	char *rest;
};

/* The next word; the last one where 'is_last'. There is one space between two of them; NULL where there is not. */
static const char *next_word(struct line *l, bool is_last)
{
	char *word = l->rest;
	char *end = strchrnul(word, ' ');

	if ((*end == '\0') != is_last)
		return NULL;
	l->rest = is_last ? end : end + 1;
	*end = '\0';
	return word;
}

/* 0 to 65535 in decimal, without leading zeros. */
static bool port_parse(const char *word, uint16_t *ret)
{
	size_t len = word ? strlen(word) : 0;
	unsigned long port = 0;

	if (len < 1 || len > 5 || (len > 1 && word[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (word[i] < '0' || word[i] > '9')
			return false;
		port = port * 10 + (unsigned long)(word[i] - '0');
	}
	if (port > UINT16_MAX)
		return false;
	*ret = (uint16_t)port;
	return true;
}

static bool host_parse(const char *word, int family, struct address *ret)
{
	struct address made = {0};
	void *to = family == AF_INET ? (void *)&((struct sockaddr_in *)&made.u.storage)->sin_addr
				     : (void *)&((struct sockaddr_in6 *)&made.u.storage)->sin6_addr;

	if (!word || inet_pton(family, word, to) != 1)
		return false;
	made.u.any.sa_family = (sa_family_t)family;
	made.len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
	*ret = made;
	return true;
}

/* The line after "PROXY ", without its end. */
static enum proxy_what line_parse(struct line *l, struct proxy_header *ret)
{
	struct address from, to;
	uint16_t from_port, to_port;

	/* What follows UNKNOWN is not to be looked at. */
	if (strcmp(l->rest, "UNKNOWN") == 0 || strncmp(l->rest, "UNKNOWN ", 8) == 0)
		return PROXY_COMPLETE;
	const char *family = next_word(l, false);
	if (!family || (strcmp(family, "TCP4") != 0 && strcmp(family, "TCP6") != 0))
		return malformed(ret, "expected TCP4, TCP6 or UNKNOWN");
	int af = family[3] == '4' ? AF_INET : AF_INET6;
	if (!host_parse(next_word(l, false), af, &from) ||
		!host_parse(next_word(l, false), af, &to))
		return malformed(ret, "expected two addresses of that family");
	if (!port_parse(next_word(l, false), &from_port) ||
		!port_parse(next_word(l, true), &to_port))
		return malformed(ret, "expected two ports");
	address_set_port(&from, from_port);
	ret->has_address = true;
	ret->from = from;
	return PROXY_COMPLETE;
}

static enum proxy_what version_1(const char *data, size_t len, struct proxy_header *ret)
{
	size_t max = len < PROXY_LINE_MAX ? len : PROXY_LINE_MAX;
	const char *end = memchr(data, '\n', max);
	struct line l;

	if (!end && len < PROXY_LINE_MAX)
		return PROXY_MORE;
	if (!end || end[-1] != '\r') /* there is a byte before: the signature */
		return malformed(ret, "expected a line of at most 107 bytes that ends with CRLF");
	size_t line_len = (size_t)(end - 1 - data);
	if (memchr(data, '\0', line_len) || memchr(data, '\r', line_len))
		return malformed(ret, "a control character in the line");
	memcpy(l.text, data, line_len);
	l.text[line_len] = '\0';
	l.rest = l.text + strlen("PROXY ");
	ret->used = line_len + 2;
	return line_parse(&l, ret);
}

/* --- version 2: binary --- */

enum {
	V2_HEAD = 16, /* signature, version and command, family and protocol, length */
	V2_COMMAND = 12,
	V2_FAMILY = 13,
	V2_LENGTH = 14,
	V2_IPV4_LEN = 12, /* two addresses, two ports */
	V2_IPV6_LEN = 36,
	V2_UNIX_LEN = 216, /* two paths */
	V2_PATH_LEN = 108
};

static const char v2_signature[] = "\r\n\r\n\0\r\nQUIT\n";

static struct address address_v4(const char *block)
{
	struct address made = {.len = sizeof(struct sockaddr_in)};
	struct sockaddr_in *in = (struct sockaddr_in *)&made.u.storage;

	in->sin_family = AF_INET;
	memcpy(&in->sin_addr, block, 4);
	memcpy(&in->sin_port, block + 8, 2);
	return made;
}

static struct address address_v6(const char *block)
{
	struct address made = {.len = sizeof(struct sockaddr_in6)};
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&made.u.storage;

	in6->sin6_family = AF_INET6;
	memcpy(&in6->sin6_addr, block, 16);
	memcpy(&in6->sin6_port, block + 32, 2);
	return made;
}

/* A path, or an abstract name after a NUL, or nothing. */
static struct address address_unix(const char *block)
{
	struct address made = {0};
	size_t len = strnlen(block, V2_PATH_LEN);

	static_assert(sizeof(made.u.local.sun_path) == V2_PATH_LEN, "a path fits");
	if (len == 0)
		len = 1 + strnlen(block + 1, V2_PATH_LEN - 1);
	made.u.local.sun_family = AF_UNIX;
	if (len == 1 && block[0] == '\0')
		len = 0;
	memcpy(made.u.local.sun_path, block, len);
	if (len > 0 && block[0] != '\0' && len < V2_PATH_LEN)
		len++; /* a path counts its NUL, as the kernel's do */
	made.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
	return made;
}

/* The addresses of 'family', the byte of family and protocol. */
static enum proxy_what block_parse(
	unsigned char family, const char *block, size_t len, struct proxy_header *ret)
{
	static const char too_short[] = "the header is too short for its addresses";

	switch (family) {
	case 0x00: /* unspecified */
		return PROXY_COMPLETE;
	case 0x12: /* datagrams are nothing that we have: as unspecified, says the specification */
	case 0x22:
	case 0x32:
		return PROXY_COMPLETE;
	case 0x11:
		if (len < V2_IPV4_LEN)
			return malformed(ret, too_short);
		ret->from = address_v4(block);
		break;
	case 0x21:
		if (len < V2_IPV6_LEN)
			return malformed(ret, too_short);
		ret->from = address_v6(block);
		break;
	case 0x31:
		if (len < V2_UNIX_LEN)
			return malformed(ret, too_short);
		ret->from = address_unix(block);
		break;
	default:
		return malformed(ret, "no such family and protocol");
	}
	ret->has_address = true;
	return PROXY_COMPLETE;
}

static enum proxy_what version_2(const char *data, size_t len, struct proxy_header *ret)
{
	const unsigned char *bytes = (const unsigned char *)data;

	if (len <= V2_COMMAND)
		return PROXY_MORE;
	if (bytes[V2_COMMAND] != 0x20 && bytes[V2_COMMAND] != 0x21)
		return malformed(ret, "no such version or command");
	if (len < V2_HEAD)
		return PROXY_MORE;
	size_t block_len = (size_t)bytes[V2_LENGTH] << 8 | bytes[V2_LENGTH + 1];
	if (V2_HEAD + block_len > PROXY_HEADER_MAX)
		return malformed(ret, "the header is longer than 4096 bytes");
	if (len < V2_HEAD + block_len)
		return PROXY_MORE;
	ret->used = V2_HEAD + block_len;
	if (bytes[V2_COMMAND] == 0x20) /* LOCAL: the proxy's own, whatever else it says */
		return PROXY_COMPLETE;
	return block_parse(bytes[V2_FAMILY], data + V2_HEAD, block_len, ret);
}

enum proxy_what proxy_parse(const char *data, size_t len, struct proxy_header *ret)
{
	static const char v1_signature[] = "PROXY ";
	size_t v1_len = sizeof(v1_signature) - 1, v2_len = sizeof(v2_signature) - 1;

	*ret = (struct proxy_header){0};
	if (len == 0)
		return PROXY_MORE;
	if (memcmp(data, v1_signature, len < v1_len ? len : v1_len) == 0)
		return len < v1_len ? PROXY_MORE : version_1(data, len, ret);
	if (memcmp(data, v2_signature, len < v2_len ? len : v2_len) == 0)
		return version_2(data, len, ret);
	return malformed(ret, "no PROXY header");
}
