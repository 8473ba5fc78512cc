/* What the server's threads share, made by server.c before them and outliving them. */
#ifndef SERVER_SHARED_H
#define SERVER_SHARED_H

#include "net/listener.h"
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
	/* Of each URL: the listener that all workers wait on (Unix, inherited), or the claim of a TCP address. */
	int *fds;
	uint64_t inherited; /* a bit for each URL whose listener was opened for us */
	/* atomic: main -> all */
	_Atomic bool is_stopping; /* workers */
	_Atomic uint32_t drain_spread_ms; /* set before it */
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

static inline bool shared_is_inherited(const struct server_shared *shared, size_t i)
{
	return shared->inherited >> i & 1;
}

/* Whether the URL has one listener for all workers, which doesn't take SO_REUSEPORT, rather than one for each. */
static inline bool shared_has_one_listener(const struct server_shared *shared, size_t i)
{
	return shared->urls[i].transport == TRANSPORT_UNIX || shared_is_inherited(shared, i);
}

/* What listeners are told, whoever opened them. */
struct listener_params shared_listener_params(const struct server_shared *);

/* Signals those whom the actor owes a wake-up; holds no lock. 'self' (a worker's number, or UINT_MAX) is awake. */
void shared_wake(struct server_shared *, struct actor *, unsigned self);

#endif
