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

/* Where the line or the frame ends that begins at 'at'. All that is ever sent is made of whole ones, but for the answer to an
 * HTTP request, which counts as one with whatever is behind it. */
static size_t next_boundary(const struct connection *c, const char *bytes, size_t len, size_t at)
{
	if (c->stage == STAGE_FRAMES)
		return (bytes[at] & 0x80) ? at + frames_size(bytes + at) : len;
	const char *end = memchr(bytes + at, '\n', len - at);
	return end ? (size_t)(end + 1 - bytes) : len;
}

/* Keeps w->out but for the 'n' bytes that were taken. */
static int stash(struct worker *w, struct connection *c, size_t n) REQUIRES(role_worker)
{
	size_t len = w->out.len - n, boundary = 0;
	while (boundary < n)
		boundary = next_boundary(c, w->out.data, w->out.len, boundary);
	struct output *o = malloc(sizeof(*o) + len);
	if (!o) {
		worker_count(w, COUNTER_out_of_memory);
		return -ENOMEM;
	}
	*o = (struct output){
		.fd = (uint32_t)c->fd, .len = (uint32_t)len, .boundary = (uint32_t)(boundary - n)};
	memcpy(o->bytes, w->out.data + n, len);
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
		is_sound = stash(w, c, (size_t)n) == 0;
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
	snapshot.is_reconnecting = false; /* it is told as the event that it stands for */
	char *to = buffer_reserve(&w->out, EVENT_LINE_MAX);
	if (to)
		w->out.len += event_put_line(to, u->user, u->user_len, &snapshot);
	return snapshot.counter;
}

/* Of a slice, each of more than 100 bytes, and the last of which may end behind it. */
enum { LINES_MAX = WRITE_SLICE / 100 + 1 };

void output_flush(struct worker *w, struct connection *c)
{
	struct watching *watching = connection_watching(c);
	if (c->phase != PHASE_LIVE || c->output || c->is_broken || c->is_arriving || !watching)
		return;
	struct watcher *watcher = &watching->watcher;
	struct watch *watch;
	uint32_t made_us[LINES_MAX], n_fresh = 0;
	uint64_t n = 0;
	while (w->out.len < WRITE_SLICE && (watch = watch_next_dirty(w->watches, watcher))) {
		const struct event *e = watch->watched->event;
		if (e)
			made_us[n_fresh++] = e->made_us;
		watch_set_told(w->watches, watch, tell(w, watch->watched));
		n++;
	}
	if (n == 0)
		return;
	counter_add(worker_counters(w), COUNTER_events_delivered, n);
	bool is_taken = output_push(w, c) && !c->output;
	worker_tick(w);
	if (!is_taken)
		return;
	watch_want_flush(w->watches, watcher);
	uint32_t now_us = (uint32_t)(w->now_ns / 1000);
	for (uint32_t i = 0; i < n_fresh; i++)
		histogram_record(&w->telemetry->event_us, now_us - made_us[i]);
}

/* The time that passes is in the writes, and output_flush() looks at the clock after each. */
bool output_flush_all(struct worker *w, uint64_t until_ns)
{
	struct watcher *watcher;
	while ((watcher = watch_next_flush(w->watches))) {
		struct watching *watching = (struct watching *)(void *)watcher;
		if (watching->fd != CONNECTION_NONE)
			output_flush(w, connections_at(&w->connections, watching->fd));
		if (w->now_ns >= until_ns)
			break;
	}
	return !watch_has_flush(w->watches);
}

void output_cut(struct worker *w, struct connection *c)
{
	struct output *o = c->output;
	if (!o)
		return;
	size_t end = o->boundary, least = o->at + channel_promised(c);
	while (end < least)
		end = next_boundary(c, o->bytes, o->len, end);
	buffer_append(&w->out, o->bytes + o->at, end - o->at);
	w->n_sealed = c->stage == STAGE_FRAMES ? w->out.len : 0;
	/* The kernel's queue is kept short by its low-water mark: for the last words it may be longer. */
	unsigned no_mark = UINT_MAX;
	(void)setsockopt(
		c->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &no_mark, sizeof(no_mark)); /* not on Unix */
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
