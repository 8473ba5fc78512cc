#include "cli/environment.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAME(name, value, help) #name,
static const char *const names[VARIABLE_N] = {CLI_VARIABLES(NAME)};

static int forget_all(void **state)
{
	(void)state;
	for (size_t i = 0; i < VARIABLE_N; i++)
		unsetenv(names[i]);
	return 0;
}

static void nothing_set_is_the_defaults(void **state)
{
	(void)state;
	struct environment e;
	struct buffer why = {.data = NULL};

	setenv("PRESENCE_URL", "", 1); /* empty is not set */
	assert_int_equal(environment_read(&e, &why), 0);
	assert_string_equal(e.value[VARIABLE_PRESENCE_URL], "tcp://127.0.0.1:7400");
	assert_string_equal(e.value[VARIABLE_PRESENCE_ADMIN_URL], "http://127.0.0.1:7402");
	assert_null(e.value[VARIABLE_PRESENCE_TOKEN]);
	assert_null(e.value[VARIABLE_PRESENCE_USER]);
	assert_null(e.value[VARIABLE_PRESENCE_ADMIN_TOKEN]);
	buffer_free(&why);
}

static void what_is_set_is_taken(void **state)
{
	(void)state;
	struct environment e;
	struct buffer why = {.data = NULL};

	for (size_t i = 0; i < VARIABLE_N; i++)
		setenv(names[i], "x-y", 1);
	assert_int_equal(environment_read(&e, &why), 0);
	for (size_t i = 0; i < VARIABLE_N; i++)
		assert_string_equal(e.value[i], "x-y");
	buffer_free(&why);
}

static void what_is_wrong_is_named_and_secrets_are_not_shown(void **state)
{
	(void)state;
	static char long_text[9000];
	struct environment e;

	memset(long_text, 'x', sizeof(long_text) - 1);
	for (size_t i = 0; i < VARIABLE_N; i++) {
		const char *const wrong[] = {
			"hunter2\r\nX: y", "hunter2\033", "hunter2\377", long_text};
		for (size_t k = 0; k < ARRAY_LEN(wrong); k++) {
			struct buffer why = {.data = NULL};
			forget_all(NULL);
			setenv(names[i], wrong[k], 1);
			assert_int_equal(environment_read(&e, &why), -EINVAL);
			buffer_append(&why, "", 1);
			assert_int_equal(strncmp(why.data, names[i], strlen(names[i])), 0);
			assert_null(strstr(why.data, "hunter2"));
			assert_true(why.len < 200);
			buffer_free(&why);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nothing_set_is_the_defaults, forget_all),
		cmocka_unit_test_setup(what_is_set_is_taken, forget_all),
		cmocka_unit_test_setup(
			what_is_wrong_is_named_and_secrets_are_not_shown, forget_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
