/* The HTTP request that opens a WebSocket (RFC 6455, section 4), and the answers to it.
 *
 * Pure: http-parser reads the head, without an allocation; what it must say is judged here. Any path is taken;
 * extensions are never; X-Forwarded-For and the like are not looked at.
 * Threads  any. Memory  none: slices point into the caller's bytes. Errors  as answers; struct buffer's.
 *
 * Subprotocols: presence.v1 where it is among those offered; where only others are, the answer names none
 * (RFC 6455, 4.2.2), and a client that insists closes by itself, as browsers do. */
#ifndef WIRE_UPGRADE_H
#define WIRE_UPGRADE_H

#include "base/buffer.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>

#define UPGRADE_SUBPROTOCOL "presence.v1"

enum { UPGRADE_HEAD_MAX = 8192, UPGRADE_HEADERS_MAX = 32 };

enum upgrade_what { UPGRADE_MORE, UPGRADE_COMPLETE, UPGRADE_REFUSED, UPGRADE_WHAT_N };

struct upgrade {
	size_t used; /* COMPLETE: bytes of the head. Those behind it are frames already */
	struct slice path, host, origin; /* COMPLETE; origin.text NULL: none was sent */
	struct slice key;
	bool has_subprotocol; /* ours is among those offered */
	unsigned status; /* REFUSED: for upgrade_put_refusal() */
	const char *why; /* REFUSED: static, for people */
};

/* The head that begins at data[0], of which 'len' bytes came. Of the first 'searched' of them an earlier
 * call said MORE: then nothing is parsed again before a line is complete, so that a head that comes byte by
 * byte costs at most a parse a line. What is no HTTP at all is refused by its first bytes.
 *
 * Refused: 400 what is no request of HTTP/1.x, or lacks a thing, or could be read in two ways (folded lines,
 * bare line feeds, a length or encoding of a body, two of what may be there once), 405 other methods than
 * GET, 426 no upgrade to WebSocket or another version of it than 13, 431 over UPGRADE_HEAD_MAX bytes or
 * UPGRADE_HEADERS_MAX headers, 505 HTTP before 1.1 or after 1.x. The origin is the caller's to judge. */
enum upgrade_what upgrade_parse(const char *data, size_t len, size_t searched, struct upgrade *ret);

/* Whether a page of that origin may connect: none was sent (no browser), or it is one of these, whatever the case
 * of its letters, or one of these is "*". */
bool upgrade_origin_allowed(struct slice origin, char *const *allowed, size_t n_allowed);

/* Whether a text can be one of them: "*", "null" or scheme://host[:port], without a path. */
bool upgrade_origin_is_valid(const char *text);

/* "101 Switching Protocols". The slices of 'upgrade' still hold. 'failed' too where the digest's memory is
 * refused. */
void upgrade_put_accept(struct buffer *, const struct upgrade *);

/* A whole answer, after which the connection is closed: the status, and 'why' as its text. */
void upgrade_put_refusal(struct buffer *, unsigned status, const char *why);

#endif
