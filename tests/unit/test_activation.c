/* Which inherited socket is for which address of the settings. */
#include "app/activation.h"
#include "app/settings.h"

#include "support/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct inherited socket_at(int fd, const char *text)
{
	struct inherited i = {.fd = fd, .name = "a"};
	struct listen_url url;
	const char *why;

	assert_int_equal(listen_url_parse(text, strlen(text), &url, &why), 0);
	i.bound = url.address;
	return i;
}

static void load(const char *listen, struct settings *ret)
{
	char variable[512];
	char *environment[] = {variable, (char[]){"PRESENCED_ALLOW_PLAINTEXT=true"},
		(char[]){"PRESENCED_ALLOW_ANONYMOUS=true"}, NULL};

	snprintf(variable, sizeof(variable), "PRESENCED_LISTEN=%s", listen);
	assert_int_equal(settings_load(environment, stderr, ret), 0);
}

static void each_goes_to_the_url_of_its_address(void **state)
{
	const struct inherited all[] = {
		socket_at(3, "tcp://127.0.0.1:7402"),
		socket_at(4, "unix:///run/x/s"),
		socket_at(5, "tcp://*:7403"),
		socket_at(6, "tcp://[::1]:7400"),
	};
	struct activation a;
	struct settings s;

	(void)state;
	load("tcp://127.0.0.1:7400,ws://[::1]:7400,unix:///run/x/s,tcp://*:7403,tcp://127.0.0.1:0",
		&s);
	assert_int_equal(activation_match(&s, all, 4, &a), 0);
	assert_int_equal(a.admin, 3);
	assert_int_equal(a.listen[0], -1);
	assert_int_equal(a.listen[1], 6);
	assert_int_equal(a.listen[2], 4);
	assert_int_equal(a.listen[3], 5);
	assert_int_equal(a.listen[4], -1);
	assert_int_equal(a.n, 4);
	assert_int_equal(activation_match(&s, all, 0, &a), 0);
	assert_int_equal(a.admin, -1);
	settings_free(&s);
}

static void one_that_belongs_nowhere_is_an_error(void **state)
{
	const char *const strangers[] = {
		"tcp://127.0.0.1:7401", "tcp://127.0.0.2:7400", "tcp://*:7400", "unix:///run/x/t"};
	struct activation a = {.n = 99};
	struct settings s;

	(void)state;
	load("tcp://127.0.0.1:7400,unix:///run/x/s", &s);
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		struct inherited stranger = socket_at(3, strangers[i]);
		assert_int_equal(activation_match(&s, &stranger, 1, &a), -EBADMSG);
	}
	const struct inherited twice[] = {
		socket_at(3, "tcp://127.0.0.1:7400"), socket_at(4, "tcp://127.0.0.1:7400")};
	assert_int_equal(activation_match(&s, twice, 2, &a), -EBADMSG);
	assert_int_equal(a.n, 99);
	settings_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_goes_to_the_url_of_its_address),
		cmocka_unit_test(one_that_belongs_nowhere_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
