/* Heartbeats that are known without being parsed. */
#include "wire/message.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"

#include <stdlib.h>
#include <string.h>

static void test_canonical_heartbeat(void **state)
{
	static const char text[] = "{\"type\":\"heartbeat\"}";

	(void)state;
	assert_true(message_is_canonical_heartbeat(text, 20));
	assert_false(message_is_canonical_heartbeat(text, 19));
	assert_false(message_is_canonical_heartbeat(text, 21));
	assert_false(message_is_canonical_heartbeat("{\"type\":\"Heartbeat\"}", 20));
	assert_false(message_is_canonical_heartbeat("", 0));
}

/* Whatever is cut off, or stands behind them: as many as are whole, and not a byte more. */
static void test_leading_heartbeats(void **state)
{
	static const char one[] = "{\"type\":\"heartbeat\"}\n";
	static const char *const strangers[] = {"", "\r\n", " \n", "{\"type\":\"heartbeat\" }\n",
		"{\"type\":\"heartbeaT\"}\n", "{\"type\":\"heartbeat\"}\r\n"};
	char data[4096];
	size_t ends[64], n_ends = 0, len = 0, n;

	(void)state;
	for (unsigned i = 0; i < ARRAY_LEN(ends); i++) {
		bool is_empty = i % 7 == 3 || i % 11 == 4 || i == 0;
		strcpy(data + len, is_empty ? "\n" : one);
		len += strlen(data + len);
		ends[n_ends++] = len;
	}
	for (size_t cut = 0; cut <= len; cut++) {
		size_t n_whole = 0;
		while (n_whole < n_ends && ends[n_whole] <= cut)
			n_whole++;
		/* In a block of its own, so that a byte too far is seen by the sanitizer. */
		char *copy = malloc(cut + 1);
		assert_non_null(copy);
		memcpy(copy, data, cut);
		assert_int_equal(message_leading_heartbeats(copy, cut, &n),
			n_whole > 0 ? ends[n_whole - 1] : 0);
		assert_int_equal(n, n_whole);
		free(copy);
	}
	for (size_t i = 0; i < ARRAY_LEN(strangers); i++) {
		strcpy(data + len, strangers[i]);
		assert_int_equal(
			message_leading_heartbeats(data, len + strlen(strangers[i]), &n), len);
		assert_int_equal(n, n_ends);
		assert_int_equal(
			message_leading_heartbeats(strangers[i], strlen(strangers[i]), &n), 0);
		assert_int_equal(n, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_canonical_heartbeat),
		cmocka_unit_test(test_leading_heartbeats),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
