/* The admin HTTP server: what operators and their monitoring ask.
 *
 * Owns     its listening socket, libmicrohttpd's one thread and its connections.
 * Threads  main: admin_start, admin_tell_websocket, admin_stop. The server's thread has the role of admin: it reads telemetry and the table,
 *          ends sessions that the operator kicks, and blocks on nothing but its epoll and the table's stripes. All
 *          signals are blocked in it.
 * Memory   at most max_connections of 32 KiB and one document of 256 KiB each; and 64 MiB of bodies and longer
 *          documents in all.
 * Limits   a connection that says and takes nothing for timeout_s is closed; at max_connections new ones wait in
 *          the backlog until others are closed. A head over 8 KiB, a body over 4 MiB and one where none is
 *          expected are refused. Errors are {"error":{"code","message"}}, but for what libmicrohttpd refuses before any
 *          handler sees it (no HTTP, a head beyond 32 KiB): that gets a fitting status with its own page.
 * Errors   0 or negative errno; outputs are untouched on failure. */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

#include "admin/stats.h"
#include "base/address.h"
#include "base/telemetry.h"
#include "feed/feed.h"
#include "presence/table.h"

struct admin;

/* What the demo page is told of the server. */
struct admin_demo {
	char *const *allowed_origins; /* outlive the server */
	size_t n_allowed_origins;
	bool asks_token; /* of those who log in */
};

struct admin_params {
	struct address listen; /* port 0 asks the kernel for one */
	/* A listener that was opened for us at that address, the admin server's from here on; 0 or less: there is none. */
	int inherited_fd;
	const char *version; /* static */
	const struct telemetry *telemetry; /* outlive the server, as does the table */
	struct table *table;
	struct feed *
		feed; /* outlives the server; NULL: there are no events to be followed, and no history */
	struct counters *counters; /* the admin thread's own */
	/* The workers' wake-up descriptors: whom the table gives mail through this thread is signalled. */
	const int *wakeups;
	unsigned n_wakeups;
	const char *token; /* NULL: none is asked for; copied */
	bool is_metrics_public; /* /metrics needs no token */
	uint32_t scan_interval_ms; /* the watchdog's: informs only */
	struct admin_limits limits;
	struct admin_demo demo;
	unsigned max_connections; /* 0: ADMIN_MAX_CONNECTIONS */
	unsigned timeout_s; /* 0: ADMIN_TIMEOUT_S */
	unsigned keepalive_ms; /* of streams that have nothing to say; 0: STREAM_KEEPALIVE_MS */
};

/* Some hundreds, so that scrapers that hang do not keep the health probes out; the timeout, above a usual scrape
 * timeout of 10 s, is what ends them. */
enum { ADMIN_MAX_CONNECTIONS = 512, ADMIN_TIMEOUT_S = 15 };

/* Listens and answers. '*ret_bound' is where, the port filled in. The errors of bind(2) (-EADDRINUSE, -EACCES,
 * -EADDRNOTAVAIL ...), -ENOMEM, -EAGAIN (no thread), -EMFILE. */
int admin_start(const struct admin_params *, struct admin **ret, struct address *ret_bound);

/* Where a page reaches the server, once it is bound; outlives the admin server. Main's, once. */
void admin_tell_websocket(struct admin *, const struct listen_url *);

/* Closes the listener and all connections, what is unsent with them, and joins the thread. Of NULL: nothing. */
void admin_stop(struct admin *);

#endif
