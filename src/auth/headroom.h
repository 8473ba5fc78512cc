/* Whether there is memory, asked before libraries are called that don't survive a refusal.
 *
 * cjose 0.6.2 does not look whether ECDSA_SIG_new() and BN_new() gave it something, and the jansson 2.14 below it
 * goes on with strings that lack bytes. Both allocate little and give it back at once; so as much as they take is
 * asked for first, on this thread, and given back: what glibc has just got back it gives again. That narrows the
 * window to other threads of the same arena; it does not close it.
 *
 * Threads any. */
#ifndef AUTH_HEADROOM_H
#define AUTH_HEADROOM_H

#include <stddef.h>

/* Less than what makes free() hand memory back to the kernel (64 KiB); see token.h for why it is enough. */
enum { HEADROOM_BYTES = 60 * 1024 };

/* 0 or -ENOMEM */
int headroom_check(void);

#endif
