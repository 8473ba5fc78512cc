#include "auth/networks.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

static const char expected_network[] =
	"expected a network: an IPv4 or IPv6 address, and /bits where it is more than one";

/* 0 to 'max' in decimal, without sign, space or leading zero. */
static bool bits_parse(const char *text, size_t len, unsigned max, uint8_t *ret)
{
	unsigned bits = 0;

	if (len < 1 || len > 3 || (len > 1 && text[0] == '0'))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		bits = bits * 10 + (unsigned)(text[i] - '0');
	}
	*ret = (uint8_t)bits;
	return bits <= max;
}

static bool has_bits_beyond(const struct network *n)
{
	for (unsigned i = n->bits; i < (n->is_v4 ? 32U : 128U); i++) {
		if (n->bytes[i / 8] & (0x80 >> i % 8))
			return true;
	}
	return false;
}

/* ::ffff:0:0/96 and below are IPv4. */
static void unmap(struct network *n)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (n->is_v4 || n->bits < 96 || memcmp(n->bytes, mapped, sizeof(mapped)) != 0)
		return;
	memmove(n->bytes, n->bytes + 12, 4);
	memset(n->bytes + 4, 0, 12);
	n->is_v4 = true;
	n->bits -= 96;
}

int network_parse(const char *text, size_t len, struct network *ret, const char **ret_why)
{
	const char *slash = memchr(text, '/', len);
	size_t host_len = slash ? (size_t)(slash - text) : len;
	struct network n = {0};
	char host[INET6_ADDRSTRLEN];

	if (host_len >= sizeof(host) || memchr(text, '\0', len)) {
		*ret_why = expected_network;
		return -EINVAL;
	}
	memcpy(host, text, host_len);
	host[host_len] = '\0';
	n.is_v4 = inet_pton(AF_INET, host, n.bytes) == 1;
	if (!n.is_v4 && inet_pton(AF_INET6, host, n.bytes) != 1) {
		*ret_why = expected_network;
		return -EINVAL;
	}
	n.bits = n.is_v4 ? 32 : 128;
	if (slash && !bits_parse(slash + 1, len - host_len - 1, n.bits, &n.bits)) {
		*ret_why = "expected /0 to /32 for IPv4, /0 to /128 for IPv6";
		return -EINVAL;
	}
	if (has_bits_beyond(&n)) {
		*ret_why = "expected no bits set beyond the prefix: 10.0.0.0/8, not 10.0.0.1/8";
		return -EINVAL;
	}
	unmap(&n);
	*ret = n;
	return 0;
}

int networks_parse(const char *text, size_t len, struct networks *ret, const char **ret_why)
{
	const char *at = text, *end = text + len;
	struct networks list = {0};
	bool is_last = len == 0;

	while (!is_last) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *to = comma ? comma : end;

		is_last = !comma;
		while (at < to && *at == ' ')
			at++;
		while (at < to && to[-1] == ' ')
			to--;
		if (list.n == NETWORKS_MAX) {
			*ret_why = "expected at most 64 networks";
			return -EINVAL;
		}
		int err = network_parse(at, (size_t)(to - at), &list.all[list.n], ret_why);
		if (err)
			return err;
		list.n++;
		if (comma)
			at = comma + 1;
	}
	*ret = list;
	return 0;
}

/* The address's bytes as a network of one; false for what is no internet address. */
static bool bytes_of(const struct address *a, struct network *ret)
{
	const struct sockaddr_in *in = (const struct sockaddr_in *)&a->u.storage;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->u.storage;

	switch (a->u.any.sa_family) {
	case AF_INET:
		*ret = (struct network){.is_v4 = true, .bits = 32};
		memcpy(ret->bytes, &in->sin_addr, 4);
		return true;
	case AF_INET6:
		*ret = (struct network){.is_v4 = false, .bits = 128};
		memcpy(ret->bytes, &in6->sin6_addr, 16);
		unmap(ret);
		return true;
	}
	return false;
}

static bool has_prefix(const struct network *n, const struct network *one)
{
	unsigned whole = n->bits / 8, rest = n->bits % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	return n->is_v4 == one->is_v4 && memcmp(n->bytes, one->bytes, whole) == 0 &&
	       (rest == 0 || ((n->bytes[whole] ^ one->bytes[whole]) & mask) == 0);
}

bool network_contains(const struct network *n, const struct address *a)
{
	struct network one;

	return bytes_of(a, &one) && has_prefix(n, &one);
}

bool networks_contain(const struct networks *list, const struct address *a)
{
	struct network one;

	if (!bytes_of(a, &one))
		return false;
	for (size_t i = 0; i < list->n; i++) {
		if (has_prefix(&list->all[i], &one))
			return true;
	}
	return false;
}
