/* Who may come in, and whom it may watch: tokens, and what a session was let in with. */

#include "server/worker_private.h"

#include "auth/keyring.h"
#include "auth/login_rate.h"
#include "auth/peer_key.h"
#include "auth/token.h"
#include "auth/watchlist.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void pass_free(struct pass *p)
{
	if (!p)
		return;
	watchlist_free(p->watch);
	free(p);
}

/* The peer's address: what a PROXY header said, else the socket's. False: it is not known any more. */
static bool find_peer(const struct connection *c, struct address *ret)
{
	if (c->side && c->side->peer) {
		*ret = *c->side->peer;
		return true;
	}
	ret->len = sizeof(ret->u.storage);
	return getpeername(c->fd, &ret->u.any, &ret->len) == 0;
}

static struct pass *pass_new(const char *user, size_t len)
{
	struct pass *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->user_len = len;
	memcpy(p->user, user, len);
	return p;
}

/* The token, verified; its claims are then the caller's. */
static enum token_result verify(struct worker *w, struct slice token, struct token_claims *ret)
	REQUIRES(role_worker)
{
	const struct server_params *p = &w->shared->params;
	w->n_signatures++;
	return token_verify(p->tokens, keyring_keys(p->keyring, w->index), token.text, token.len,
		w->now.wall_ms / 1000, ret);
}

static void complain(struct worker *w, const struct connection *c, enum token_result result)
	REQUIRES(role_worker)
{
	struct address peer;
	char text[ADDRESS_TEXT_MAX] = "unknown";
	if (find_peer(c, &peer))
		address_format(&peer, text);
	log_info("token not accepted", LOG_TEXT("why", token_result_text(result)),
		LOG_TEXT("peer", text));
	worker_count(w, COUNTER_token_failed);
}

static struct pass *pass_of_claims(const struct worker *w, struct token_claims *claims)
{
	struct pass *p = pass_new(claims->user, claims->user_len);
	if (!p)
		return NULL;
	p->watch = claims->watch;
	claims->watch = NULL;
	/* Verified just now: it lies ahead. From here on the monotonic clock counts it down. */
	p->expires_ms = w->now.mono_ms + (claims->expires_unix_s * 1000 - w->now.wall_ms);
	return p;
}

/* Charged before anything is verified. 0: exempt; else a key to refund; false where there were too many. */
static bool charge(struct worker *w, const struct connection *c, uint64_t *ret_key)
	REQUIRES(role_worker)
{
	struct address peer;
	*ret_key = 0;
	if (!find_peer(c, &peer) || login_rate_exempt(&peer) ||
		(c->side && c->side->is_local_proxy))
		return true;
	*ret_key = peer_key(&peer);
	return login_rate_charge(w->shared->login_rate, *ret_key, (uint32_t)w->now.mono_ms);
}

enum wire_error pass_check(struct worker *w, struct connection *c, const struct message *m,
	struct slice *ret_user, struct pass **ret_pass, const char **ret_why)
{
	const struct server_params *p = &w->shared->params;
	*ret_user = m->user;
	*ret_pass = NULL;
	*ret_why = "out of memory";
	if (!p->tokens) {
		if (!m->user.text) {
			*ret_why = "user: is missing";
			return WIRE_ERROR_BAD_MESSAGE;
		}
		if (p->watch_all)
			return WIRE_OK;
		*ret_pass = pass_new(m->user.text, m->user.len);
		return *ret_pass ? WIRE_OK : WIRE_ERROR_SERVER_FULL;
	}
	*ret_why = "a token is needed";
	if (!m->token.text)
		return WIRE_ERROR_AUTH_REQUIRED;
	uint64_t key;
	if (!charge(w, c, &key)) {
		worker_count(w, COUNTER_login_rate_limited);
		*ret_why = "too many failed logins";
		return WIRE_ERROR_RATE_LIMITED;
	}
	struct token_claims claims;
	enum token_result result = verify(w, m->token, &claims);
	*ret_why = "the token is not accepted";
	if (result == TOKEN_NO_MEMORY)
		return WIRE_ERROR_SERVER_FULL;
	if (result != TOKEN_OK) {
		complain(w, c, result);
		return WIRE_ERROR_AUTH_FAILED;
	}
	bool is_other =
		m->user.text && (m->user.len != claims.user_len ||
					memcmp(m->user.text, claims.user, claims.user_len) != 0);
	if (is_other) {
		worker_count(w, COUNTER_token_failed);
	} else {
		if (key != 0)
			login_rate_refund(w->shared->login_rate, key);
		*ret_pass = pass_of_claims(w, &claims);
	}
	token_claims_free(&claims);
	if (is_other)
		return WIRE_ERROR_AUTH_FAILED;
	if (!*ret_pass)
		return WIRE_ERROR_SERVER_FULL;
	*ret_user = (struct slice){.text = (*ret_pass)->user, .len = (*ret_pass)->user_len};
	return WIRE_OK;
}

enum wire_error pass_renew(
	struct worker *w, struct connection *c, const struct message *m, const char **ret_why)
{
	if (!w->shared->params.tokens)
		return WIRE_OK; /* of no meaning here */
	struct pass *old = c->side->pass;
	struct token_claims claims;
	enum token_result result = verify(w, m->token, &claims);
	*ret_why = "the token is not accepted";
	if (result == TOKEN_NO_MEMORY)
		return WIRE_ERROR_SERVER_FULL;
	if (result != TOKEN_OK) {
		complain(w, c, result);
		return WIRE_ERROR_AUTH_FAILED;
	}
	bool is_same = claims.user_len == old->user_len &&
		       memcmp(claims.user, old->user, old->user_len) == 0;
	struct pass *fresh = is_same ? pass_of_claims(w, &claims) : NULL;
	token_claims_free(&claims);
	if (!is_same) {
		worker_count(w, COUNTER_token_failed);
		return WIRE_ERROR_AUTH_FAILED;
	}
	if (!fresh)
		return WIRE_ERROR_SERVER_FULL;
	c->side->pass = fresh;
	pass_free(old);
	roster_prune(w, c);
	return WIRE_OK;
}

bool pass_allows(const struct worker *w, const struct connection *c, struct slice user)
{
	const struct pass *p = c->side ? c->side->pass : NULL;
	return !p || watchlist_allows(p->watch, w->shared->params.watch_all, p->user, p->user_len,
			     user.text, user.len);
}
