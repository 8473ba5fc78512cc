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
	       "PRESENCED_ALLOW_PLAINTEXT=true or PRESENCED_PROXY_TRUSTED with it\n"
	       "presenced: PRESENCED_LISTEN=tcp://*:7400: not loopback, and no tokens are asked for: "
	       "expected PRESENCED_ALLOW_ANONYMOUS=true with it\n",
		"PRESENCED_LISTEN=tcp://127.0.0.1:7400,tcp://*:7400");
	REFUSE("presenced: PRESENCED_LISTEN=ws://192.0.2.1:1: not loopback, and no tokens are asked "
	       "for: expected PRESENCED_ALLOW_ANONYMOUS=true with it\n",
		"PRESENCED_LISTEN=ws://192.0.2.1:1", "PRESENCED_ALLOW_PLAINTEXT=true");
	REFUSE("presenced: PRESENCED_LISTEN=ws://192.0.2.1:1: neither loopback nor encrypted: "
	       "expected PRESENCED_ALLOW_PLAINTEXT=true or PRESENCED_PROXY_TRUSTED with it\n",
		"PRESENCED_LISTEN=ws://192.0.2.1:1", "PRESENCED_ALLOW_ANONYMOUS=true");
	LOAD(&s, "PRESENCED_LISTEN=tcp://*:7400", "PRESENCED_ALLOW_PLAINTEXT=true",
		"PRESENCED_ALLOW_ANONYMOUS=true");
	settings_free(&s);
	LOAD(&s, "PRESENCED_LISTEN=tcp://127.9.9.9:1,ws://[::1]:1,tcp://localhost:1,unix:///s");
	settings_free(&s);
}

#define SECRET_32 "0123456789abcdef0123456789abcdef"

static void off_loopback_tls_and_tokens_need_no_leave(void **state)
{
	struct settings s;

	(void)state;
	LOAD(&s, "PRESENCED_LISTEN=tls://*:1,wss://192.0.2.1:1", "PRESENCED_TLS_CERT=/c",
		"PRESENCED_TLS_KEY=/k", "PRESENCED_JWT_SECRET=" SECRET_32);
	settings_free(&s);
	LOAD(&s, "PRESENCED_LISTEN=tls://*:1", "PRESENCED_TLS_CERT=/c", "PRESENCED_TLS_KEY=/k",
		"PRESENCED_JWT_JWKS_FILE=/keys");
	settings_free(&s);
	/* Each is for one of the two: TLS says nothing of who it is, tokens encrypt nothing. */
	REFUSE("presenced: PRESENCED_LISTEN=tls://*:1: not loopback, and no tokens are asked for: "
	       "expected PRESENCED_ALLOW_ANONYMOUS=true with it\n",
		"PRESENCED_LISTEN=tls://*:1", "PRESENCED_TLS_CERT=/c", "PRESENCED_TLS_KEY=/k");
	REFUSE("presenced: PRESENCED_LISTEN=tcp://*:1: neither loopback nor encrypted: expected "
	       "PRESENCED_ALLOW_PLAINTEXT=true or PRESENCED_PROXY_TRUSTED with it\n",
		"PRESENCED_LISTEN=tcp://*:1", "PRESENCED_JWT_SECRET=" SECRET_32);
	LOAD(&s, "PRESENCED_LISTEN=ws://*:1", "PRESENCED_JWT_SECRET=" SECRET_32,
		"PRESENCED_PROXY_TRUSTED=10.0.0.0/8");
	settings_free(&s);
	REFUSE("presenced: PRESENCED_LISTEN=ws://*:1: not loopback, and no tokens are asked for: "
	       "expected PRESENCED_ALLOW_ANONYMOUS=true with it\n",
		"PRESENCED_LISTEN=ws://*:1", "PRESENCED_PROXY_TRUSTED=10.0.0.1");
}

/* What was wrong in a setting is told of it alone, and not as if it had not been there. */
static void a_setting_with_an_error_makes_no_other_error(void **state)
{
	(void)state;
	REFUSE("presenced: PRESENCED_JWT_SECRET=***: expected 32 to 1024 bytes without control "
	       "characters\n",
		"PRESENCED_LISTEN=tls://*:1", "PRESENCED_TLS_CERT=/c", "PRESENCED_TLS_KEY=/k",
		"PRESENCED_JWT_SECRET=short", "PRESENCED_JWT_ISSUER=i");
	REFUSE("presenced: PRESENCED_PROXY_TRUSTED=10.0.0.1,: expected 0 to 64 items with commas "
	       "between\n",
		"PRESENCED_LISTEN=tcp://*:1", "PRESENCED_JWT_JWKS_FILE=/keys",
		"PRESENCED_PROXY_TRUSTED=10.0.0.1,");
	REFUSE("presenced: PRESENCED_TLS_KEY=: expected the path of a file\n",
		"PRESENCED_LISTEN=tls://127.0.0.1:1", "PRESENCED_TLS_CERT=/c",
		"PRESENCED_TLS_KEY=");
}

static void encrypted_transports_need_a_certificate_and_its_key(void **state)
{
	static const char *const transports[] = {"tls", "wss"};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(transports); i++) {
		char variable[80], line[160];

		snprintf(variable, sizeof(variable), "PRESENCED_LISTEN=%s://127.0.0.1:1",
			transports[i]);
		snprintf(line, sizeof(line),
			"presenced: %s: expected PRESENCED_TLS_CERT and PRESENCED_TLS_KEY with "
			"it\n",
			variable);
		REFUSE(line, variable);
		REFUSE("presenced: PRESENCED_TLS_CERT=/c: expected PRESENCED_TLS_KEY with it\n",
			variable, "PRESENCED_TLS_CERT=/c");
		LOAD(&s, variable, "PRESENCED_TLS_CERT=/c", "PRESENCED_TLS_KEY=/k");
		settings_free(&s);
	}
	LOAD(&s, "PRESENCED_LISTEN=ws://127.0.0.1:1");
	settings_free(&s);
}

static void a_certificate_without_its_key_is_an_error_whatever_listens(void **state)
{
	struct settings s;

	(void)state;
	REFUSE("presenced: PRESENCED_TLS_CERT=/c: expected PRESENCED_TLS_KEY with it\n",
		"PRESENCED_TLS_CERT=/c");
	REFUSE("presenced: PRESENCED_TLS_KEY=/k: expected PRESENCED_TLS_CERT with it\n",
		"PRESENCED_TLS_KEY=/k");
	LOAD(&s, "PRESENCED_TLS_CERT=/one", "PRESENCED_TLS_KEY=/one"); /* may be the same file */
	settings_free(&s);
}

static void rules_of_tokens_need_keys(void **state)
{
	static const char *const variables[] = {"PRESENCED_JWT_ALGORITHMS=HS256",
		"PRESENCED_JWT_ISSUER=i", "PRESENCED_JWT_AUDIENCE=a"};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		char line[160];
		size_t name_len = strcspn(variables[i], "=");

		snprintf(line, sizeof(line),
			"presenced: %.*s: expected PRESENCED_JWT_SECRET or "
			"PRESENCED_JWT_JWKS_FILE with it\n",
			(int)name_len, variables[i]);
		REFUSE(line, variables[i]);
		LOAD(&s, variables[i], "PRESENCED_JWT_SECRET=" SECRET_32);
		settings_free(&s);
		LOAD(&s, variables[i], "PRESENCED_JWT_JWKS_FILE=/keys");
		settings_free(&s);
	}
	LOAD(&s, "PRESENCED_JWT_LEEWAY=5s"); /* has a default, and does no harm */
	settings_free(&s);
}

static void algorithms_are_those_of_the_rfc(void **state)
{
	static const char *const bad[] = {"none", "hs256", "HS1", "RS256 ES256"};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char variable[80], line[160];

		snprintf(variable, sizeof(variable), "PRESENCED_JWT_ALGORITHMS=HS256, %s", bad[i]);
		snprintf(line, sizeof(line),
			"presenced: PRESENCED_JWT_ALGORITHMS=%s: expected algorithms of RFC 7518, "
			"such as RS256\n",
			bad[i]);
		REFUSE(line, variable, "PRESENCED_JWT_SECRET=" SECRET_32);
	}
	LOAD(&s,
		"PRESENCED_JWT_ALGORITHMS=HS256,HS384,HS512,RS256,RS384,RS512,PS256,PS384,PS512,"
		"ES256,ES384,ES512",
		"PRESENCED_JWT_SECRET=" SECRET_32);
	assert_int_equal(s.jwt_algorithms.n, 12);
	settings_free(&s);
}

static void trusted_networks_are_judged_one_by_one(void **state)
{
	static const char *const bad[] = {"10.0.0.1/8", "10.0.0.0/33", "proxy.test", "::/129", "1"};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char variable[80], start[80];
		struct settings refused;

		snprintf(variable, sizeof(variable), "PRESENCED_PROXY_TRUSTED=192.0.2.0/24,%s",
			bad[i]);
		snprintf(start, sizeof(start), "presenced: PRESENCED_PROXY_TRUSTED=%s: expected ",
			bad[i]);
		assert_int_equal(load_settings(ENVIRONMENT(variable), &refused), -EINVAL);
		assert_int_equal(count_lines(told), 1);
		assert_memory_equal(told, start, strlen(start));
	}
	LOAD(&s, "PRESENCED_PROXY_TRUSTED=127.0.0.1, 10.0.0.0/8 ,2001:db8::/32,::1");
	assert_int_equal(s.proxy_trusted.n, 4);
	settings_free(&s);
}

static void origins_are_judged_one_by_one(void **state)
{
	static const char *const bad[] = {"example.com", "https://", "https://example.com/",
		"https://example.com/app", "https://example.com:port", "https://*.example.com"};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		char variable[120], line[200];

		snprintf(variable, sizeof(variable), "PRESENCED_ALLOWED_ORIGINS=null,%s", bad[i]);
		snprintf(line, sizeof(line),
			"presenced: PRESENCED_ALLOWED_ORIGINS=%s: expected scheme://host, "
			"scheme://host:port, null or *\n",
			bad[i]);
		REFUSE(line, variable);
	}
	LOAD(&s, "PRESENCED_ALLOWED_ORIGINS=https://example.com,http://localhost:8080,"
		 "http://[::1]:80,null,*");
	assert_int_equal(s.allowed_origins.n, 5);
	settings_free(&s);
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
		cmocka_unit_test(off_loopback_tls_and_tokens_need_no_leave),
		cmocka_unit_test(a_setting_with_an_error_makes_no_other_error),
		cmocka_unit_test(encrypted_transports_need_a_certificate_and_its_key),
		cmocka_unit_test(a_certificate_without_its_key_is_an_error_whatever_listens),
		cmocka_unit_test(rules_of_tokens_need_keys),
		cmocka_unit_test(algorithms_are_those_of_the_rfc),
		cmocka_unit_test(trusted_networks_are_judged_one_by_one),
		cmocka_unit_test(origins_are_judged_one_by_one),
		cmocka_unit_test(urls_are_refused_with_what_was_expected_of_them),
		cmocka_unit_test(an_address_stands_once),
		cmocka_unit_test(an_admin_address_off_loopback_needs_a_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
