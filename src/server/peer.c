/* A connection's life: taken in, read, parted with, lingering, closed; and the session it has meanwhile. */

#include "server/worker_private.h"

#include "base/ensure.h"
#include "base/log.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- those with more to read --- */

void worker_want_read(struct worker *w, struct connection *c)
{
	if (c->is_ready)
		return;
	c->is_ready = true;
	c->ready_prev = w->ready_last;
	c->ready_next = CONNECTION_NONE;
	if (w->ready_last == CONNECTION_NONE)
		w->ready_first = (uint32_t)c->fd;
	else
		connections_at(&w->connections, w->ready_last)->ready_next = (uint32_t)c->fd;
	w->ready_last = (uint32_t)c->fd;
}

void worker_forget_read(struct worker *w, struct connection *c)
{
	if (!c->is_ready)
		return;
	c->is_ready = false;
	if (c->ready_prev == CONNECTION_NONE)
		w->ready_first = c->ready_next;
	else
		connections_at(&w->connections, c->ready_prev)->ready_next = c->ready_next;
	if (c->ready_next == CONNECTION_NONE)
		w->ready_last = c->ready_prev;
	else
		connections_at(&w->connections, c->ready_next)->ready_prev = c->ready_prev;
}

/* --- a connection's life --- */

int worker_adopt(struct worker *w, int fd, enum transport transport)
{
	struct connection *c;
	int err = connections_open(&w->connections, fd, transport, &c);
	if (err)
		return err;
	err = poller_add_connection(&w->poller, fd, (uint64_t)c->generation << 32 | (uint32_t)fd);
	if (err) {
		connections_close(c);
		return err;
	}
	timed_list_append(&w->hellos, &w->connections, c,
		(uint32_t)w->now.mono_ms + w->shared->params.hello_timeout_ms);
	w->n_connections++;
	atomic_fetch_add_explicit(&w->shared->n_connections, 1, memory_order_relaxed);
	worker_count(w, COUNTER_accepted);
	return 0;
}

void worker_add_session(struct worker *w, int n)
{
	uint64_t sessions = atomic_load_explicit(&w->telemetry->sessions, memory_order_relaxed);
	atomic_store_explicit(
		&w->telemetry->sessions, sessions + (uint64_t)(int64_t)n, memory_order_relaxed);
}

void worker_close(struct worker *w, struct connection *c)
{
	debug_check(c->phase != PHASE_LIVE);
	if (c->phase == PHASE_HELLO) {
		timed_list_remove(&w->hellos, &w->connections, c);
	} else {
		timed_list_remove(&w->lingering, &w->connections, c);
		w->n_lingering--;
	}
	worker_forget_read(w, c);
	output_free(w, c);
	close(c->fd); /* which takes it out of the poller */
	connections_close(c);
	w->n_connections--;
	atomic_fetch_sub_explicit(&w->shared->n_connections, 1, memory_order_relaxed);
}

static void begin_linger(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	if (c->phase == PHASE_HELLO)
		timed_list_remove(&w->hellos, &w->connections, c);
	c->phase = PHASE_LINGER;
	timed_list_append(&w->lingering, &w->connections, c, (uint32_t)w->now.mono_ms + LINGER_MS);
	w->n_lingering++;
}

void worker_farewell(struct worker *w, struct connection *c, bool was_expired)
{
	debug_check(c->phase != PHASE_LINGER);
	bool had_words = w->out.len > 0 && !w->out.failed && !c->output && !c->is_broken;
	if (had_words) {
		ssize_t n = send(c->fd, w->out.data, w->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		counter_add(worker_counters(w), COUNTER_bytes_out, n > 0 ? (uint64_t)n : 0);
	}
	buffer_clear(&w->out);
	output_free(w, c);
	input_free(c);
	begin_linger(w, c);
	if (c->is_broken) {
		worker_close(w, c);
		return;
	}
	if (w->n_lingering > w->n_descriptors / LINGER_SHARE &&
		!atomic_load(&w->shared->is_stopping)) {
		worker_count(w, COUNTER_lingering_cut);
		worker_close(w, c);
		return;
	}
	shutdown(c->fd, SHUT_WR);
	c->was_expired = was_expired;
	worker_want_read(w, c); /* what is there already makes no edge */
}

/* --- a connection and its session --- */

/* The connection is one without a session; what the record held for it is taken down. */
void worker_let_go(struct worker *w, struct connection *c)
{
	struct watching *watching = connection_watching(c);
	if (watching) {
		watching->fd = CONNECTION_NONE;
		watching->next = w->dying;
		w->dying = watching;
		c->side->watching = NULL;
	}
	c->phase = PHASE_FREE; /* for a moment: the caller makes it linger, or closes */
	worker_add_session(w, -1);
}

void worker_leave_session(struct worker *w, struct connection *c, bool is_listed)
{
	struct session *s = c->u.live.session;
	worker_let_go(w, c);
	table_release(w->table, s, is_listed);
}

void worker_end_session(struct worker *w, struct connection *c, enum reason reason)
{
	struct session *s = c->u.live.session;
	uint64_t id = session_id(s);
	if (id != 0 && table_end(w->table, &w->actor, s, id, reason, w->now))
		log_debug("session ended", LOG_TEXT("reason", reason_word(reason)),
			LOG_U64("worker", w->index));
	worker_leave_session(w, c, false);
}

void worker_detach_session(struct worker *w, struct connection *c)
{
	struct session *s = c->u.live.session;
	uint64_t id = session_id(s);
	worker_let_go(w, c);
	if (!table_detach(w->table, s, id))
		table_release(w->table, s, false);
}

/* --- reading --- */

/* The connection has ended, as errno (0: FIN) says. */
static void end_of_stream(struct worker *w, struct connection *c, int error) REQUIRES(role_worker)
{
	if (c->phase == PHASE_LIVE) {
		switch (error) {
		case 0:
		case EPIPE: /* RST after FIN */
			worker_end_session(w, c, REASON_CLOSED);
			break;
		case ECONNRESET:
			worker_end_session(w, c, REASON_RESET);
			break;
		default:
			/* No route, unacknowledged data: the way is bad, which says nothing of the peer. */
			log_debug("connection lost", LOG_ERRNO(error));
			worker_count(w, COUNTER_connections_lost);
			worker_detach_session(w, c);
			break;
		}
		begin_linger(w, c);
	}
	worker_close(w, c);
}

enum heard worker_read(struct worker *w, struct connection *c)
{
	ssize_t n = recv(c->fd, w->in, READ_MAX, MSG_DONTWAIT);
	int error = errno;
	worker_tick(w);
	if (n > 0) {
		counter_add(worker_counters(w), COUNTER_bytes_in, (uint64_t)n);
		if (LIKELY(c->phase == PHASE_LIVE)) /* relaxed: see stamps.h */
			atomic_store_explicit(
				c->u.live.stamp, w->stamp_ms + c->timeout_ms, memory_order_relaxed);
		if (n == READ_MAX || c->has_hangup)
			worker_want_read(w, c);
		return session_consume(w, c, w->in, (size_t)n) ? HEARD_BYTES : HEARD_END;
	}
	if (n < 0 && error == EINTR) {
		worker_want_read(w, c);
		return HEARD_BYTES;
	}
	if (n < 0 && error == EAGAIN && !c->is_broken) {
		c->has_hangup = false;
		return HEARD_NOTHING;
	}
	end_of_stream(w, c, n == 0 ? 0 : error == EAGAIN ? EIO : error);
	return HEARD_END;
}

/* What comes after our last word is dropped until its end. */
static void read_lingering(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	ssize_t n = recv(c->fd, w->in, READ_MAX, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		worker_close(w, c);
		return;
	}
	if (c->was_expired)
		worker_count(w, COUNTER_mistakes);
	c->was_expired = false;
	c->u.timed.n_bytes += (uint32_t)n;
	if (c->u.timed.n_bytes > LINGER_BYTES)
		worker_close(w, c);
	else
		worker_want_read(w, c);
}

void worker_read_any(struct worker *w, struct connection *c)
{
	if (c->phase == PHASE_LINGER)
		read_lingering(w, c);
	else if (!c->output) /* else it is not read until it takes what it is sent */
		worker_read(w, c);
}
