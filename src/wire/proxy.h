/* The PROXY protocol, versions 1 and 2: what a proxy says of the peer before the peer's own bytes.
 *
 * Pure: whether the sender may be believed is the caller's to know. Checksums and other TLVs are skipped.
 * Threads any. Memory none. Errors as answers. */
#ifndef WIRE_PROXY_H
#define WIRE_PROXY_H

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>

enum {
	PROXY_LINE_MAX = 107, /* of version 1, with its CRLF: the specification's */
	PROXY_HEADER_MAX = 4096 /* of version 2, with its TLVs: ours */
};

enum proxy_what { PROXY_MORE, PROXY_COMPLETE, PROXY_MALFORMED, PROXY_WHAT_N };

struct proxy_header {
	size_t used; /* COMPLETE: bytes of the header; the peer's own are behind it */
	bool has_address; /* else it is the proxy's own connection (LOCAL), or unknown, or no stream of these: */
	struct address from; /* the peer: IPv4, IPv6 or a Unix socket */
	const char *why; /* MALFORMED: static, for people */
};

/* The header that begins at data[0], of which 'len' bytes came. What can't become one is refused by the first
 * byte that says so. Never looks further than PROXY_HEADER_MAX. */
enum proxy_what proxy_parse(const char *data, size_t len, struct proxy_header *ret);

#endif
