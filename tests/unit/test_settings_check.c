#include "app/settings_check.h"

#include "base/compiler.h"
#include "support/telling.h"

#include <string.h>

/* --- what settings must be to each other --- */

static void heartbeats_lie_within_their_bounds(void **state)
{
	struct settings s;

	(void)state;
	REFUSE("presenced: PRESENCED_HEARTBEAT=10s (default): expected no more than "
	       "PRESENCED_HEARTBEAT_MAX=5s\n",
		"PRESENCED_HEARTBEAT_MAX=5s");
	REFUSE("presenced: PRESENCED_HEARTBEAT=500ms: expected no less than "
	       "PRESENCED_HEARTBEAT_MIN=1s (default)\n",
		"PRESENCED_HEARTBEAT=500ms");
	REFUSE("presenced: PRESENCED_HEARTBEAT_MIN=20s: expected no more than "
	       "PRESENCED_HEARTBEAT_MAX=15s\n"
	       "presenced: PRESENCED_HEARTBEAT=10s (default): expected no less than "
	       "PRESENCED_HEARTBEAT_MIN=20s\n",
		"PRESENCED_HEARTBEAT_MIN=20s", "PRESENCED_HEARTBEAT_MAX=15s");
	/* The check that needs a setting with an error of its own is left out. */
	REFUSE("presenced: PRESENCED_HEARTBEAT_MIN=49ms: expected a duration from 50ms to 24h, "
	       "such as 500ms, 30s or 5m\n",
		"PRESENCED_HEARTBEAT_MIN=49ms", "PRESENCED_HEARTBEAT=50ms");
	LOAD(&s, "PRESENCED_HEARTBEAT_MIN=3s", "PRESENCED_HEARTBEAT_MAX=3s",
		"PRESENCED_HEARTBEAT=3s");
	settings_free(&s);
}

static void the_longest_timeout_fits_a_stamp(void **state)
{
	struct settings s;

	(void)state;
	REFUSE("presenced: PRESENCED_HEARTBEAT_MAX=24h: expected a timeout of less than 298h "
	       "(2^30 ms) together with PRESENCED_MISSED_BEATS=13\n",
		"PRESENCED_HEARTBEAT_MAX=24h", "PRESENCED_MISSED_BEATS=13");
	LOAD(&s, "PRESENCED_HEARTBEAT_MAX=24h", "PRESENCED_MISSED_BEATS=12");
	settings_free(&s);
}

static void off_loopback_plaintext_and_anonymity_must_be_allowed(void **state)
{
	struct settings s;

	(void)state;
	REFUSE("presenced: PRESENCED_LISTEN=tcp://*:7400: neither loopback nor encrypted: expected "
	       "PRESENCED_ALLOW_PLAINTEXT=true with it\n"
	       "presenced: PRESENCED_LISTEN=tcp://*:7400: not loopback, and no tokens are asked for: "
	       "expected PRESENCED_ALLOW_ANONYMOUS=true with it\n",
		"PRESENCED_LISTEN=tcp://127.0.0.1:7400,tcp://*:7400");
	REFUSE("presenced: PRESENCED_LISTEN=tcp://192.0.2.1:1: not loopback, and no tokens are asked "
	       "for: expected PRESENCED_ALLOW_ANONYMOUS=true with it\n",
		"PRESENCED_LISTEN=tcp://192.0.2.1:1", "PRESENCED_ALLOW_PLAINTEXT=true");
	REFUSE("presenced: PRESENCED_LISTEN=tcp://192.0.2.1:1: neither loopback nor encrypted: "
	       "expected PRESENCED_ALLOW_PLAINTEXT=true with it\n",
		"PRESENCED_LISTEN=tcp://192.0.2.1:1", "PRESENCED_ALLOW_ANONYMOUS=true");
	LOAD(&s, "PRESENCED_LISTEN=tcp://*:7400", "PRESENCED_ALLOW_PLAINTEXT=true",
		"PRESENCED_ALLOW_ANONYMOUS=true");
	settings_free(&s);
	LOAD(&s, "PRESENCED_LISTEN=tcp://127.9.9.9:1,tcp://[::1]:1,tcp://localhost:1,unix:///s");
	settings_free(&s);
}

static void a_transport_that_is_not_served_is_named(void **state)
{
	static const char *const transports[] = {"tls", "ws", "wss"};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(transports); i++) {
		char variable[80], line[160];

		snprintf(variable, sizeof(variable), "PRESENCED_LISTEN=%s://127.0.0.1:1",
			transports[i]);
		snprintf(line, sizeof(line),
			"presenced: %s: this build does not serve %s: expected tcp:// or unix://\n",
			variable, transports[i]);
		REFUSE(line, variable);
	}
}

static void urls_are_refused_with_what_was_expected_of_them(void **state)
{
	struct settings s;

	(void)state;
	assert_int_equal(
		load_settings(ENVIRONMENT("PRESENCED_LISTEN=tcp://127.0.0.1:7400,http://x"), &s),
		-EINVAL);
	assert_int_equal(count_lines(told), 1);
	assert_non_null(strstr(told, "=tcp://127.0.0.1:7400,http://x: expected a URL"));
	REFUSE("presenced: PRESENCED_LISTEN= : expected 1 to 16 URLs with commas between\n",
		"PRESENCED_LISTEN= ");
	assert_int_equal(load_settings(ENVIRONMENT("PRESENCED_ADMIN_LISTEN=7402"), &s), -EINVAL);
	assert_int_equal(count_lines(told), 1);
	assert_non_null(strstr(told, "PRESENCED_ADMIN_LISTEN=7402: expected a port"));
}

static void an_address_stands_once(void **state)
{
	struct settings s;

	(void)state;
	REFUSE("presenced: PRESENCED_LISTEN=tcp://127.0.0.1:1: expected each address once\n",
		"PRESENCED_LISTEN=tcp://127.0.0.1:1,unix:///s,tcp://localhost:1");
	REFUSE("presenced: PRESENCED_LISTEN=unix:///s: expected each address once\n",
		"PRESENCED_LISTEN=unix:///s,unix:///s");
	REFUSE("presenced: PRESENCED_ADMIN_LISTEN=127.0.0.1:1: expected another address than those "
	       "of PRESENCED_LISTEN\n",
		"PRESENCED_LISTEN=tcp://127.0.0.1:1", "PRESENCED_ADMIN_LISTEN=127.0.0.1:1");
	LOAD(&s, "PRESENCED_LISTEN=tcp://127.0.0.1:0,tcp://127.0.0.1:0",
		"PRESENCED_ADMIN_LISTEN=127.0.0.1:0");
	settings_free(&s);
}

static void an_admin_address_off_loopback_needs_a_token(void **state)
{
	struct settings s;

	(void)state;
	REFUSE("presenced: PRESENCED_ADMIN_LISTEN=192.0.2.1:7402: not loopback: expected "
	       "PRESENCED_ADMIN_TOKEN or PRESENCED_ADMIN_TOKEN_FILE with it\n",
		"PRESENCED_ADMIN_LISTEN=192.0.2.1:7402");
	LOAD(&s, "PRESENCED_ADMIN_LISTEN=192.0.2.1:7402", "PRESENCED_ADMIN_TOKEN=t");
	settings_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heartbeats_lie_within_their_bounds),
		cmocka_unit_test(the_longest_timeout_fits_a_stamp),
		cmocka_unit_test(off_loopback_plaintext_and_anonymity_must_be_allowed),
		cmocka_unit_test(a_transport_that_is_not_served_is_named),
		cmocka_unit_test(urls_are_refused_with_what_was_expected_of_them),
		cmocka_unit_test(an_address_stands_once),
		cmocka_unit_test(an_admin_address_off_loopback_needs_a_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
