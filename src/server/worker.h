/* A worker: a thread with its own descriptor table, listeners, poller, connections, watch index and mailbox.
 *
 * Its turn: reads that are ready come first; then the hearings that the watchdog asked for, the mailbox, the fan-out,
 * accepts, and the closing of what has ended, each within a slice of time and with a cursor to go on from. No
 * call of it blocks but the wait, and no lock is held over a system call.
 *
 * Threads  worker_new, _start, _join, _free: main. All else happens inside. */
#ifndef SERVER_WORKER_H
#define SERVER_WORKER_H

#include "server/shared.h"

struct worker;

int worker_new(struct server_shared *, unsigned index, struct worker **ret);
/* Starts the thread: it opens its listeners, posts shared->listening, and waits for shared->accepting. */
int worker_start(struct worker *);
/* Once it has posted: what opening the listeners came to. */
int worker_error(const struct worker *);
void worker_join(struct worker *);
void worker_free(struct worker *);

#endif
