/* What is written to clients: replies and events of one turn in one write, the newest state only. */

#include "server/worker_private.h"

#include "base/ensure.h"
#include "base/hash.h"
#include "base/log.h"
#include "server/channel.h"

#include <errno.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* --- the list of those who don't take what they are sent, by progress --- */

/* What the kernel has of ours and the peer's has not acknowledged. */
static int count_queued(const struct output *o)
{
	int n = 0;
	return ioctl((int)o->fd, SIOCOUTQ, &n) == 0 ? n : 0;
}

static void list_append(struct worker *w, struct output *o) REQUIRES(role_worker)
{
	o->progress_ms = w->now.mono_ms;
	o->n_queued = count_queued(o);
	o->prev = w->output_last;
	o->next = NULL;
	if (w->output_last)
		w->output_last->next = o;
	else
		w->output_first = o;
	w->output_last = o;
}

static void list_remove(struct worker *w, struct output *o) REQUIRES(role_worker)
{
	if (o->prev)
		o->prev->next = o->next;
	else
		w->output_first = o->next;
	if (o->next)
		o->next->prev = o->prev;
	else
		w->output_last = o->prev;
}

void output_free(struct worker *w, struct connection *c)
{
	struct output *o = c->output;
	if (!o)
		return;
	list_remove(w, o);
	free(o->roster);
	free(o);
	c->output = NULL;
}

/* Keeps 'len' bytes that were not taken; 'is_cut': they begin inside a line. */
static int stash(struct worker *w, struct connection *c, const char *bytes, size_t len, bool is_cut)
	REQUIRES(role_worker)
{
	struct output *o = malloc(sizeof(*o) + len);
	if (!o) {
		worker_count(w, COUNTER_out_of_memory);
		return -ENOMEM;
	}
	*o = (struct output){.fd = (uint32_t)c->fd, .len = (uint32_t)len, .is_cut = is_cut};
	memcpy(o->bytes, bytes, len);
	list_append(w, o);
	c->output = o;
	worker_count(w, COUNTER_paused);
	return 0;
}

/* --- sending --- */

static ssize_t send_some(struct worker *w, struct connection *c, const char *bytes, size_t len)
	REQUIRES(role_worker)
{
	ssize_t n = channel_send(c, bytes, len);
	if (n > 0)
		counter_add(worker_counters(w), COUNTER_bytes_out, (uint64_t)n);
	return n;
}

void output_clear(struct worker *w)
{
	buffer_clear(&w->out);
	w->n_sealed = 0;
}

/* A failed write says only that something is wrong; how it ended the next read will tell. */
static void set_broken(struct worker *w, struct connection *c) REQUIRES(role_worker)
{
	c->is_broken = true;
	c->has_hangup = true;
	output_free(w, c);
	worker_want_read(w, c);
}

bool output_push(struct worker *w, struct connection *c)
{
	if (w->out.len == 0 || c->is_broken) {
		output_clear(w);
		return !c->is_broken;
	}
	debug_check(!c->output);
	frames_seal(w, c);
	size_t len = w->out.len;
	ssize_t n = w->out.failed ? -ENOMEM : send_some(w, c, w->out.data, len);
	bool is_sound = n >= 0;
	if (is_sound && (size_t)n < len)
		is_sound = stash(w, c, w->out.data + n, len - (size_t)n,
				   n > 0 && w->out.data[n - 1] != '\n') == 0;
	output_clear(w);
	if (!is_sound)
		set_broken(w, c);
	return is_sound;
}

void output_continue(struct worker *w, struct connection *c)
{
	struct output *o = c->output;
	if (!o)
		return;
	while (o->at < o->len) {
		ssize_t n = send_some(w, c, o->bytes + o->at, o->len - o->at);
		if (n < 0) {
			set_broken(w, c);
			return;
		}
		if (n == 0)
			return;
		o->at += (uint32_t)n;
		list_remove(w, o);
		list_append(w, o);
	}
	struct roster *roster = o->roster;
	o->roster = NULL;
	output_free(w, c);
	if (roster && !roster_continue(w, c, roster))
		return;
	/* All is taken: on with what was read and not used up, with what is in the socket, and with the news. */
	if (peer_resume(w, c) && !c->output) {
		worker_want_read(w, c);
		output_flush(w, c);
	}
}

/* --- telling --- */

/* Appends the newest that is known of a watched user: the event, or what the table says. Returns the number that the
 * watcher has thereby been told. */
static uint64_t tell(struct worker *w, const struct watched *u) REQUIRES(role_worker)
{
	if (u->event) {
		buffer_append(&w->out, event_line(u->event), u->event->line_len);
		return u->event->seq;
	}
	struct snapshot snapshot;
	table_look(w->table, u->user, u->user_len, w->now, &snapshot);
	char *to = buffer_reserve(&w->out, EVENT_LINE_MAX);
	if (to)
		w->out.len += event_put_line(to, u->user, u->user_len, &snapshot);
	return snapshot.counter;
}

void output_flush(struct worker *w, struct connection *c)
{
	struct watching *watching = connection_watching(c);
	if (c->phase != PHASE_LIVE || c->output || c->is_broken || !watching)
		return;
	struct watcher *watcher = &watching->watcher;
	struct watch *watch;
	uint64_t n = 0;
	while (w->out.len < WRITE_SLICE && (watch = watch_next_dirty(w->watches, watcher))) {
		watch_set_told(w->watches, watch, tell(w, watch->watched));
		n++;
	}
	if (n == 0)
		return;
	counter_add(worker_counters(w), COUNTER_events_delivered, n);
	if (output_push(w, c) && !c->output)
		watch_want_flush(w->watches, watcher);
}

bool output_flush_all(struct worker *w, uint64_t until_ns)
{
	struct watcher *watcher;
	while ((watcher = watch_next_flush(w->watches))) {
		struct watching *watching = (struct watching *)(void *)watcher;
		if (watching->fd != CONNECTION_NONE)
			output_flush(w, connections_at(&w->connections, watching->fd));
		worker_tick(w);
		if (w->now_ns >= until_ns)
			break;
	}
	return !watch_has_flush(w->watches);
}

/* A line that was sent in part: its rest, so that another can stand behind it. */
static void keep_line_end(struct worker *w, const struct output *o) REQUIRES(role_worker)
{
	const char *rest = o->bytes + o->at;
	const char *end = memchr(rest, '\n', o->len - o->at);
	bool is_cut = o->at > 0 ? o->bytes[o->at - 1] != '\n' : o->is_cut;
	if (is_cut && end)
		buffer_append(&w->out, rest, (size_t)(end + 1 - rest));
}

void output_cut(struct worker *w, struct connection *c)
{
	struct output *o = c->output;
	if (!o)
		return;
	if (c->stage == STAGE_LINES && channel_is_bare(c)) {
		keep_line_end(w, o);
		/* The kernel's queue is kept short by its low-water mark: for the last words it may be longer. */
		unsigned no_mark = UINT_MAX;
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &no_mark,
			sizeof(no_mark)); /* not on Unix */
	} else {
		c->is_mute = true; /* inside a frame or a record nothing else can be said */
	}
	output_free(w, c);
}

uint64_t output_expire(struct worker *w, unsigned max)
{
	struct output *o;
	for (unsigned n = 0; (o = w->output_first) && n < max; n++) {
		uint64_t deadline_ms = o->progress_ms + w->shared->params.slow_timeout_ms;
		if (deadline_ms > w->now.mono_ms)
			return deadline_ms;
		/* The kernel takes more from us only when a good part of its queue is free: a peer that reads slowly
		 * shows in the queue first. */
		if (count_queued(o) < o->n_queued) {
			list_remove(w, o);
			list_append(w, o);
			continue;
		}
		struct connection *c = connections_at(&w->connections, o->fd);
		ensure(c && c->output == o);
		/* After a stall of ours it may have made room long ago. */
		uint32_t generation = c->generation;
		uint64_t progress_ms = o->progress_ms;
		output_continue(w, c);
		if (c->generation != generation || c->output != o || o->progress_ms != progress_ms)
			continue;
		if (c->phase == PHASE_LIVE)
			worker_end_session(w, c, REASON_SLOW);
		output_cut(w, c);
		reply_bye(&w->out, NULL, 0, REASON_SLOW, 1000 + random_u64() % 4000);
		worker_farewell(w, c, reason_close_code(REASON_SLOW), false);
	}
	return w->output_first ? w->now.mono_ms : UINT64_MAX;
}
