#include "auth/networks.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"

#include <errno.h>
#include <string.h>

static void addresses_are_in_their_networks(void **state)
{
	(void)state;
	static const struct {
		const char *network;
		const char *in[4], *out[5];
	} rows[] = {
		{"10.0.0.0/8", {"10.0.0.0:1", "10.255.255.255:1", "[::ffff:10.1.2.3]:1"},
			{"11.0.0.0:1", "9.255.255.255:1", "[::10.0.0.1]:1", "[a00::]:1"}},
		{"192.0.2.1", {"192.0.2.1:9"}, {"192.0.2.0:9", "192.0.2.2:9"}},
		{"192.0.2.1/32", {"192.0.2.1:9"}, {"192.0.2.2:9"}},
		{"192.0.2.128/25", {"192.0.2.128:1", "192.0.2.255:1"}, {"192.0.2.127:1"}},
		{"172.16.0.0/12", {"172.16.0.1:1", "172.31.255.255:1"},
			{"172.32.0.0:1", "172.15.255.255:1"}},
		{"0.0.0.0/0", {"1.2.3.4:1", "[::ffff:1.2.3.4]:1"}, {"[2001:db8::1]:1", "[::1]:1"}},
		{"0.0.0.0/1", {"127.0.0.1:1"}, {"128.0.0.0:1"}},
		{"::/0", {"[2001:db8::1]:1", "[::1]:1"}, {"1.2.3.4:1", "[::ffff:1.2.3.4]:1"}},
		{"2001:db8::/32", {"[2001:db8::1]:1", "[2001:db8:ffff::]:1"},
			{"[2001:db9::]:1", "[2001:db7:ffff::]:1", "32.1.13.184:1"}},
		{"2001:db8::/33", {"[2001:db8:7fff::]:1"}, {"[2001:db8:8000::]:1"}},
		{"fe80::1", {"[fe80::1]:1"}, {"[fe80::2]:1"}},
		{"::1/128", {"[::1]:1"}, {"[::2]:1", "127.0.0.1:1"}},
		{"::ffff:10.0.0.0/104", {"10.9.9.9:1", "[::ffff:10.9.9.9]:1"}, {"11.0.0.0:1"}},
		{"::ffff:10.0.0.1", {"10.0.0.1:1"}, {"10.0.0.2:1"}},
		{"::ffff:0:0/96", {"1.2.3.4:1"}, {"[::1]:1"}},
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct network n;
		const char *why = NULL;

		if (network_parse(rows[i].network, strlen(rows[i].network), &n, &why))
			fail_msg("%s: %s", rows[i].network, why);
		for (size_t k = 0; k < 4 + 5; k++) {
			const char *text = k < 4 ? rows[i].in[k] : rows[i].out[k - 4];
			struct address a;

			if (!text)
				continue;
			assert_int_equal(address_parse(text, strlen(text), &a, &why), 0);
			if (network_contains(&n, &a) != (k < 4))
				fail_msg("%s and %s", rows[i].network, text);
		}
		struct address local = {.u.any.sa_family = AF_UNIX};
		assert_false(network_contains(&n, &local));
	}
}

static void what_is_no_network_is_refused(void **state)
{
	(void)state;
	static const char *const rows[] = {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1",
		"10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/ 8", "10.0.0.0/8/8", "10.0.0.0/0x8",
		"10.0.0/8", "10/8", "010.0.0.0/8", "256.0.0.0/8", "10.0.0.1/8",
		"10.0.0.0/255.0.0.0", "::/129", "2001:db8::1/64", "[::1]", "::1/1000", "localhost",
		"*", "all", "10.0.0.0:80", "fe80::1%lo", "::ffff:10.0.0.1/104",
		"2001:0db8:0000:0000:0000:0000:0000:0000:0000/8"};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct network n = {.bits = 77};
		const char *why = NULL;

		if (network_parse(rows[i], strlen(rows[i]), &n, &why) != -EINVAL)
			fail_msg("%s was read", rows[i]);
		assert_non_null(why);
		assert_int_equal(n.bits, 77);
	}
	struct network n;
	const char *why;
	assert_int_equal(network_parse("10.0.0.1\0/8", 11, &n, &why), -EINVAL);
}

static void lists(void **state)
{
	(void)state;
	static const char *const bad[] = {",", "10.0.0.0/8,", ",10.0.0.0/8", " ", "10.0.0.0/8,,::1",
		"10.0.0.0/8 ::1", "10.0.0.0/8;::1"};
	static const char good[] = "10.0.0.0/8, 192.0.2.1 ,2001:db8::/32";
	struct networks list;
	struct address a;
	const char *why = NULL;
	char many[1024] = "";

	assert_int_equal(networks_parse("", 0, &list, &why), 0);
	assert_int_equal(list.n, 0);
	assert_int_equal(networks_parse(good, strlen(good), &list, &why), 0);
	assert_int_equal(list.n, 3);
	assert_int_equal(address_parse("192.0.2.1:1", 11, &a, &why), 0);
	assert_true(networks_contain(&list, &a));
	assert_int_equal(address_parse("192.0.2.2:1", 11, &a, &why), 0);
	assert_false(networks_contain(&list, &a));
	a.u.any.sa_family = AF_UNIX;
	assert_false(networks_contain(&list, &a));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		why = NULL;
		list.n = 77;
		assert_int_equal(networks_parse(bad[i], strlen(bad[i]), &list, &why), -EINVAL);
		assert_non_null(why);
		assert_int_equal(list.n, 77);
	}
	for (unsigned i = 0; i < NETWORKS_MAX; i++)
		strcat(many, i ? ",10.0.0.1" : "10.0.0.1");
	assert_int_equal(networks_parse(many, strlen(many), &list, &why), 0);
	strcat(many, ",::1");
	assert_int_equal(networks_parse(many, strlen(many), &list, &why), -EINVAL);
	assert_string_equal(why, "expected at most 64 networks");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_in_their_networks),
		cmocka_unit_test(what_is_no_network_is_refused),
		cmocka_unit_test(lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
