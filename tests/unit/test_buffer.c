#include "base/buffer.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <stdlib.h>
#include <string.h>

static void check_content(const struct buffer *b, const char *expected)
{
	assert_false(b->failed);
	assert_int_equal(b->len, strlen(expected));
	assert_memory_equal(b->data, expected, b->len);
}

static void pieces_follow_each_other(void **state)
{
	(void)state;
	CLEANUP(buffer_free) struct buffer b = {0};

	buffer_append(&b, "{\"n", 3);
	buffer_append_string(&b, "\":");
	buffer_append_u64(&b, UINT64_MAX);
	buffer_append_string(&b, ",\"s\":");
	buffer_append_json(&b, "a\"\n", 3);
	buffer_printf(&b, ",\"p\":%d%s}", -7, "0");
	check_content(&b, "{\"n\":18446744073709551615,\"s\":\"a\\\"\\n\",\"p\":-70}");
}

static void nothing_appended_is_nothing(void **state)
{
	(void)state;
	CLEANUP(buffer_free) struct buffer b = {0};

	buffer_append(&b, NULL, 0);
	buffer_append_string(&b, "");
	buffer_printf(&b, "%s", "");
	assert_false(b.failed);
	assert_int_equal(b.len, 0);
}

static void grows_and_keeps_all(void **state)
{
	(void)state;
	CLEANUP(buffer_free) struct buffer b = {0};
	size_t expected = 0;

	for (size_t n = 0; n < 700; n++) {
		char *to = buffer_reserve(&b, n);
		assert_non_null(to);
		memset(to, (int)(n & 0x7f), n); /* all of it is ours: ASan agrees */
		b.len += n;
		expected += n;
		assert_int_equal(b.len, expected);
		assert_true(b.cap >= b.len);
	}
	const char *at = b.data;
	for (size_t n = 0; n < 700; n++) {
		for (size_t i = 0; i < n; i++)
			assert_int_equal(*at++, n & 0x7f);
	}
}

/* The formatted text may end just at the capacity, one before or one past it. */
static void printf_at_the_edge_of_the_room(void **state)
{
	(void)state;
	static char text[1024];

	for (size_t before = 250; before <= 258; before++) {
		for (size_t n = 0; n < 520; n++) {
			CLEANUP(buffer_free) struct buffer b = {0};
			memset(text, 'a', sizeof(text));
			buffer_append(&b, text, before);
			buffer_printf(&b, "%.*s", (int)n, text);
			assert_false(b.failed);
			assert_int_equal(b.len, before + n);
			for (size_t i = 0; i < b.len; i++)
				assert_int_equal(b.data[i], 'a');
		}
	}
}

static void clear_keeps_the_memory(void **state)
{
	(void)state;
	CLEANUP(buffer_free) struct buffer b = {0};

	buffer_append_string(&b, "first");
	char *data = b.data;
	buffer_clear(&b);
	assert_int_equal(b.len, 0);
	buffer_append_string(&b, "again");
	assert_ptr_equal(b.data, data);
	check_content(&b, "again");
}

static void build(struct buffer *b)
{
	for (int i = 0; i < 100; i++) {
		buffer_append_string(b, "0123456789");
		buffer_append_u64(b, (uint64_t)i);
		buffer_append_json(b, "\x01\x02\x03", 3);
		buffer_printf(b, "%0300d", i);
	}
}

static void refused_growth_is_remembered(void **state)
{
	(void)state;
	long n = 1;

	for (;; n++) {
		CLEANUP(buffer_free) struct buffer b = {0};
		alloc_fail_begin(n);
		build(&b);
		bool refused = alloc_fail_end();
		assert_int_equal(b.failed, refused);
		if (!refused)
			break;
		/* no later append goes in behind the gap */
		size_t len = b.len;
		build(&b);
		assert_int_equal(b.len, len);
		assert_null(buffer_reserve(&b, 0));
		/* what was there is there still, and after a clear it serves again */
		buffer_clear(&b);
		buffer_append_string(&b, "whole");
		check_content(&b, "whole");
	}
	assert_true(n > 3);
}

static void sizes_that_overflow_are_refused(void **state)
{
	(void)state;
	static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 2};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		CLEANUP(buffer_free) struct buffer b = {0};
		buffer_append_string(&b, "some");
		assert_null(buffer_reserve(&b, sizes[i]));
		assert_true(b.failed);
		assert_int_equal(b.len, 4);
	}
}

static void free_leaves_an_empty_one(void **state)
{
	(void)state;
	struct buffer b = {0};

	buffer_free(&b);
	buffer_append_string(&b, "x");
	buffer_free(&b);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
	buffer_append_string(&b, "y");
	check_content(&b, "y");
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_follow_each_other),
		cmocka_unit_test(nothing_appended_is_nothing),
		cmocka_unit_test(grows_and_keeps_all),
		cmocka_unit_test(printf_at_the_edge_of_the_room),
		cmocka_unit_test(clear_keeps_the_memory),
		cmocka_unit_test(refused_growth_is_remembered),
		cmocka_unit_test(sizes_that_overflow_are_refused),
		cmocka_unit_test(free_leaves_an_empty_one),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
