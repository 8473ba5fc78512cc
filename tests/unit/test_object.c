#include "admin/object.h"

#include "base/hash.h"
#include "support/cmocka_all.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static void assert_text(struct buffer *b, const char *want)
{
	assert_false(b->failed);
	assert_int_equal(b->len, strlen(want));
	assert_memory_equal(b->data, want, b->len);
	buffer_clear(b);
}

static void test_fields_and_what_lies_within(void **state)
{
	struct buffer b = {.data = NULL};

	(void)state;
	object_begin(&b);
	object_end(&b);
	assert_text(&b, "{}");
	buffer_append_string(&b, "data: ");
	object_begin(&b);
	object_u64(&b, "a", 1);
	object_text(&b, "b", "x\"y\n");
	object_text(&b, "c", NULL);
	object_key(&b, "d");
	object_begin(&b);
	object_bool(&b, "e", true);
	object_bool(&b, "f", false);
	object_end(&b);
	object_i64(&b, "g", -1);
	object_i64(&b, "h", 0);
	object_end(&b);
	assert_text(&b, "data: {\"a\":1,\"b\":\"x\\\"y\\n\",\"c\":null,"
			"\"d\":{\"e\":true,\"f\":false},\"g\":null,\"h\":0}");
	buffer_free(&b);
}

/* 2^63 and more does not become a negative number at who reads it. */
static void test_numbers_do_not_wrap(void **state)
{
	struct buffer b = {.data = NULL};

	(void)state;
	object_u64(&b, "n", UINT64_MAX);
	assert_text(&b, "\"n\":9223372036854775807");
	buffer_free(&b);
}

/* Each is read as the number it is, and as a real. */
static void check_thousandths(uint64_t value)
{
	struct buffer b = {.data = NULL};
	char want[32];
	json_t *d;

	object_begin(&b);
	object_thousandths(&b, "n", value);
	object_end(&b);
	assert_false(b.failed);
	d = json_loadb(b.data, b.len, 0, NULL);
	assert_non_null(d);
	assert_true(json_is_real(json_object_get(d, "n")));
	snprintf(want, sizeof(want), "%" PRIu64 ".%03u", value / 1000, (unsigned)(value % 1000));
	assert_true(json_real_value(json_object_get(d, "n")) == strtod(want, NULL));
	json_decref(d);
	buffer_free(&b);
}

static void test_thousandths(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 2100; i++)
		check_thousandths(i);
	for (uint64_t i = 0; i < 1000; i++)
		check_thousandths(hash_mix(i) >> (i % 64));
	check_thousandths(UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields_and_what_lies_within),
		cmocka_unit_test(test_numbers_do_not_wrap),
		cmocka_unit_test(test_thousandths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
