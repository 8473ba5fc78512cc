#include "wire/ndjson.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char stream[] = "one\n"
			     "\n"
			     "two\r\n"
			     "\r\n"
			     "thr\ree\n"
			     "four\r\r\n"
			     "{\"type\":\"heartbeat\"}\n"
			     "rest";
enum { STREAM_LEN = sizeof(stream) - 1 };

static const char *const lines[] = {
	"one", "", "two", "", "thr\ree", "four\r", "{\"type\":\"heartbeat\"}"};
enum { N_LINES = sizeof(lines) / sizeof(lines[0]) };

/* A reader as a connection is: bytes come in pieces, what is no line yet waits, and is searched once. */
struct reader {
	size_t begin, searched, end;
	size_t n_lines;
};

static void reader_feed(struct reader *r, size_t n)
{
	size_t line_len, used;

	r->end += n;
	while (ndjson_next(stream + r->begin, r->end - r->begin, r->searched, &line_len, &used)) {
		assert_true(r->n_lines < N_LINES);
		assert_int_equal(line_len, strlen(lines[r->n_lines]));
		assert_memory_equal(stream + r->begin, lines[r->n_lines], line_len);
		r->n_lines++;
		r->begin += used;
		r->searched = 0;
	}
	r->searched = r->end - r->begin;
}

static void reader_check_end(const struct reader *r)
{
	assert_int_equal(r->n_lines, N_LINES);
	assert_int_equal(STREAM_LEN - r->begin, strlen("rest"));
}

static void test_whole(void **state)
{
	struct reader r = {0};

	(void)state;
	reader_feed(&r, STREAM_LEN);
	reader_check_end(&r);
}

static void test_byte_by_byte(void **state)
{
	struct reader r = {0};

	(void)state;
	for (size_t i = 0; i < STREAM_LEN; i++)
		reader_feed(&r, 1);
	reader_check_end(&r);
}

static void test_split_at_every_two_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i <= STREAM_LEN; i++) {
		for (size_t j = i; j <= STREAM_LEN; j++) {
			struct reader r = {0};

			reader_feed(&r, i);
			reader_feed(&r, j - i);
			reader_feed(&r, STREAM_LEN - j);
			reader_check_end(&r);
		}
	}
}

static void test_no_line_leaves_the_outputs(void **state)
{
	size_t line_len = 7, used = 8;

	(void)state;
	assert_false(ndjson_next("", 0, 0, &line_len, &used));
	assert_false(ndjson_next("abc\r", 4, 0, &line_len, &used));
	assert_false(ndjson_next("abc\r", 4, 4, &line_len, &used));
	assert_false(ndjson_next("a\nb", 1, 0, &line_len, &used));
	assert_int_equal(line_len, 7);
	assert_int_equal(used, 8);
}

static void test_searched_bytes_are_not_looked_at(void **state)
{
	size_t line_len, used;

	(void)state;
	assert_true(ndjson_next("\n\nx\n", 4, 2, &line_len, &used));
	assert_int_equal(line_len, 3);
	assert_int_equal(used, 4);
}

static void test_nul_is_a_byte_as_others(void **state)
{
	size_t line_len, used;

	(void)state;
	assert_true(ndjson_next("a\0b\r\n", 5, 0, &line_len, &used));
	assert_int_equal(line_len, 3);
	assert_int_equal(used, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_split_at_every_two_bytes),
		cmocka_unit_test(test_no_line_leaves_the_outputs),
		cmocka_unit_test(test_searched_bytes_are_not_looked_at),
		cmocka_unit_test(test_nul_is_a_byte_as_others),
	};

	return cmocka_run_group_tests_name("ndjson", tests, NULL, NULL);
}
