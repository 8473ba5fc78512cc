/* The admin API's own parts: paths, percent-encoding, bodies in pieces. The rest is tested from outside. */
#include "admin/api.h"

#include "support/admin_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_percent_decoding(void **state)
{
	static const struct {
		const char *text, *decoded; /* NULL: refused */
	} rows[] = {
		{"", ""},
		{"bob", "bob"},
		{"b%6Fb", "bob"},
		{"b%6fb", "bob"},
		{"bob%2Fsessions%2f1", "bob/sessions/1"},
		{"%2525", "%25"}, /* once, not twice */
		{"a+b", "a+b"},
		{"%C3%BC", "\xc3\xbc"},
		{"%", NULL},
		{"%2", NULL},
		{"bob%", NULL},
		{"%g0", NULL},
		{"%0g", NULL},
		{"% 2", NULL},
		{"%%20", NULL},
	};
	char to[64];
	size_t len;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		len = 99;
		bool is_good = percent_decode(rows[i].text, strlen(rows[i].text), to, &len);
		assert_int_equal(is_good, rows[i].decoded != NULL);
		if (!is_good)
			continue;
		assert_int_equal(len, strlen(rows[i].decoded));
		assert_memory_equal(to, rows[i].decoded, len);
	}
	/* Nothing past the end is read. */
	assert_false(percent_decode("%41", 2, to, &len));
	assert_true(percent_decode("%00", 3, to, &len) && len == 1 && to[0] == '\0');
}

static void test_paths(void **state)
{
	static const char pattern[] = "/v1/users/{id}/sessions/{session}";
	static const char *const others[] = {"", "/", "v1/users/a/sessions/b",
		"/v1/users/a/sessions/", "/v1/users//sessions/b", "/v1/users/a/sessions/b/",
		"/v1/users/a/sessions/b/c", "/v1/users/a/session/b", "/v1/users/a%2Fsessions/b",
		"/v1/users/a", "//v1/users/a/sessions/b"};
	struct path_param params[PARAMS_MAX];

	(void)state;
	assert_true(path_matches("/v1/users/a%2Fb/sessions/12", pattern, params));
	assert_int_equal(params[0].len, 5);
	assert_memory_equal(params[0].text, "a%2Fb", 5);
	assert_int_equal(params[1].len, 2);
	assert_memory_equal(params[1].text, "12", 2);
	/* A user may be called as a part of the pattern is. */
	assert_true(path_matches("/v1/users/sessions/sessions/users", pattern, params));
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (path_matches(others[i], pattern, params))
			fail_msg("%s is taken for %s", others[i], pattern);
}

static void assert_presences(const struct reply *r, size_t n)
{
	json_t *d = reply_json(r);

	assert_int_equal(r->status, 200);
	assert_int_equal(json_array_size(json_object_get(d, "presences")), n);
	json_decref(d);
}

static void test_body_in_pieces(void **state)
{
	static const char body[] = "{\"users\":[\"alice\",\"bob\",\"alice\"]}";
	struct reply r;
	char piece[64];
	int fd;

	admin_begin(*state);
	fd = client_dial(*state);
	client_say(fd, "POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33\r\n\r\n");
	for (const char *c = body; *c; c++) {
		snprintf(piece, sizeof(piece), "%c", *c);
		client_say(fd, piece);
	}
	client_hear(fd, true, &r);
	assert_presences(&r, 3);
	/* Again on the same connection, in chunks. */
	client_say(fd,
		"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
	for (const char *c = body; *c; c++) {
		snprintf(piece, sizeof(piece), "1\r\n%c\r\n", *c);
		client_say(fd, piece);
	}
	client_say(fd, "0\r\n\r\n");
	client_hear(fd, true, &r);
	assert_presences(&r, 3);
	close(fd);
}

/* Says so many bytes of body in chunks; stops where the peer has closed. */
static void say_chunks(int fd, size_t n)
{
	enum { CHUNK = 64 * 1024 };
	char *text = malloc(CHUNK + 16);

	assert_non_null(text);
	memcpy(text, "10000\r\n", 7);
	memset(text + 7, ' ', CHUNK);
	memcpy(text + 7 + CHUNK, "\r\n", 2);
	for (size_t done = 0; done < n; done += CHUNK) {
		size_t at = 0, len = 7 + CHUNK + 2;
		while (at < len) {
			ssize_t sent = send(fd, text + at, len - at, MSG_NOSIGNAL);
			if (sent <= 0) {
				free(text);
				return;
			}
			at += (size_t)sent;
		}
	}
	free(text);
}

static void test_bodies_over_the_limit(void **state)
{
	static const char chunked[] =
		"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
	struct reply r;
	int fd;

	admin_begin(*state);
	/* Announced: refused unread. */
	client_get(*state, "POST", "/v1/query", "Content-Length: 4194305\r\n", &r);
	reply_assert_error(&r, 413, "body_too_large");
	client_get(*state, "POST", "/v1/query", "Content-Length: 99999999999999999999999\r\n", &r);
	assert_int_equal(r.status, 413);
	/* Not announced: dropped, and told at its end. */
	fd = client_dial(*state);
	client_say(fd, chunked);
	say_chunks(fd, BODY_MAX + 65536);
	client_say(fd, "0\r\n\r\n");
	client_hear(fd, true, &r);
	reply_assert_error(&r, 413, "body_too_large");
	close(fd);
	/* Without end: cut off. */
	fd = client_dial(*state);
	client_say(fd, chunked);
	say_chunks(fd, 4 * (size_t)BODY_MAX);
	client_await_end(fd);
	close(fd);
	assert_int_equal(client_status(*state, "/healthz", ""), 200);
}

static void test_bodies_that_are_no_query(void **state)
{
	static const char *const bodies[] = {"", "[]", "{", "{}", "{\"users\":{}}",
		"{\"users\":[1]}", "{\"users\":[\"\"]}", "{\"users\":[\"a\\u0001\"]}",
		"{\"users\":[],\"users\":[]}", "{\"users\":[\"\xff\"]}",
		"{\"users\":[\"a\\u0000b\"]}",
		"{\"users\":[[[[[[[[[[[[[[[[[[\"a\"]]]]]]]]]]]]]]]]]]}", "{\"users\":[]} x"};
	struct reply r;

	admin_begin(*state);
	for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
		char request[256];
		int fd = client_dial(*state);
		snprintf(request, sizeof(request),
			"POST /v1/query HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s",
			strlen(bodies[i]), bodies[i]);
		client_say(fd, request);
		client_hear(fd, true, &r);
		reply_assert_error(&r, 400, "bad_body");
		close(fd);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, admin_setup, admin_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_percent_decoding),
		cmocka_unit_test(test_paths),
		TEST(test_body_in_pieces),
		TEST(test_bodies_over_the_limit),
		TEST(test_bodies_that_are_no_query),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
