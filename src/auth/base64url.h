/* base64url without padding (RFC 7515, appendix C), as strict as a signature wants it: one text for one row of
 * bytes. Pure. Threads any. */
#ifndef AUTH_BASE64URL_H
#define AUTH_BASE64URL_H

#include <stddef.h>

#define BASE64URL_DECODED_MAX(len) ((size_t)(len) / 4 * 3 + 2)

/* The bytes, and how many. -EINVAL: another character (padding, space, + and / too), a length that no row of
 * bytes has, or bits set beyond the last byte. */
int base64url_decode(const char *text, size_t len, unsigned char *to, size_t *ret_len);

#endif
