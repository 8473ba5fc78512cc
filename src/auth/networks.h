/* Networks in CIDR notation, and whether an address is in one of them: for PRESENCED_PROXY_TRUSTED.
 *
 * "10.0.0.0/8", "2001:db8::/32", or an address alone, which is a network of one. IPv4 and IPv6 are apart: "::/0" holds no
 * IPv4 address. A v4-mapped address or network (::ffff:10.0.0.0/104) is IPv4. Unix sockets are in no network.
 *
 * Pure, immutable once parsed. Threads any. Memory inline. */
#ifndef AUTH_NETWORKS_H
#define AUTH_NETWORKS_H

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NETWORKS_MAX = 64 };

struct network {
	bool is_v4;
	uint8_t bits; /* of the 32 or 128 */
	uint8_t bytes[16]; /* the first 4 for IPv4 */
};

struct networks {
	size_t n;
	struct network all[NETWORKS_MAX];
};

/* One network. -EINVAL, with '*ret_why' a static text of what was expected: "10.0.0.1/8" too, for bits beyond the prefix
 * are a slip of somebody who meant another network. */
int network_parse(const char *text, size_t len, struct network *ret, const char **ret_why);

/* A list with commas, spaces around them let through; the empty text is no network. As above. */
int networks_parse(const char *text, size_t len, struct networks *ret, const char **ret_why);

bool network_contains(const struct network *, const struct address *);
bool networks_contain(const struct networks *, const struct address *);

#endif
