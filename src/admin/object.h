/* JSON objects built field by field at the end of a buffer, for documents of thousands of numbers: a field is some 30 ns,
 * where a value that is made, kept and printed is some 300.
 *
 * Nothing checks the nesting: who opens an object closes it. Names are written as they are: our own, of letters, digits and
 * underscores.
 * Threads  the buffer's owner. Errors: the buffer's, which is looked at once, at the end. */
#ifndef ADMIN_OBJECT_H
#define ADMIN_OBJECT_H

#include "base/buffer.h"

#include <stdbool.h>
#include <stdint.h>

void object_begin(struct buffer *);
void object_end(struct buffer *);

/* The name of a value that the caller writes next, behind the fields before it. */
void object_key(struct buffer *, const char *name);

void object_u64(struct buffer *, const char *name,
	uint64_t); /* at most INT64_MAX: readers have signed ones */
void object_i64(
	struct buffer *, const char *name, int64_t); /* null where it is negative: not known */
void object_thousandths(struct buffer *, const char *name, uint64_t); /* 2500 is 2.5 */
void object_text(struct buffer *, const char *name, const char *); /* UTF-8; NULL is null */
void object_bool(struct buffer *, const char *name, bool);

#endif
