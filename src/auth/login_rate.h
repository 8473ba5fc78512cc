/* Failed logins, by address: who guesses tokens is slowed down before a signature is verified for it.
 *
 *   if (!login_rate_exempt(&peer) && !login_rate_charge(l, key, now_ms))
 *           rate_limited;
 *   else if (token_verify(...) is good)
 *           login_rate_refund(l, key);          // only where it was charged
 *
 * Charged before and given back after, so that a thousand guesses at once are not all let in before the first is found
 * wrong, while good logins cost nothing: ten thousand users behind one address come back after a restart unhindered.
 * A burst is one second's worth.
 *
 * Owns     LOGIN_RATE_SLOTS buckets of 8 bytes (512 KiB), picked by a seeded hash of the address (peer_key.h: an IPv4
 *          address, an IPv6 /64). Two addresses may meet in one bucket and then share its rate: of 1,000 attackers at
 *          their limit an honest address meets one with 1.5 %, and is refused only while the bucket is empty. The seed
 *          is drawn at start: nobody outside can aim at another's bucket.
 * Threads  any, without a lock: a bucket is one atomic word.
 * Time     a 32-bit millisecond clock, the same for all, as in rate.h. */
#ifndef AUTH_LOGIN_RATE_H
#define AUTH_LOGIN_RATE_H

#include "base/address.h"

#include <stdbool.h>
#include <stdint.h>

enum { LOGIN_RATE_SLOTS = 65536, LOGIN_RATE_DEFAULT = 200 };

struct login_rate;

/* 'per_second' failed logins; 0: no limit, and every charge passes. NULL when memory is refused. */
struct login_rate *login_rate_new(uint32_t per_second);
void login_rate_free(struct login_rate *); /* NULL is fine */

/* By the peer_key(). */
bool login_rate_charge(struct login_rate *, uint64_t key, uint32_t now_ms);
void login_rate_refund(struct login_rate *, uint64_t key);

/* Loopback and Unix sockets. A trusted proxy that sent no PROXY header is the caller's to exempt. */
bool login_rate_exempt(const struct address *peer);

#endif
