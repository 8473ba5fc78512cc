/* Who may come in, and whom it may watch: tokens, and what a session was let in with. */

#include "server/worker_private.h"

#include "auth/keyring.h"
#include "auth/login_rate.h"
#include "auth/peer_key.h"
#include "auth/token.h"
#include "auth/watchlist.h"
#include "base/log.h"

#include <errno.h>
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

static struct pass *pass_new(const char *user, size_t len)
{
	struct pass *p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->user_len = len;
	memcpy(p->user, user, len);
	return p;
}

static void complain(struct worker *w, const struct connection *c, const char *why)
	REQUIRES(role_worker)
{
	struct address peer;
	char text[ADDRESS_TEXT_MAX] = "unknown";
	if (connection_peer(c, &peer))
		address_format(&peer, text);
	log_info("token not accepted", LOG_TEXT("why", why), LOG_TEXT("peer", text));
	worker_count(w, COUNTER_token_failed);
}

static struct pass *pass_of_claims(const struct worker *w, struct token_claims *claims)
{
	struct pass *p = pass_new(claims->user, claims->user_len);
	if (!p)
		return NULL;
	p->watch = claims->watch;
	claims->watch = NULL;
	/* Verified just now: it lies ahead. From here on no clock that can be set counts it down, and none that a suspend
	 * stops. */
	p->expires_ms = worker_boot_ms(w) + (claims->expires_unix_s * 1000 - w->now.wall_ms);
	return p;
}

/* The message's token as a pass, where it is good, and 'user' (NULL: whoever it is) is its subject. */
static enum wire_error verify(struct worker *w, const struct connection *c, const struct message *m,
	struct slice user, struct pass **ret, const char **ret_why) REQUIRES(role_worker)
{
	const struct server_params *p = &w->shared->params;
	struct token_claims claims;
	w->n_signatures++;
	enum token_result result = token_verify(p->tokens, keyring_keys(p->keyring, w->index),
		m->token.text, m->token.len, w->now.wall_ms / 1000, &claims);
	if (result != TOKEN_OK && result != TOKEN_NO_MEMORY) {
		complain(w, c, token_result_text(result));
		*ret_why = "the token is not accepted";
		return WIRE_ERROR_AUTH_FAILED;
	}
	bool is_other = result == TOKEN_OK && user.text &&
			(user.len != claims.user_len ||
				memcmp(user.text, claims.user, claims.user_len) != 0);
	struct pass *pass = result == TOKEN_OK && !is_other ? pass_of_claims(w, &claims) : NULL;
	if (result == TOKEN_OK)
		token_claims_free(&claims);
	if (is_other) {
		complain(w, c, "sub: another user than the one named");
		*ret_why = "the token is not accepted";
		return WIRE_ERROR_AUTH_FAILED;
	}
	if (!pass) {
		worker_count(w, COUNTER_out_of_memory);
		*ret_why = "out of memory";
		return WIRE_ERROR_SERVER_FULL;
	}
	*ret = pass;
	return WIRE_OK;
}

/* Charged before anything is verified. 0: exempt; else a key to refund; false where there were too many. */
static bool charge(struct worker *w, const struct connection *c, uint64_t *ret_key)
	REQUIRES(role_worker)
{
	struct address peer;
	*ret_key = 0;
	if (!connection_peer(c, &peer) || login_rate_exempt(&peer) ||
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
	enum wire_error error = verify(w, c, m, m->user, ret_pass, ret_why);
	if (key != 0 &&
		error != WIRE_ERROR_AUTH_FAILED) /* what we lack is no guess of the peer's */
		login_rate_refund(w->shared->login_rate, key);
	if (!error)
		*ret_user = (struct slice){.text = (*ret_pass)->user, .len = (*ret_pass)->user_len};
	return error;
}

enum wire_error pass_renew(
	struct worker *w, struct connection *c, const struct message *m, const char **ret_why)
{
	if (!w->shared->params.tokens)
		return WIRE_OK; /* of no meaning here */
	struct pass *old = c->side->pass, *fresh;
	struct slice user = {.text = old->user, .len = old->user_len};
	enum wire_error error = verify(w, c, m, user, &fresh, ret_why);
	if (error)
		return error;
	fresh->alarm_ms = old->alarm_ms;
	c->side->pass = fresh;
	pass_free(old);
	if (pass_watch_clock(w, c) != 0) {
		*ret_why = "out of memory";
		return WIRE_ERROR_SERVER_FULL;
	}
	roster_prune(w, c);
	return WIRE_OK;
}

int pass_watch_clock(struct worker *w, struct connection *c)
{
	struct pass *p = c->side->pass;
	uint64_t furthest_ms = worker_boot_ms(w) + ALARM_MAX_MS;
	uint64_t due_ms = p->expires_ms < furthest_ms ? p->expires_ms : furthest_ms;
	if (p->expires_ms == 0 || (p->alarm_ms != 0 && p->alarm_ms <= due_ms))
		return 0; /* the one that is set comes in time to look again */
	if (worker_set_alarm(w, c, ALARM_EXPIRY, due_ms - w->suspended_ms) != 0)
		return -ENOMEM;
	p->alarm_ms = due_ms;
	return 0;
}

bool pass_allows(const struct worker *w, const struct connection *c, struct slice user)
{
	const struct pass *p = c->side ? c->side->pass : NULL;
	return !p || watchlist_allows(p->watch, w->shared->params.watch_all, p->user, p->user_len,
			     user.text, user.len);
}
