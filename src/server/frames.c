/* WebSocket: frames to lines and lines to frames, and the pings that keep a background tab alive. */

#include "server/worker_private.h"

#include "base/ensure.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* --- out --- */

void frames_seal(struct worker *w, const struct connection *c)
{
	size_t len = w->out.len - w->n_sealed;
	if (c->stage == STAGE_FRAMES && len > 0 && !w->out.failed) {
		/* Lines are joined by line ends: the last has none. */
		char header[WEBSOCKET_HEADER_MAX];
		size_t header_len = websocket_put_header(header, WEBSOCKET_OPCODE_TEXT, len - 1);
		debug_check(w->out.data[w->out.len - 1] == '\n');
		if (!buffer_reserve(&w->out, header_len))
			return;
		char *lines = w->out.data + w->n_sealed;
		memmove(lines + header_len, lines, len - 1);
		memcpy(lines, header, header_len);
		w->out.len += header_len - 1;
	}
	w->n_sealed = w->out.len;
}

size_t frames_size(const char *frame)
{
	const unsigned char *head = (const unsigned char *)frame;
	uint64_t len = head[1] & 127u;
	unsigned n_bytes = len == 126 ? 2 : len == 127 ? 8 : 0;
	if (n_bytes > 0)
		len = 0;
	for (unsigned i = 0; i < n_bytes; i++)
		len = len << 8 | head[2 + i];
	return 2 + n_bytes + (size_t)len;
}

static void append_control(struct worker *w, struct connection *c, enum websocket_opcode opcode,
	const char *data, size_t len) REQUIRES(role_worker)
{
	frames_seal(w, c);
	char *to = buffer_reserve(&w->out, WEBSOCKET_CONTROL_MAX);
	if (to)
		w->out.len += websocket_put_control(to, opcode, data, len);
	w->n_sealed = w->out.len;
}

void frames_append_close(struct worker *w, const struct connection *c, uint16_t code)
{
	frames_seal(w, c);
	char *to = buffer_reserve(&w->out, WEBSOCKET_CONTROL_MAX);
	if (to)
		w->out.len += websocket_put_close(to, code, "");
	w->n_sealed = w->out.len;
}

void frames_ping(struct worker *w, struct connection *c)
{
	worker_count(w, COUNTER_pings);
	append_control(w, c, WEBSOCKET_OPCODE_PING, "", 0);
	output_push(w, c);
}

/* --- in --- */

/* The context that reads the connection's frames: its own while one is open, else the worker's. */
static struct websocket *context_of(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	if (c->side && c->side->websocket)
		return c->side->websocket;
	if (!w->websocket && websocket_new(&w->websocket) != 0)
		worker_count(w, COUNTER_out_of_memory);
	return w->websocket;
}

static void take_back(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	if (!c->side || !c->side->websocket)
		return;
	if (w->websocket)
		websocket_free(c->side->websocket);
	else
		w->websocket = c->side->websocket;
	c->side->websocket = NULL;
	w->n_open_messages--;
}

void frames_free(struct worker *w, struct connection *c)
{
	if (!c->side)
		return;
	if (c->side->websocket) {
		websocket_free(c->side->websocket);
		c->side->websocket = NULL;
		w->n_open_messages--;
	}
	free(c->side->frames);
	c->side->frames = NULL;
}

/* The connection ends by its frames: with a close frame of this code. */
static bool end(struct worker *w, struct connection *c, enum reason reason, uint16_t code)
	REQUIRES(role_worker)
{
	if (c->phase == PHASE_LIVE)
		worker_end_session(w, c, reason);
	worker_farewell(w, c, code, false);
	return false;
}

/* A frame or a message is open: the context goes with the connection until it is whole. */
static bool keep_open(struct worker *w, struct connection *c, struct websocket *context)
	REQUIRES(role_worker)
{
	if (websocket_is_idle(context)) {
		take_back(w, c);
		return true;
	}
	if (c->side && c->side->websocket)
		return true;
	if (!connection_side(c) || w->n_open_messages >= OPEN_MESSAGES_MAX) {
		worker_count(w, COUNTER_open_messages_refused);
		websocket_free(context);
		w->websocket = NULL;
		return end(w, c, REASON_VIOLATION, WEBSOCKET_CODE_TRY_LATER);
	}
	c->side->websocket = context;
	c->side->open_since_ms = w->now.mono_ms;
	w->websocket = NULL;
	w->n_open_messages++;
	if (!c->side->has_open_alarm)
		worker_set_alarm(w, c, ALARM_OPEN_MESSAGE, w->now.mono_ms + OPEN_MESSAGE_MS);
	c->side->has_open_alarm = true;
	return true;
}

static bool keep_frames(struct worker *w, struct connection *c, const char *data, size_t len)
	REQUIRES(role_worker)
{
	if (len == 0)
		return true;
	struct side *side = connection_side(c);
	struct input *in = side ? malloc(sizeof(*in) + len) : NULL;
	if (!in) {
		worker_count(w, COUNTER_out_of_memory);
		return end(w, c, REASON_CLOSED, WEBSOCKET_CODE_TRY_LATER);
	}
	debug_check(!side->frames);
	*in = (struct input){.len = (uint32_t)len, .capacity = (uint32_t)len};
	memcpy(in->bytes, data, len);
	side->frames = in;
	return true;
}

/* A context that has said its last word is of no use to anybody else. */
static void drop_context(struct worker *w, struct connection *c, struct websocket *context)
	REQUIRES(role_worker)
{
	if (w->websocket == context) {
		websocket_free(context);
		w->websocket = NULL;
	}
	frames_free(w, c);
}

#ifdef PRESENCED_WEBSOCKET_ECHO
/* Of the tests' build only, for conformance tools: a message comes back as it came, without a session, and may be as
 * long as a session's. */
static bool take_text(struct worker *w, struct connection *c, const struct websocket_event *e)
	REQUIRES(role_worker)
{
	char header[WEBSOCKET_HEADER_MAX];
	frames_seal(w, c);
	buffer_append(&w->out, header, websocket_put_header(header, WEBSOCKET_OPCODE_TEXT, e->len));
	buffer_append(&w->out, e->data, e->len);
	w->n_sealed = w->out.len;
	return true;
}

static uint32_t message_limit(const struct worker *w, const struct connection *c)
{
	(void)c;
	return w->shared->params.max_message;
}
#else
static bool take_text(struct worker *w, struct connection *c, const struct websocket_event *e)
	REQUIRES(role_worker)
{
	return session_consume_message(w, c, e->data, e->len);
}

static uint32_t message_limit(const struct worker *w, const struct connection *c)
	REQUIRES(role_worker)
{
	return session_line_limit(w, c);
}
#endif

static bool take_event(struct worker *w, struct connection *c, struct websocket *context,
	enum websocket_what what, const struct websocket_event *e) REQUIRES(role_worker)
{
	switch (what) {
	case WEBSOCKET_MORE:
	case WEBSOCKET_PONG:
		return true;
	case WEBSOCKET_TEXT:
		return take_text(w, c, e);
	case WEBSOCKET_PING:
		append_control(w, c, WEBSOCKET_OPCODE_PONG, e->data, e->len);
		return true;
	case WEBSOCKET_CLOSE: {
		uint16_t code = e->code;
		drop_context(w, c, context);
		return end(w, c, REASON_CLOSED, code);
	}
	case WEBSOCKET_VIOLATION: {
		uint16_t code = e->code;
		log_debug("bad frame", LOG_TEXT("why", e->why));
		worker_count(w, COUNTER_bad_frames);
		if (code == WEBSOCKET_CODE_TOO_BIG) {
			worker_count(w, COUNTER_error_line_too_long);
			reply_error(&w->out, NULL, 0, WIRE_ERROR_LINE_TOO_LONG,
				"the message is over the limit", UINT64_MAX);
		}
		drop_context(w, c, context);
		return end(w, c, REASON_VIOLATION, code);
	}
	case WEBSOCKET_NO_MEMORY:
		worker_count(w, COUNTER_out_of_memory);
		drop_context(w, c, context);
		return end(w, c, REASON_CLOSED, WEBSOCKET_CODE_TRY_LATER);
	case WEBSOCKET_WHAT_N:
		break;
	}
	ensure(!"a frame is one of the above");
	return false;
}

bool frames_consume(struct worker *w, struct connection *c, const char *data, size_t len)
{
	while (len > 0) {
		if (c->output || c->is_deferred || c->is_broken)
			return keep_frames(w, c, data, len);
		struct websocket *context = context_of(w, c);
		if (!context)
			return end(w, c, REASON_CLOSED, WEBSOCKET_CODE_TRY_LATER);
		struct websocket_event event;
		size_t used;
		enum websocket_what what =
			websocket_feed(context, data, len, message_limit(w, c), &used, &event);
		data += used;
		len -= used;
		/* An open message's context is the connection's before its lines are answered: they may end it. */
		if (what == WEBSOCKET_MORE && !keep_open(w, c, context))
			return false;
		if (!take_event(w, c, context, what, &event))
			return false;
		if (what != WEBSOCKET_MORE && !keep_open(w, c, context))
			return false;
	}
	output_flush(w, c);
	output_push(w, c);
	return true;
}
