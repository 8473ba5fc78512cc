/* What the server's threads share, made by server.c before them and outliving them. */
#ifndef SERVER_SHARED_H
#define SERVER_SHARED_H

#include "presence/mailbox.h"
#include "server/server.h"

#include <semaphore.h>

struct server_shared {
	/* const after start */
	struct server_params params;
	struct table *table;
	struct mailbox *mailboxes[WORKERS_MAX]; /* the workers' */
	struct mailbox watchdog_mailbox;
	int wakeups
		[WORKERS_MAX]; /* eventfds: the same numbers in every thread's descriptor table */
	int watchdog_wakeup;
	unsigned n_low_descriptors; /* those below this number are shared by all threads */
	struct listen_url *urls; /* as bound */
	int *fds; /* of each URL: the Unix listener itself, or the claim of a TCP address */
	/* atomic: main -> all */
	_Atomic bool is_stopping; /* workers */
	_Atomic bool is_watchdog_stopping;
	/* atomic: workers -> workers */
	_Atomic uint64_t n_watches; /* of all, for the limit in all */
	_Atomic uint64_t n_connections;
	struct login_rate *login_rate; /* locks and atomics of its own; NULL without tokens */
	struct per_address *per_address; /* the same; NULL without a limit */
	/* atomic: watchdog -> workers: until then nobody is buried (burial.h); monotonic */
	_Atomic uint64_t burial_from_ms;
	/* atomic: main -> worker: a newer context, with a reference; NULL: there is none */
	_Atomic(struct tls_context *) tls_offers[WORKERS_MAX];
	/* semaphores: workers -> main: the listeners stand, or failed; main -> workers: go on, to accept or to stop */
	sem_t listening, accepting;
};

/* Signals those whom the actor owes a wake-up; holds no lock. 'self' (a worker's number, or UINT_MAX) is awake. */
void shared_wake(struct server_shared *, struct actor *, unsigned self);

#endif
