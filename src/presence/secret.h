/* The secret of a session, which resumes it: nothing that is kept anywhere, but its name and a MAC over that.
 *
 * HMAC-SHA-256, cut to 128 bits, with a key that this start of the server has drawn; compared in constant time.
 * Threads  any. Errors -ENOMEM: OpenSSL had none. */
#ifndef PRESENCE_SECRET_H
#define PRESENCE_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SECRET_KEY_LEN = 32,
	SECRET_MAC_LEN = 16,
	SECRET_NAME_DIGITS = 16,
	SECRET_LEN = SECRET_NAME_DIGITS + 2 * SECRET_MAC_LEN,
	SECRET_TEXT_MAX = SECRET_LEN + 1
};

int secret_make(const unsigned char key[SECRET_KEY_LEN], uint64_t name, char ret[SECRET_TEXT_MAX]);
/* Whether the text was made by secret_make(), with this key; '*ret_name' is what for. */
bool secret_open(
	const unsigned char key[SECRET_KEY_LEN], const char *text, size_t len, uint64_t *ret_name);

/* 16 hexadecimal digits, lower case, as a number; false where it is something else. */
bool secret_parse_name(const char *text, size_t len, uint64_t *ret);

#endif
