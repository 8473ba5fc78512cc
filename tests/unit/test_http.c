/* The admin HTTP: what it says, and what it refuses. */
#include "admin/http.h"

#include "support/admin_fixture.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- what it says -------------------------------------------------------------------------------- */

static void test_stats(void **state)
{
	struct admin_fixture *f = *state;
	struct reply r;
	json_t *d;

	atomic_store(&f->telemetry->workers[1].connections, 5);
	admin_begin(f);
	client_get(f, "GET", "/stats", "", &r);
	assert_int_equal(r.status, 200);
	d = reply_json(&r);
	assert_string_equal(
		json_string_value(json_object_get(d, "server")), f->telemetry->server_id);
	assert_string_equal(json_string_value(json_object_get(d, "version")), "1.2.3");
	assert_int_equal(json_integer_value(json_object_get(d, "connections")), 5);
	assert_int_equal(json_integer_value(json_object_get(d, "sessions")), 0);
	assert_in_range(json_integer_value(json_object_get(d, "uptime_ms")), 0, 10 * 60 * 1000);
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(d, "limits"), "max_watches")),
		77);
	/* A process that links all this has a megabyte, and no terabyte. */
	assert_in_range(
		json_integer_value(json_object_get(json_object_get(d, "memory"), "rss_bytes")),
		1 << 20, 1ull << 40);
	json_decref(d);
	assert_int_equal(r.body[r.body_len - 1], '\n');
	client_get(f, "GET", "/stats?since=%2F", "", &r);
	assert_int_equal(r.status, 200);
}

static void test_readyz_follows_the_telemetry(void **state)
{
	struct admin_fixture *f = *state;
	struct reply r;

	admin_begin(f);
	assert_int_equal(client_status(f, "/readyz", ""), 200);
	atomic_store(&f->telemetry->workers[1].stalled, true);
	client_get(f, "GET", "/readyz", "", &r);
	reply_assert_error(&r, 503, "not_ready");
	assert_non_null(strstr(r.body, "worker 1 is stalled"));
	assert_int_equal(client_status(f, "/healthz", ""), 200);
	atomic_store(&f->telemetry->workers[1].stalled, false);
	assert_int_equal(client_status(f, "/readyz", ""), 200);
	atomic_store(&f->telemetry->readiness, READINESS_DRAINING);
	client_get(f, "GET", "/readyz", "", &r);
	reply_assert_error(&r, 503, "not_ready");
	assert_non_null(strstr(r.body, "draining"));
	assert_int_equal(client_status(f, "/healthz", ""), 200);
}

static void test_head_is_get_without_the_body(void **state)
{
	static const char *const paths[] = {"/stats", "/healthz", "/readyz", "/nothing"};
	static struct reply with, without;

	admin_begin(*state);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		client_get(*state, "GET", paths[i], "", &with);
		client_get(*state, "HEAD", paths[i], "", &without);
		assert_int_equal(without.status, with.status);
		assert_string_equal(reply_header(&without, "Content-Type"), "application/json");
		/* Numbers move between the two: about as long. */
		assert_in_range(strtoul(reply_header(&without, "Content-Length"), NULL, 10),
			with.body_len * 9 / 10, with.body_len * 11 / 10);
	}
}

static void test_unknown_paths(void **state)
{
	/* The last of them would be /stats if it had been decoded before it was looked at. */
	static const char *const paths[] = {"/stat", "/stats/", "//stats", "/STATS",
		"/%2e%2e/stats", "/%73tats", "/v1", "/v1/", "/v1/users/", "/v1//bob",
		"/v1%2Fcounts", "/v1/users/bob/sessions", "/v1/users/bob/",
		"/v1/users//sessions/1"};
	struct reply r;

	admin_begin(*state);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		client_get(*state, "GET", paths[i], "", &r);
		reply_assert_error(&r, 404, "not_found");
	}
}

static void test_methods_of_the_api(void **state)
{
	static const struct {
		const char *method, *path, *allow;
	} rows[] = {
		{"PUT", "/v1/users/bob", "GET, HEAD, DELETE"},
		{"GET", "/v1/users/bob/sessions/1", "DELETE"},
		{"DELETE", "/v1/users", "GET, HEAD"},
		{"GET", "/v1/query", "POST"},
		{"POST", "/metrics", "GET, HEAD"},
	};
	struct reply r;

	admin_begin(*state);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		client_get(*state, rows[i].method, rows[i].path, "", &r);
		reply_assert_error(&r, 405, "method_not_allowed");
		assert_string_equal(reply_header(&r, "Allow"), rows[i].allow);
	}
}

static void test_methods(void **state)
{
	static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"};
	struct reply r;

	admin_begin(*state);
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		client_get(*state, methods[i], "/healthz", "", &r);
		reply_assert_error(&r, 405, "method_not_allowed");
		assert_string_equal(reply_header(&r, "Allow"), "GET, HEAD");
	}
	client_get(*state, "POST", "/nothing", "", &r);
	reply_assert_error(&r, 404, "not_found");
}

/* ---- the token ----------------------------------------------------------------------------------- */

static void test_token(void **state)
{
	static const struct {
		const char *headers;
		unsigned status;
	} rows[] = {
		{"", 401},
		{"Authorization: Bearer s3cret-token\r\n", 200},
		{"authorization: bearer s3cret-token\r\n", 200},
		{"Authorization: Bearer   s3cret-token\r\n", 200},
		{"Authorization: Bearer s3cret-toke\r\n", 401},
		{"Authorization: Bearer s3cret-token2\r\n", 401},
		{"Authorization: Bearer s3cret-tokem\r\n", 401},
		{"Authorization: Bearer S3cret-token\r\n", 401},
		{"Authorization: Bearer \r\n", 401},
		{"Authorization: Bearer\r\n", 401},
		{"Authorization: s3cret-token\r\n", 401},
		{"Authorization: Basic s3cret-token\r\n", 401},
		{"X-Authorization: Bearer s3cret-token\r\n", 401},
	};
	struct admin_fixture *f = *state;
	char token[] = "s3cret-token";
	struct reply r;

	f->params.token = token;
	admin_begin(f);
	memset(token, 'x', sizeof(token) - 1); /* it has a copy */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		client_get(f, "GET", "/stats", rows[i].headers, &r);
		if (r.status != rows[i].status)
			fail_msg("%u for %s", r.status, rows[i].headers);
		if (rows[i].status != 401)
			continue;
		reply_assert_error(&r, 401, "unauthorized");
		assert_string_equal(reply_header(&r, "WWW-Authenticate"), "Bearer");
	}
}

static void test_token_guards_all_but_health(void **state)
{
	static const char with[] = "Authorization: Bearer t\r\n";
	struct admin_fixture *f = *state;
	struct reply r;

	f->params.token = "t";
	admin_begin(f);
	assert_int_equal(client_status(f, "/healthz", ""), 200);
	assert_int_equal(client_status(f, "/readyz", ""), 200);
	assert_int_equal(client_status(f, "/nothing", ""), 401);
	assert_int_equal(client_status(f, "/nothing", with), 404);
	client_get(f, "POST", "/stats", "", &r);
	reply_assert_error(&r, 401, "unauthorized");
	client_get(f, "POST", "/stats", with, &r);
	reply_assert_error(&r, 405, "method_not_allowed");
	client_get(f, "HEAD", "/stats", "", &r);
	assert_int_equal(r.status, 401);
	assert_int_equal(client_status(f, "/metrics", ""), 401);
	assert_int_equal(client_status(f, "/metrics", with), 200);
	assert_int_equal(client_status(f, "/v1/counts", ""), 401);
}

static void test_metrics_may_be_public(void **state)
{
	struct admin_fixture *f = *state;

	f->params.token = "t";
	f->params.is_metrics_public = true;
	admin_begin(f);
	assert_int_equal(client_status(f, "/metrics", ""), 200);
	assert_int_equal(client_status(f, "/stats", ""), 401);
	assert_int_equal(client_status(f, "/v1/counts", ""), 401);
}

/* ---- what it refuses ----------------------------------------------------------------------------- */

/* Refused by what the head announces: none of the body is ever sent here. */
static void test_bodies_are_refused_unread(void **state)
{
	struct reply r;

	admin_begin(*state);
	client_get(*state, "GET", "/stats", "Content-Length: 5\r\n", &r);
	reply_assert_error(&r, 413, "body_too_large");
	client_get(*state, "GET", "/healthz", "Content-Length: 123456789012\r\n", &r);
	reply_assert_error(&r, 413, "body_too_large");
	client_get(*state, "GET", "/stats", "Transfer-Encoding: chunked\r\n", &r);
	reply_assert_error(&r, 413, "body_too_large");
	client_get(*state, "POST", "/stats", "Content-Length: 5\r\n", &r);
	reply_assert_error(&r, 405, "method_not_allowed");
	client_get(*state, "POST", "/nothing", "Content-Length: 5\r\nExpect: 100-continue\r\n", &r);
	reply_assert_error(&r, 404, "not_found");
	client_get(*state, "GET", "/stats", "Content-Length: 0\r\n", &r);
	assert_int_equal(r.status, 200);
}

static char *header_of_length(size_t n)
{
	static const char key[] = "X-Long: ";
	char *text = malloc(n + sizeof(key) + 2);

	assert_non_null(text);
	memcpy(text, key, sizeof(key) - 1);
	memset(text + sizeof(key) - 1, 'a', n);
	memcpy(text + sizeof(key) - 1 + n, "\r\n", 3);
	return text;
}

static void test_oversized_heads(void **state)
{
	static const size_t refused[] = {9000, 12000, 15000};
	struct admin_fixture *f = *state;
	struct reply r;
	char *text;

	admin_begin(f);
	text = header_of_length(7 * 1024);
	assert_int_equal(client_status(f, "/stats", text), 200);
	free(text);
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		text = header_of_length(refused[i]);
		client_get(f, "GET", "/healthz", text, &r);
		reply_assert_error(&r, 431, "headers_too_large");
		free(text);
	}
	/* Beyond what libmicrohttpd takes in: its own answer, of the same class. */
	text = header_of_length(100000);
	client_get(f, "GET", "/healthz", text, &r);
	assert_in_range(r.status, 400, 499);
	free(text);
	text = header_of_length(100000);
	memcpy(text, "/aaaaaaa", 8);
	text[100000] = '\0';
	client_get(f, "GET", text, "", &r);
	assert_in_range(r.status, 400, 499);
	free(text);
	assert_int_equal(client_status(f, "/healthz", ""), 200);
}

static void test_what_is_no_http(void **state)
{
	static const char *const rubbish[] = {
		"GET\r\n\r\n",
		"{\"type\":\"hello\",\"v\":1,\"user\":\"alice\"}\r\n\r\n",
		"\x16\x03\x01\x02\x01\xfc\x03\x03\r\n\r\n",
		"GET /stats HTTP/9.9\r\n\r\n",
		"GET /stats HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
		"GET /stats HTTP/1.1\r\nContent-Length: x\r\n\r\n",
	};
	struct admin_fixture *f = *state;
	int fd;

	admin_begin(f);
	for (size_t i = 0; i < ARRAY_LEN(rubbish); i++) {
		fd = client_dial(f);
		client_say(fd, rubbish[i]);
		shutdown(fd, SHUT_WR);
		client_await_end(fd);
		close(fd);
	}
	assert_int_equal(client_status(f, "/healthz", ""), 200);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, admin_setup, admin_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stats),
		TEST(test_readyz_follows_the_telemetry),
		TEST(test_head_is_get_without_the_body),
		TEST(test_unknown_paths),
		TEST(test_methods),
		TEST(test_methods_of_the_api),
		TEST(test_token),
		TEST(test_token_guards_all_but_health),
		TEST(test_metrics_may_be_public),
		TEST(test_bodies_are_refused_unread),
		TEST(test_oversized_heads),
		TEST(test_what_is_no_http),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
