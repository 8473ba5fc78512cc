/* A connection's life: taken in, read, parted with, lingering, closed; and the session it has meanwhile. */

#include "server/worker_private.h"

#include "auth/per_address.h"
#include "base/ensure.h"
#include "base/log.h"
#include "net/tls.h"
#include "server/channel.h"
#include "wire/upgrade.h"

#include <errno.h>
#include <stdlib.h>
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

int worker_adopt(struct worker *w, int fd, enum transport transport, uint64_t key, bool is_proxied)
{
	struct connection *c;
	int err = connections_open(&w->connections, fd, transport, &c);
	if (err)
		return err;
	struct side *side = key != 0 ? connection_side(c) : NULL;
	err = key != 0 && !side ? -ENOMEM
				: poller_add_connection(&w->poller, fd,
					  (uint64_t)c->generation << 32 | (uint32_t)fd);
	if (err) {
		free(side);
		c->side = NULL;
		connections_close(c);
		return err;
	}
	if (side) {
		side->peer_key = key;
		side->is_counted = true;
	}
	timed_list_append(&w->hellos, &w->connections, c,
		(uint32_t)w->now.mono_ms + w->shared->params.hello_timeout_ms);
	w->n_connections++;
	atomic_fetch_add_explicit(&w->shared->n_connections, 1, memory_order_relaxed);
	worker_count(w, COUNTER_accepted);
	stage_begin(w, c, is_proxied);
	return 0;
}

void worker_add_session(struct worker *w, int n)
{
	uint64_t sessions = atomic_load_explicit(&w->telemetry->sessions, memory_order_relaxed);
	atomic_store_explicit(
		&w->telemetry->sessions, sessions + (uint64_t)(int64_t)n, memory_order_relaxed);
}

static void forget_side(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	struct side *side = c->side;
	if (!side)
		return;
	if (side->is_counted)
		per_address_leave(w->shared->per_address, side->peer_key);
	tls_free(side->tls);
	pass_free(side->pass);
	arrival_free(side->arrival);
	free(side->peer);
	free(side);
	c->side = NULL;
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
	frames_free(w, c);
	forget_side(w, c);
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

/* The last words, and how the connection's stage closes behind them. */
static void send_last(struct worker *w, struct connection *c, uint16_t close_code)
	REQUIRES(role_worker)
{
	if (c->stage == STAGE_FRAMES && close_code > 0)
		frames_append_close(w, c, close_code);
	frames_seal(w, c);
	if (w->out.len == 0 || w->out.failed || c->is_broken)
		return;
	ssize_t n = channel_send(c, w->out.data, w->out.len);
	counter_add(worker_counters(w), COUNTER_bytes_out, n > 0 ? (uint64_t)n : 0);
}

void worker_farewell(struct worker *w, struct connection *c, uint16_t close_code, bool was_expired)
{
	debug_check(c->phase != PHASE_LINGER);
	send_last(w, c, close_code);
	output_clear(w);
	output_free(w, c);
	input_free(c);
	frames_free(w, c);
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
	channel_shut(c);
	c->was_expired = was_expired;
	worker_want_read(w, c); /* what is there already makes no edge */
}

/* No verdict without a hearing here either: after a stall of ours the hello may lie in the socket. False where it is. */
static bool has_nothing_to_say(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	uint32_t generation = c->generation;
	worker_read_any(w, c);
	return c->phase == PHASE_HELLO && c->generation == generation;
}

bool peer_turn_out(struct worker *w, struct connection *c)
{
	/* Its handshake, or its token, is to be looked at in a turn that has time for it. */
	if ((c->stage == STAGE_TLS || c->is_deferred) && w->n_signatures >= SIGNATURES_PER_TURN)
		return false;
	if (!has_nothing_to_say(w, c))
		return true;
	if (c->is_deferred)
		return false;
	worker_count(w, COUNTER_hello_timeouts);
	worker_count(w, COUNTER_error_hello_required);
	if (c->stage == STAGE_UPGRADE)
		upgrade_put_refusal(&w->out, 408, "no request in time");
	else if (c->stage >= STAGE_FRAMES)
		reply_error(&w->out, NULL, 0, WIRE_ERROR_HELLO_REQUIRED, "no valid hello in time",
			UINT64_MAX);
	worker_farewell(w, c, wire_error_close_code(WIRE_ERROR_HELLO_REQUIRED), false);
	return true;
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
	uint64_t owed = session_id(s) == 0 ? table_owes_baggage(s) : 0;
	if (owed)
		table_deliver_baggage(w->table, &w->actor, s, owed, roster_pack(w, c));
	worker_let_go(w, c);
	table_release(w->table, s, is_listed);
}

/* The baggage of a connection that ends, where there is a grace in which somebody may ask for it. */
static struct baggage pack(struct worker *w, const struct connection *c) REQUIRES(role_worker)
{
	return table_has_grace(w->table) ? roster_pack(w, c) : (struct baggage){.watches = NULL};
}

void worker_end_session(struct worker *w, struct connection *c, enum reason reason)
{
	struct session *s = c->u.live.session;
	uint64_t id = session_id(s);
	bool is_loss = reason == REASON_CLOSED || reason == REASON_RESET;
	enum loss loss = LOSS_STALE;
	if (id != 0 && is_loss)
		loss = table_lose(w->table, &w->actor, s, id, reason, pack(w, c), w->now);
	else if (id != 0 && table_end(w->table, &w->actor, s, id, reason, w->now))
		loss = LOSS_ENDED;
	if (loss != LOSS_STALE)
		log_debug("session ended", LOG_TEXT("reason", reason_word(reason)),
			LOG_U64("worker", w->index), LOG_BOOL("grace", loss == LOSS_KEPT));
	if (loss == LOSS_KEPT)
		worker_let_go(w, c);
	else
		worker_leave_session(w, c, false);
}

void worker_detach_session(struct worker *w, struct connection *c)
{
	struct session *s = c->u.live.session;
	uint64_t id = session_id(s);
	if (id != 0 && table_detach(w->table, &w->actor, s, id, pack(w, c)))
		worker_let_go(w, c);
	else
		worker_leave_session(w, c, false);
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

static bool consume(struct worker *w, struct connection *c, size_t n) REQUIRES(role_worker)
{
	switch ((enum stage)c->stage) {
	case STAGE_LINES:
		return session_consume(w, c, w->in, n);
	case STAGE_FRAMES:
		return frames_consume(w, c, w->in, n);
	case STAGE_UPGRADE:
		return stage_consume_head(w, c, w->in, n);
	case STAGE_PROXY:
	case STAGE_TLS:
	case STAGE_N:
		break;
	}
	ensure(!"these stages read for themselves");
	return false;
}

/* TLS at a port that has none: nothing that could be answered there would be understood. */
static bool is_misplaced_tls(struct worker *w, const struct connection *c, size_t n)
	REQUIRES(role_worker)
{
	if (!channel_is_bare(c) || c->input || !tls_looks_like_client_hello(w->in, n))
		return false;
	log_info("TLS at a port for plain text",
		LOG_TEXT("port", transport_word((enum transport)c->transport)));
	worker_count(w, COUNTER_tls_misplaced);
	return true;
}

/* Heard. And the time since it was heard last buys messages: who sends no more than these needs no bucket. */
static void stamp(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	uint32_t fresh = w->stamp_ms + c->timeout_ms; /* relaxed: see stamps.h */
	uint32_t passed_ms = fresh - atomic_load_explicit(c->u.live.stamp, memory_order_relaxed);
	atomic_store_explicit(c->u.live.stamp, fresh, memory_order_relaxed);
	c->was_pinged = false;
	w->allowance =
		passed_ms < INT32_MAX ? (uint64_t)passed_ms * w->shared->params.message_rate : 0;
}

enum heard worker_read(struct worker *w, struct connection *c)
{
	bool grew = false;
	ssize_t n = channel_receive(c, w->in, READ_MAX, &grew);
	worker_tick(w);
	if (grew && LIKELY(c->phase == PHASE_LIVE))
		stamp(w, c);
	if (n > 0) {
		counter_add(worker_counters(w), COUNTER_bytes_in, (uint64_t)n);
		if (c->phase == PHASE_HELLO && is_misplaced_tls(w, c, (size_t)n)) {
			worker_close(w, c);
			return HEARD_END;
		}
		if (n == READ_MAX || c->has_hangup || channel_has_more(c))
			worker_want_read(w, c);
		if (c->is_broken) { /* nothing can be answered any more: on to the end, to know how it ended */
			worker_want_read(w, c);
			return HEARD_BYTES;
		}
		return consume(w, c, (size_t)n) ? HEARD_BYTES : HEARD_END;
	}
	if (n == -EINTR) {
		worker_want_read(w, c);
		return HEARD_BYTES;
	}
	if (n == -EAGAIN && !c->is_broken) {
		c->has_hangup = false;
		if (channel_has_more(c))
			worker_want_read(w, c);
		return grew ? HEARD_BYTES : HEARD_NOTHING;
	}
	end_of_stream(w, c, n == -EAGAIN ? EIO : (int)-n);
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
	if (c->was_expired) {
		worker_count(w, COUNTER_mistakes);
		histogram_record(
			&w->telemetry->mistake_ms, (uint32_t)w->now.mono_ms - c->deadline_ms);
	}
	c->was_expired = false;
	c->u.timed.n_bytes += (uint32_t)n;
	if (c->u.timed.n_bytes > LINGER_BYTES)
		worker_close(w, c);
	else
		worker_want_read(w, c);
}

static void resume_deferred(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	peer_resume(w, c);
	worker_tick(w); /* a signature later: there may be no time left in this turn */
}

void worker_read_any(struct worker *w, struct connection *c)
{
	if (c->phase == PHASE_LINGER)
		read_lingering(w, c);
	else if (c->stage == STAGE_PROXY)
		stage_take_proxy(w, c);
	else if (c->stage == STAGE_TLS)
		stage_shake_hands(w, c);
	else if (c->is_arriving)
		arrival_go_on(w, c);
	else if (c->is_deferred && w->n_signatures >= SIGNATURES_PER_TURN)
		worker_want_read(w, c); /* to be put off again it need not be read again */
	else if (c->is_deferred)
		resume_deferred(w, c);
	else if (!c->output) /* else it is not read until it takes what it is sent */
		worker_read(w, c);
}

bool peer_resume(struct worker *w, struct connection *c)
{
	if (c->is_arriving)
		return true; /* what it said waits until it has been told of its watches */
	if (c->is_deferred) /* there may be more in the socket, and its edge is gone */
		worker_want_read(w, c);
	c->is_deferred = false;
	struct input *in = c->input;
	c->input = NULL;
	bool is_there = !in || session_consume(w, c, in->bytes, in->len);
	free(in);
	if (!is_there || c->output || c->is_deferred || !c->side || !c->side->frames)
		return is_there;
	in = c->side->frames;
	c->side->frames = NULL;
	is_there = frames_consume(w, c, in->bytes, in->len);
	free(in);
	return is_there;
}

/* --- alarms --- */

int worker_set_alarm(
	struct worker *w, const struct connection *c, enum alarm_kind kind, uint64_t due_ms)
{
	uint64_t last_ms = w->now.mono_ms + ALARM_MAX_MS;
	struct alarm alarm = {.fd = (uint32_t)c->fd, .generation = c->generation};
	alarm.due_ms = ((due_ms < last_ms ? due_ms : last_ms) + w->suspended_ms) &
		       ((UINT64_C(1) << 56) - 1);
	alarm.kind = (uint8_t)kind;
	int err = alarm_set(&w->alarms, alarm);
	if (err)
		worker_count(w, COUNTER_out_of_memory);
	return err;
}

/* A ping at two thirds of a silence, once: a background tab whose timers are throttled is then heard by its browser's
 * pong. */
static void ring_for_ping(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	if (c->phase != PHASE_LIVE)
		return;
	uint32_t stamp_ms = atomic_load_explicit(c->u.live.stamp, memory_order_relaxed);
	int32_t left_ms = (int32_t)(stamp_ms - c->timeout_ms / 3 - (uint32_t)w->now.mono_ms);
	if (left_ms > 0) {
		worker_set_alarm(w, c, ALARM_PING, w->now.mono_ms + (uint32_t)left_ms);
		return;
	}
	worker_set_alarm(w, c, ALARM_PING, w->now.mono_ms + c->timeout_ms / 3 + 1);
	if (!c->was_pinged && !c->output) {
		c->was_pinged = true;
		frames_ping(w, c);
	}
}

static void ring_for_expiry(struct worker *w, struct connection *c, uint64_t due_ms)
	REQUIRES(role_worker)
{
	if (c->phase != PHASE_LIVE || c->side->pass->alarm_ms != due_ms)
		return; /* a renewal has set a nearer one */
	c->side->pass->alarm_ms = 0;
	if (c->side->pass->expires_ms > worker_boot_ms(w)) {
		pass_watch_clock(w, c);
		return;
	}
	worker_end_session(w, c, REASON_EXPIRED);
	output_cut(w, c);
	reply_bye(&w->out, NULL, 0, REASON_EXPIRED, UINT64_MAX);
	worker_farewell(w, c, reason_close_code(REASON_EXPIRED), false);
}

static void ring_for_open_message(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	struct side *side = c->side;
	side->has_open_alarm = side->websocket;
	if (!side->websocket)
		return;
	uint64_t end_ms = side->open_since_ms + OPEN_MESSAGE_MS;
	if (end_ms > w->now.mono_ms) {
		worker_set_alarm(w, c, ALARM_OPEN_MESSAGE, end_ms);
		return;
	}
	/* Its end may lie in the socket. */
	uint32_t generation = c->generation;
	uint8_t phase = c->phase;
	worker_set_alarm(w, c, ALARM_OPEN_MESSAGE, w->now.mono_ms + OPEN_MESSAGE_MS);
	if (!c->output)
		worker_read_any(w, c);
	if (c->generation != generation || c->phase != phase || !side->websocket ||
		side->open_since_ms + OPEN_MESSAGE_MS != end_ms)
		return;
	worker_count(w, COUNTER_open_messages_refused);
	if (c->phase == PHASE_LIVE)
		worker_end_session(w, c, REASON_VIOLATION);
	output_cut(w, c);
	worker_farewell(w, c, reason_close_code(REASON_VIOLATION), false);
}

void peer_ring(struct worker *w, unsigned max)
{
	struct alarm alarm;
	for (unsigned n = 0; n < max && alarm_take(&w->alarms, worker_boot_ms(w), &alarm); n++) {
		struct connection *c = connections_at(&w->connections, alarm.fd);
		if (!c || c->generation != alarm.generation || c->phase == PHASE_LINGER)
			continue;
		switch ((enum alarm_kind)alarm.kind) {
		case ALARM_PING:
			ring_for_ping(w, c);
			break;
		case ALARM_EXPIRY:
			ring_for_expiry(w, c, alarm.due_ms);
			break;
		case ALARM_OPEN_MESSAGE:
			ring_for_open_message(w, c);
			break;
		case ALARM_ARRIVAL:
			if (c->phase == PHASE_LIVE && c->is_arriving)
				arrival_look(w, c, true);
			break;
		case ALARM_N:
			break;
		}
	}
}
