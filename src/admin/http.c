#include "admin/http.h"

#include "admin/follow.h"
#include "admin/http_private.h"
#include "admin/live.h"
#include "admin/page.h"
#include "admin/stream.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BACKLOG = 128,
	CONNECTION_MEMORY = 32 * 1024, /* libmicrohttpd's, for a head and what it makes of it */
	MS_A_SECOND = 1000
};

/* ---- answers ------------------------------------------------------------------------------------ */

/* A large body on its way, counted among the bytes held. */
struct load {
	struct admin *admin;
	struct buffer body;
};

static void on_sent(void *cls)
{
	struct load *load = cls;

	load->admin->held_bytes -= load->body.cap;
	buffer_free(&load->body);
	free(load);
}

/* Takes the body. NULL: no memory. */
static struct MHD_Response *response_of_large(struct admin *a, struct buffer *body)
{
	struct load *load = malloc(sizeof(*load));
	struct MHD_Response *response;

	if (!load)
		return NULL;
	*load = (struct load){.admin = a, .body = *body};
	response = MHD_create_response_from_buffer_with_free_callback_cls(
		load->body.len, load->body.data, on_sent, load);
	if (!response) {
		free(load);
		return NULL;
	}
	a->held_bytes += load->body.cap;
	*body = (struct buffer){.data = NULL};
	return response;
}

/* Takes the body, or the stream. NULL: no memory. */
static struct MHD_Response *response_of(struct admin *a, struct answer *answer)
{
	struct buffer *body = &answer->body;
	struct MHD_Response *response;

	if (answer->stream) {
		response = stream_response(answer->stream);
		answer->stream = NULL;
		return response;
	}
	if (body->len > SMALL_MAX)
		return response_of_large(a, body);
	response = MHD_create_response_from_buffer(
		body->len, body->data, body->data ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
	if (response)
		*body = (struct buffer){.data = NULL};
	return response;
}

/* Of what lies in the program. NULL: no memory. */
static struct MHD_Response *response_of_constant(const char *text, size_t len)
{
	return MHD_create_response_from_buffer(
		len, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *response_of_file(const struct answer *answer)
{
	const struct page_file *file = answer->file;
	bool is_known = answer->status == MHD_HTTP_NOT_MODIFIED;

	return response_of_constant(file->begin, is_known ? 0 : (size_t)(file->end - file->begin));
}

static struct MHD_Response *response_without_memory(void)
{
	static const char text[] =
		"{\"error\":{\"code\":\"out_of_memory\",\"message\":\"out of memory\"}}\n";

	return response_of_constant(text, sizeof(text) - 1);
}

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
	return MHD_add_response_header(response, name, value) == MHD_YES;
}

/* A browser may keep it, and asks whether it is still the same; it shows it in no other's frame, and tells nobody from
 * where it came. */
static bool add_headers_of_file(struct MHD_Response *response, const struct page_file *file)
{
	char etag[PAGE_ETAG_MAX];

	page_etag(file, etag);
	return add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache") &&
	       add_header(response, MHD_HTTP_HEADER_ETAG, etag) &&
	       add_header(response, "Referrer-Policy", "no-referrer") &&
	       add_header(response, "Cross-Origin-Opener-Policy", "same-origin") &&
	       add_header(response, "Cross-Origin-Resource-Policy", "same-origin") &&
	       add_header(response, "X-Frame-Options", "DENY") &&
	       (!file->policy || add_header(response, "Content-Security-Policy", file->policy));
}

static bool add_headers(struct MHD_Response *response, const struct answer *answer)
{
	bool is_well = answer->file
			       ? add_headers_of_file(response, answer->file)
			       : add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");

	if (!is_well || !add_header(response, "X-Content-Type-Options", "nosniff"))
		return false;
	if (answer->status != MHD_HTTP_NO_CONTENT &&
		!add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
			answer->type ? answer->type : "application/json"))
		return false;
	if (answer->allow && !add_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow))
		return false;
	return answer->status != MHD_HTTP_UNAUTHORIZED ||
	       add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
}

/* Takes the answer. */
static enum MHD_Result send_answer(struct admin *a, const struct request *r, struct answer answer)
{
	struct MHD_Response *response = NULL;
	enum MHD_Result result = MHD_NO;

	if (answer.body.len > SMALL_MAX && a->held_bytes + answer.body.cap > HELD_MAX) {
		answer_free(&answer);
		answer = answer_error(ANSWER_ERROR_BUSY);
	}
	if (!answer.body.failed)
		response = answer.file ? response_of_file(&answer) : response_of(a, &answer);
	answer_free(&answer);
	if (!response) {
		answer = (struct answer){.status = MHD_HTTP_SERVICE_UNAVAILABLE};
		response = response_without_memory();
	}
	if (!response)
		return MHD_NO; /* closes the connection */
	if (add_headers(response, &answer))
		result = MHD_queue_response(r->connection, answer.status, response);
	MHD_destroy_response(response);
	return result;
}

/* ---- requests ----------------------------------------------------------------------------------- */

const char *request_header(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static bool announces_body(const struct request *r)
{
	const char *length = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return request_header(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) ||
	       (length && strspn(length, "0") != strlen(length));
}

static void forget_body(struct admin *a, struct request *r)
{
	a->held_bytes -= r->body.cap;
	buffer_free(&r->body);
}

/* A piece of the body. False: far too much came; the connection is closed. */
static bool gather(struct admin *a, struct request *r, const char *piece, size_t len)
{
	size_t before = r->body.cap;

	if (!r->is_too_long && !r->is_too_much && r->body.len + len <= BODY_MAX &&
		a->held_bytes + len <= HELD_MAX) {
		buffer_append(&r->body, piece, len);
		a->held_bytes += r->body.cap - before;
		return true;
	}
	/* No answer can be given before its end: what still comes is dropped, but not for ever. */
	r->is_too_long |= r->body.len + len > BODY_MAX;
	r->is_too_much |= !r->is_too_long;
	forget_body(a, r);
	r->n_dropped += len;
	return r->n_dropped <= BODY_MAX;
}

/* With the head: what is refused although a body is to come is refused before it is read, and the connection closed. */
static enum MHD_Result begin_request(
	struct admin *a, const struct request *seen, void **request_cls) REQUIRES(role_admin)
{
	struct request *r = malloc(sizeof(*r));
	struct answer refusal;

	if (!r)
		return MHD_NO;
	*request_cls = r;
	*r = *seen;
	r->has_body = announces_body(r);
	if (!r->has_body || !routes_refuse(a, r, &refusal))
		return MHD_YES;
	return send_answer(a, r, refusal);
}

/* Called with the head, with each piece of a body, and at the request's end, where it is answered. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *path,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **request_cls)
{
	struct admin *a = cls;
	struct request *r = *request_cls;
	struct answer answer;

	role_admin_begin();
	(void)version;
	if (!r) {
		struct request seen = {.connection = connection, .path = path, .method = method};
		return begin_request(a, &seen, request_cls);
	}
	if (*upload_size > 0) {
		bool goes_on = gather(a, r, upload, *upload_size);
		*upload_size = 0;
		return goes_on ? MHD_YES : MHD_NO;
	}
	r->path = path;
	r->method = method;
	if (!routes_refuse(a, r, &answer))
		answer = routes_answer(a, r);
	return send_answer(a, r, answer);
}

static void on_completed(void *cls, struct MHD_Connection *connection, void **request_cls,
	enum MHD_RequestTerminationCode code)
{
	struct request *r = *request_cls;

	(void)connection;
	(void)code;
	if (!r)
		return;
	forget_body(cls, r);
	free(r);
	*request_cls = NULL;
}

/* ---- libmicrohttpd ------------------------------------------------------------------------------ */

/* Paths stay as they came: they are split at '/' before their parts are decoded. */
static size_t leave_escaped(void *cls, struct MHD_Connection *connection, char *text)
{
	(void)cls;
	(void)connection;
	return strlen(text);
}

static void on_log(void *cls, const char *format, va_list arguments) FORMAT_PRINTF(2, 0);
static void on_log(void *cls, const char *format, va_list arguments)
{
	char text[256];

	(void)cls;
	vsnprintf(text, sizeof(text), format, arguments);
	log_debug("admin http", LOG_STR("said", text, strcspn(text, "\n")));
}

/* ---- start and stop ----------------------------------------------------------------------------- */

static int open_listener(const struct admin_params *p, struct address *listen, int *ret_fd)
{
	struct listener_params params = {
		.user_timeout_ms = p->timeout_s * MS_A_SECOND, .backlog = BACKLOG};
	int claim_fd, err;

	*ret_fd = p->inherited_fd;
	if (p->inherited_fd > 0)
		return listener_adopt(p->inherited_fd, &params);
	err = listener_claim(listen, &claim_fd);
	if (err < 0)
		return err;
	err = listener_open_shared(listen, &params, ret_fd);
	close(claim_fd);
	return err;
}

/* Whether 'fd' is still the socket that 'was' describes, and not another's file by now. */
static bool is_same_socket(int fd, const struct stat *was)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == was->st_dev && st.st_ino == was->st_ino;
}

/* The daemon takes the listener. Where it fails it has closed it or not, depending on how far it got. */
static int start_daemon(struct admin *a, int listener_fd)
{
	struct stat was;
	int err;

	if (fstat(listener_fd, &was) < 0) {
		err = -errno;
		close(listener_fd);
		return err;
	}
	errno = 0;
	a->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL |
					     MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME,
		0, NULL, NULL, on_request, a, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, a, MHD_OPTION_LISTEN_SOCKET, listener_fd,
		MHD_OPTION_CONNECTION_LIMIT, a->params.max_connections,
		MHD_OPTION_CONNECTION_TIMEOUT, a->params.timeout_s,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_END);
	if (a->daemon)
		return 0;
	err = errno ? -errno : -ENOMEM;
	if (is_same_socket(listener_fd, &was))
		close(listener_fd);
	return err;
}

static void on_second(void *cls)
{
	follow_sample(cls);
}

static int start_streams(struct admin *a)
{
	struct streams_params params = {
		.feed = a->params.feed,
		.max_streams = a->params.max_connections / 2 < STREAMS_MAX
				       ? a->params.max_connections / 2
				       : STREAMS_MAX,
		.keepalive_ms = a->params.keepalive_ms,
		.on_second = on_second,
		.on_second_cls = a,
	};
	return streams_new(&params, &a->streams);
}

/* The threads inherit the mask: signals are for those who wait for them. Takes the listener. */
static int start_without_signals(struct admin *a, int listener_fd)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = start_streams(a);
	if (err)
		close(listener_fd);
	else
		err = start_daemon(a, listener_fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

static void admin_free(struct admin *a)
{
	if (a->streams && !a->daemon)
		streams_stop(a->streams);
	streams_free(a->streams);
	live_free(a->live);
	if (a->statm_fd >= 0)
		close(a->statm_fd);
	actor_destroy(&a->actor);
	free((char *)(uintptr_t)a->params.token);
	free(a);
}

static struct admin *admin_new(const struct admin_params *params)
{
	struct admin *a = calloc(1, sizeof(*a));
	struct instant now = clock_instant();

	if (!a)
		return NULL;
	a->params = *params;
	a->statm_fd = -1;
	actor_init(&a->actor, params->counters);
	if (params->token) {
		a->params.token = strdup(params->token);
		if (!a->params.token) {
			admin_free(a);
			return NULL;
		}
	}
	if (a->params.max_connections == 0)
		a->params.max_connections = ADMIN_MAX_CONNECTIONS;
	if (a->params.timeout_s == 0)
		a->params.timeout_s = ADMIN_TIMEOUT_S;
	if (a->params.keepalive_ms == 0)
		a->params.keepalive_ms = STREAM_KEEPALIVE_MS;
	a->started_wall_ms = now.wall_ms - (now.mono_ms - params->telemetry->started_mono_ms);
	a->live = live_new(&(struct live_params){.telemetry = params->telemetry,
		.limits = &a->params.limits,
		.version = params->version,
		.scan_interval_ms = params->scan_interval_ms});
	if (!a->live) {
		admin_free(a);
		return NULL;
	}
	return a;
}

int admin_start(const struct admin_params *params, struct admin **ret, struct address *ret_bound)
{
	struct address bound = params->listen;
	struct admin *a = admin_new(params);
	int err, fd;

	if (!a)
		return -ENOMEM;
	err = open_listener(&a->params, &bound, &fd);
	if (err < 0)
		goto fail;
	/* Without /proc /stats does without that number. */
	a->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	err = start_without_signals(a, fd);
	if (err < 0)
		goto fail;
	*ret = a;
	*ret_bound = bound;
	return 0;
fail:
	admin_free(a);
	return err;
}

void admin_tell_websocket(struct admin *a, const struct listen_url *url)
{
	atomic_store_explicit(&a->websocket, url, memory_order_release);
}

void admin_stop(struct admin *a)
{
	if (!a)
		return;
	streams_stop(a->streams);
	/* libmicrohttpd shuts its listener down, which an inherited one must live through: so it is taken away before. */
	if (a->params.inherited_fd > 0) {
		MHD_socket fd = MHD_quiesce_daemon(a->daemon);
		if (fd == MHD_INVALID_SOCKET)
			log_error("the admin HTTP's inherited socket could not be kept");
		else
			close(fd);
	}
	MHD_stop_daemon(a->daemon);
	admin_free(a);
}
