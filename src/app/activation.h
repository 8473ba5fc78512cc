/* Socket activation: which of the listeners that were opened for us (net/inherited.h) is for which of the settings'
 * addresses.
 *
 * A listener belongs to the URL of PRESENCED_LISTEN, or to PRESENCED_ADMIN_LISTEN, that has the address it is bound to: what
 * is spoken there is the URL's to say. Addresses that nobody opened are opened by the server as ever; a listener that
 * belongs nowhere is an error, for whoever connects to it would wait for ever.
 * Threads  main, before there are others. */
#ifndef APP_ACTIVATION_H
#define APP_ACTIVATION_H

#include "net/inherited.h"

#include <stddef.h>

struct settings;

enum { ACTIVATION_LISTEN_MAX = 16 }; /* as many URLs as PRESENCED_LISTEN takes */

struct activation {
	int listen[ACTIVATION_LISTEN_MAX]; /* of each URL; -1: none */
	int admin;
	size_t n; /* how many there are in all */
};

/* By the environment. -EBADMSG, after a line in the log of what is wrong. */
int activation_find(const struct settings *, struct activation *ret);

/* The same of listeners that were listed. */
int activation_match(
	const struct settings *, const struct inherited *, size_t n, struct activation *ret);

#endif
