#include "admin/http.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	BACKLOG = 128,
	HEAD_MAX = 8 * 1024, /* what a handler accepts: cookies and proxies' headers fit */
	CONNECTION_MEMORY = 32 * 1024, /* libmicrohttpd's, for a head and what it makes of it */
	MS_A_SECOND = 1000,
	REAL_DIGITS = 12 /* of quantiles, which have three behind the point */
};

struct admin {
	/* const after start */
	struct admin_params params; /* its token is owned here */
	struct MHD_Daemon *daemon;
	int statm_fd; /* kept open, so that it can be read when descriptors are short; or -1 */
};

/* ---- answers ------------------------------------------------------------------------------------ */

#define ERRORS(X)                                                                                  \
	X(UNAUTHORIZED, 401, "unauthorized", "this needs the bearer token of the server")          \
	X(NOT_FOUND, 404, "not_found", "there is nothing at this path")                            \
	X(METHOD, 405, "method_not_allowed", "the Allow header says what this path takes")         \
	X(BODY, 413, "body_too_large", "this takes no request body")                               \
	X(HEAD, 431, "headers_too_large", "the request's headers are over 8 KiB")

#define ERROR_ENUM(name, status, code, message) ERROR_##name,
enum error { ERRORS(ERROR_ENUM) ERROR_N };
#undef ERROR_ENUM

#define ERROR_ROW(name, status, code, message) [ERROR_##name] = {status, code, message},
static const struct {
	unsigned status;
	const char *code, *message;
} errors[ERROR_N] = {ERRORS(ERROR_ROW)};
#undef ERROR_ROW

struct answer {
	unsigned status;
	json_t *body; /* NULL: memory was refused */
	const char *allow; /* of a 405 */
};

static struct answer answer_error(enum error e)
{
	return (struct answer){
		.status = errors[e].status, .body = stats_error(errors[e].code, errors[e].message)};
}

static int64_t rss_bytes(const struct admin *a)
{
	char text[128];
	ssize_t n = pread(a->statm_fd, text, sizeof(text) - 1, 0);
	unsigned long long size, resident;

	if (n <= 0)
		return -1;
	text[n] = '\0';
	if (sscanf(text, "%llu %llu", &size, &resident) != 2)
		return -1;
	return (int64_t)resident * sysconf(_SC_PAGESIZE);
}

static struct answer answer_stats(const struct admin *a)
{
	struct stats_view view = {
		.version = a->params.version,
		.telemetry = a->params.telemetry,
		.limits = &a->params.limits,
		.table = table_count(a->params.table),
		.rss_bytes = rss_bytes(a),
		.now_mono_ms = clock_mono_ms(),
	};

	return (struct answer){.status = MHD_HTTP_OK, .body = stats_document(&view)};
}

static struct answer answer_health(const struct admin *a)
{
	(void)a; /* that this thread answers is all there is to say */
	return (struct answer){.status = MHD_HTTP_OK, .body = json_pack("{s:s}", "status", "ok")};
}

static struct answer answer_readiness(const struct admin *a)
{
	char reason[STATS_REASON_MAX];

	if (!stats_is_ready(a->params.telemetry, reason))
		return (struct answer){.status = MHD_HTTP_SERVICE_UNAVAILABLE,
			.body = stats_error("not_ready", reason)};
	return (struct answer){
		.status = MHD_HTTP_OK, .body = json_pack("{s:s}", "status", "ready")};
}

/* ---- routes ------------------------------------------------------------------------------------- */

/* HEAD is GET to a route: libmicrohttpd leaves the body out. */
struct route {
	const char *method;
	const char *path; /* raw, as it came: not percent-decoded */
	struct answer (*answer)(const struct admin *);
	bool needs_token; /* where one is configured */
};

static const struct route routes[] = {
	{"GET", "/healthz", answer_health, false},
	{"GET", "/readyz", answer_readiness, false},
	{"GET", "/stats", answer_stats, true},
};

struct request {
	struct MHD_Connection *connection;
	const char *path, *method;
	bool has_body;
};

static const char *header_of(const struct request *r, const char *name)
{
	return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

/* The time it takes depends on what was sent, and not on where that differs. */
static bool equals_in_constant_time(const char *sent, const char *secret)
{
	size_t sent_len = strlen(sent), secret_len = strlen(secret);
	size_t difference = sent_len ^ secret_len;

	for (size_t i = 0; i < sent_len; i++) /* past its end, against its NUL */
		difference |= (unsigned char)(sent[i] ^ secret[i < secret_len ? i : secret_len]);
	return difference == 0;
}

static bool has_token(const struct admin *a, const struct request *r)
{
	static const char scheme[] = "Bearer ";
	const char *value = header_of(r, MHD_HTTP_HEADER_AUTHORIZATION);

	if (!value || strncasecmp(value, scheme, strlen(scheme)) != 0)
		return false;
	value += strlen(scheme);
	return equals_in_constant_time(value + strspn(value, " "), a->params.token);
}

static bool route_takes(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0 ||
	       (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* The route asked for; or NULL and, where the path has another one, its methods. */
static const struct route *route_find(const struct request *r, const char **ret_allow)
{
	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (strcmp(routes[i].path, r->path) != 0)
			continue;
		if (route_takes(&routes[i], r->method))
			return &routes[i];
		*ret_allow = strcmp(routes[i].method, "GET") == 0 ? "GET, HEAD" : routes[i].method;
	}
	return NULL;
}

/* Who may not ask is told so first, also where there is nothing: what exists is not for strangers. */
static struct answer answer_request(const struct admin *a, const struct request *r)
{
	const char *allow = NULL;
	const struct route *route = route_find(r, &allow);
	bool is_public = !a->params.token || (route && !route->needs_token);
	const union MHD_ConnectionInfo *head =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	if (head && head->header_size > HEAD_MAX)
		return answer_error(ERROR_HEAD);
	if (!is_public && !has_token(a, r))
		return answer_error(ERROR_UNAUTHORIZED);
	if (!route && allow) {
		struct answer refusal = answer_error(ERROR_METHOD);
		refusal.allow = allow;
		return refusal;
	}
	if (!route)
		return answer_error(ERROR_NOT_FOUND);
	if (r->has_body)
		return answer_error(ERROR_BODY);
	return route->answer(a);
}

/* ---- libmicrohttpd ------------------------------------------------------------------------------ */

static struct MHD_Response *response_without_memory(void)
{
	static const char text[] =
		"{\"error\":{\"code\":\"out_of_memory\",\"message\":\"out of memory\"}}\n";

	return MHD_create_response_from_buffer(
		sizeof(text) - 1, (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
}

/* Takes the answer's body. Where memory is short the status becomes 503. */
static struct MHD_Response *response_of(struct answer *answer)
{
	struct MHD_Response *response;
	char *text = NULL;
	size_t len;

	if (answer->body)
		text = json_dumps(answer->body, JSON_COMPACT | JSON_REAL_PRECISION(REAL_DIGITS));
	json_decref(answer->body);
	if (!text) {
		answer->status = MHD_HTTP_SERVICE_UNAVAILABLE;
		return response_without_memory();
	}
	/* A line, for who reads it in a terminal: the NUL's place is room for it. */
	len = strlen(text);
	text[len] = '\n';
	response = MHD_create_response_from_buffer(len + 1, text, MHD_RESPMEM_MUST_FREE);
	if (!response)
		free(text);
	return response;
}

static bool add_header(struct MHD_Response *response, const char *name, const char *value)
{
	return MHD_add_response_header(response, name, value) == MHD_YES;
}

static enum MHD_Result send_answer(const struct request *r, struct answer answer)
{
	struct MHD_Response *response = response_of(&answer);
	enum MHD_Result result = MHD_NO;
	bool is_whole;

	if (!response)
		return MHD_NO; /* closes the connection */
	is_whole = add_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json") &&
		   add_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (is_whole && answer.allow)
		is_whole = add_header(response, MHD_HTTP_HEADER_ALLOW, answer.allow);
	if (is_whole && answer.status == MHD_HTTP_UNAUTHORIZED)
		is_whole = add_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
	if (is_whole)
		result = MHD_queue_response(r->connection, answer.status, response);
	MHD_destroy_response(response);
	return result;
}

static bool announces_body(const struct request *r)
{
	const char *length = header_of(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return header_of(r, MHD_HTTP_HEADER_TRANSFER_ENCODING) ||
	       (length && strspn(length, "0") != strlen(length));
}

/* Called with the head, and again at the request's end: there it is answered, unless it announces a
 * body, which no route wants: that is refused before it is read, and the connection closed. */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *path,
	const char *method, const char *version, const char *upload, size_t *upload_size,
	void **request_cls)
{
	const struct admin *a = cls;
	struct request r = {.connection = connection, .path = path, .method = method};

	(void)version;
	(void)upload;
	(void)upload_size;
	if (!*request_cls) {
		*request_cls = cls; /* anything but NULL: the head was seen */
		r.has_body = announces_body(&r);
		if (!r.has_body)
			return MHD_YES;
	}
	return send_answer(&r, answer_request(a, &r));
}

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

static int open_listener(struct address *listen, unsigned timeout_s, int *ret_fd)
{
	struct listener_params params = {
		.user_timeout_ms = timeout_s * MS_A_SECOND, .backlog = BACKLOG};
	int claim_fd, err;

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
	a->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL,
		on_request, a, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL, MHD_OPTION_LISTEN_SOCKET,
		listener_fd, MHD_OPTION_CONNECTION_LIMIT, a->params.max_connections,
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

/* The thread inherits the mask: signals are for those who wait for them. */
static int start_daemon_without_signals(struct admin *a, int listener_fd)
{
	sigset_t all, old;
	int err;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	err = start_daemon(a, listener_fd);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

static void admin_free(struct admin *a)
{
	if (a->statm_fd >= 0)
		close(a->statm_fd);
	free((char *)(uintptr_t)a->params.token);
	free(a);
}

static struct admin *admin_new(const struct admin_params *params)
{
	struct admin *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->params = *params;
	a->statm_fd = -1;
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
	return a;
}

int admin_start(const struct admin_params *params, struct admin **ret, struct address *ret_bound)
{
	struct address bound = params->listen;
	struct admin *a = admin_new(params);
	int err, fd;

	if (!a)
		return -ENOMEM;
	err = open_listener(&bound, a->params.timeout_s, &fd);
	if (err < 0)
		goto fail;
	/* Without /proc /stats does without that number. */
	a->statm_fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	err = start_daemon_without_signals(a, fd);
	if (err < 0)
		goto fail;
	*ret = a;
	*ret_bound = bound;
	return 0;
fail:
	admin_free(a);
	return err;
}

void admin_stop(struct admin *a)
{
	if (!a)
		return;
	MHD_stop_daemon(a->daemon);
	admin_free(a);
}
