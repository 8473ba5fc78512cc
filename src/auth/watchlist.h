/* Whom somebody may watch: the "watch" claim of a token.
 *
 * The claim is an array of strings, or one string, which is the same as an array of it. Each is
 *   - an id: that user;
 *   - "prefix*": every user whose id begins with the prefix. Only a * at the very end is a wildcard, anywhere else it
 *     is a character like others. So an id that itself ends in * can't be named alone: "a**" allows it, and with it
 *     whatever else begins with "a*";
 *   - "*": everybody.
 * An empty array is nobody. Everybody may watch itself, whatever the claim or the default says: who logs in as a user
 * knows it to be online already, and PROTOCOL.md has it so.
 *
 * Owns     a copy of the names, immutable.  Threads any.
 * Memory   one block, less than the token's own 8 KiB, and 4 bytes a name.
 * Time     binary search: a watch of 1,000 ids against a claim of 2,000 is no work. */
#ifndef AUTH_WATCHLIST_H
#define AUTH_WATCHLIST_H

#include "base/json_read.h"

#include <stdbool.h>
#include <stddef.h>

struct watchlist;

/* From the claim. -EINVAL: not an array of strings, or one of them is no id (1..128 bytes, no control characters) and no
 * prefix of one; -ENOMEM. */
int watchlist_new(struct json_part claim, struct watchlist **ret);
void watchlist_free(struct watchlist *); /* NULL is fine */

/* Whether 'self' may watch 'user'. 'list' NULL is a token without the claim (or no token): then 'is_open' decides, which
 * is PRESENCED_DEFAULT_WATCH, true for "all". */
bool watchlist_allows(const struct watchlist *list, bool is_open, const char *self, size_t self_len,
	const char *user, size_t user_len);

#endif
