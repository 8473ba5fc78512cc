/* Connections come in: listeners, limits, and what is done when there are no descriptors left. */

#include "server/worker_private.h"

#include "auth/networks.h"
#include "auth/peer_key.h"
#include "auth/per_address.h"
#include "base/log.h"
#include "net/listener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPT_PAUSE_MS = 100 };

int accept_open(struct worker *w)
{
	struct listener_params params = shared_listener_params(w->shared);
	for (size_t i = 0; i < w->shared->params.n_listen; i++) {
		const struct listen_url *url = &w->shared->urls[i];
		if (shared_has_one_listener(w->shared, i)) {
			w->listeners[i] = w->shared->fds[i];
			continue;
		}
		int err = listener_open_shared(&url->address, &params, &w->listeners[i]);
		if (err)
			return err;
	}
	return 0;
}

int accept_begin(struct worker *w)
{
	for (size_t i = 0; i < w->shared->params.n_listen; i++) {
		bool is_shared = shared_has_one_listener(w->shared, i);
		int err = poller_add_shared(
			&w->poller, w->listeners[i], TOKEN_LISTENER(i), is_shared);
		if (err)
			return err;
	}
	w->accept_again_ms = 0;
	return 0;
}

/* Nothing to accept with: rather than spin on a listener that stays readable, look away for a while. */
static void pause_accepting(struct worker *w) REQUIRES(role_worker)
{
	for (size_t i = 0; i < w->shared->params.n_listen; i++)
		poller_remove(&w->poller, w->listeners[i]);
	w->accept_again_ms = w->now.mono_ms + ACCEPT_PAUSE_MS;
	w->knocked = 0;
}

/* Says why it can't stay, where the listener's connections begin with lines, and closes. */
static void turn_away(struct worker *w, int fd, size_t listener, enum wire_error error,
	const char *why) REQUIRES(role_worker)
{
	enum transport transport = w->shared->urls[listener].transport;
	output_clear(w);
	if (error)
		reply_error(&w->out, NULL, 0, error, why, worker_retry_ms(w));
	else
		reply_bye(&w->out, NULL, 0, REASON_SHUTDOWN, worker_shutdown_retry_ms(w));
	if (!w->out.failed && (transport == TRANSPORT_TCP || transport == TRANSPORT_UNIX)) {
		(void)!send(fd, w->out.data, w->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		counter_add(worker_counters(w), COUNTER_error_server_full, error ? 1 : 0);
	}
	output_clear(w);
	shutdown(fd, SHUT_WR);
	close(fd);
}

static bool is_full(struct worker *w) REQUIRES(role_worker)
{
	uint64_t max = w->shared->params.max_connections;
	return max > 0 &&
	       atomic_load_explicit(&w->shared->n_connections, memory_order_relaxed) >= max;
}

/* Out of descriptors: the reserve lets one connection in, to be told. */
static bool refuse_one(struct worker *w, size_t i) REQUIRES(role_worker)
{
	struct address peer;
	int fd;
	if (!reserve_spend(&w->reserve))
		return false;
	int err = listener_accept(w->listeners[i], &peer, &fd);
	if (!err) {
		turn_away(w, fd, i, WIRE_ERROR_SERVER_FULL, "out of file descriptors");
		worker_count(w, COUNTER_refused_descriptors);
	}
	return reserve_open(&w->reserve) == 0 && !err;
}

/* Plain text from off this host is let in only where that is meant: by the operator, or by a trusted proxy. */
static bool may_be_plain(
	const struct worker *w, size_t i, const struct address *peer, bool is_proxied)
{
	enum transport transport = w->shared->urls[i].transport;
	bool is_encrypted = transport == TRANSPORT_TLS || transport == TRANSPORT_WSS;
	return is_encrypted || is_proxied || w->shared->params.allow_plaintext ||
	       address_is_loopback(peer);
}

/* Takes an accepted connection in, or turns it away. */
static void admit(struct worker *w, size_t i, int fd, const struct address *peer)
	REQUIRES(role_worker)
{
	const struct networks *trusted = w->shared->params.proxy_trusted;
	bool is_proxied = trusted && networks_contain(trusted, peer);
	if (is_full(w)) {
		worker_count(w, COUNTER_refused_full);
		turn_away(w, fd, i, WIRE_ERROR_SERVER_FULL, "too many connections");
		return;
	}
	if (!may_be_plain(w, i, peer, is_proxied)) {
		char text[ADDRESS_TEXT_MAX];
		address_format(peer, text);
		log_warning("plain text from off this host is not allowed", LOG_TEXT("peer", text));
		worker_count(w, COUNTER_refused_plaintext);
		close(fd);
		return;
	}
	/* Behind a proxy the address is not known yet: see stage.c. */
	uint64_t key = is_proxied || !w->shared->per_address ? 0 : peer_key(peer);
	if (key != 0 && per_address_enter(w->shared->per_address, key) != 0) {
		worker_count(w, COUNTER_refused_address);
		turn_away(w, fd, i, WIRE_ERROR_SERVER_FULL, "too many connections of this address");
		return;
	}
	int err = worker_adopt(w, fd, w->shared->urls[i].transport, key, is_proxied);
	if (!err)
		return;
	log_error("connection refused", LOG_ERRNO(-err));
	if (key != 0)
		per_address_leave(w->shared->per_address, key);
	turn_away(w, fd, i, WIRE_ERROR_SERVER_FULL, "no room for another connection");
}

/* One connection from the listener; false when there is none, for now. */
static bool accept_one(struct worker *w, size_t i) REQUIRES(role_worker)
{
	struct address peer;
	int fd;
	int err = listener_accept(w->listeners[i], &peer, &fd);
	switch (-err) {
	case 0:
		break;
	case EAGAIN:
		return false;
	case EMFILE:
	case ENFILE:
		log_warning("out of file descriptors", LOG_U64("worker", w->index),
			LOG_U64("connections", w->n_connections));
		if (refuse_one(w, i))
			return true;
		pause_accepting(w);
		return false;
	case ENOBUFS:
	case ENOMEM:
		log_error("accept failed", LOG_ERRNO(-err));
		worker_count(w, COUNTER_accept_errors);
		pause_accepting(w);
		return false;
	default:
		/* The network's own errors of a connection that is gone again: accept(2) hands them on. */
		worker_count(w, COUNTER_accept_errors);
		return true;
	}
	admit(w, i, fd, &peer);
	return true;
}

void accept_some(struct worker *w, uint64_t until_ns)
{
	while (w->knocked) {
		size_t i = (size_t)__builtin_ctzll(w->knocked);
		/* Whoever still waits when the time is over keeps the listener readable. */
		while (w->now_ns < until_ns && accept_one(w, i))
			worker_tick(w);
		w->knocked &= w->knocked - 1;
	}
}

void accept_close(struct worker *w)
{
	enum { DRAIN_MAX = 8192 }; /* twice the backlog */
	w->accept_again_ms = 0;
	w->knocked = 0;
	for (size_t i = 0; i < w->shared->params.n_listen; i++) {
		struct address peer;
		int fd;
		bool is_shared = shared_has_one_listener(w->shared, i);
		if (w->listeners[i] < 0)
			continue;
		/* Whoever waits at one that outlives us is our successor's. */
		unsigned n_most = shared_is_inherited(w->shared, i) ? 0 : DRAIN_MAX;
		for (unsigned n = 0;
			n < n_most && listener_accept(w->listeners[i], &peer, &fd) == 0; n++)
			turn_away(w, fd, i, WIRE_OK, NULL);
		poller_remove(&w->poller, w->listeners[i]);
		if (!is_shared)
			close(w->listeners[i]);
		w->listeners[i] = -1;
	}
}
