#include "auth/rate.h"

static uint32_t bounded(uint32_t per_second)
{
	return per_second > RATE_MAX ? RATE_MAX : per_second;
}

/* A request has 1,000 ids at most; whoever counts more pays what a counter holds. */
static uint32_t cost_of(uint32_t n_ids)
{
	uint64_t cost = RATE_UNITS + (uint64_t)n_ids * RATE_UNITS_PER_ID;
	uint32_t most = RATE_MAX * (uint32_t)RATE_UNITS;

	return cost > most ? most : (uint32_t)cost;
}

/* The most that may be taken before, for this still to pass. */
static uint32_t room_for(uint32_t cost, uint32_t per_second)
{
	uint32_t bucket = per_second * RATE_UNITS * RATE_BURST_S;

	return cost < bucket ? bucket - cost : 0;
}

bool rate_take(struct rate *r, uint32_t per_second, uint32_t n_ids, uint32_t now_ms)
{
	uint32_t cost = cost_of(n_ids);

	if (per_second == 0)
		return true;
	per_second = bounded(per_second);
	r->taken = rate_drain(r->taken, r->at_ms, per_second, now_ms);
	r->at_ms = now_ms;
	if (r->taken > room_for(cost, per_second))
		return false;
	r->taken += cost;
	return true;
}

uint32_t rate_wait_ms(const struct rate *r, uint32_t per_second, uint32_t n_ids, uint32_t now_ms)
{
	if (per_second == 0)
		return 0;
	per_second = bounded(per_second);
	uint32_t taken = rate_drain(r->taken, r->at_ms, per_second, now_ms);
	uint32_t room = room_for(cost_of(n_ids), per_second);
	return taken <= room ? 0 : (taken - room + per_second - 1) / per_second;
}
