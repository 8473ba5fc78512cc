/* The scheduler's slice: for how long a thread runs before others that are ready have their turn; and whether it displaces
 * who runs when it becomes ready itself.
 *
 * Linux's default is about 3 ms. Where more workers are ready than there are processors, each waits for so much of all
 * the others; so short slices are asked for, which cost a switch more now and then. Since Linux 6.12 (EEVDF, custom slices)
 * that is done, for ordinary threads, without any privilege; before it the request is ignored.
 *
 * A patient thread (SCHED_BATCH, see sched(7)) starts at once where a processor is idle, and else when the slice of who
 * runs is over: by then there is more for it to do, and one wake-up does it all. On processors that are busy a heartbeat
 * costs half of what it does where each one displaces its sender.
 *
 * Threads  any; those that a thread creates later inherit both. Errors: 0 or negative errno. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdint.h>

enum {
	SLICE_SHORT_NS = 500000,
	/* Of who has little to do and is waited for: the least there is. Its turn comes before that of those with longer ones. */
	SLICE_BRIEF_NS = 100000,
};

enum slice_manner { SLICE_PROMPT, SLICE_PATIENT };

/* The calling thread's from now on; its nice value stays. -EINVAL: it has another scheduling policy than the usual one,
 * which was somebody's choice; -EPERM, -ENOSYS: not here. */
int slice_set(uint64_t ns, enum slice_manner manner);

/* The same of a thread that slice_set() did not refuse: from patient to prompt, too. */
int slice_change(uint64_t ns, enum slice_manner manner);

#endif
