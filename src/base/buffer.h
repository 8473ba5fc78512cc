/* A byte buffer that grows, for output that is built piece by piece.
 *
 * Threads  the owner's only. Memory  doubles as needed; buffer_free() or CLEANUP(buffer_free).
 * Errors   an append that can't grow sets 'failed', and every later append is nothing: check once, at
 *          the end. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
	char *data; /* not terminated; NULL while cap is 0 */
	size_t len;
	size_t cap;
	bool failed; /* an allocation was refused: the content is not whole */
};

void buffer_free(struct buffer *);
void buffer_clear(struct buffer *); /* keeps the memory, forgets content and failure */

/* Room for 'n' more bytes at the end, to be filled in and added to len; NULL when refused. */
char *buffer_reserve(struct buffer *, size_t n);
void buffer_append(struct buffer *, const void *data, size_t len);
void buffer_append_string(struct buffer *, const char *);
void buffer_append_u64(struct buffer *, uint64_t);
void buffer_append_json(struct buffer *, const char *text, size_t len); /* quoted, escaped */
void buffer_printf(struct buffer *, const char *format, ...) FORMAT_PRINTF(2, 3);

#endif
