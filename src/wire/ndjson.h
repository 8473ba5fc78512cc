/* Lines out of a stream of bytes: newline-delimited JSON, a '\r' before the '\n' dropped.
 *
 * Pure: bytes in, slices out, nothing kept: the rest is the caller's to keep. Threads any. */
#ifndef WIRE_NDJSON_H
#define WIRE_NDJSON_H

#include <stdbool.h>
#include <stddef.h>

/* The line that begins at data[0]: true, with '*ret_line_len' its length without its end and '*ret_used' with
 * it; false where no '\n' is among the 'len' bytes. 'searched' bytes at the start are known to hold none. */
bool ndjson_next(
	const char *data, size_t len, size_t searched, size_t *ret_line_len, size_t *ret_used);

#endif
