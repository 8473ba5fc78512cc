#include "server/drain.h"

uint32_t drain_spread_ms(
	const uint64_t sessions_by_transport[TRANSPORT_N], unsigned n_workers, uint32_t most_ms)
{
	uint64_t n_tls =
		sessions_by_transport[TRANSPORT_TLS] + sessions_by_transport[TRANSPORT_WSS];
	uint64_t n_plain = sessions_by_transport[TRANSPORT_TCP] +
			   sessions_by_transport[TRANSPORT_WS] +
			   sessions_by_transport[TRANSPORT_UNIX];
	uint64_t work_ms =
		n_plain * 1000 / DRAIN_LOGINS_A_SECOND + n_tls * 1000 / DRAIN_TLS_LOGINS_A_SECOND;
	uint64_t spread_ms = work_ms / n_workers;

	if (most_ms > DRAIN_MOST_MS)
		most_ms = DRAIN_MOST_MS;
	if (spread_ms > most_ms)
		spread_ms = most_ms;
	return spread_ms > DRAIN_LEAST_MS ? (uint32_t)spread_ms : DRAIN_LEAST_MS;
}
