/* /stats as a screen for people. Pure. Memory and errors: the buffer's. */
#ifndef CLI_STATS_TEXT_H
#define CLI_STATS_TEXT_H

#include "cli/when.h"

#include <jansson.h>

/* 'before' is the same server's document of 'elapsed_ms' earlier, for rates; NULL: none. What a document lacks is
 * left out, and counters that this version does not know are shown by their prefix all the same. */
void stats_append_text(struct buffer *, const struct style *, const json_t *stats,
	const json_t *before, uint64_t elapsed_ms);

#endif
