/* The scheduler's slice: for how long a thread runs before others that are ready have their turn.
 *
 * Linux's default is about 3 ms. Where more workers are ready than there are processors, each waits for so much of all
 * the others; so short slices are asked for, which cost a switch more now and then. Since Linux 6.12 (EEVDF, custom slices)
 * that is done, for ordinary threads, without any privilege; before it the request is ignored.
 *
 * Threads  any; those that a thread creates later inherit its slice. Errors: 0 or negative errno. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdint.h>

/* The calling thread's from now on; its nice value stays. -EINVAL: it has another scheduling policy than the usual one;
 * -EPERM, -ENOSYS: not here. */
int slice_set(uint64_t ns);

#endif
