/* Two grades of assertion, for our own broken invariants and nothing else: bytes from clients, the
 * environment and the network get an error, never one of these.
 *
 * ensure() stays on in release builds; debug_check() only where PRESENCED_DEBUG is defined.
 * Both print the expression with its place on stderr and abort. */
#ifndef BASE_ENSURE_H
#define BASE_ENSURE_H

#include "base/compiler.h"

NORETURN COLD void ensure_failed(const char *expression, const char *file, int line);

#define ensure(expression)                                                                         \
	do {                                                                                       \
		if (UNLIKELY(!(expression)))                                                       \
			ensure_failed(#expression, __FILE__, __LINE__);                            \
	} while (0)

#ifdef PRESENCED_DEBUG
#define debug_check(expression) ensure(expression)
#else
#define debug_check(expression)                                                                    \
	do {                                                                                       \
		if (0)                                                                             \
			(void)(expression);                                                        \
	} while (0)
#endif

#endif
