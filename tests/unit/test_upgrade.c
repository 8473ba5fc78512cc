#include "wire/upgrade.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOLD_MAX = 512 };

/* --- what is told, as one line of text --- */

static void describe(char *told, enum upgrade_what what, const struct upgrade *u)
{
	switch (what) {
	case UPGRADE_MORE:
		strcpy(told, "more");
		return;
	case UPGRADE_COMPLETE:
		snprintf(told, TOLD_MAX, "%.*s host=%.*s key=%.*s%s%.*s%s", (int)u->path.len,
			u->path.text, (int)u->host.len, u->host.text, (int)u->key.len, u->key.text,
			u->origin.text ? " origin=" : "", (int)u->origin.len,
			u->origin.text ? u->origin.text : "",
			u->has_subprotocol ? " presence.v1" : "");
		return;
	case UPGRADE_REFUSED:
		assert_non_null(u->why);
		assert_int_equal(u->used, 0);
		snprintf(told, TOLD_MAX, "%u %s", u->status, u->why);
		return;
	case UPGRADE_WHAT_N:
		break;
	}
	fail();
}

/* The first 'len' bytes, in a block of their own size for the sanitizers' sake. */
static enum upgrade_what parse(
	const char *data, size_t len, size_t searched, char *told, size_t *ret_used)
{
	char *copy = malloc(len > 0 ? len : 1);
	struct upgrade u;

	assert_non_null(copy);
	memcpy(copy, data, len);
	enum upgrade_what what = upgrade_parse(copy, len, searched, &u);
	describe(told, what, &u);
	*ret_used = u.used;
	free(copy);
	return what;
}

/* --- heads --- */

#define GET     "GET /presence HTTP/1.1\r\n"
#define HOST    "Host: chat.example:7401\r\n"
#define UP      "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define END     "\r\n"
#define REST    HOST UP KEY VERSION
#define GOOD    "/presence host=chat.example:7401 key=dGhlIHNhbXBsZSBub25jZQ=="

#define UPGRADE_ONLY "426 WebSocket is spoken here, nothing else"
#define BAD_KEY      "400 Sec-WebSocket-Key must be 16 bytes in base64"
#define BAD_VERSION  "426 Sec-WebSocket-Version must be 13"
#define REPEATED     "400 a header is repeated that must not be"
#define ODD_LINE     "400 a folded line, or one that does not end with CRLF"
#define BODY         "400 a request with a body"
#define X8           "X: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\nX: y\r\n"

static const struct row {
	const char *head;
	const char *told;
} rows[] = {
	{GET REST END, GOOD},
	{GET REST "Origin: https://example.org\r\n" END, GOOD " origin=https://example.org"},
	{GET REST "Origin:\r\n" END, GOOD " origin="},
	{GET REST "Origin:   null  \t\r\n" END, GOOD " origin=null"},
	{"GET / HTTP/1.1\r\n" REST END, "/ host=chat.example:7401 key=dGhlIHNhbXBsZSBub25jZQ=="},
	{"GET /a?b=c&d HTTP/1.1\r\n" REST END,
		"/a?b=c&d host=chat.example:7401 key=dGhlIHNhbXBsZSBub25jZQ=="},
	{"GET http://h/x HTTP/1.1\r\n" REST END,
		"http://h/x host=chat.example:7401 key=dGhlIHNhbXBsZSBub25jZQ=="},
	/* what clients make of it: case, spaces, lists, several headers */
	{GET "hOST:chat.example:7401\r\nuPGRADE: WebSocket\r\ncONNECTION: uPGRADE\r\n"
	     "sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==\r\nSEC-WEBSOCKET-VERSION:13 \r\n" END,
		GOOD},
	{GET HOST "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" KEY VERSION END,
		GOOD},
	{GET HOST "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" KEY
			VERSION END,
		GOOD},
	{GET HOST
		"Connection: upgrade\r\nConnection: keep-alive\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n" KEY
			VERSION END,
		GOOD},
	{GET HOST "Connection: , ,Upgrade ,\r\nUpgrade: h2c, websocket\r\n" KEY VERSION END, GOOD},
	{GET REST "X-Forwarded-For: 1.2.3.4\r\nCookie: a=b; c=d\r\nAccept: */*\r\n" END, GOOD},
	{"\r\n" GET REST END, GOOD}, /* RFC 9112, 2.2: an empty line before is passed over */
	/* subprotocols, extensions */
	{GET REST "Sec-WebSocket-Protocol: presence.v1\r\n" END, GOOD " presence.v1"},
	{GET REST "Sec-WebSocket-Protocol: chat , presence.v1,x\r\n" END, GOOD " presence.v1"},
	{GET REST "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: presence.v1\r\n" END,
		GOOD " presence.v1"},
	{GET REST "Sec-WebSocket-Protocol: presence.v1\r\nSec-WebSocket-Protocol: chat\r\n" END,
		GOOD " presence.v1"},
	{GET REST "Sec-WebSocket-Protocol: chat, superchat\r\n" END, GOOD},
	{GET REST "Sec-WebSocket-Protocol: Presence.V1, presence.v11, presence.v\r\n" END, GOOD},
	{GET REST "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" END,
		GOOD},
	/* methods, versions */
	{"POST / HTTP/1.1\r\n" REST END, "405 the method must be GET"},
	{"HEAD / HTTP/1.1\r\n" REST END, "405 the method must be GET"},
	{"CONNECT a:1 HTTP/1.1\r\n" REST END, "405 the method must be GET"},
	{"OPTIONS * HTTP/1.1\r\n" REST END, "405 the method must be GET"},
	{"GET / HTTP/1.0\r\n" REST END, "505 HTTP/1.1 is needed"},
	{"GET / HTTP/2.0\r\n" REST END, "505 HTTP/1.1 is needed"},
	{"GET /\r\n\r\n", "505 HTTP/1.1 is needed"},
	{"get / HTTP/1.1\r\n", "400 invalid HTTP method"},
	{"FETCH / HTTP/1.1\r\n", "400 invalid HTTP method"},
	{"GET / HTTQ/1.1\r\n" REST END, "400 the request line is odd"},
	{"GET / XTTP/1.1\r\n" REST END, "400 invalid constant string"},
	{"GET  / HTTP/1.1\r\n" REST END, "400 the request line is odd"},
	{"GET /  HTTP/1.1\r\n" REST END, "400 the request line is odd"},
	{"GET /a\tb HTTP/1.1\r\n" REST END, "400 the request line is odd"},
	{"GET /a\fb HTTP/1.1\r\n" REST END, "400 the request line is odd"},
	{"GET /a b HTTP/1.1\r\n" REST END, "400 invalid constant string"},
	{"GET /a\x01 HTTP/1.1\r\n" REST END, "400 invalid URL"},
	{"GET / HTTP/1.12\r\n" REST END, "400 invalid HTTP version"},
	{"GET / HTTP/1.1 \r\n" REST END, "400 invalid HTTP version"},
	{"GET / HTTP/1.x\r\n", "400 invalid HTTP version"},
	{"GET  HTTP/1.1\r\n", "400 invalid URL"},
	{"\x16\x03\x01\x02", "400 invalid HTTP method"},
	{"{\"type\":\"hello\"}\n", "400 invalid HTTP method"},
	/* what is missing, or wrong */
	{GET UP KEY VERSION END, "400 Host is missing"},
	{GET "Host: \r\n" UP KEY VERSION END, "400 Host is missing"},
	{GET HOST END, UPGRADE_ONLY},
	{GET HOST "Connection: Upgrade\r\n" KEY VERSION END, UPGRADE_ONLY},
	{GET HOST "Upgrade: websocket\r\n" KEY VERSION END, UPGRADE_ONLY},
	{GET HOST "Connection: close\r\nUpgrade: websocket\r\n" KEY VERSION END, UPGRADE_ONLY},
	{GET HOST "Connection: Upgrades\r\nUpgrade: websocket\r\n" KEY VERSION END, UPGRADE_ONLY},
	{GET HOST "Connection: Upgrade\r\nUpgrade: websockets\r\n" KEY VERSION END, UPGRADE_ONLY},
	{GET HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n" KEY VERSION END, UPGRADE_ONLY},
	{GET HOST UP KEY END, BAD_VERSION},
	{GET HOST UP KEY "Sec-WebSocket-Version: 8\r\n" END, BAD_VERSION},
	{GET HOST UP KEY "Sec-WebSocket-Version: 130\r\n" END, BAD_VERSION},
	{GET HOST UP KEY "Sec-WebSocket-Version:\r\n" END, BAD_VERSION},
	{GET HOST UP KEY "Sec-WebSocket-Version: 13, 8\r\n" END, BAD_VERSION},
	{GET HOST UP VERSION END, BAD_KEY},
	{GET HOST UP VERSION "Sec-WebSocket-Key:\r\n" END, BAD_KEY},
	{GET HOST UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n" END, BAD_KEY},
	{GET HOST UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ===\r\n" END, BAD_KEY},
	{GET HOST UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n" END, BAD_KEY},
	{GET HOST UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBs SBub25jZQ==\r\n" END, BAD_KEY},
	{GET HOST UP VERSION "Sec-WebSocket-Key: dGhlIHNhbXBs-SBub25jZQ==\r\n" END, BAD_KEY},
	/* what could be read in two ways */
	{GET REST HOST END, REPEATED},
	{GET REST KEY END, REPEATED},
	{GET REST VERSION END, REPEATED},
	{GET REST "Origin: http://a\r\nOrigin: http://b\r\n" END, REPEATED},
	{GET REST "Content-Length: 0\r\n" END, BODY},
	{GET REST "Content-Length: 5\r\n" END "hello", BODY},
	{GET REST "Transfer-Encoding: chunked\r\n" END, BODY},
	{GET REST "Content-Length: x\r\n" END, "400 invalid character in content-length header"},
	{GET REST "X: a\r\n b\r\n" END, ODD_LINE},
	{GET REST "X: a\r\n\tb\r\n" END, ODD_LINE},
	{GET "Host:\r\n chat.example\r\n" UP KEY VERSION END, ODD_LINE},
	{GET REST "X: a\nY: b\r\n" END, ODD_LINE},
	{GET REST "X: a\r\n\n", ODD_LINE},
	{"GET / HTTP/1.1\n" REST END, ODD_LINE},
	{"\n" GET REST END, ODD_LINE},
	{GET REST "X Y: a\r\n" END, "400 a space in the name of a header"},
	{GET REST "X : a\r\n" END, "400 a space in the name of a header"},
	{GET REST "\rX: a\r\n" END, ODD_LINE},
	{GET "Host : a\r\n" UP KEY VERSION END, "400 a space in the name of a header"},
	{GET REST "X: a\rb\r\n" END, "400 LF character expected"},
	{GET REST "X: a\x01\r\n" END, "400 invalid character in header"},
	{GET REST "X: a\x7f\r\n" END, "400 invalid character in header"},
	{GET REST "no colon\r\n" END, "400 invalid character in header"},
	{GET REST ": no name\r\n" END, "400 invalid character in header"},
	{GET " Host: a\r\n" UP KEY VERSION END, ODD_LINE},
	/* how many */
	{GET REST X8 X8 X8 "X: y\r\nX: y\r\nX: y\r\n" END, GOOD}, /* 32 */
	{GET REST X8 X8 X8 "X: y\r\nX: y\r\nX: y\r\nX: y\r\n" END, "431 too many headers"},
	/* not complete */
	{"G", "more"},
	{"GET", "more"},
	{"GET / HTTP/1.1", "more"},
	{GET, "more"},
	{GET REST, "more"},
	{GET REST "\r", "more"},
};

static void check(const char *told, const struct row *r, const char *how)
{
	if (strcmp(told, r->told) != 0)
		fail_msg("%s%s\n%s\nnot %s", r->head, how, told, r->told);
}

static void test_rows(void **state)
{
	char told[TOLD_MAX];
	size_t used;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].head);

		if (parse(rows[i].head, len, 0, told, &used) == UPGRADE_COMPLETE)
			assert_int_equal(used, len);
		check(told, &rows[i], "");
	}
}

/* The pieces that come first change nothing, and neither do the bytes behind. */
static void test_rows_in_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		size_t len = strlen(rows[i].head);

		for (size_t step = 1; step <= len; step++) {
			enum upgrade_what what = UPGRADE_MORE;
			char told[TOLD_MAX];
			size_t used, searched = 0;

			for (size_t n = step; what == UPGRADE_MORE; n += step) {
				n = n < len ? n : len;
				what = parse(rows[i].head, n, searched, told, &used);
				searched = n;
				if (n == len)
					break;
			}
			/* Nothing more of a line that is not complete is looked at: it may wait for its end. */
			bool is_waiting =
				strcmp(told, "more") == 0 && rows[i].head[len - 1] != '\n';
			if (!is_waiting)
				check(told, &rows[i], " in pieces:");
		}
	}
}

static void test_split_once(void **state)
{
	static const char head[] = GET REST "Origin: https://example.org\r\n" END;
	char told[TOLD_MAX];
	size_t used;

	(void)state;
	for (size_t at = 1; at < sizeof(head) - 1; at++) {
		assert_int_equal(parse(head, at, 0, told, &used), UPGRADE_MORE);
		assert_int_equal(parse(head, sizeof(head) - 1, at, told, &used), UPGRADE_COMPLETE);
		assert_string_equal(told, GOOD " origin=https://example.org");
		assert_int_equal(used, sizeof(head) - 1);
	}
	assert_int_equal(parse(head, 0, 0, told, &used), UPGRADE_MORE);
}

static void test_bytes_behind_are_left(void **state)
{
	static const char head[] = GET REST END "\x81\x80\0\0\0\0\r\n\r\nGET";
	char told[TOLD_MAX];
	size_t used;

	(void)state;
	assert_int_equal(parse(head, sizeof(head) - 1, 0, told, &used), UPGRADE_COMPLETE);
	assert_string_equal(told, GOOD);
	assert_int_equal(used, strlen(GET REST END));
}

/* --- how much --- */

/* A head that is complete after 'len' bytes. */
static void make_long(char *to, size_t len)
{
	size_t n = (size_t)sprintf(to, "%sX: ", GET REST);

	memset(to + n, 'x', len - n - 4);
	memcpy(to + len - 4, "\r\n\r\n", 4);
}

static void test_how_long(void **state)
{
	static char head[UPGRADE_HEAD_MAX + 100];
	char told[TOLD_MAX];
	size_t used;

	(void)state;
	make_long(head, UPGRADE_HEAD_MAX);
	assert_int_equal(parse(head, UPGRADE_HEAD_MAX - 1, 0, told, &used), UPGRADE_MORE);
	assert_int_equal(parse(head, UPGRADE_HEAD_MAX, 0, told, &used), UPGRADE_COMPLETE);
	assert_int_equal(used, UPGRADE_HEAD_MAX);
	assert_int_equal(
		parse(head, UPGRADE_HEAD_MAX, UPGRADE_HEAD_MAX - 1, told, &used), UPGRADE_COMPLETE);
	make_long(head, UPGRADE_HEAD_MAX + 1);
	for (size_t len = UPGRADE_HEAD_MAX; len <= UPGRADE_HEAD_MAX + 1; len++) {
		for (size_t searched = len - 2; searched <= len; searched++) {
			assert_int_equal(parse(head, len, searched, told, &used), UPGRADE_REFUSED);
			assert_string_equal(told, "431 the head is too long");
		}
	}
	memset(head, 'a', sizeof(head));
	memcpy(head, "GET /", 5); /* a path without end */
	assert_int_equal(parse(head, sizeof(head), 0, told, &used), UPGRADE_REFUSED);
	assert_string_equal(told, "431 the head is too long");
}

/* --- origins --- */

static void test_origins(void **state)
{
	static char *one[] = {(char *)"https://chat.example"};
	static char *some[] = {(char *)"https://a.example", (char *)"http://B.example:8080",
		(char *)"null", (char *)"http://[::1]:3000"};
	static char *all[] = {(char *)"https://a.example", (char *)"*"};
	static const struct {
		const char *origin;
		bool by_one, by_some;
	} origins[] = {
		{NULL, true, true},
		{"", false, false},
		{"https://chat.example", true, false},
		{"HTTPS://CHAT.example", true, false},
		{"http://chat.example", false, false},
		{"https://chat.example:443", false, false},
		{"https://chat.example.evil.example", false, false},
		{"https://evil.example/https://chat.example", false, false},
		{"https://chat.exampl", false, false},
		{"https://chat.example https://a.example", false, false},
		{"https://a.example", false, true},
		{"http://b.example:8080", false, true},
		{"http://b.example", false, false},
		{"null", false, true},
		{"http://[::1]:3000", false, true},
		{"*", false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(origins); i++) {
		struct slice origin = {
			origins[i].origin, origins[i].origin ? strlen(origins[i].origin) : 0};

		assert_int_equal(upgrade_origin_allowed(origin, one, 1), origins[i].by_one);
		assert_int_equal(
			upgrade_origin_allowed(origin, some, ARRAY_LEN(some)), origins[i].by_some);
		assert_true(upgrade_origin_allowed(origin, all, ARRAY_LEN(all)));
		assert_int_equal(upgrade_origin_allowed(origin, NULL, 0), origin.text == NULL);
	}
}

static void test_what_can_be_an_origin(void **state)
{
	static const char *const good[] = {"*", "null", "https://example.org",
		"http://localhost:3000", "http://127.0.0.1:1", "https://[2001:db8::1]",
		"https://[::1]:8443", "chrome-extension://abcdefgh", "app+x.y://h_o-s.t"};
	static const char *const bad[] = {"", "example.org", "https://", "://a", "https://a/",
		"https://a/b", "https://a:", "https://a:123456", "https://a:b", "https://a:1:2",
		"https://*", "https://a b", "https://u@a", "https://[::1", "https://[]",
		"https://[::1]x", "https://[x]", "1http://a", "-x://a", "ht tp://a", "https:/a",
		"https://a?b", "https://\xc3\xa9", "https://:80", " https://a"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		if (!upgrade_origin_is_valid(good[i]))
			fail_msg("%s", good[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		if (upgrade_origin_is_valid(bad[i]))
			fail_msg("%s", bad[i]);
	}
}

/* --- answers --- */

/* RFC 6455, 1.3 */
static void test_accept(void **state)
{
	struct buffer CLEANUP(buffer_free) b = {0};
	struct upgrade u = {.key = {"dGhlIHNhbXBsZSBub25jZQ==", 24}};

	(void)state;
	upgrade_put_accept(&b, &u);
	buffer_append(&b, "", 1);
	assert_false(b.failed);
	assert_string_equal(b.data, "HTTP/1.1 101 Switching Protocols\r\n"
				    "Upgrade: websocket\r\n"
				    "Connection: Upgrade\r\n"
				    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
				    "\r\n");
	buffer_clear(&b);
	u.key.text = "x3JJHMbDL1EzLkh9GBhXDw=="; /* another pair, from the examples of others */
	u.has_subprotocol = true;
	upgrade_put_accept(&b, &u);
	buffer_append(&b, "", 1);
	assert_string_equal(b.data, "HTTP/1.1 101 Switching Protocols\r\n"
				    "Upgrade: websocket\r\n"
				    "Connection: Upgrade\r\n"
				    "Sec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n"
				    "Sec-WebSocket-Protocol: presence.v1\r\n"
				    "\r\n");
}

static void test_accept_without_a_key(void **state)
{
	struct buffer CLEANUP(buffer_free) b = {0};
	struct upgrade u = {0};

	(void)state;
	upgrade_put_accept(&b, &u);
	assert_true(b.failed);
}

static void test_refusals(void **state)
{
	struct buffer CLEANUP(buffer_free) b = {0};

	(void)state;
	upgrade_put_refusal(&b, 403, "unknown origin");
	buffer_append(&b, "", 1);
	assert_string_equal(b.data, "HTTP/1.1 403 Forbidden\r\n"
				    "Connection: close\r\n"
				    "Content-Type: text/plain\r\n"
				    "Content-Length: 15\r\n"
				    "\r\n"
				    "unknown origin\n");
	buffer_clear(&b);
	upgrade_put_refusal(&b, 405, "no");
	buffer_append(&b, "", 1);
	assert_string_equal(b.data, "HTTP/1.1 405 Method Not Allowed\r\n"
				    "Allow: GET\r\n"
				    "Connection: close\r\n"
				    "Content-Type: text/plain\r\n"
				    "Content-Length: 3\r\n"
				    "\r\n"
				    "no\n");
	buffer_clear(&b);
	upgrade_put_refusal(&b, 426, "no");
	buffer_append(&b, "", 1);
	assert_string_equal(b.data, "HTTP/1.1 426 Upgrade Required\r\n"
				    "Upgrade: websocket\r\n"
				    "Sec-WebSocket-Version: 13\r\n"
				    "Connection: close, Upgrade\r\n"
				    "Content-Type: text/plain\r\n"
				    "Content-Length: 3\r\n"
				    "\r\n"
				    "no\n");
}

static void test_status_texts(void **state)
{
	static const struct {
		unsigned status;
		const char *line;
	} lines[] = {
		{400, "HTTP/1.1 400 Bad Request\r\n"},
		{408, "HTTP/1.1 408 Request Timeout\r\n"},
		{429, "HTTP/1.1 429 Too Many Requests\r\n"},
		{431, "HTTP/1.1 431 Request Header Fields Too Large\r\n"},
		{500, "HTTP/1.1 500 Internal Server Error\r\n"},
		{503, "HTTP/1.1 503 Service Unavailable\r\n"},
		{505, "HTTP/1.1 505 HTTP Version Not Supported\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct buffer CLEANUP(buffer_free) b = {0};

		upgrade_put_refusal(&b, lines[i].status, "");
		assert_true(b.len > strlen(lines[i].line));
		assert_memory_equal(b.data, lines[i].line, strlen(lines[i].line));
	}
}

static void test_refused_memory(void **state)
{
	struct upgrade u = {.key = {"dGhlIHNhbXBsZSBub25jZQ==", 24}};
	struct buffer b = {0};

	(void)state;
	alloc_fail_begin(1);
	upgrade_put_accept(&b, &u);
	assert_true(alloc_fail_end());
	assert_true(b.failed);
	buffer_free(&b);
	alloc_fail_begin(1);
	upgrade_put_refusal(&b, 403, "no");
	assert_true(alloc_fail_end());
	assert_true(b.failed);
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_rows_in_pieces),
		cmocka_unit_test(test_split_once),
		cmocka_unit_test(test_bytes_behind_are_left),
		cmocka_unit_test(test_how_long),
		cmocka_unit_test(test_origins),
		cmocka_unit_test(test_what_can_be_an_origin),
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_accept_without_a_key),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_status_texts),
		cmocka_unit_test(test_refused_memory),
	};

	return cmocka_run_group_tests_name("upgrade", tests, NULL, NULL);
}
