/* Over how much time the clients of a server that stops are asked to come back.
 *
 * Pure. */
#ifndef SERVER_DRAIN_H
#define SERVER_DRAIN_H

#include "base/address.h"

#include <stdint.h>

enum {
	DRAIN_LOGINS_A_SECOND =
		10000, /* of one worker: a third of what it was measured to take in */
	/* The same through TLS: an RSA signature of 2,048 bits is 0.7 ms, and no session is resumed across a restart. */
	DRAIN_TLS_LOGINS_A_SECOND = 1000,
	DRAIN_LEAST_MS = 1000, /* also few shall not come at once */
	DRAIN_MOST_MS =
		30000, /* more than this is worse for those who wait than a crowd is for the server */
	DRAIN_HEAD_MS = 500, /* nobody comes back sooner: there must be a server again */
};

/* The time over which that many sessions come back no faster than the workers take them in; 'most_ms' bounds it where
 * there is a reason to be back sooner: they must all be there before a restart's grace is over. */
uint32_t drain_spread_ms(
	const uint64_t sessions_by_transport[TRANSPORT_N], unsigned n_workers, uint32_t most_ms);

#endif
