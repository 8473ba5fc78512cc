#include "base/compiler.h"
#include "client/c/url.h"
#include "support/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *text, *host, *path, *authority;
	enum transport transport;
	unsigned port;
	bool is_ipv6;
} good[] = {
	{"tcp://127.0.0.1:7400", "127.0.0.1", "/", "127.0.0.1", TRANSPORT_TCP, 7400, false},
	{"tcp://host", "host", "/", "host", TRANSPORT_TCP, 7400, false},
	{"TLS://a.b-c.example/", "a.b-c.example", "/", "a.b-c.example", TRANSPORT_TLS, 7443, false},
	{"ws://h", "h", "/", "h", TRANSPORT_WS, 80, false},
	{"ws://h:81/a/b?c=d", "h", "/a/b?c=d", "h:81", TRANSPORT_WS, 81, false},
	{"ws://h?c", "h", "/?c", "h", TRANSPORT_WS, 80, false},
	{"wss://h:443", "h", "/", "h", TRANSPORT_WSS, 443, false},
	{"wss://[2001:db8::1]:1/x", "2001:db8::1", "/x", "[2001:db8::1]:1", TRANSPORT_WSS, 1, true},
	{"tcp://[::1]", "::1", "/", "[::1]", TRANSPORT_TCP, 7400, true},
	{"tcp://[fe80::1%eth0]:65535", "fe80::1%eth0", "/", "[fe80::1%eth0]:65535", TRANSPORT_TCP,
		65535, true},
	{"unix:///run/p.sock", "", "/run/p.sock", "", TRANSPORT_UNIX, 0, false},
};

static const char *const bad[] = {"", "tcp", "tcp:", "tcp:/h", "tcp://", "tcp://:7400", "http://h",
	"tcp://h:", "tcp://h:0", "tcp://h:65536", "tcp://h:99999999999", "tcp://h:7400x",
	"tcp://h/path", "tcp://u@h", "tcp://h h", "tcp://[::1", "tcp://[]:1", "tcp://h\n",
	"ws://h/a b", "ws://h/a\r\nX: y", "ws://h/a#b", "ws://h/\xc3\xa4", "ws://h#x", "unix://",
	"unix:///", "unix://run/x", "tcp://[::1]x", "://h"};

static void urls_are_taken_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		struct server_url url;
		char authority[SERVER_AUTHORITY_MAX];

		assert_int_equal(server_url_parse(good[i].text, &url), 0);
		assert_int_equal(url.transport, good[i].transport);
		assert_string_equal(url.host, good[i].host);
		assert_string_equal(url.path, good[i].path);
		assert_int_equal(url.is_ipv6, good[i].is_ipv6);
		if (url.transport == TRANSPORT_UNIX)
			continue;
		assert_int_equal(url.port, good[i].port);
		server_url_authority(&url, authority);
		assert_string_equal(authority, good[i].authority);
	}
}

static void what_is_none_is_refused(void **state)
{
	struct server_url url = {.port = 77};
	char text[2048];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(server_url_parse(bad[i], &url), -EINVAL);
	assert_int_equal(url.port, 77);
	memset(text, 'a', sizeof(text));
	memcpy(text, "unix:///", 8);
	text[7 + 107] = '\0';
	assert_int_equal(server_url_parse(text, &url), 0);
	text[7 + 107] = 'a';
	text[7 + 108] = '\0';
	assert_int_equal(server_url_parse(text, &url), -EINVAL);
	memcpy(text, "tcp://aaa", 9);
	text[6 + 253] = '\0';
	assert_int_equal(server_url_parse(text, &url), 0);
	memset(text + 6, 'a', 300);
	text[6 + 254] = '\0';
	assert_int_equal(server_url_parse(text, &url), -EINVAL);
	memset(text, 'a', sizeof(text));
	memcpy(text, "ws://h/", 7);
	text[1500] = '\0';
	assert_int_equal(server_url_parse(text, &url), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(urls_are_taken_apart),
		cmocka_unit_test(what_is_none_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
