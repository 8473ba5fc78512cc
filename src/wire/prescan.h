/* A look at JSON text before the parser, which recurses: how deep does it nest, at most?
 *
 * One pass, no memory. Strings and their escapes are honoured; whether the text is JSON at all is the
 * parser's to say. Pure. Threads any. */
#ifndef WIRE_PRESCAN_H
#define WIRE_PRESCAN_H

#include <stdbool.h>
#include <stddef.h>

enum { JSON_DEPTH_MAX = 16 };

/* Whether the text nests arrays and objects deeper than 'max'. */
bool prescan_too_deep(const char *text, size_t len, unsigned max);

#endif
