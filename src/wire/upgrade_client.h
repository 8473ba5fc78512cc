/* The client's side of the HTTP that opens a WebSocket (RFC 6455, section 4.1): the request, and reading the answer.
 *
 * Pure: http-parser reads the head, without an allocation. Threads any. Memory none: what is told points into the
 * caller's bytes. Errors as answers; struct buffer's. */
#ifndef WIRE_UPGRADE_CLIENT_H
#define WIRE_UPGRADE_CLIENT_H

#include "base/buffer.h"

#include <stddef.h>

enum { UPGRADE_KEY_LEN = 24, UPGRADE_ANSWER_MAX = 8192, UPGRADE_WHY_MAX = 96 };

/* The key of these 16 random bytes, in base64, terminated. */
void upgrade_make_key(const unsigned char random[16], char to[UPGRADE_KEY_LEN + 1]);

/* The request: 'host' as it stands in the URL, with the port where it is not the scheme's; 'path' begins with '/'. */
void upgrade_put_request(struct buffer *, const char *host, const char *path, const char *key);

enum upgrade_answer {
	UPGRADE_ANSWER_MORE,
	UPGRADE_ANSWER_ACCEPTED,
	UPGRADE_ANSWER_REFUSED,
	UPGRADE_ANSWER_N
};

/* The answer that begins at data[0]. ACCEPTED: '*ret_used' bytes are its head, and those behind it frames. REFUSED: an
 * answer that is no 101, or not the one to this key, or that no client may take; 'ret_why' says it, for people,
 * terminated. */
enum upgrade_answer upgrade_read_answer(const char *data, size_t len, const char *key,
	size_t *ret_used, char ret_why[UPGRADE_WHY_MAX]);

#endif
