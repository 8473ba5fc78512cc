#include "load.h"

#include "base/clock.h"
#include "channel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	IN_BYTES = 262144,
	EVENTS_A_TURN = 512,
	LOGIN_TRIES = 20,
	MESSAGES_AT_ONCE_MAX = 64,
};

#define WAKE_TAG UINT32_MAX

enum client_state {
	CLIENT_NEW,
	CLIENT_CONNECTING,
	CLIENT_SHAKING,
	CLIENT_GREETED,
	CLIENT_LIVE,
	CLIENT_LOST
};

struct client {
	struct channel channel;
	enum client_state state;
	uint8_t n_tries;
	uint8_t n_in_row;
	uint32_t n_unanswered;
	uint64_t sent_ns; /* of the first of the unanswered */
	char *rest; /* what is unfinished of the last line; NULL for nothing */
	uint32_t rest_len;
	uint32_t n_watch_left;
	uint64_t watch_next;
};

struct load {
	struct load_params params;
	int epoll_fd;
	struct client *clients;
	struct load_totals *totals;
	struct load_totals own_totals; /* until load_count_into() */
	uint32_t n_live;
	uint32_t n_under_way; /* logins */
	uint32_t n_watching; /* sessions whose watches are not all answered */
	int login_error; /* the first login that can't be had at all */

	/* the schedule: session first + at is due at base + at * interval / n */
	uint32_t beat_first, beat_n, beat_at;
	uint64_t beat_interval_ns, beat_base_ns;

	char in[IN_BYTES];
	char out[DIALECT_MESSAGE_MAX * 2];
};

static void count(_Atomic uint64_t *total, uint64_t n)
{
	/* Relaxed, and no read-modify-write: one writer, statistics. */
	atomic_store_explicit(
		total, atomic_load_explicit(total, memory_order_relaxed) + n, memory_order_relaxed);
}

int load_new(const struct load_params *params, struct load **ret)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = WAKE_TAG};
	struct load *l = calloc(1, sizeof(*l));
	int error;

	if (!l)
		return -ENOMEM;
	l->params = *params;
	l->totals = &l->own_totals;
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->clients = calloc(params->n_sessions, sizeof(*l->clients));
	if (l->epoll_fd < 0 || !l->clients)
		goto fail;
	for (uint32_t i = 0; i < params->n_sessions; i++)
		l->clients[i].channel.fd = -1;
	if (params->wake_fd >= 0 &&
		epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, params->wake_fd, &event) < 0)
		goto fail;
	*ret = l;
	return 0;
fail:
	error = -errno;
	load_free(l);
	return error;
}

static void client_close(struct client *c)
{
	channel_abort(&c->channel);
	free(c->rest);
	c->rest = NULL;
	c->rest_len = 0;
}

void load_free(struct load *l)
{
	if (!l)
		return;
	for (uint32_t i = 0; l->clients && i < l->params.n_sessions; i++)
		client_close(&l->clients[i]);
	free(l->clients);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	free(l);
}

void load_count_into(struct load *l, struct load_totals *totals)
{
	l->totals = totals;
}

uint32_t load_live(const struct load *l)
{
	return l->n_live;
}

void load_histogram_add(struct histogram *to, const struct histogram *from)
{
	uint64_t max = atomic_load_explicit(&from->max, memory_order_relaxed);

	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		count(&to->counts[i], atomic_load_explicit(&from->counts[i], memory_order_relaxed));
	count(&to->sum, atomic_load_explicit(&from->sum, memory_order_relaxed));
	if (max > atomic_load_explicit(&to->max, memory_order_relaxed))
		atomic_store_explicit(&to->max, max, memory_order_relaxed);
}

/* Give up this connection. A login may be tried again where 'again'. */
static void client_lose(struct load *l, struct client *c, int error, bool again)
{
	bool was_under_way = c->state == CLIENT_CONNECTING || c->state == CLIENT_SHAKING ||
			     c->state == CLIENT_GREETED;

	if (c->state == CLIENT_LIVE) {
		l->n_live--;
		count(&l->totals->n_lost, 1);
	}
	if (c->n_watch_left)
		l->n_watching--;
	if (was_under_way)
		l->n_under_way--;
	client_close(c);
	c->n_watch_left = 0;
	c->n_unanswered = 0;
	c->state = CLIENT_LOST;
	if (was_under_way && again && c->n_tries < LOGIN_TRIES) {
		c->state = CLIENT_NEW;
		count(&l->totals->n_retries, 1);
	} else if (was_under_way && !l->login_error) {
		l->login_error = error;
	}
}

static int client_send(struct load *l, struct client *c, size_t len)
{
	/* Noted before: the server may hear it before send() returns, and no sooner than now. */
	uint64_t now_ns = l->params.sent_ns ? clock_mono_ns() : 0;
	int error = channel_send(&c->channel, l->out, len);

	if (error)
		client_lose(l, c, error, false);
	else if (l->params.sent_ns)
		/* Relaxed: read after a report, which is a message of the kernel's. */
		atomic_store_explicit(
			&l->params.sent_ns[c - l->clients], now_ns, memory_order_relaxed);
	return error;
}

static uint64_t client_user(const struct load *l, const struct client *c)
{
	return l->params.first_user + (uint64_t)(c - l->clients);
}

static void client_beat(struct load *l, struct client *c, unsigned n)
{
	uint64_t user = client_user(l, c);
	size_t len = 0;

	if (c->state != CLIENT_LIVE)
		return;
	for (unsigned i = 0; i < n; i++)
		len += l->params.dialect->put_beat(l->out + len, user, l->params.heartbeat_ms);
	if (!c->n_unanswered)
		c->sent_ns = clock_mono_ns();
	c->n_unanswered += n;
	count(&l->totals->n_beats_sent, n);
	(void)client_send(l, c, len); /* a failure is counted as lost */
}

static void client_watch(struct load *l, struct client *c)
{
	uint32_t n = c->n_watch_left;

	if (n > l->params.dialect->n_watch_max)
		n = l->params.dialect->n_watch_max;
	(void)client_send(l, c, l->params.dialect->put_watch(l->out, c->watch_next, n));
}

static void client_watch_answered(struct load *l, struct client *c)
{
	uint32_t n = l->params.dialect->n_watch_max;

	if (!c->n_watch_left)
		return;
	if (c->n_watch_left <= n) {
		c->n_watch_left = 0;
		l->n_watching--;
		return;
	}
	c->n_watch_left -= n;
	c->watch_next += n;
	client_watch(l, c);
}

static void client_greet(struct load *l, struct client *c)
{
	size_t len =
		l->params.dialect->put_login(l->out, client_user(l, c), l->params.heartbeat_ms);

	c->state = CLIENT_GREETED;
	(void)client_send(l, c, len);
}

/* On with the handshake; without one, and after it, with the login. */
static void client_shake_hands(struct load *l, struct client *c)
{
	int done;

	c->state = CLIENT_SHAKING;
	done = channel_shake_hands(&c->channel);
	if (done < 0)
		client_lose(l, c, done, false);
	else if (done)
		client_greet(l, c);
}

static int client_connect(struct load *l, uint32_t i)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
	struct client *c = &l->clients[i];
	bool connected = false;
	int error = channel_open(
		&l->params.server, client_user(l, c), l->params.is_tls, &c->channel, &connected);

	if (error)
		return error;
	c->n_tries++;
	c->state = CLIENT_CONNECTING;
	l->n_under_way++;
	if (!connected)
		event.events |= EPOLLOUT;
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, c->channel.fd, &event) < 0)
		return -errno;
	if (connected)
		client_shake_hands(l, c);
	return 0;
}

static void client_connected(struct load *l, uint32_t i)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
	struct client *c = &l->clients[i];
	int error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(c->channel.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
		client_lose(l, c, error ? -error : -errno, false);
		return;
	}
	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, c->channel.fd, &event) < 0) {
		client_lose(l, c, -errno, false);
		return;
	}
	client_shake_hands(l, c);
}

static void client_beat_answered(struct load *l, struct client *c, uint64_t now_ns)
{
	count(&l->totals->n_beats_answered, 1);
	if (!c->n_unanswered || --c->n_unanswered)
		return;
	histogram_record(&l->totals->beat_ns, now_ns - c->sent_ns);
	if (c->n_in_row)
		client_beat(l, c, c->n_in_row);
}

static void client_hear(struct load *l, struct client *c, const struct item *item, uint64_t now_ns)
{
	switch (item->kind) {
	case ITEM_WELCOME:
		if (c->state == CLIENT_GREETED) {
			c->state = CLIENT_LIVE;
			l->n_under_way--;
			l->n_live++;
			count(&l->totals->n_welcomes, 1);
		}
		break;
	case ITEM_BEAT:
		client_beat_answered(l, c, now_ns);
		break;
	case ITEM_WATCHING:
		client_watch_answered(l, c);
		break;
	case ITEM_EVENT:
		count(&l->totals->n_events, 1);
		if (l->params.on_event)
			l->params.on_event(l->params.on_event_arg, item, now_ns);
		break;
	case ITEM_FULL:
		client_lose(l, c, -EBUSY, true);
		break;
	case ITEM_ERROR:
		count(&l->totals->n_errors, 1);
		break;
	case ITEM_BYE:
	case ITEM_OTHER:
		break;
	}
}

/* Keep what is unfinished at 'data'. */
static void client_keep(struct load *l, struct client *c, const char *data, size_t len)
{
	char *rest = len ? malloc(len) : NULL;

	if (len >= IN_BYTES / 2 || (len && !rest)) {
		free(rest);
		client_lose(l, c, -EMSGSIZE, false);
		return;
	}
	if (len)
		memcpy(rest, data, len);
	free(c->rest);
	c->rest = rest;
	c->rest_len = (uint32_t)len;
}

static void client_receive(struct load *l, struct client *c)
{
	size_t len = c->rest_len, done = 0;
	struct item item;
	uint64_t now_ns;
	ssize_t n;

	if (len)
		memcpy(l->in, c->rest, len);
	n = channel_receive(&c->channel, l->in + len, IN_BYTES - len);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		client_lose(l, c, n ? (int)n : -ECONNRESET, false);
		return;
	}
	now_ns = clock_mono_ns();
	len += (size_t)n;
	while (c->channel.fd >= 0) {
		size_t used = l->params.dialect->next(l->in + done, len - done, &item);

		if (!used)
			break;
		done += used;
		client_hear(l, c, &item, now_ns);
	}
	if (c->channel.fd >= 0 && (done < len || c->rest_len))
		client_keep(l, c, l->in + done, len - done);
}

static uint64_t beat_due_ns(const struct load *l)
{
	uint64_t grain_ns = l->params.beat_grain_ns, after_ns;

	if (!l->beat_interval_ns)
		return UINT64_MAX;
	after_ns = l->beat_at * l->beat_interval_ns / l->beat_n;
	if (grain_ns)
		after_ns = (after_ns + grain_ns - 1) / grain_ns * grain_ns;
	return l->beat_base_ns + after_ns;
}

static void beat_those_due(struct load *l)
{
	uint64_t now_ns = clock_mono_ns();

	/* At most a round in one go: who is that late has no schedule any more. */
	for (uint32_t i = 0; i < l->beat_n && beat_due_ns(l) <= now_ns; i++) {
		client_beat(l, &l->clients[l->beat_first + l->beat_at], 1);
		if (++l->beat_at == l->beat_n) {
			l->beat_at = 0;
			l->beat_base_ns += l->beat_interval_ns;
		}
	}
}

static bool take_wake(const struct load *l)
{
	uint64_t n;

	return read(l->params.wake_fd, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

int load_turn(struct load *l, uint64_t until_ns)
{
	struct epoll_event events[EVENTS_A_TURN];
	uint64_t now_ns, wait_ns, due_ns;
	struct timespec wait;
	bool woken = false;
	int n;

	beat_those_due(l);
	now_ns = clock_mono_ns();
	due_ns = beat_due_ns(l);
	if (due_ns > until_ns)
		due_ns = until_ns;
	wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
	wait = (struct timespec){
		.tv_sec = (time_t)(wait_ns / 1000000000), .tv_nsec = (long)(wait_ns % 1000000000)};
	n = epoll_pwait2(l->epoll_fd, events, EVENTS_A_TURN, &wait, NULL);
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		struct client *c = &l->clients[events[i].data.u32];

		if (events[i].data.u32 == WAKE_TAG)
			woken = take_wake(l);
		else if (c->channel.fd >= 0 && c->state == CLIENT_CONNECTING)
			client_connected(l, events[i].data.u32);
		else if (c->channel.fd >= 0 && c->state == CLIENT_SHAKING)
			client_shake_hands(l, c);
		else if (c->channel.fd >= 0)
			client_receive(l, c);
	}
	return woken;
}

int load_run(struct load *l, uint64_t until_ns)
{
	int status = 0;

	while (!status && clock_mono_ns() < until_ns)
		status = load_turn(l, until_ns);
	return status;
}

/* The next session that nobody has begun to log in; 'end' or more: there is none. */
static uint32_t next_session(struct load *l, uint32_t first, uint32_t *next)
{
	/* Relaxed: nothing else is told by it. */
	if (l->params.taken)
		return first + atomic_fetch_add_explicit(l->params.taken, 1, memory_order_relaxed);
	return (*next)++;
}

/* Those that found the server full have become new again. */
static int connect_again(struct load *l, uint32_t first, uint32_t end, uint32_t n_parallel)
{
	int status = 0;

	for (uint32_t i = first; i < end && l->n_under_way < n_parallel && status >= 0; i++)
		if (l->clients[i].state == CLIENT_NEW && l->clients[i].n_tries)
			status = client_connect(l, i);
	return status;
}

int load_login(struct load *l, uint32_t first, uint32_t n, uint32_t n_parallel, uint64_t until_ns)
{
	uint32_t next = first, goal = l->n_live;
	uint64_t n_lost = l->totals->n_lost;
	bool is_begun = false; /* all of them */
	int status = 0;

	while (status >= 0) {
		while (!is_begun && l->n_under_way < n_parallel && status >= 0) {
			uint32_t i = next_session(l, first, &next);

			is_begun = i >= first + n;
			if (is_begun || l->clients[i].state != CLIENT_NEW)
				continue;
			goal++;
			status = client_connect(l, i);
		}
		if (is_begun && l->n_live + (l->totals->n_lost - n_lost) >= goal)
			break;
		if (status >= 0 && is_begun && !l->n_under_way)
			status = connect_again(l, first, first + n, n_parallel);
		if (status >= 0)
			status = load_turn(l, until_ns);
		if (status >= 0 && l->login_error)
			status = l->login_error;
		else if (status >= 0 && clock_mono_ns() >= until_ns)
			status = -ETIMEDOUT;
	}
	return status < 0 ? status : 0;
}

void load_drop(struct load *l, uint32_t first, uint32_t n)
{
	for (struct client *c = &l->clients[first]; c < &l->clients[first + n]; c++) {
		if (c->state != CLIENT_LIVE)
			continue;
		l->n_live--;
		client_close(c);
		c->state = CLIENT_NEW;
		c->n_tries = 0;
		c->n_unanswered = 0;
	}
}

void load_beat_every(struct load *l, uint32_t first, uint32_t n, uint64_t interval_ns)
{
	l->beat_first = first;
	l->beat_n = n;
	l->beat_at = 0;
	l->beat_interval_ns = n ? interval_ns : 0;
	l->beat_base_ns = clock_mono_ns() + l->params.beat_phase_ns;
}

void load_beat_in_rows(struct load *l, uint32_t first, uint32_t n, unsigned n_in_row)
{
	if (n_in_row > MESSAGES_AT_ONCE_MAX)
		n_in_row = MESSAGES_AT_ONCE_MAX;
	for (uint32_t i = first; i < first + n; i++) {
		l->clients[i].n_in_row = (uint8_t)n_in_row;
		if (n_in_row && !l->clients[i].n_unanswered)
			client_beat(l, &l->clients[i], n_in_row);
	}
}

void load_beat_now(struct load *l, uint32_t first, uint32_t n)
{
	for (uint32_t i = first; i < first + n; i++)
		client_beat(l, &l->clients[i], 1);
}

static void watch_start(struct load *l, struct client *c, uint64_t first_user, uint32_t n)
{
	if (c->state != CLIENT_LIVE || !n || c->n_watch_left)
		return;
	c->watch_next = first_user;
	c->n_watch_left = n;
	l->n_watching++;
	client_watch(l, c);
}

static int watch_finish(struct load *l, uint32_t n_at_most, uint64_t until_ns)
{
	int status = 0;

	while (status >= 0 && l->n_watching > n_at_most) {
		status = load_turn(l, until_ns);
		if (status >= 0 && clock_mono_ns() >= until_ns)
			status = -ETIMEDOUT;
	}
	return status < 0 ? status : 0;
}

int load_watch(struct load *l, uint32_t session, uint64_t first_user, uint32_t n, uint64_t until_ns)
{
	watch_start(l, &l->clients[session], first_user, n);
	return watch_finish(l, 0, until_ns);
}

int load_watch_all(struct load *l, uint32_t first, uint32_t n, uint64_t user, uint64_t until_ns)
{
	enum { UNDER_WAY = 256 };
	int error = 0;

	for (uint32_t i = first; i < first + n && !error; i++) {
		watch_start(l, &l->clients[i], user, 1);
		error = watch_finish(l, UNDER_WAY, until_ns);
	}
	return error ? error : watch_finish(l, 0, until_ns);
}

int load_update(struct load *l, uint32_t session, uint64_t number)
{
	struct client *c = &l->clients[session];

	if (c->state != CLIENT_LIVE)
		return -ENOTCONN;
	return client_send(l, c, l->params.dialect->put_update(l->out, client_user(l, c), number));
}
