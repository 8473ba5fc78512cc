#include "base/address.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void good_urls_are_read_and_written(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum transport transport;
		int family;
		uint16_t port;
		bool loopback;
		const char *written; /* where it differs from the text */
	} cases[] = {
		{"tcp://127.0.0.1:7400", TRANSPORT_TCP, AF_INET, 7400, true, NULL},
		{"tcp://127.255.0.9:1", TRANSPORT_TCP, AF_INET, 1, true, NULL},
		{"tcp://localhost:7400", TRANSPORT_TCP, AF_INET, 7400, true,
			"tcp://127.0.0.1:7400"},
		{"tcp://0.0.0.0:0", TRANSPORT_TCP, AF_INET, 0, false, NULL},
		{"tcp://192.0.2.1:65535", TRANSPORT_TCP, AF_INET, 65535, false, NULL},
		{"tcp://[::1]:7400", TRANSPORT_TCP, AF_INET6, 7400, true, NULL},
		{"tcp://[2001:db8::1]:80", TRANSPORT_TCP, AF_INET6, 80, false, NULL},
		{"tcp://*:7400", TRANSPORT_TCP, AF_INET6, 7400, false, NULL},
		{"tcp://[::]:7400", TRANSPORT_TCP, AF_INET6, 7400, false, "tcp://*:7400"},
		{"tcp://[::ffff:127.0.0.1]:9", TRANSPORT_TCP, AF_INET6, 9, true,
			"tcp://127.0.0.1:9"},
		{"tcp://[::ffff:192.0.2.1]:9", TRANSPORT_TCP, AF_INET6, 9, false,
			"tcp://192.0.2.1:9"},
		{"tls://127.0.0.1:1", TRANSPORT_TLS, AF_INET, 1, true, NULL},
		{"ws://127.0.0.1:1", TRANSPORT_WS, AF_INET, 1, true, NULL},
		{"wss://[2001:db8:1111:2222:3333:4444:5555:6666]:65535", TRANSPORT_WSS, AF_INET6,
			65535, false, NULL},
		{"unix:///run/x.sock", TRANSPORT_UNIX, AF_UNIX, 0, true, NULL},
		{"unix:///x", TRANSPORT_UNIX, AF_UNIX, 0, true, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct listen_url url;
		const char *why = NULL;
		char written[ADDRESS_TEXT_MAX];
		const char *expected = cases[i].written ? cases[i].written : cases[i].text;

		int r = listen_url_parse(cases[i].text, strlen(cases[i].text), &url, &why);
		if (r != 0)
			fail_msg("%s: %s", cases[i].text, why);
		assert_null(why);
		assert_int_equal(url.transport, cases[i].transport);
		assert_int_equal(url.address.u.any.sa_family, cases[i].family);
		assert_int_equal(address_port(&url.address), cases[i].port);
		assert_int_equal(address_is_loopback(&url.address), cases[i].loopback);
		listen_url_format(&url, written);
		assert_string_equal(written, expected);
	}
}

static void bad_urls_are_refused_with_a_reason(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"",
		"tcp",
		"tcp:",
		"tcp:/127.0.0.1:1",
		"tcp://",
		"tcp://:1",
		"tcp://127.0.0.1",
		"tcp://127.0.0.1:",
		"tcp://127.0.0.1:65536",
		"tcp://127.0.0.1:999999",
		"tcp://127.0.0.1:+1",
		"tcp://127.0.0.1:-1",
		"tcp://127.0.0.1: 1",
		"tcp://127.0.0.1:1 ",
		"tcp://127.0.0.1:1/",
		"tcp://127.0.0.1:1/path",
		"tcp://127.0.0.1:1?a=b",
		"tcp://127.0.0.1:1#f",
		"tcp://me@127.0.0.1:1",
		"tcp://me:pw@127.0.0.1:1",
		"tcp://example.org:1",
		"tcp://127.1:1",
		"tcp://127.0.0.256:1",
		"tcp://0x7f.0.0.1:1",
		"tcp://::1:7400",
		"tcp://[::1]",
		"tcp://[::1]7400",
		"tcp://[::1:7400",
		"tcp://[::1]x:7400",
		"tcp://[]:1",
		"tcp://[*]:1",
		"tcp://[127.0.0.1]:1",
		"tcp://[localhost]:1",
		"tcp://[fe80::1%eth0]:1",
		"tcp://[::g]:1",
		"tcp://**:1",
		"TCP://127.0.0.1:1",
		"udp://127.0.0.1:1",
		"http://127.0.0.1:1",
		"://127.0.0.1:1",
		" tcp://127.0.0.1:1",
		"unix://",
		"unix:///",
		"unix://run/x.sock",
		"unix:///run/",
		"unix:/run/x.sock",
		"tcp://127.0.0.1:0x10",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct listen_url url, before;
		const char *why = NULL;
		memset(&url, 0x5a, sizeof(url));
		memcpy(&before, &url, sizeof(url));

		int r = listen_url_parse(cases[i], strlen(cases[i]), &url, &why);
		if (r != -EINVAL)
			fail_msg("'%s' was taken", cases[i]);
		assert_non_null(why);
		assert_memory_equal(why, "expected ", 9);
		assert_memory_equal(&url, &before, sizeof(url));
	}
}

/* No byte past 'len' is looked at, and a NUL within it is no end. */
static void text_is_as_long_as_said(void **state)
{
	(void)state;
	struct listen_url url;
	struct address address;
	const char *why;

	assert_int_equal(listen_url_parse("tcp://127.0.0.1:74009", 20, &url, &why), 0);
	assert_int_equal(address_port(&url.address), 7400);
	assert_int_equal(address_parse("127.0.0.1\0:7400", 15, &address, &why), -EINVAL);
	assert_int_equal(address_parse("127.0.0.1:7400\0", 15, &address, &why), -EINVAL);
	assert_int_equal(listen_url_parse("unix:///a\0b", 11, &url, &why), -EINVAL);
}

static void unix_path_has_a_limit(void **state)
{
	(void)state;
	char text[256];
	struct listen_url url;
	const char *why = NULL;
	char written[ADDRESS_TEXT_MAX];

	memset(text, 'x', sizeof(text));
	memcpy(text, "unix:///", 8);
	assert_int_equal(listen_url_parse(text, 7 + 107, &url, &why), 0);
	assert_int_equal(url.address.len, sizeof(struct sockaddr_un));
	listen_url_format(&url, written);
	assert_int_equal(strlen(written), 7 + 107);
	assert_memory_equal(written, text, 7 + 107);

	assert_int_equal(listen_url_parse(text, 7 + 108, &url, &why), -EINVAL);
	assert_non_null(strstr(why, "107"));
}

static void plain_addresses_are_read_and_written(void **state)
{
	(void)state;
	static const char *const cases[] = {
		"127.0.0.1:7402", "[::1]:7402", "*:7402", "198.51.100.7:0", "[2001:db8::5]:443"};
	const char *why = NULL;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address a;
		char written[ADDRESS_TEXT_MAX];
		assert_int_equal(address_parse(cases[i], strlen(cases[i]), &a, &why), 0);
		address_format(&a, written);
		assert_string_equal(written, cases[i]);
	}
	struct address a;
	assert_int_equal(address_parse("tcp://127.0.0.1:7402", 20, &a, &why), -EINVAL);
	assert_int_equal(address_parse("/run/x.sock", 11, &a, &why), -EINVAL);
	assert_int_equal(address_parse("", 0, &a, &why), -EINVAL);
}

static void port_can_be_set(void **state)
{
	(void)state;
	static const char *const cases[] = {"127.0.0.1:0", "[::1]:0"};
	const char *why;

	for (size_t i = 0; i < 2; i++) {
		struct address a;
		assert_int_equal(address_parse(cases[i], strlen(cases[i]), &a, &why), 0);
		address_set_port(&a, 40001);
		assert_int_equal(address_port(&a), 40001);
	}
	struct listen_url url;
	assert_int_equal(listen_url_parse("unix:///x", 9, &url, &why), 0);
	address_set_port(&url.address, 5);
	assert_int_equal(address_port(&url.address), 0);
	assert_string_equal(url.address.u.local.sun_path, "/x");
}

/* Peers of a Unix socket: mostly without a name, or with an abstract one. */
static void kernel_made_unix_addresses_are_shown(void **state)
{
	(void)state;
	char written[ADDRESS_TEXT_MAX];
	struct address a = {.len = sizeof(sa_family_t)};

	a.u.local.sun_family = AF_UNIX;
	address_format(&a, written);
	assert_string_equal(written, "unix");

	memcpy(a.u.local.sun_path, "\0name", 5);
	a.len = offsetof(struct sockaddr_un, sun_path) + 5;
	address_format(&a, written);
	assert_string_equal(written, "@name");

	/* a path that fills sun_path has no NUL */
	memset(a.u.local.sun_path, 'p', sizeof(a.u.local.sun_path));
	a.len = sizeof(struct sockaddr_un);
	address_format(&a, written);
	assert_int_equal(strlen(written), sizeof(a.u.local.sun_path));

	struct address other = {.len = sizeof(struct sockaddr)};
	other.u.any.sa_family = AF_NETLINK;
	address_format(&other, written);
	assert_string_equal(written, "unknown");
	assert_false(address_is_loopback(&other));
}

static void transports_have_words(void **state)
{
	(void)state;
	static const char *const words[TRANSPORT_N] = {"tcp", "tls", "ws", "wss", "unix"};

	for (enum transport t = 0; t < TRANSPORT_N; t++)
		assert_string_equal(transport_word(t), words[t]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_urls_are_read_and_written),
		cmocka_unit_test(bad_urls_are_refused_with_a_reason),
		cmocka_unit_test(text_is_as_long_as_said),
		cmocka_unit_test(unix_path_has_a_limit),
		cmocka_unit_test(plain_addresses_are_read_and_written),
		cmocka_unit_test(port_can_be_set),
		cmocka_unit_test(kernel_made_unix_addresses_are_shown),
		cmocka_unit_test(transports_have_words),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
