#include "client/c/backoff.h"

uint64_t backoff_next(struct backoff *b, uint64_t at_least_ms, uint64_t random)
{
	uint32_t window = b->window_ms ? b->window_ms : b->first_ms;

	b->window_ms = window > b->max_ms / 2 ? b->max_ms : window * 2;
	/* Off by 2^-32 of a millisecond from equally likely. */
	return at_least_ms + random % ((uint64_t)window + 1);
}

void backoff_reset(struct backoff *b)
{
	b->window_ms = 0;
}
