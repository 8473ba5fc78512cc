/* What a connection goes through before its first line: a PROXY header, a TLS handshake, an HTTP request. All of it under
 * the hello's deadline. */

#include "server/worker_private.h"

#include "auth/peer_key.h"
#include "auth/per_address.h"
#include "base/ensure.h"
#include "base/log.h"
#include "net/tls.h"
#include "server/channel.h"
#include "wire/proxy.h"
#include "wire/upgrade.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static bool is_encrypted(const struct connection *c)
{
	return c->transport == TRANSPORT_TLS || c->transport == TRANSPORT_WSS;
}

static bool is_web(const struct connection *c)
{
	return c->transport == TRANSPORT_WS || c->transport == TRANSPORT_WSS;
}

/* The connection's next stage, made ready. False: it was closed. */
static bool enter(struct worker *w, struct connection *c, enum stage stage) REQUIRES(role_worker)
{
	c->stage = (uint8_t)stage;
	if (stage != STAGE_TLS)
		return true;
	struct side *side = connection_side(c);
	struct tls_context *newer = atomic_exchange(&w->shared->tls_offers[w->index], NULL);
	if (newer) {
		tls_context_unref(w->tls);
		w->tls = newer;
	}
	int err = side ? tls_new(w->tls, c->fd, &side->tls) : -ENOMEM;
	if (!err)
		return true;
	worker_count(w, COUNTER_out_of_memory);
	worker_close(w, c);
	return false;
}

static enum stage stage_behind(const struct connection *c, enum stage stage)
{
	if (stage < STAGE_TLS && is_encrypted(c))
		return STAGE_TLS;
	return stage < STAGE_UPGRADE && is_web(c) ? STAGE_UPGRADE : STAGE_LINES;
}

bool stage_begin(struct worker *w, struct connection *c, bool has_proxy_header)
{
	return enter(w, c, has_proxy_header ? STAGE_PROXY : stage_behind(c, STAGE_PROXY));
}

/* --- PROXY header --- */

/* Too many of that address: said where the peer's first words would be lines. */
static void say_full(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	if (stage_behind(c, STAGE_PROXY) != STAGE_LINES)
		return;
	worker_count(w, COUNTER_error_server_full);
	reply_error(&w->out, NULL, 0, WIRE_ERROR_SERVER_FULL,
		"too many connections of this address", worker_retry_ms(w));
}

/* Who the connection is from, as the header says. False: no memory, or too many of that address. */
static bool set_peer(struct worker *w, struct connection *c, const struct proxy_header *header)
	REQUIRES(role_worker)
{
	struct side *side = connection_side(c);
	if (side && !header->has_address) {
		side->is_local_proxy = true;
		return true;
	}
	if (side)
		side->peer = malloc(sizeof(*side->peer));
	if (!side || !side->peer) {
		worker_count(w, COUNTER_out_of_memory);
		return false;
	}
	*side->peer = header->from;
	uint64_t key = peer_key(side->peer);
	if (!w->shared->per_address || key == 0)
		return true;
	if (per_address_enter(w->shared->per_address, key) != 0) {
		worker_count(w, COUNTER_refused_address);
		say_full(w, c);
		return false;
	}
	side->peer_key = key;
	side->is_counted = true;
	return true;
}

/* Looked at where it lies and then taken to the byte: what follows may be TLS, and then it is not ours to read. */
bool stage_take_proxy(struct worker *w, struct connection *c)
{
	ssize_t n = recv(c->fd, w->in, PROXY_HEADER_MAX, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) {
		worker_close(w, c);
		return false;
	}
	struct proxy_header header;
	switch (proxy_parse(w->in, (size_t)n, &header)) {
	case PROXY_MORE:
		if (c->has_hangup) /* the rest won't come */
			worker_close(w, c);
		return false;
	case PROXY_COMPLETE:
		break;
	case PROXY_MALFORMED:
	case PROXY_WHAT_N:
		log_warning("no PROXY header from a trusted network", LOG_TEXT("why", header.why));
		worker_count(w, COUNTER_proxy_malformed);
		worker_close(w, c);
		return false;
	}
	if (recv(c->fd, w->in, header.used, MSG_DONTWAIT) != (ssize_t)header.used ||
		!set_peer(w, c, &header)) {
		worker_farewell(w, c, 0, false);
		return false;
	}
	worker_want_read(w, c); /* what lies behind the header makes no edge */
	return enter(w, c, stage_behind(c, STAGE_PROXY));
}

/* --- TLS --- */

bool stage_shake_hands(struct worker *w, struct connection *c)
{
	if (w->n_signatures >= SIGNATURES_PER_TURN) {
		worker_want_read(w, c);
		return false;
	}
	w->n_signatures++;
	int progress = tls_handshake(c->side->tls);
	if (progress < 0) {
		log_info("TLS handshake failed", LOG_TEXT("why", tls_reason(c->side->tls)),
			LOG_ERRNO(-progress));
		worker_count(w, COUNTER_tls_failed);
		worker_close(w, c);
		return false;
	}
	if (progress != TLS_DONE) {
		if (tls_has_more(c->side->tls))
			worker_want_read(w, c);
		return false;
	}
	worker_count(w, COUNTER_tls_handshakes);
	worker_want_read(w, c);
	return enter(w, c, stage_behind(c, STAGE_TLS));
}

/* --- HTTP --- */

static bool refuse_upgrade(struct worker *w, struct connection *c, unsigned status, const char *why)
	REQUIRES(role_worker)
{
	log_info("WebSocket refused", LOG_U64("status", status), LOG_TEXT("why", why));
	worker_count(w, status == 403 ? COUNTER_origin_refused : COUNTER_upgrade_refused);
	upgrade_put_refusal(&w->out, status, why);
	worker_farewell(w, c, 0, false);
	return false;
}

/* Judges the head in 'data'; '*ret_used' is 0 while there is more to come. */
static bool judge_head(struct worker *w, struct connection *c, const char *data, size_t len,
	size_t searched, size_t *ret_used) REQUIRES(role_worker)
{
	const struct server_params *p = &w->shared->params;
	struct upgrade upgrade;
	*ret_used = 0;
	switch (upgrade_parse(data, len, searched, &upgrade)) {
	case UPGRADE_MORE:
		return true;
	case UPGRADE_COMPLETE:
		break;
	case UPGRADE_REFUSED:
	case UPGRADE_WHAT_N:
		return refuse_upgrade(w, c, upgrade.status, upgrade.why);
	}
	if (!upgrade_origin_allowed(upgrade.origin, p->allowed_origins, p->n_allowed_origins))
		return refuse_upgrade(w, c, 403, "this origin is not allowed");
	upgrade_put_accept(&w->out, &upgrade);
	w->n_sealed = w->out.len;
	c->stage = STAGE_FRAMES;
	*ret_used = upgrade.used;
	worker_count(w, COUNTER_upgrades);
	return true;
}

static bool out_of_memory(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	worker_count(w, COUNTER_out_of_memory);
	worker_close(w, c);
	return false;
}

bool stage_consume_head(struct worker *w, struct connection *c, const char *data, size_t len)
{
	struct input *kept = NULL;
	size_t searched = 0, used;
	if (c->input) {
		searched = c->input->len;
		if (input_append(c, data, len, true) != 0)
			return out_of_memory(w, c);
		kept = c->input;
		c->input = NULL;
		data = kept->bytes;
		len = kept->len;
	}
	bool is_there = judge_head(w, c, data, len, searched, &used);
	if (is_there && used == 0) {
		if (kept)
			c->input = kept;
		else if (input_append(c, data, len, true) != 0)
			return out_of_memory(w, c);
		return true;
	}
	if (is_there)
		is_there = frames_consume(w, c, data + used, len - used);
	free(kept);
	if (is_there)
		output_push(w, c);
	return is_there;
}
