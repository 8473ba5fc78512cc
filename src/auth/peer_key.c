#include "auth/peer_key.h"

#include <netinet/in.h>
#include <string.h>

static uint64_t v4_key(const void *bytes)
{
	uint32_t address;

	memcpy(&address, bytes, sizeof(address));
	return UINT64_C(0xffff) << 32 | ntohl(address);
}

uint64_t peer_key(const struct address *a)
{
	const struct in6_addr *in6 = &((const struct sockaddr_in6 *)&a->u.storage)->sin6_addr;
	uint64_t key = 0;

	switch (a->u.any.sa_family) {
	case AF_INET:
		return v4_key(&((const struct sockaddr_in *)&a->u.storage)->sin_addr);
	case AF_INET6:
		if (IN6_IS_ADDR_V4MAPPED(in6))
			return v4_key(in6->s6_addr + 12);
		for (int i = 0; i < 8; i++)
			key = key << 8 | in6->s6_addr[i];
		return key;
	}
	return 0;
}
