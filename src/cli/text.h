/* Text from elsewhere: user ids, status texts, a server's words, arguments.
 *
 * None of it reaches a terminal raw: what could move the cursor, change colours or turn the direction of
 * writing is escaped. Pure. Threads any. Memory and errors: the buffer's. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include "base/buffer.h"

/* Escaped: control characters (C0, DEL, C1), line and paragraph separators and those that turn the direction, as
 * \xNN or \u{NNNN}; bytes that are no UTF-8 as \xNN; a backslash as two. */
void text_append_safe(struct buffer *, const char *text, size_t len);

/* The same, and in quotes where it might be taken for something else: empty, or with a space, a quote or an escape
 * in it. So a user called "bob is offline" is not read as a message. */
void text_append_name(struct buffer *, const char *text, size_t len);
void text_append_quoted(struct buffer *, const char *text, size_t len); /* always in quotes */

/* For a segment of a path or a value in a query: all but RFC 3986's unreserved as %NN. */
void text_append_percent(struct buffer *, const char *text, size_t len);

/* What the protocol takes as an id: 1 to 'max' bytes of UTF-8 without control characters. */
bool text_is_id(const char *text, size_t len, size_t max);
/* Likewise of a status, which may be empty. */
bool text_is_words(const char *text, size_t len, size_t max);

#endif
