/* The frames that wire/websocket writes. */
#include "wire/websocket.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"

#include <string.h>

#define TEN      "0123456789"
#define FIFTY    TEN TEN TEN TEN TEN
#define N125     FIFTY FIFTY TEN TEN "01234"
#define BYTES(s) s, sizeof(s) - 1

static void test_headers(void **state)
{
	static const struct {
		uint64_t len;
		const char *bytes;
		size_t n;
	} headers[] = {
		{0, BYTES("\x81\0")},
		{5, BYTES("\x81\x05")},
		{125, BYTES("\x81\x7d")},
		{126, BYTES("\x81\x7e\0\x7e")},
		{256, BYTES("\x81\x7e\1\0")},
		{65535, BYTES("\x81\x7e\xff\xff")},
		{65536, BYTES("\x81\x7f\0\0\0\0\0\1\0\0")},
		{INT64_MAX, BYTES("\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff")},
	};
	char to[WEBSOCKET_HEADER_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
		assert_int_equal(websocket_put_header(to, WEBSOCKET_OPCODE_TEXT, headers[i].len),
			headers[i].n);
		assert_memory_equal(to, headers[i].bytes, headers[i].n);
	}
}

static void test_control_frames(void **state)
{
	char to[WEBSOCKET_CONTROL_MAX + 1];

	(void)state;
	to[WEBSOCKET_CONTROL_MAX] = '!';
	assert_int_equal(websocket_put_control(to, WEBSOCKET_OPCODE_PONG, "Hello", 5), 7);
	assert_memory_equal(to, "\x8a\x05Hello", 7);
	assert_int_equal(websocket_put_control(to, WEBSOCKET_OPCODE_PING, "", 0), 2);
	assert_memory_equal(to, "\x89\0", 2);
	assert_int_equal(
		websocket_put_control(to, WEBSOCKET_OPCODE_PING, N125, 125), WEBSOCKET_CONTROL_MAX);
	assert_int_equal(to[WEBSOCKET_CONTROL_MAX], '!');
}

static void test_close_frames(void **state)
{
	char to[WEBSOCKET_CONTROL_MAX + 1];
	char reason[200];

	(void)state;
	to[WEBSOCKET_CONTROL_MAX] = '!';
	assert_int_equal(websocket_put_close(to, WEBSOCKET_CODE_NONE, "dropped"), 2);
	assert_memory_equal(to, "\x88\0", 2);
	assert_int_equal(websocket_put_close(to, 1000, ""), 4);
	assert_memory_equal(to, "\x88\x02\x03\xe8", 4);
	assert_int_equal(websocket_put_close(to, 4408, "timeout"), 11);
	assert_memory_equal(to, "\x88\x09\x11\x38timeout", 11);
	memset(reason, 'a', sizeof(reason));
	for (size_t len = 118; len < 130; len++) {
		strcpy(reason + len, "\xe2\x82\xac"); /* three bytes that stay together */
		size_t n = websocket_put_close(to, 1002, reason);
		size_t kept = len + 3 <= 123 ? len + 3 : len <= 123 ? len : 123;

		assert_int_equal(n, 2 + 2 + kept);
		assert_int_equal((unsigned char)to[1], 2 + kept);
		assert_memory_equal(to + 4, reason, kept);
		reason[len] = reason[len + 1] = reason[len + 2] = reason[len + 3] = 'a';
	}
	assert_int_equal(to[WEBSOCKET_CONTROL_MAX], '!');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_control_frames),
		cmocka_unit_test(test_close_frames),
	};

	return cmocka_run_group_tests_name("websocket_send", tests, NULL, NULL);
}
