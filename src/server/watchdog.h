/* The watchdog: a thread that scans the stamps every interval, asks workers to hear the silent, and expires those
 * who were heard and had nothing to say. It also watches the workers' progress and its own lateness.
 *
 * Threads  watchdog_start, _stop: main. Errors 0 or negative errno. */
#ifndef SERVER_WATCHDOG_H
#define SERVER_WATCHDOG_H

#include "server/shared.h"

struct watchdog;

int watchdog_start(struct server_shared *, struct watchdog **ret);
void watchdog_stop(struct watchdog *); /* joins it; NULL is fine */

#endif
