#include "failing_alloc.h"

#include <errno.h>
#include <stddef.h>

static _Thread_local long remaining; /* 0: refuse nothing */
static _Thread_local bool refused;

void alloc_fail_begin(long nth)
{
	remaining = nth;
	refused = false;
}

bool alloc_fail_end(void)
{
	remaining = 0;
	return refused;
}

static bool refuse(void)
{
	if (remaining == 0 || --remaining > 0)
		return false;
	refused = true;
	return true;
}

/* The names are the linker's: --wrap=f sends calls of f to __wrap_f, and __real_f is the old f. */
#define WRAP(type, name, parameters, arguments)                                                    \
	type __real_##name parameters;                                                             \
	type __wrap_##name parameters;                                                             \
	type __wrap_##name parameters                                                              \
	{                                                                                          \
		if (refuse()) {                                                                    \
			errno = ENOMEM;                                                            \
			return NULL;                                                               \
		}                                                                                  \
		return __real_##name arguments;                                                    \
	}

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t n, size_t size), (n, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(char *, strdup, (const char *text), (text))
WRAP(char *, strndup, (const char *text, size_t len), (text, len))

int __real_posix_memalign(void **ret, size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size);
int __wrap_posix_memalign(void **ret, size_t alignment, size_t size)
{
	return refuse() ? ENOMEM : __real_posix_memalign(ret, alignment, size);
}
