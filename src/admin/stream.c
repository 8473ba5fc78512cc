#include "admin/stream.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/lock.h"
#include "net/descriptors.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	BLOCK = 4096, /* what libmicrohttpd asks for at a time, where the answer is not in chunks */
	FEED_REST_MS = 25, /* between two wakings for the feed */
	SECOND_MS = 1000,
	FAREWELL_MS = 500
};

static const char keepalive_text[] = ":\n\n";

struct stream {
	/* const after start */
	struct admin *admin;
	struct streams *streams;
	struct MHD_Connection *connection;
	const struct stream_kind *kind;
	uint64_t id;
	int fd;
	/* owner: the admin thread */
	void *state;
	size_t at, len; /* of 'text': what is not written yet */
	/* guarded: the streams' lock */
	struct stream *prev, *next;
	/* atomic: admin <-> streams. Asleep: the connection is suspended, and whoever takes that away resumes it. Rung: it
	 * was woken since it was last asked; both sequentially consistent, so that the one who falls asleep sees it or is seen
	 * asleep. */
	_Atomic bool is_asleep, is_rung;
	/* atomic: streams -> admin */
	_Atomic bool is_gone;
	/* atomic: admin -> streams */
	_Atomic uint64_t said_ms;
	char text[STREAM_ROOM];
};

struct streams_data {
	struct stream *first;
};

struct streams {
	/* const after start */
	struct streams_params params;
	pthread_t thread;
	int epoll_fd, wakeup; /* the wakeup: streams opened, or the stop */
	int closed; /* signalled with each end, while it stops */
	struct feed_listener listener;
	/* owner: the admin thread */
	uint64_t n_ids;
	/* owner: the streams' thread */
	uint64_t seen; /* the feed's cursor when they were last woken for it */
	uint64_t feed_due_ms, second_due_ms;
	struct lock lock;
	/* guarded: lock; by streams_data() */
	struct streams_data guarded;
	/* atomic: admin -> streams */
	_Atomic unsigned n_open;
	/* atomic: streams -> all */
	_Atomic uint64_t second;
	/* atomic: main -> all */
	_Atomic bool is_stopping;
};

/* What an epoll event is of; streams' ids are above. */
enum { TOKEN_WAKEUP, TOKEN_FEED, TOKEN_STREAMS };

static inline struct streams_data *streams_data(struct streams *all) REQUIRES(all->lock)
{
	return &all->guarded;
}

/* ---- waking --------------------------------------------------------------------------------------- */

/* Whom to wake: all of which it is true. */
struct call {
	unsigned wakes; /* of these kinds */
	uint64_t quiet_since_ms; /* or has said nothing since; 0: nobody for that */
	uint64_t gone_id; /* or this one, whose peer has gone; 0: none */
	bool is_everybody;
};

static bool concerns(const struct stream *s, const struct call *call)
{
	/* Relaxed: a millisecond more or less of a keepalive. */
	uint64_t said_ms = atomic_load_explicit(&s->said_ms, memory_order_relaxed);
	return call->is_everybody || (s->kind->wakes & call->wakes) || s->id == call->gone_id ||
	       said_ms < call->quiet_since_ms;
}

static void wake(struct streams *all, const struct call *call)
{
	struct MHD_Connection *asleep[STREAMS_MAX];
	size_t n = 0;

	lock_acquire(&all->lock);
	for (struct stream *s = streams_data(all)->first; s; s = s->next) {
		if (!concerns(s, call))
			continue;
		if (s->id == call->gone_id)
			atomic_store(&s->is_gone, true);
		atomic_store(&s->is_rung, true);
		if (atomic_exchange(&s->is_asleep, false))
			asleep[n++] = s->connection;
	}
	lock_release(&all->lock);
	/* Suspended they are until this: they can't have gone. */
	for (size_t i = 0; i < n; i++)
		MHD_resume_connection(asleep[i]);
}

/* ---- the thread ----------------------------------------------------------------------------------- */

static int sooner(int timeout_ms, uint64_t due_ms, uint64_t now_ms)
{
	int left_ms = due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
	return timeout_ms < 0 || left_ms < timeout_ms ? left_ms : timeout_ms;
}

/* How long there is nothing to be done; 0 where the feed has gone on. */
static int idle_ms(struct streams *all, uint64_t now_ms)
{
	int timeout_ms = sooner(-1, all->second_due_ms, now_ms);

	if (!all->params.feed || atomic_load(&all->n_open) == 0)
		return timeout_ms;
	if (now_ms < all->feed_due_ms)
		return sooner(timeout_ms, all->feed_due_ms, now_ms);
	return feed_sleep(all->params.feed, &all->listener, all->seen) ? timeout_ms : 0;
}

static void look_at_feed(struct streams *all, uint64_t now_ms)
{
	uint64_t end;

	if (!all->params.feed || now_ms < all->feed_due_ms)
		return;
	end = feed_end(all->params.feed);
	if (end == all->seen)
		return;
	all->seen = end;
	all->feed_due_ms = now_ms + FEED_REST_MS;
	wake(all, &(struct call){.wakes = STREAM_ON_FEED});
}

static void look_at_second(struct streams *all, uint64_t now_ms)
{
	uint64_t quiet_since_ms;

	if (now_ms < all->second_due_ms)
		return;
	all->second_due_ms += SECOND_MS;
	if (all->second_due_ms <= now_ms) /* after a standstill */
		all->second_due_ms = now_ms + SECOND_MS;
	if (all->params.on_second)
		all->params.on_second(all->params.on_second_cls);
	atomic_fetch_add(&all->second, 1);
	quiet_since_ms =
		now_ms > all->params.keepalive_ms ? now_ms - all->params.keepalive_ms + 1 : 0;
	wake(all, &(struct call){.wakes = STREAM_ON_SECOND, .quiet_since_ms = quiet_since_ms});
}

static void wait(struct streams *all)
{
	struct epoll_event events[64];
	int n = epoll_wait(all->epoll_fd, events, ARRAY_LEN(events), idle_ms(all, clock_mono_ms()));

	for (int i = 0; i < n; i++) {
		uint64_t token = events[i].data.u64;
		if (token == TOKEN_WAKEUP)
			wakeup_drain(all->wakeup);
		else if (token == TOKEN_FEED)
			wakeup_drain(all->listener.wakeup);
		else
			wake(all, &(struct call){.gone_id = token});
	}
}

static void *streams_main(void *arg)
{
	struct streams *all = arg;

	while (!atomic_load(&all->is_stopping)) {
		uint64_t now_ms;
		wait(all);
		now_ms = clock_mono_ms();
		if (atomic_load(&all->n_open) > 0)
			look_at_feed(all, now_ms);
		look_at_second(all, now_ms);
	}
	return NULL;
}

/* ---- one stream ----------------------------------------------------------------------------------- */

static void unlink_stream(struct stream *s)
{
	struct streams *all = s->streams;

	lock_acquire(&all->lock);
	if (s->prev)
		s->prev->next = s->next;
	else
		streams_data(all)->first = s->next;
	if (s->next)
		s->next->prev = s->prev;
	lock_release(&all->lock);
	atomic_fetch_sub(&all->n_open, 1);
}

static void link_stream(struct stream *s)
{
	struct streams *all = s->streams;

	lock_acquire(&all->lock);
	s->next = streams_data(all)->first;
	if (s->next)
		s->next->prev = s;
	streams_data(all)->first = s;
	lock_release(&all->lock);
	if (atomic_fetch_add(&all->n_open, 1) == 0)
		wakeup_signal(all->wakeup); /* it has slept for ever */
}

/* Its peer's going shows at the socket, which libmicrohttpd does not look at while it sleeps. Where that can't be had, it
 * shows with the next word. */
static void watch_peer(struct stream *s)
{
	struct epoll_event event = {.events = EPOLLRDHUP | EPOLLET, .data.u64 = s->id};
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(s->connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (info && epoll_ctl(s->streams->epoll_fd, EPOLL_CTL_ADD, info->connect_fd, &event) == 0)
		s->fd = info->connect_fd;
}

void stream_drop(struct stream *s)
{
	struct streams *all;

	if (!s)
		return;
	all = s->streams;
	unlink_stream(s);
	if (s->fd >= 0)
		epoll_ctl(all->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
	s->kind->free(s->admin, s->state);
	free(s);
	if (atomic_load(&all->is_stopping))
		wakeup_signal(all->closed);
}

static void on_free(void *cls)
{
	stream_drop(cls);
}

/* Asks for more; false where there is none. */
static bool refill(struct stream *s)
{
	uint64_t now_ms = clock_mono_ms();
	/* Relaxed: its own. */
	uint64_t said_ms = atomic_load_explicit(&s->said_ms, memory_order_relaxed);

	atomic_store(&s->is_rung, false);
	s->at = 0;
	s->len = s->kind->fill(s->admin, s->state, s->text, sizeof(s->text));
	ensure(s->len <= sizeof(s->text));
	if (s->len == 0 && now_ms >= said_ms + s->streams->params.keepalive_ms) {
		s->len = sizeof(keepalive_text) - 1;
		memcpy(s->text, keepalive_text, s->len);
	}
	if (s->len > 0)
		atomic_store_explicit(&s->said_ms, now_ms, memory_order_relaxed);
	return s->len > 0;
}

static void fall_asleep(struct stream *s)
{
	MHD_suspend_connection(s->connection);
	atomic_store(&s->is_asleep, true);
	if ((atomic_load(&s->is_rung) || atomic_load(&s->streams->is_stopping)) &&
		atomic_exchange(&s->is_asleep, false))
		MHD_resume_connection(s->connection);
}

static ssize_t on_read(void *cls, uint64_t position, char *to, size_t max)
{
	struct stream *s = cls;
	size_t n;

	role_admin_begin();
	(void)position;
	if (s->at == s->len) {
		if (atomic_load(&s->is_gone))
			return MHD_CONTENT_READER_END_WITH_ERROR;
		if (atomic_load(&s->streams->is_stopping))
			return MHD_CONTENT_READER_END_OF_STREAM;
		if (!refill(s)) {
			fall_asleep(s);
			return 0;
		}
	}
	n = s->len - s->at < max ? s->len - s->at : max;
	memcpy(to, s->text + s->at, n);
	s->at += n;
	return (ssize_t)n;
}

struct MHD_Response *stream_response(struct stream *s)
{
	struct MHD_Response *response =
		MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, on_read, s, on_free);

	if (!response) {
		stream_drop(s);
		return NULL;
	}
	/* nginx would keep it back until its buffer is full. */
	if (MHD_add_response_header(response, "X-Accel-Buffering", "no") != MHD_YES) {
		MHD_destroy_response(response);
		return NULL;
	}
	return response;
}

struct answer stream_answer(
	struct admin *a, const struct request *r, const struct stream_kind *kind, void *state)
{
	struct streams *all = a->streams;
	struct answer head = {.status = MHD_HTTP_OK, .type = "text/event-stream"};
	struct stream *s;

	/* libmicrohttpd would end what has no length with an empty chunk, also where no body may follow. */
	if (strcmp(r->method, MHD_HTTP_METHOD_HEAD) == 0) {
		kind->free(a, state);
		return head;
	}

	if (atomic_load(&all->n_open) >= all->params.max_streams ||
		atomic_load(&all->is_stopping)) {
		kind->free(a, state);
		counter_add(a->actor.counters, COUNTER_streams_refused, 1);
		return answer_error(ANSWER_ERROR_STREAMS);
	}
	s = malloc(sizeof(*s));
	if (!s) {
		kind->free(a, state);
		counter_add(a->actor.counters, COUNTER_out_of_memory, 1);
		return answer_error(ANSWER_ERROR_OUT_OF_MEMORY);
	}
	/* Not the text: it is written before it is read. */
	memset(s, 0, offsetof(struct stream, text));
	s->admin = a;
	s->streams = all;
	s->connection = r->connection;
	s->kind = kind;
	s->state = state;
	s->id = TOKEN_STREAMS + all->n_ids++;
	s->fd = -1;
	atomic_init(&s->said_ms, clock_mono_ms());
	link_stream(s);
	watch_peer(s);
	counter_add(a->actor.counters, COUNTER_streams, 1);
	head.stream = s;
	return head;
}

/* ---- all of them ---------------------------------------------------------------------------------- */

uint64_t stream_second(const struct admin *a)
{
	return atomic_load(&a->streams->second);
}

unsigned streams_count(const struct streams *all)
{
	return atomic_load(&all->n_open);
}

static int watch(struct streams *all, int fd, uint64_t token)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = token};
	return epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_all(struct streams *all)
{
	int err;

	all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (all->epoll_fd < 0)
		return -errno;
	err = wakeup_open(&all->wakeup);
	if (!err)
		err = wakeup_open(&all->closed);
	if (!err)
		err = watch(all, all->wakeup, TOKEN_WAKEUP);
	if (err || !all->params.feed)
		return err;
	err = wakeup_open(&all->listener.wakeup);
	if (!err)
		err = watch(all, all->listener.wakeup, TOKEN_FEED);
	return err;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

void streams_free(struct streams *all)
{
	if (!all)
		return;
	ensure(!all->guarded.first);
	if (all->params.feed)
		feed_unlisten(all->params.feed, &all->listener);
	close_fd(all->epoll_fd);
	close_fd(all->wakeup);
	close_fd(all->closed);
	close_fd(all->listener.wakeup);
	lock_destroy(&all->lock);
	free(all);
}

int streams_new(const struct streams_params *params, struct streams **ret)
{
	struct streams *all = calloc(1, sizeof(*all));
	int err;

	if (!all)
		return -ENOMEM;
	ensure(params->max_streams <= STREAMS_MAX);
	all->params = *params;
	all->epoll_fd = all->wakeup = all->closed = all->listener.wakeup = -1;
	lock_init(&all->lock, RANK_STREAMS);
	err = open_all(all);
	if (!err && params->feed)
		feed_listen(params->feed, &all->listener);
	if (!err)
		err = -pthread_create(&all->thread, NULL, streams_main, all);
	if (err) {
		streams_free(all);
		return err;
	}
	pthread_setname_np(all->thread, "streams");
	*ret = all;
	return 0;
}

void streams_stop(struct streams *all)
{
	uint64_t end_ms = clock_mono_ms() + FAREWELL_MS, now_ms;

	atomic_store(&all->is_stopping, true);
	wakeup_signal(all->wakeup);
	pthread_join(all->thread, NULL);
	wake(all, &(struct call){.is_everybody = true});
	while (atomic_load(&all->n_open) > 0 && (now_ms = clock_mono_ms()) < end_ms) {
		struct pollfd closed = {.fd = all->closed, .events = POLLIN};
		if (poll(&closed, 1, (int)(end_ms - now_ms)) > 0)
			wakeup_drain(all->closed);
	}
}
