/* A turn: what the descriptor or the time brings. Bytes go between the socket and the rules, and the socket is made to
 * be what the rules want: there, of the present attempt, or not. */
#include "base/compiler.h"
#include "client/c/client.h"
#include "client/c/dial.h"
#include "client/c/stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	READ_BYTES = 16384,
	READS_MAX = 16 /* a turn: then others of the same loop are next */
};

/* --- the descriptor, as the application's loop knows it --- */

static void tell_socket(struct presence *p, int fd, unsigned want)
{
	p->told_fd = want ? fd : -1;
	p->told_want = want;
	if (!p->options.on_socket)
		return;
	p->n_callbacks++;
	p->options.on_socket(p, fd, want, p->options.arg);
	p->n_callbacks--;
}

/* Before anything is closed that may be waited on. */
static void forget_socket(struct presence *p)
{
	if (p->told_fd != -1)
		tell_socket(p, p->told_fd, 0);
}

int turn_fd(const struct presence *p)
{
	return p->dial ? dial_fd(p->dial) : p->fd;
}

unsigned turn_want(const struct presence *p)
{
	if (p->dial && dial_fd(p->dial) != -1)
		return dial_wants_write(p->dial) ? PRESENCE_WRITABLE : PRESENCE_READABLE;
	if (p->dial || p->fd == -1)
		return 0;
	return PRESENCE_READABLE | (stream_output(p->stream)->len > 0 ? PRESENCE_WRITABLE : 0);
}

static void sync_socket(struct presence *p)
{
	int fd = turn_fd(p);
	unsigned want = turn_want(p);

	if (p->told_fd != -1 && p->told_fd != fd)
		forget_socket(p);
	if (want != 0 && (fd != p->told_fd || want != p->told_want))
		tell_socket(p, fd, want);
}

void turn_close(struct presence *p)
{
	forget_socket(p);
	dial_free(p->dial);
	p->dial = NULL;
	stream_free(p->stream);
	p->stream = NULL;
	if (p->fd != -1)
		close(p->fd);
	p->fd = -1;
	p->has_user_timeout = false;
	p->awaits_addresses = false;
	p->connection_attempt = 0;
}

static void lost(struct presence *p, enum presence_error error, int system_error, uint64_t now_ms)
{
	const char *detail = system_error ? strerrordesc_np(system_error) : NULL;

	link_lost(p,
		&(struct ending){.error = error, .system_error = system_error, .detail = detail},
		now_ms);
}

/* --- beginning --- */

static void opened(struct presence *p)
{
	if (p->stage == STAGE_DIALING && p->stream && stream_is_open(p->stream))
		link_connected(p);
}

static void step_dial(struct presence *p, uint64_t now_ms)
{
	int fd, err;

	forget_socket(p);
	err = dial_step(p->dial, p->options.connect_timeout_ms, now_ms, &fd);
	if (err == -EINPROGRESS)
		return;
	dial_free(p->dial);
	p->dial = NULL;
	if (err != 0) {
		lost(p, PRESENCE_ERROR_CONNECT, -err, now_ms);
		return;
	}
	p->fd = fd;
	if (stream_new(&p->url, p->tls_context, &p->stream) != 0) {
		lost(p, PRESENCE_ERROR_MEMORY, 0, now_ms);
		return;
	}
	opened(p);
}

static void begin_dial(struct presence *p, int err, uint64_t now_ms)
{
	if (err == 0)
		step_dial(p, now_ms);
	else
		lost(p, err == -ENOMEM ? PRESENCE_ERROR_MEMORY : PRESENCE_ERROR_RESOLVE, 0, now_ms);
}

void turn_addresses(struct presence *p, const struct addrinfo *list, uint64_t now_ms)
{
	if (!p->awaits_addresses || p->connection_attempt != p->attempt)
		return;
	p->awaits_addresses = false;
	begin_dial(p, dial_new(list, &p->dial), now_ms);
}

static int look_up(const struct server_url *url, int flags, struct addrinfo **ret)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
	char port[8];

	snprintf(port, sizeof(port), "%u", url->port);
	return getaddrinfo(url->host, port, &hints, ret);
}

/* A numeric address takes no time, and is nothing to trouble the application with. */
static void resolve(struct presence *p, uint64_t now_ms)
{
	struct addrinfo *list = NULL;
	int err = look_up(&p->url, AI_NUMERICHOST, &list), system_error = 0;

	if (err != 0 && p->options.on_resolve) {
		p->awaits_addresses = true;
		p->n_callbacks++;
		p->options.on_resolve(p, p->url.host, p->url.port, p->options.arg);
		p->n_callbacks--;
		return;
	}
	if (err != 0) {
		err = look_up(&p->url, 0, &list);
		system_error = err == EAI_SYSTEM ? errno : 0;
		now_ms = presence_now(); /* the one place where time may have passed */
		link_dialing(p, now_ms);
	}
	if (err != 0) {
		link_lost(p,
			&(struct ending){.error = err == EAI_MEMORY ? PRESENCE_ERROR_MEMORY
								    : PRESENCE_ERROR_RESOLVE,
				.system_error = system_error,
				.detail = gai_strerror(err)},
			now_ms);
		return;
	}
	err = dial_new(list, &p->dial);
	freeaddrinfo(list);
	begin_dial(p, err, now_ms);
}

static void begin(struct presence *p, uint64_t now_ms)
{
	p->connection_attempt = p->attempt;
	if (p->url.transport == TRANSPORT_UNIX)
		begin_dial(p, dial_new_unix(p->url.path, &p->dial), now_ms);
	else
		resolve(p, now_ms);
}

/* --- in --- */

/* Whether the connection is still that of this attempt: callbacks may have ended it. */
static bool is_of(const struct presence *p, uint64_t attempt)
{
	return p->attempt == attempt && p->connection_attempt == attempt &&
	       link_wants_connection(p) && p->stream;
}

static void take_lines(struct presence *p, uint64_t attempt, uint64_t now_ms)
{
	const char *line;
	size_t len;

	opened(p);
	while (is_of(p, attempt) && stream_next_line(p->stream, &line, &len))
		link_line(p, line, len, now_ms);
}

/* When what is read now came: where this turn is late, no later than it was due. A process that stood still for an
 * hour finds what the server said an hour ago, and that says nothing of now. */
static uint64_t heard_at(const struct presence *p, uint64_t now_ms)
{
	return p->due_ms < now_ms && now_ms - p->due_ms > LATE_MS ? p->due_ms : now_ms;
}

static void read_socket(struct presence *p, uint64_t now_ms)
{
	uint64_t attempt = p->attempt, when = heard_at(p, now_ms);
	char bytes[READ_BYTES];

	for (int i = 0; i < READS_MAX && is_of(p, attempt); i++) {
		struct ending ending;
		ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			lost(p, n == 0 ? PRESENCE_ERROR_CLOSED : PRESENCE_ERROR_LOST,
				n == 0 ? 0 : errno, now_ms);
			return;
		}
		link_heard(p, when);
		int err = stream_receive(p->stream, bytes, (size_t)n, &ending);
		take_lines(p, attempt, now_ms);
		if (is_of(p, attempt) && err != 0)
			link_lost(p, &ending, now_ms);
		else if (is_of(p, attempt) && stream_has_ended(p->stream))
			lost(p, PRESENCE_ERROR_CLOSED, 0, now_ms);
		if ((size_t)n < sizeof(bytes))
			return; /* drained; an end that came with it is told by the next wait */
	}
}

/* --- out --- */

static void write_socket(struct presence *p, uint64_t now_ms)
{
	struct buffer *out = stream_output(p->stream);
	size_t done = 0;

	while (done < out->len) {
		ssize_t n =
			send(p->fd, out->data + done, out->len - done, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (n < 0) {
			/* What the server said before it went is still to be read, and may say why. */
			int error = errno;
			uint64_t attempt = p->attempt;
			out->len = 0;
			read_socket(p, now_ms);
			if (is_of(p, attempt))
				lost(p, PRESENCE_ERROR_LOST, error, now_ms);
			return;
		}
		done += (size_t)n;
	}
	out->len -= done;
	if (out->len == 0)
		buffer_free(out);
	else if (done > 0)
		memmove(out->data, out->data + done, out->len);
}

static void send_lines(struct presence *p, uint64_t now_ms)
{
	struct ending ending = {.error = PRESENCE_ERROR_MEMORY};
	int err = p->out.failed ? -1 : 0;

	if (err == 0 && p->out.len > 0) {
		err = stream_send(p->stream, p->out.data, p->out.len, &ending);
		buffer_free(&p->out);
	}
	if (err != 0)
		link_lost(p, &ending, now_ms);
	else if (stream_output(p->stream)->len > 0)
		write_socket(p, now_ms);
}

/* The kernel gives up what is not acknowledged when we would. */
static void set_user_timeout(struct presence *p)
{
	p->has_user_timeout = true;
	if (p->url.transport != TRANSPORT_UNIX)
		(void)setsockopt(p->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &p->self.timeout_ms,
			sizeof(p->self.timeout_ms));
}

/* --- the turn --- */

static bool is_connection_stale(const struct presence *p)
{
	return p->connection_attempt != 0 &&
	       (p->connection_attempt != p->attempt || !link_wants_connection(p));
}

/* A last word: TLS's alert, WebSocket's close. What can't go at once does not matter. */
static void last_word(struct presence *p)
{
	struct buffer *out = p->stream ? stream_output(p->stream) : NULL;

	if (out && out->len > 0)
		(void)!send(p->fd, out->data, out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void turn_settle(struct presence *p, uint64_t now_ms)
{
	bool has_written = false;

	p->is_in_turn = true;
	for (;;) {
		if (is_connection_stale(p)) {
			last_word(p);
			turn_close(p);
		} else if (link_wants_connection(p) && p->connection_attempt != p->attempt) {
			begin(p, now_ms);
		} else if (p->stream && link_wants_connection(p) &&
			   (p->out.len > 0 || p->out.failed)) {
			send_lines(p, now_ms);
		} else if (p->stream && stream_output(p->stream)->len > 0 && !has_written) {
			has_written = true; /* what the layers say for themselves */
			write_socket(p, now_ms);
		} else {
			break;
		}
	}
	if (p->link == PRESENCE_LINK_UP && !p->has_user_timeout)
		set_user_timeout(p);
	sync_socket(p);
	p->is_in_turn = false;
	if (p->n_callbacks == 0)
		contacts_bury(&p->contacts);
	p->due_ms = turn_deadline(p);
}

void turn_ready(struct presence *p, unsigned ready, uint64_t now_ms)
{
	/* Nothing is judged by the time before what has come is read. */
	bool is_due = now_ms >= link_deadline(p);

	p->is_in_turn = true;
	if (p->dial)
		step_dial(p, now_ms);
	else if (p->stream && ((ready & PRESENCE_READABLE) || is_due))
		read_socket(p, now_ms);
	if (p->stream && (ready & PRESENCE_WRITABLE) && stream_output(p->stream)->len > 0 &&
		!is_connection_stale(p))
		write_socket(p, now_ms);
	link_tick(p, now_ms);
	turn_settle(p, now_ms);
}

uint64_t turn_deadline(const struct presence *p)
{
	uint64_t link = link_deadline(p);
	uint64_t dial = p->dial ? dial_deadline(p->dial) : UINT64_MAX;

	return link < dial ? link : dial;
}
