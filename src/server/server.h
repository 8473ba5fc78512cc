/* The server: workers, watchdog, and what they share, from start to stop.
 *
 * Owns     mailboxes, wake-up descriptors, the session table, listeners, the threads.
 * Threads  main's only.
 * Order    server_new: table and wake-ups (low descriptor numbers, which every thread's table keeps), claims of
 *          all addresses. server_start: workers, each with its own descriptor table, poller, listeners and
 *          reserve; when all of them stand they accept; then the watchdog. server_stop: the watchdog is
 *          joined, listeners are drained and closed, every client is told bye (and no watcher anything),
 *          workers are joined. server_free: mailboxes emptied, table freed.
 * Errors   0 or negative errno; what failed is logged with its subject; nothing stays half-started. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/address.h"
#include "base/telemetry.h"
#include "presence/table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server_params {
	const struct listen_url
		*listen; /* n_listen of them; copied. TRANSPORT_TCP and TRANSPORT_UNIX */
	size_t n_listen;
	/* Listeners that were opened for us at some of these addresses, n_listen of them, -1: none. The server's from
	 * server_new() on: closed at its end, and nothing else. NULL: none at all. */
	const int *inherited;
	unsigned n_workers;
	unsigned n_processors; /* that the process may use; 0: as many as workers */
	uint32_t heartbeat_ms, heartbeat_min_ms, heartbeat_max_ms, missed_beats;
	uint32_t scan_interval_ms;
	uint32_t hello_timeout_ms, slow_timeout_ms, drain_timeout_ms;
	uint32_t grace_ms; /* 0: none */
	uint32_t max_sessions_per_user, max_watches, max_message;
	uint64_t max_watches_total, max_connections; /* max_connections 0: none */
	uint64_t n_remembered;
	uint64_t max_connections_per_address; /* 0: none */
	uint32_t message_rate, login_rate; /* a second; 0: none */
	char *const *allowed_origins;
	size_t n_allowed_origins;
	const struct networks *proxy_trusted; /* NULL: none */
	bool allow_plaintext; /* also for those off loopback who come without a trusted proxy */
	struct tls_context *tls; /* NULL: none; the server takes references of its own */
	const struct token_rules *tokens; /* NULL: logins need none */
	struct keyring *keyring; /* of n_workers; where there are tokens */
	bool watch_all; /* who has no watch claim may watch everybody */
	uint32_t
		drain_spread_ms; /* clients of a stopping server shall be back within this; 0: no matter */
	uint64_t n_descriptors; /* the limit of one descriptor table */
	uint32_t mailbox_capacity; /* events, of a worker; a power of two */
	struct telemetry *telemetry; /* outlives the server */
	/* Where every event goes, and the descriptor that wakes its owner; outlive the server. NULL, -1: nowhere. */
	struct mailbox *feed;
	int feed_wakeup;
};

struct server;

int server_new(const struct server_params *, struct server **ret);
int server_start(struct server *);
/* The i-th address as it is bound: ports of 0 filled in. */
const struct listen_url *server_listen_url(const struct server *, size_t i);
struct table *server_table(struct server *);
/* One for each worker, for who gives them mail through the table; open until server_free(). */
const int *server_wakeups(const struct server *);
/* From now on new connections get this; those that are there keep theirs. Main, while the server runs. */
void server_replace_tls(struct server *, struct tls_context *);
void server_stop(struct server *);
void server_free(struct server *);

#endif
