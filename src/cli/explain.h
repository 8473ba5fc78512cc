/* Why a user is what it is: sessions and history of the API, in words.
 *
 * Pure. What comes from the server is made safe; what an entry lacks is left out. Memory and errors: the buffer's. */
#ifndef CLI_EXPLAIN_H
#define CLI_EXPLAIN_H

#include "cli/when.h"

#include <jansson.h>

/* A line for each device that is there, as the API's "sessions" says; or that there is none. */
void explain_append_sessions(struct buffer *, const struct style *, const json_t *sessions);

/* One transition, as the API's "history" has it: what happened, on a line, and below it what the server knew. */
void explain_append_entry(struct buffer *, const struct style *, const json_t *entry);

#endif
