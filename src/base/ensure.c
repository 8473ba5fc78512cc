#include "base/ensure.h"

#include <stdio.h>
#include <stdlib.h>

void ensure_failed(const char *expression, const char *file, int line)
{
	dprintf(2, "presenced: broken invariant at %s:%d: %s\n", file, line, expression);
	abort();
}
