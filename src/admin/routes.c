/* Which path is what, and who may ask. */

#include "admin/http_private.h"

#include "admin/api.h"
#include "admin/demo.h"
#include "admin/events.h"
#include "admin/follow.h"
#include "admin/metrics.h"
#include "admin/page.h"
#include "admin/stats.h"
#include "admin/stream.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* ---- the numbers --------------------------------------------------------------------------------- */

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

struct stats_view admin_view(const struct admin *a)
{
	return (struct stats_view){
		.version = a->params.version,
		.telemetry = a->params.telemetry,
		.limits = &a->params.limits,
		.table = table_count(a->params.table),
		.feed = a->params.feed ? feed_count(a->params.feed)
				       : (struct feed_counts){.n_events = 0},
		.rss_bytes = rss_bytes(a),
		.now_mono_ms = clock_mono_ms(),
	};
}

static struct stats_view view_of(const struct admin *a)
{
	struct stats_view view = admin_view(a);

	view.n_streams = streams_count(a->streams);
	return view;
}

static struct answer answer_stats(struct admin *a, const struct request *r)
{
	struct stats_view view = view_of(a);
	struct buffer body = {.data = NULL};

	(void)r;
	stats_put(&body, &view);
	return answer_buffer(&body);
}

static struct answer answer_metrics(struct admin *a, const struct request *r)
{
	struct stats_view view = view_of(a);
	struct buffer body = {.data = NULL};
	struct answer answer;

	(void)r;
	metrics_put(&body, &view);
	answer = answer_buffer(&body);
	answer.type = METRICS_TYPE;
	return answer;
}

static struct answer answer_health(struct admin *a, const struct request *r)
{
	(void)a; /* that this thread answers is all there is to say */
	(void)r;
	return answer_document(MHD_HTTP_OK, json_pack("{s:s}", "status", "ok"));
}

static struct answer answer_readiness(struct admin *a, const struct request *r)
{
	char reason[STATS_REASON_MAX];
	const char *fault = stats_degraded(a->params.telemetry);

	(void)r;
	if (!stats_is_ready(a->params.telemetry, reason))
		return answer_error_because(ANSWER_ERROR_NOT_READY, reason);
	if (fault)
		return answer_document(MHD_HTTP_OK,
			json_pack("{s:s,s:{s:s}}", "status", "ready", "degraded", "store", fault));
	return answer_document(MHD_HTTP_OK, json_pack("{s:s}", "status", "ready"));
}

/* ---- the table of routes ------------------------------------------------------------------------- */

/* Who may ask, where there is a token: everybody; everybody if so set; who has it. */
enum access { ACCESS_ALL, ACCESS_METRICS, ACCESS_TOKEN };

/* HEAD is GET to a route: libmicrohttpd leaves the body out. */
struct route {
	const char *method, *pattern;
	struct answer (*answer)(struct admin *, const struct request *);
	enum access access;
	bool takes_body;
};

static const struct route routes[] = {
	{"GET", "/healthz", answer_health, ACCESS_ALL, false},
	{"GET", "/readyz", answer_readiness, ACCESS_ALL, false},
	{"GET", "/stats", answer_stats, ACCESS_TOKEN, false},
	{"GET", "/metrics", answer_metrics, ACCESS_METRICS, false},
	{"GET", "/v1/users", api_users, ACCESS_TOKEN, false},
	{"GET", "/v1/users/{id}", api_user, ACCESS_TOKEN, false},
	{"DELETE", "/v1/users/{id}", api_kick_user, ACCESS_TOKEN, false},
	{"DELETE", "/v1/users/{id}/sessions/{session}", api_kick_session, ACCESS_TOKEN, false},
	{"POST", "/v1/query", api_query, ACCESS_TOKEN, true},
	{"GET", "/v1/counts", api_counts, ACCESS_TOKEN, false},
	{"GET", "/v1/users/{id}/history", events_history, ACCESS_TOKEN, false},
	{"GET", "/v1/events", events_answer, ACCESS_TOKEN, false},
	{"GET", "/v1/live", follow_answer, ACCESS_TOKEN, false},
	{"GET", "/", page_answer, ACCESS_ALL, false},
	{"GET", "/page/{file}", page_answer, ACCESS_ALL, false},
	{"GET", "/demo", page_answer, ACCESS_ALL, false},
	{"GET", "/demo/config.json", demo_answer_config, ACCESS_ALL, false},
	{"GET", "/demo/{file}", page_answer, ACCESS_ALL, false},
};

bool path_matches(const char *path, const char *pattern, struct path_param ret[PARAMS_MAX])
{
	unsigned n = 0;

	while (*path == '/' && *pattern == '/') {
		size_t len = strcspn(++path, "/"), want = strcspn(++pattern, "/");
		if (*pattern == '{' && len > 0 && n < PARAMS_MAX)
			ret[n++] = (struct path_param){.text = path, .len = len};
		else if (len != want || memcmp(path, pattern, len) != 0)
			return false;
		path += len;
		pattern += want;
	}
	return *path == '\0' && *pattern == '\0';
}

static bool route_takes(const struct route *route, const char *method)
{
	return strcmp(route->method, method) == 0 ||
	       (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* What a path with that many methods takes: "GET, HEAD, DELETE". Static: there are few such sets. */
static const char *allow_of(bool has_get, bool has_post, bool has_delete)
{
	if (has_post)
		return "POST";
	if (has_get)
		return has_delete ? "GET, HEAD, DELETE" : "GET, HEAD";
	return has_delete ? "DELETE" : NULL;
}

/* The route asked for; or NULL and, where the path has others, their methods. */
static const struct route *route_find(struct request *r, const char **ret_allow)
{
	bool has_get = false, has_post = false, has_delete = false;

	for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
		if (!path_matches(r->path, routes[i].pattern, r->params))
			continue;
		if (route_takes(&routes[i], r->method))
			return &routes[i];
		has_get |= strcmp(routes[i].method, "GET") == 0;
		has_post |= strcmp(routes[i].method, "POST") == 0;
		has_delete |= strcmp(routes[i].method, "DELETE") == 0;
	}
	*ret_allow = allow_of(has_get, has_post, has_delete);
	return NULL;
}

/* ---- who may ask --------------------------------------------------------------------------------- */

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
	const char *value = request_header(r, MHD_HTTP_HEADER_AUTHORIZATION);

	if (!value || strncasecmp(value, scheme, strlen(scheme)) != 0)
		return false;
	value += strlen(scheme);
	return equals_in_constant_time(value + strspn(value, " "), a->params.token);
}

static bool is_public(const struct admin *a, const struct route *route)
{
	if (!a->params.token)
		return true;
	if (!route)
		return false;
	return route->access == ACCESS_ALL ||
	       (route->access == ACCESS_METRICS && a->params.is_metrics_public);
}

/* ---- who may ask a server that anyone on this host may ask --------------------------------------- */

/* An address, which no name service can lead here; or localhost, which none is asked for. */
static bool is_own_host(const char *host)
{
	static const char localhost[] = "localhost";
	size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");
	size_t want = strlen(localhost);
	unsigned char bytes[16];
	char text[64];

	if (host[0] == '[') {
		host++;
		len--;
	}
	if (len == 0 || len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = '\0';
	if (inet_pton(AF_INET, text, bytes) == 1 || inet_pton(AF_INET6, text, bytes) == 1)
		return true;
	return len >= want && strcasecmp(text + len - want, localhost) == 0 &&
	       (len == want || text[len - want - 1] == '.');
}

/* A page of another site whose name was made to lead to this host (DNS rebinding) asks as its own origin, and reads the
 * answers: it is known by the name. Where a token is asked for it has none, and the names are the operator's. */
static bool is_foreign_host(
	const struct admin *a, const struct request *r, const struct route *route)
{
	const char *host = request_header(r, MHD_HTTP_HEADER_HOST);

	if (a->params.token || (route && route->access == ACCESS_ALL))
		return false;
	return host && !is_own_host(host); /* browsers send one always */
}

/* Whether a browser says that a page of another origin asks for a change. What a browser does not say of its own accord (a
 * program's requests) it is not asked. */
static bool is_foreign_origin(const struct request *r)
{
	const char *site = request_header(r, "Sec-Fetch-Site");
	const char *origin = request_header(r, "Origin");
	const char *host = request_header(r, MHD_HTTP_HEADER_HOST);

	if (strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0)
		return false;
	if (site && strcmp(site, "same-origin") != 0 && strcmp(site, "none") != 0)
		return true;
	if (!origin)
		return false;
	const char *behind_scheme = strstr(origin, "://");
	return !host || !behind_scheme || strcasecmp(behind_scheme + 3, host) != 0;
}

/* The body as the head announces it; one in chunks is measured as it comes. */
static bool announces_too_much(const struct request *r)
{
	const char *length = request_header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);

	return length && strtoull(length, NULL, 10) > BODY_MAX;
}

/* Who may not ask is told so first, also where there is nothing: what exists is not for strangers. */
bool routes_refuse(struct admin *a, struct request *r, struct answer *ret)
{
	const char *allow = NULL;
	const struct route *route = route_find(r, &allow);
	const union MHD_ConnectionInfo *head =
		MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);

	if (head && head->header_size > HEAD_MAX)
		*ret = answer_error(ANSWER_ERROR_HEAD);
	else if (is_foreign_host(a, r, route))
		*ret = answer_error(ANSWER_ERROR_FOREIGN_HOST);
	else if (is_foreign_origin(r))
		*ret = answer_error(ANSWER_ERROR_FOREIGN_ORIGIN);
	else if (!is_public(a, route) && !has_token(a, r))
		*ret = answer_error(ANSWER_ERROR_UNAUTHORIZED);
	else if (!route)
		*ret = answer_error(allow ? ANSWER_ERROR_METHOD : ANSWER_ERROR_NOT_FOUND);
	else if (r->has_body && !route->takes_body)
		*ret = answer_error(ANSWER_ERROR_BODY);
	else if (r->has_body && announces_too_much(r))
		*ret = answer_error(ANSWER_ERROR_BODY_LIMIT);
	else {
		r->route = route;
		return false;
	}
	if (ret->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		ret->allow = allow;
	return true;
}

struct answer routes_answer(struct admin *a, struct request *r)
{
	if (r->is_too_long)
		return answer_error(ANSWER_ERROR_BODY_LIMIT);
	if (r->is_too_much)
		return answer_error(ANSWER_ERROR_BUSY);
	if (r->body.failed)
		return answer_error(ANSWER_ERROR_OUT_OF_MEMORY);
	return r->route->answer(a, r);
}
