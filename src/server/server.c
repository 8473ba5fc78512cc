#include "server/server.h"

#include "auth/login_rate.h"
#include "auth/per_address.h"
#include "base/ensure.h"
#include "base/log.h"
#include "net/descriptors.h"
#include "net/listener.h"
#include "net/tls.h"
#include "presence/inquiry.h"
#include "server/drain.h"
#include "server/shared.h"
#include "server/watchdog.h"
#include "server/worker.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct server {
	struct server_shared shared;
	struct worker *workers[WORKERS_MAX];
	unsigned n_started; /* workers whose threads run */
	struct watchdog *watchdog;
};

void shared_wake(struct server_shared *shared, struct actor *a, unsigned self)
{
	uint64_t workers = a->wake_workers;
	a->wake_workers = 0;
	for (; workers; workers &= workers - 1) {
		unsigned i = (unsigned)__builtin_ctzll(workers);
		if (i == self)
			continue;
		wakeup_signal(shared->wakeups[i]);
		counter_add(a->counters, COUNTER_wakeups, 1);
	}
	if (a->wake_watchdog) {
		a->wake_watchdog = false;
		wakeup_signal(shared->watchdog_wakeup);
		counter_add(a->counters, COUNTER_wakeups, 1);
	}
	if (a->wake_feed) {
		a->wake_feed = false;
		wakeup_signal(shared->params.feed_wakeup);
		counter_add(a->counters, COUNTER_wakeups, 1);
	}
}

/* --- what all threads share --- */

static int open_wakeups(struct server_shared *shared)
{
	int err = wakeup_open(&shared->watchdog_wakeup);
	for (unsigned i = 0; i < shared->params.n_workers && !err; i++)
		err = wakeup_open(&shared->wakeups[i]);
	return err;
}

static int open_mailboxes(struct server_shared *shared)
{
	int err = mailbox_init(&shared->watchdog_mailbox, 0);
	for (unsigned i = 0; i < shared->params.n_workers && !err; i++) {
		struct mailbox *m = aligned_alloc(CACHE_LINE, sizeof(*m));
		if (!m)
			return -ENOMEM;
		err = mailbox_init(m, shared->params.mailbox_capacity);
		if (err)
			free(m);
		else
			shared->mailboxes[i] = m;
	}
	return err;
}

static int complain(int err)
{
	if (err)
		log_error("can't start", LOG_ERRNO(-err));
	return err;
}

static void complain_of_url(const struct listen_url *url, int err)
{
	char text[ADDRESS_TEXT_MAX];
	listen_url_format(url, text);
	log_error("can't listen", LOG_TEXT("url", text), LOG_ERRNO(-err));
}

struct listener_params shared_listener_params(const struct server_shared *shared)
{
	enum { BACKLOG = 4096 };
	const struct server_params *p = &shared->params;
	/* What the peer has not acknowledged for longer than it may be silent or slow, and a while more. */
	uint32_t timeout_ms = p->heartbeat_max_ms * p->missed_beats;
	return (struct listener_params){
		.user_timeout_ms =
			(timeout_ms > p->slow_timeout_ms ? timeout_ms : p->slow_timeout_ms) + 5000,
		.backlog = BACKLOG,
	};
}

static int claim_address(struct server_shared *shared, size_t i)
{
	struct listener_params params = shared_listener_params(shared);
	struct listen_url *url = &shared->urls[i];
	if (shared_is_inherited(shared, i))
		return listener_adopt(shared->fds[i], &params);
	if (url->transport == TRANSPORT_UNIX)
		return listener_open_unix(&url->address, &params, &shared->fds[i]);
	return listener_claim(&url->address, &shared->fds[i]);
}

/* Those that all workers wait on first: their numbers must be low, for all threads keep them. */
static int claim_addresses(struct server_shared *shared)
{
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < shared->params.n_listen; i++) {
			if (shared_has_one_listener(shared, i) != (pass == 0))
				continue;
			int err = claim_address(shared, i);
			if (err) {
				complain_of_url(&shared->urls[i], err);
				return err;
			}
		}
	}
	return 0;
}

static unsigned count_low_descriptors(const struct server_shared *shared)
{
	int last = shared->watchdog_wakeup;
	if (shared->params.feed)
		last = shared->params.feed_wakeup > last ? shared->params.feed_wakeup : last;
	for (unsigned i = 0; i < shared->params.n_workers; i++)
		last = shared->wakeups[i] > last ? shared->wakeups[i] : last;
	for (size_t i = 0; i < shared->params.n_listen; i++)
		if (shared_has_one_listener(shared, i) && shared->fds[i] > last)
			last = shared->fds[i];
	return (unsigned)last + 1;
}

static void offer_tls(struct server_shared *shared, struct tls_context *context)
{
	for (unsigned i = 0; i < shared->params.n_workers; i++)
		tls_context_unref(atomic_exchange(
			&shared->tls_offers[i], context ? tls_context_ref(context) : NULL));
}

static int open_shared(struct server_shared *shared)
{
	int err = open_wakeups(shared);
	if (!err)
		err = open_mailboxes(shared);
	if (err)
		return complain(err);
	struct table_params table = {
		.n_workers = shared->params.n_workers,
		.mailboxes = shared->mailboxes,
		.watchdog = &shared->watchdog_mailbox,
		.feed = shared->params.feed,
		.n_remembered = shared->params.n_remembered,
		.max_sessions_per_user = shared->params.max_sessions_per_user,
		.grace_ms = shared->params.grace_ms,
	};
	if (shared->params.tokens)
		shared->login_rate = login_rate_new(shared->params.login_rate);
	if (shared->params.max_connections_per_address > 0)
		shared->per_address =
			per_address_new((uint32_t)shared->params.max_connections_per_address);
	if ((shared->params.tokens && !shared->login_rate) ||
		(shared->params.max_connections_per_address > 0 && !shared->per_address))
		return complain(-ENOMEM);
	err = complain(table_new(&table, &shared->table));
	if (!err)
		err = claim_addresses(shared);
	if (!err)
		shared->n_low_descriptors = count_low_descriptors(shared);
	return err;
}

static void take_inherited(struct server_shared *shared, const struct server_params *params)
{
	ensure(params->n_listen <= 64); /* a bit for each */
	for (size_t i = 0; i < params->n_listen; i++) {
		shared->fds[i] = params->inherited ? params->inherited[i] : -1;
		if (shared->fds[i] >= 0)
			shared->inherited |= UINT64_C(1) << i;
	}
}

int server_new(const struct server_params *params, struct server **ret)
{
	ensure(params->n_workers >= 1 && params->n_workers <= WORKERS_MAX && params->n_listen >= 1);
	struct server *s =
		aligned_alloc(CACHE_LINE, (sizeof(*s) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
	if (!s)
		return -ENOMEM;
	memset(s, 0, sizeof(*s));
	struct server_shared *shared = &s->shared;
	shared->params = *params;
	shared->params.listen = NULL;
	shared->params.inherited = NULL;
	atomic_init(&shared->drain_spread_ms, DRAIN_LEAST_MS);
	shared->watchdog_wakeup = -1;
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		shared->wakeups[i] = -1;
	sem_init(&shared->listening, 0, 0);
	sem_init(&shared->accepting, 0, 0);
	shared->urls = malloc(params->n_listen * sizeof(*shared->urls));
	shared->fds = malloc(params->n_listen * sizeof(*shared->fds));
	int err = complain(shared->urls && shared->fds ? 0 : -ENOMEM);
	if (!err) {
		memcpy(shared->urls, params->listen, params->n_listen * sizeof(*shared->urls));
		take_inherited(shared, params);
		err = open_shared(shared);
	}
	if (!err)
		offer_tls(shared, params->tls);
	if (err) {
		server_free(s);
		return err;
	}
	*ret = s;
	return 0;
}

/* --- threads --- */

static int start_workers(struct server *s)
{
	struct server_shared *shared = &s->shared;
	int err = 0;
	for (unsigned i = 0; i < shared->params.n_workers && !err; i++)
		err = worker_new(shared, i, &s->workers[i]);
	while (!err && s->n_started < shared->params.n_workers) {
		err = worker_start(s->workers[s->n_started]);
		if (!err)
			s->n_started++;
	}
	for (unsigned i = 0; i < s->n_started; i++)
		while (sem_wait(&shared->listening) != 0)
			continue; /* EINTR */
	for (unsigned i = 0; i < s->n_started && !err; i++)
		err = worker_error(s->workers[i]);
	if (err)
		log_error("workers can't start", LOG_ERRNO(-err));
	return err;
}

/* The workers' own listeners stand: the claims have done their work. */
static void close_claims(struct server_shared *shared)
{
	for (size_t i = 0; i < shared->params.n_listen; i++) {
		if (shared_has_one_listener(shared, i) || shared->fds[i] < 0)
			continue;
		close(shared->fds[i]);
		shared->fds[i] = -1;
	}
}

int server_start(struct server *s)
{
	struct server_shared *shared = &s->shared;
	int err = start_workers(s);
	close_claims(shared);
	if (err)
		atomic_store(&shared->is_stopping, true);
	for (unsigned i = 0; i < s->n_started; i++)
		sem_post(&shared->accepting);
	if (!err)
		err = complain(watchdog_start(shared, &s->watchdog));
	if (err)
		server_stop(s);
	return err;
}

const struct listen_url *server_listen_url(const struct server *s, size_t i)
{
	return &s->shared.urls[i];
}

void server_replace_tls(struct server *s, struct tls_context *context)
{
	offer_tls(&s->shared, context);
}

struct table *server_table(struct server *s)
{
	return s->shared.table;
}

const int *server_wakeups(const struct server *s)
{
	return s->shared.wakeups;
}

/* Said before the workers begin to part with their clients, so that all of them spread over the same. */
static void spread_returns(struct server_shared *shared)
{
	struct table_counts counts = table_count(shared->table);
	uint32_t most_ms = shared->params.drain_spread_ms;
	atomic_store(&shared->drain_spread_ms,
		drain_spread_ms(counts.sessions_by_transport, shared->params.n_workers,
			most_ms > 0 ? most_ms : DRAIN_MOST_MS));
}

void server_stop(struct server *s)
{
	watchdog_stop(s->watchdog);
	s->watchdog = NULL;
	spread_returns(&s->shared);
	atomic_store(&s->shared.is_stopping, true);
	for (unsigned i = 0; i < s->n_started; i++)
		wakeup_signal(s->shared.wakeups[i]);
	for (unsigned i = 0; i < s->n_started; i++)
		worker_join(s->workers[i]);
	s->n_started = 0;
}

/* What nobody will answer any more. */
static void drop_questions(struct mailbox *m)
{
	struct mailbox_link *next;
	for (struct mailbox_link *link = mailbox_take_questions(m); link; link = next) {
		next = link->next;
		inquiry_answer(inquiry_from_link(link), NULL);
	}
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	struct server_shared *shared = &s->shared;
	ensure(s->n_started == 0 && !s->watchdog);
	for (size_t i = 0; shared->urls && shared->fds && i < shared->params.n_listen; i++) {
		if (shared->fds[i] >= 0 && shared->urls[i].transport == TRANSPORT_UNIX &&
			!shared_is_inherited(shared, i))
			listener_unlink_unix(&shared->urls[i].address, shared->fds[i]);
		close_fd(shared->fds[i]);
	}
	for (unsigned i = 0; i < shared->params.n_workers; i++) {
		worker_free(s->workers[i]);
		if (!shared->mailboxes[i])
			continue;
		drop_questions(shared->mailboxes[i]);
		mailbox_destroy(shared->mailboxes[i]);
	}
	table_free(shared->table);
	for (unsigned i = 0; i < shared->params.n_workers; i++) {
		free(shared->mailboxes[i]);
		close_fd(shared->wakeups[i]);
	}
	offer_tls(shared, NULL);
	login_rate_free(shared->login_rate);
	per_address_free(shared->per_address);
	close_fd(shared->watchdog_wakeup);
	mailbox_destroy(&shared->watchdog_mailbox);
	sem_destroy(&shared->listening);
	sem_destroy(&shared->accepting);
	free(shared->urls);
	free(shared->fds);
	free(s);
}
