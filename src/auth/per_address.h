/* Connections by address, for PRESENCED_MAX_CONNECTIONS_PER_ADDRESS: exact, up at accept and down at close.
 *
 * Counted by peer_key.h (an IPv4 address, an IPv6 /64); exact, since the hash is a bijection of that key: no two
 * addresses share a count.
 *
 * Owns     an entry for each address that has connections, none for others.
 * Threads  any.
 * Locks    one a stripe, rank RANK_STRIPE: held for a few loads, over no call out but the allocator's; no other is held
 *          with it. Not atomics in a fixed table: entries have to come and go to bound the memory by what is live, and
 *          two workers that enter the same address at once must meet in one entry. It is taken at accept and at close,
 *          where the system call costs a hundred times as much, and only where a limit is set.
 * Memory   32 bytes an address, a pointer a bucket.
 * Errors   0 or negative errno. */
#ifndef AUTH_PER_ADDRESS_H
#define AUTH_PER_ADDRESS_H

#include <stdint.h>

struct per_address;

/* NULL when memory is refused. */
struct per_address *per_address_new(uint32_t max);
/* Whatever is still counted goes too; NULL is fine. */
void per_address_free(struct per_address *);

/* One more of a peer_key(). -EUSERS: it has 'max' already; -ENOMEM. Neither is counted. */
int per_address_enter(struct per_address *, uint64_t key);
/* One that was entered is gone. */
void per_address_leave(struct per_address *, uint64_t key);

uint32_t per_address_count(struct per_address *, uint64_t key);
uint64_t per_address_entries(struct per_address *); /* addresses that have connections */

#endif
