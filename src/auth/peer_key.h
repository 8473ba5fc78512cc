/* The part of an address that limits count by: what one peer can't change at will.
 *
 * An IPv4 address whole (a v4-mapped IPv6 address is one); of an IPv6 address the /64, for whoever has one address of a
 * network has them all. 64 bits hold both: IPv4 stands at 0:ffff::/32, which is reserved and no peer's. Unix sockets
 * and anything else: 0. Pure. Threads any. */
#ifndef AUTH_PEER_KEY_H
#define AUTH_PEER_KEY_H

#include "base/address.h"

#include <stdint.h>

uint64_t peer_key(const struct address *);

#endif
