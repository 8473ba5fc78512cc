#include "wire/proxy.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

enum { TOLD_MAX = ADDRESS_TEXT_MAX + 32 };

/* The first 'len' bytes, in a block of their own size for the sanitizers' sake; what is told, as text. */
static enum proxy_what parse(const char *data, size_t len, char *told, struct proxy_header *ret)
{
	char *copy = malloc(len > 0 ? len : 1);

	assert_non_null(copy);
	memcpy(copy, data, len);
	enum proxy_what what = proxy_parse(copy, len, ret);
	free(copy);
	strcpy(told, what == PROXY_MORE ? "more" : what == PROXY_COMPLETE ? "none" : "!");
	if (ret->has_address)
		address_format(&ret->from, told);
	assert_int_equal(what == PROXY_MALFORMED, ret->why != NULL);
	assert_int_equal(what == PROXY_COMPLETE, ret->used > 0);
	assert_true(what == PROXY_COMPLETE || !ret->has_address);
	return what;
}

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2        SIGNATURE "\x21"
#define LOCAL     SIGNATURE "\x20"
#define IPV4      "\xc0\0\2\1\xcb\0\x71\5\x04\xd2\x1c\xe9" /* 192.0.2.1 203.0.113.5 1234 7401 */
#define DB8       "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0"
#define IPV6      DB8 "\1" DB8 "\2\x04\xd2\x1c\xe9"
#define TLV       "\3\0\4\1\2\3\4" /* a checksum, wrong */
#define NUL8      "\0\0\0\0\0\0\0\0"
#define NUL32     NUL8 NUL8 NUL8 NUL8
#define X32       "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X100      X32 X32 X32 "xxxx"
#define PATH_TO   NUL32 NUL32 NUL32 NUL8 "\0\0\0\0"
#define PATH_FROM "/run/a.sock" NUL32 NUL32 NUL32 "\0"
#define BYTES(s)  s, sizeof(s) - 1

static const struct row {
	const char *data;
	size_t len;
	const char *told;
} rows[] = {
	/* version 1 */
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 1234 7401\r\n"), "192.0.2.1:1234"},
	{BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
		"255.255.255.255:65535"},
	{BYTES("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0:0"},
	{BYTES("PROXY TCP6 2001:db8::1 ::1 1234 7401\r\n"), "[2001:db8::1]:1234"},
	{BYTES("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
	{BYTES("PROXY TCP6 ::ffff:192.0.2.1 ::1 1234 7401\r\n"), "192.0.2.1:1234"},
	{BYTES("PROXY UNKNOWN\r\n"), "none"},
	{BYTES("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff "
	       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"),
		"none"},
	{BYTES("PROXY UNKNOWN what ever it is\r\n"), "none"}, {BYTES("PROXY UNKNOWNS\r\n"), "!"},
	{BYTES("PROXY \r\n"), "!"}, {BYTES("PROXY TCP4\r\n"), "!"},
	{BYTES("PROXY TCP5 192.0.2.1 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY tcp4 192.0.2.1 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("proxy TCP4 192.0.2.1 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY  TCP4 192.0.2.1 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY TCP4  192.0.2.1 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 1234 7401 \r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 1234 7401 9\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 1234\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.256 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.01 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 x 1234 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 2001:db8::1 ::1 1234 7401\r\n"), "!"},
	{BYTES("PROXY TCP6 192.0.2.1 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 65536 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 1234 65536\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 01234 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 +1 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 -1 7401\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 1234 7401\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 1234 7401\r\r\n"), "!"},
	{BYTES("PROXY TCP4 192.0.2.1\0 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY UNKNOWN a\rb\r\n"), "!"}, {BYTES("PROXY UNKNOWN \0\r\n"), "!"},
	{BYTES("PROXY \n"), "!"}, {BYTES("PROXYTCP4 192.0.2.1 203.0.113.5 1234 7401\r\n"), "!"},
	{BYTES("PROXY UNKNOWN " X32 X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"), "none"}, /* 107 */
	{BYTES("PROXY UNKNOWN " X32 X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"), "!"},
	{BYTES("PROXY UNKNOWN " X32 X32 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), "!"}, /* 107, no end */
	/* version 2 */
	{BYTES(V2 "\x11\0\x0c" IPV4), "192.0.2.1:1234"},
	{BYTES(V2 "\x11\0\x13" IPV4 TLV), "192.0.2.1:1234"},
	{BYTES(V2 "\x11\0\x0d" IPV4 "x"), "192.0.2.1:1234"},
	{BYTES(V2 "\x21\0\x24" IPV6), "[2001:db8::1]:1234"},
	{BYTES(V2 "\x21\0\x2b" IPV6 TLV), "[2001:db8::1]:1234"},
	{BYTES(V2 "\x31\0\xd8" PATH_FROM PATH_TO), "/run/a.sock"},
	{BYTES(V2 "\x31\0\xd8" PATH_TO PATH_TO), "unix"},
	{BYTES(V2 "\x31\0\xd8"
		  "\0abstract" NUL32 NUL32 NUL32 "\0\0\0" PATH_TO),
		"@abstract"},
	{BYTES(V2 "\x31\0\xd8"
		  "/xxxxxxx" X100 PATH_TO),
		"/xxxxxxx" X100}, /* no NUL: 108 */
	{BYTES(V2 "\0\0\0"), "none"}, {BYTES(V2 "\0\0\x07" TLV), "none"},
	{BYTES(V2 "\x12\0\x0c" IPV4), "none"}, {BYTES(V2 "\x22\0\x24" IPV6), "none"},
	{BYTES(V2 "\x32\0\xd8" PATH_FROM PATH_TO), "none"}, {BYTES(LOCAL "\0\0\0"), "none"},
	{BYTES(LOCAL "\0\0\x07" TLV), "none"}, {BYTES(LOCAL "\x11\0\x0c" IPV4), "none"},
	{BYTES(LOCAL "\xff\0\1x"), "none"},
	{BYTES(V2 "\x31\0\xd7" PATH_FROM NUL32 NUL32 NUL32 NUL8 "\0\0\0"), "!"},
	{BYTES(V2 "\x11\0\x0b"
		  "\xc0\0\2\1\xcb\0\x71\5\x04\xd2\x1c"),
		"!"},
	{BYTES(V2 "\x11\0\0"), "!"}, {BYTES(V2 "\x21\0\x0c" IPV4), "!"},
	{BYTES(V2 "\x31\0\x24" IPV6), "!"}, {BYTES(V2 "\1\0\0"), "!"},
	{BYTES(V2 "\x10\0\x0c" IPV4), "!"}, {BYTES(V2 "\x13\0\x0c" IPV4), "!"},
	{BYTES(V2 "\x41\0\x0c" IPV4), "!"}, {BYTES(SIGNATURE "\x22\x11\0\x0c" IPV4), "!"},
	{BYTES(SIGNATURE "\x11\x11\0\x0c" IPV4), "!"},
	{BYTES(SIGNATURE "\x31\x11\0\x0c" IPV4), "!"}, {BYTES(SIGNATURE "\x01"), "!"},
	{BYTES(V2 "\x11\x0f\xf1"), "!"}, /* 16 + 4081 */
	{BYTES(V2 "\x11\xff\xff"), "!"}, {BYTES(LOCAL "\0\xff\xff"), "!"},
	{BYTES("\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c" IPV4), "!"},
	/* what is none */
	{BYTES("{\"type\":\"hello\"}\n"), "!"}, {BYTES("\n"), "!"}, {BYTES("\r\n\r\n\r\n"), "!"},
	{BYTES("\x16\x03\x01\x02"), "!"}, {BYTES("GET / HTTP/1.1\r\n"), "!"}, {BYTES("PUT"), "!"},
	/* not complete */
	{BYTES(""), "more"}, {BYTES("P"), "more"}, {BYTES("PROXY "), "more"},
	{BYTES("PROXY TCP4 192.0.2.1 203.0.113.5 1234 7401\r"), "more"}, {BYTES("\r"), "more"},
	{BYTES(SIGNATURE), "more"}, {BYTES(V2), "more"}, {BYTES(V2 "\x11\0"), "more"},
	{BYTES(V2 "\x11\0\x0c"), "more"}, {BYTES(V2 "\x11\x0f\xf0"), "more"}, /* 16 + 4080 */
};

static void test_rows(void **state)
{
	struct proxy_header header;
	char told[TOLD_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum proxy_what what = parse(rows[i].data, rows[i].len, told, &header);

		if (strcmp(told, rows[i].told) != 0)
			fail_msg("row %zu, %s: %s, not %s", i, rows[i].data, told, rows[i].told);
		if (what == PROXY_COMPLETE)
			assert_int_equal(header.used, rows[i].len);
	}
}

/* However the bytes come, the answer is the same; a good header is not complete, nor refused, before its end. */
static void test_rows_by_bytes(void **state)
{
	struct proxy_header header;
	char told[TOLD_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum proxy_what what = PROXY_MORE;
		size_t n = 0;

		while (what == PROXY_MORE && n < rows[i].len)
			what = parse(rows[i].data, ++n, told, &header);
		if (rows[i].len > 0 && strcmp(told, rows[i].told) != 0)
			fail_msg("row %zu: %s after %zu", i, told, n);
		if (what == PROXY_COMPLETE)
			assert_int_equal(n, rows[i].len);
	}
}

static void test_bytes_behind_are_left(void **state)
{
	struct proxy_header header;
	char data[512], told[TOLD_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (parse(rows[i].data, rows[i].len, told, &header) != PROXY_COMPLETE)
			continue;
		memcpy(data, rows[i].data, rows[i].len);
		memcpy(data + rows[i].len, "\r\nPROXY \r\n", 10);
		assert_int_equal(parse(data, rows[i].len + 10, told, &header), PROXY_COMPLETE);
		assert_string_equal(told, rows[i].told);
		assert_int_equal(header.used, rows[i].len);
	}
}

static void test_longest(void **state)
{
	static char data[PROXY_HEADER_MAX] = V2 "\x11\x0f\xf0" IPV4;
	struct proxy_header header;
	char told[TOLD_MAX];

	(void)state;
	assert_int_equal(parse(data, sizeof(data) - 1, told, &header), PROXY_MORE);
	assert_int_equal(parse(data, sizeof(data), told, &header), PROXY_COMPLETE);
	assert_string_equal(told, "192.0.2.1:1234");
	assert_int_equal(header.used, sizeof(data));
}

static void test_unix_lengths(void **state)
{
	static const char named[] = V2 "\x31\0\xd8" PATH_FROM PATH_TO;
	static const char unnamed[] = V2 "\x31\0\xd8" PATH_TO PATH_TO;
	static const char full[] = V2 "\x31\0\xd8"
				      "/xxxxxxx" X100 PATH_TO;
	struct proxy_header header;

	(void)state;
	assert_int_equal(proxy_parse(full, sizeof(full) - 1, &header), PROXY_COMPLETE);
	assert_int_equal(header.from.len, sizeof(struct sockaddr_un));
	assert_int_equal(proxy_parse(named, sizeof(named) - 1, &header), PROXY_COMPLETE);
	assert_int_equal(header.from.u.any.sa_family, AF_UNIX);
	assert_int_equal(
		header.from.len, offsetof(struct sockaddr_un, sun_path) + sizeof("/run/a.sock"));
	assert_int_equal(proxy_parse(unnamed, sizeof(unnamed) - 1, &header), PROXY_COMPLETE);
	assert_int_equal(header.from.len, offsetof(struct sockaddr_un, sun_path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_rows_by_bytes),
		cmocka_unit_test(test_bytes_behind_are_left),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_unix_lengths),
	};

	return cmocka_run_group_tests_name("proxy", tests, NULL, NULL);
}
