/* Writing JSON by template: the few pieces, each returning the end of what it wrote.
 *
 * The caller has made sure of the room: a macro says the worst case of each. Nothing is terminated.
 * Tested against jansson's reading of the same text. */
#ifndef BASE_JSON_TEXT_H
#define BASE_JSON_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define JSON_STRING_MAX(len) (6 * (size_t)(len) + 2) /* every byte a \u00XX, and the quotes */
#define JSON_U64_MAX         20

/* Quoted and escaped by RFC 8259: quote, backslash, control characters and DEL. The text is valid UTF-8. */
char *json_put_string(char *to, const char *text, size_t len);
char *json_put_u64(char *to, uint64_t);
char *json_put_i64(char *to, int64_t); /* JSON_U64_MAX + 1 */

/* A literal, its length known to the compiler. */
#define json_put_literal(to, literal)                                                              \
	((char *)memcpy((to), (literal), sizeof(literal) - 1) + sizeof(literal) - 1)

#endif
