/* Settings that are secrets: where they may come from, and that nobody gets to see them. */

#include "app/settings.h"

#include "base/compiler.h"
#include "support/failing_alloc.h"
#include "support/telling.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET_32 "0123456789abcdef0123456789abcdef"

static char secret_path[64];

static void write_secret(const void *data, size_t len)
{
	int fd = open(secret_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	close(fd);
}

static int make_secret_file(void **state)
{
	(void)state;
	strcpy(secret_path, "/tmp/presenced-test-XXXXXX");
	int fd = mkstemp(secret_path);
	close(fd);
	return fd < 0 ? -1 : 0;
}

static int remove_secret_file(void **state)
{
	(void)state;
	return unlink(secret_path);
}

static void a_secret_comes_from_a_file_without_its_line_end(void **state)
{
	static const char *const contents[] = {"s3cret", "s3cret\n", "s3cret\r\n"};
	char variable[128];
	struct settings s;

	(void)state;
	snprintf(variable, sizeof(variable), "PRESENCED_ADMIN_TOKEN_FILE=%s", secret_path);
	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		write_secret(contents[i], strlen(contents[i]));
		LOAD(&s, variable);
		assert_string_equal(s.admin_token, "s3cret");
		assert_int_equal(s.origins[SETTING_ADMIN_TOKEN], SETTING_ORIGIN_FILE);
		settings_free(&s);
	}
}

static void a_secret_file_with_something_else_in_it_is_refused_unshown(void **state)
{
	static char long_one[SETTING_SECRET_MAX + 100];
	char variable[128];
	struct settings s;
	struct {
		const char *data;
		size_t len;
	} contents[] = {
		{"", 0},
		{"\n", 1},
		{"hidden\n\n", 8},
		{"hidden\nhidden", 13},
		{"hid\0den", 7},
		{"hid\x7f"
		 "den",
			7},
		{long_one, 1025},
		{long_one, sizeof(long_one)},
	};

	(void)state;
	memset(long_one, 'x', sizeof(long_one));
	snprintf(variable, sizeof(variable), "PRESENCED_ADMIN_TOKEN_FILE=%s", secret_path);
	for (size_t i = 0; i < ARRAY_LEN(contents); i++) {
		write_secret(contents[i].data, contents[i].len);
		assert_int_equal(load_settings(ENVIRONMENT(variable), &s), -EINVAL);
		assert_int_equal(count_lines(told), 1);
		assert_non_null(strstr(told, variable));
		assert_non_null(strstr(told, "expected in it 1 to 1024 bytes"));
		assert_null(strstr(told, "hid"));
		assert_null(strstr(told, "xxx"));
	}
	write_secret(long_one, 1024); /* just fits */
	LOAD(&s, variable);
	settings_free(&s);
}

static void a_secret_file_that_cannot_be_read_is_named_with_the_reason(void **state)
{
	(void)state;
	REFUSE("presenced: PRESENCED_ADMIN_TOKEN_FILE=/nowhere/token: expected a file that can be "
	       "read: No such file or directory\n",
		"PRESENCED_ADMIN_TOKEN_FILE=/nowhere/token");
	REFUSE("presenced: PRESENCED_ADMIN_TOKEN_FILE=/tmp: expected a file that can be "
	       "read: Is a directory\n",
		"PRESENCED_ADMIN_TOKEN_FILE=/tmp");
}

static void a_secret_and_its_file_at_once_are_an_error(void **state)
{
	(void)state;
	REFUSE("presenced: PRESENCED_ADMIN_TOKEN_FILE=/x: expected either this or "
	       "PRESENCED_ADMIN_TOKEN, not both\n",
		"PRESENCED_ADMIN_TOKEN=hidden", "PRESENCED_ADMIN_TOKEN_FILE=/x");
}

static void a_bad_secret_is_refused_unshown(void **state)
{
	(void)state;
	REFUSE("presenced: PRESENCED_ADMIN_TOKEN=***: expected 1 to 1024 bytes without control "
	       "characters\n",
		"PRESENCED_ADMIN_TOKEN=hidden\n");
}

/* --- the secret of tokens --- */

static void a_jwt_secret_has_32_bytes_at_least(void **state)
{
	struct settings s;

	(void)state;
	REFUSE("presenced: PRESENCED_JWT_SECRET=***: expected 32 to 1024 bytes without control "
	       "characters\n",
		"PRESENCED_JWT_SECRET=0123456789abcdef0123456789abcde");
	LOAD(&s, "PRESENCED_JWT_SECRET=" SECRET_32);
	assert_int_equal(s.origins[SETTING_JWT_SECRET], SETTING_ORIGIN_ENVIRONMENT);
	settings_free(&s);
}

static void a_jwt_secret_comes_from_a_file_too(void **state)
{
	char variable[128];
	struct settings s;

	(void)state;
	snprintf(variable, sizeof(variable), "PRESENCED_JWT_SECRET_FILE=%s", secret_path);
	write_secret(SECRET_32 "\n", 33);
	LOAD(&s, variable);
	assert_string_equal(s.jwt_secret, SECRET_32);
	assert_int_equal(s.origins[SETTING_JWT_SECRET], SETTING_ORIGIN_FILE);
	assert_true(settings_have_tokens(&s));
	assert_int_equal(s.default_watch, DEFAULT_WATCH_NONE);
	settings_free(&s);

	write_secret(
		"0123456789abcdef0123456789abcde\n", 32); /* one too few: the line end is none */
	assert_int_equal(load_settings(ENVIRONMENT(variable), &s), -EINVAL);
	assert_int_equal(count_lines(told), 1);
	assert_non_null(strstr(told, "expected in it 32 to 1024 bytes"));
	assert_null(strstr(told, "0123"));
	REFUSE("presenced: PRESENCED_JWT_SECRET_FILE=/x: expected either this or "
	       "PRESENCED_JWT_SECRET, not both\n",
		"PRESENCED_JWT_SECRET=" SECRET_32, "PRESENCED_JWT_SECRET_FILE=/x");
}

/* A path that is kept for later: not a file that holds the setting, though its name ends as if. */
static void the_jwks_file_is_a_name_of_its_own(void **state)
{
	struct settings s;

	(void)state;
	LOAD(&s, "PRESENCED_JWT_JWKS_FILE=/nowhere/keys.json");
	assert_string_equal(s.jwt_jwks_file, "/nowhere/keys.json");
	assert_null(s.jwt_secret);
	assert_int_equal(s.origins[SETTING_JWT_JWKS_FILE], SETTING_ORIGIN_ENVIRONMENT);
	settings_free(&s);
	/* It may stand beside the secret: tokens are good by one of the keys. */
	LOAD(&s, "PRESENCED_JWT_JWKS_FILE=/keys", "PRESENCED_JWT_SECRET=" SECRET_32);
	settings_free(&s);
	assert_int_equal(
		load_settings(ENVIRONMENT("PRESENCED_JWT_JWKS_FILE_FILE=/x"), &s), -EINVAL);
	assert_int_equal(load_settings(ENVIRONMENT("PRESENCED_JWT_JWKS=x"), &s), -EINVAL);
}

static void the_config_shows_origins_and_hides_secrets(void **state)
{
	struct settings s;

	(void)state;
	LOAD(&s, "PRESENCED_HEARTBEAT=60s", "PRESENCED_ADMIN_TOKEN=hidden", "PRESENCED_WORKERS=3");
	FILE *f = start_telling();
	settings_print_config(&s, f);
	stop_telling(f);
	settings_free(&s);
	assert_int_equal(count_lines(told), SETTING_N);
	assert_non_null(strstr(told, "PRESENCED_LISTEN=tcp://127.0.0.1:7400  # default\n"));
	assert_non_null(strstr(told, "PRESENCED_HEARTBEAT=1m  # environment\n"));
	assert_non_null(strstr(told, "PRESENCED_ADMIN_TOKEN=***  # environment\n"));
	assert_non_null(strstr(told, "PRESENCED_WORKERS=3  # environment\n"));
	assert_null(strstr(told, "hidden"));

	write_secret("hidden", 6);
	char variable[128];
	snprintf(variable, sizeof(variable), "PRESENCED_ADMIN_TOKEN_FILE=%s", secret_path);
	LOAD(&s, variable);
	f = start_telling();
	settings_print_config(&s, f);
	stop_telling(f);
	settings_free(&s);
	assert_non_null(strstr(told, "PRESENCED_ADMIN_TOKEN=***  # file\n"));
	assert_null(strstr(told, "hidden"));
}

static void a_refused_allocation_is_told_and_leaves_nothing(void **state)
{
	char variable[128];
	unsigned n_refused = 0;

	(void)state;
	write_secret("token", 5);
	snprintf(variable, sizeof(variable), "PRESENCED_ADMIN_TOKEN_FILE=%s", secret_path);
	for (long n = 1;; n++) {
		struct settings s = {.n_injected = 77};

		alloc_fail_begin(n);
		int err = load_settings(
			ENVIRONMENT("PRESENCED_LISTEN=tcp://127.0.0.1:0,unix:///s", variable), &s);
		bool was_refused = alloc_fail_end();
		if (!was_refused) {
			assert_int_equal(err, 0);
			settings_free(&s);
			break;
		}
		n_refused++;
		assert_int_equal(err, -ENOMEM);
		assert_int_equal(s.n_injected, 77);
		assert_int_equal(count_lines(told), 1);
		assert_non_null(strstr(told, "out of memory"));
	}
	assert_int_equal(n_refused, 2); /* the list of URLs, the token */
}

int main(void)
{
#define SECRET_TEST(name)                                                                          \
	cmocka_unit_test_setup_teardown(name, make_secret_file, remove_secret_file)
	const struct CMUnitTest tests[] = {
		SECRET_TEST(a_secret_comes_from_a_file_without_its_line_end),
		SECRET_TEST(a_secret_file_with_something_else_in_it_is_refused_unshown),
		cmocka_unit_test(a_secret_file_that_cannot_be_read_is_named_with_the_reason),
		cmocka_unit_test(a_secret_and_its_file_at_once_are_an_error),
		cmocka_unit_test(a_bad_secret_is_refused_unshown),
		cmocka_unit_test(a_jwt_secret_has_32_bytes_at_least),
		SECRET_TEST(a_jwt_secret_comes_from_a_file_too),
		cmocka_unit_test(the_jwks_file_is_a_name_of_its_own),
		SECRET_TEST(the_config_shows_origins_and_hides_secrets),
		SECRET_TEST(a_refused_allocation_is_told_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
