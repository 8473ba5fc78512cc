/* How long to wait before coming back: full jitter, so that those who were lost together do not return together.
 *
 * Pure: random numbers are given. Threads any. Memory none. Time durations in milliseconds. */
#ifndef CLIENT_BACKOFF_H
#define CLIENT_BACKOFF_H

#include <stdint.h>

struct backoff {
	uint32_t first_ms, max_ms; /* 1 <= first_ms <= max_ms */
	uint32_t window_ms; /* of the next wait; 0: first_ms */
};

/* A wait, equally likely between 0 and the window, which then doubles up to max_ms; after 'at_least_ms', which the
 * server asked for, and which it has spread itself. */
uint64_t backoff_next(struct backoff *, uint64_t at_least_ms, uint64_t random);

/* The server is well again: begin with first_ms. */
void backoff_reset(struct backoff *);

#endif
