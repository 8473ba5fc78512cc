#include "app/settings.h"

#include "base/compiler.h"
#include "base/log.h"
#include "support/telling.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- the whole --- */

static void an_empty_environment_gives_the_defaults(void **state)
{
	struct settings s;

	(void)state;
	LOAD(&s, "HOME=/", "PRESENCE=1");
	assert_int_equal(s.listen.n, 1);
	assert_int_equal(s.listen.items[0].transport, TRANSPORT_TCP);
	assert_int_equal(address_port(&s.listen.items[0].address), 7400);
	assert_int_equal(address_port(&s.admin_listen), 7402);
	assert_in_range(s.workers, 1, 64);
	assert_int_equal(s.heartbeat_ms, 10000);
	assert_int_equal(s.heartbeat_min_ms, 1000);
	assert_int_equal(s.heartbeat_max_ms, 300000);
	assert_int_equal(s.missed_beats, 3);
	assert_int_equal(s.scan_interval_ms, 100);
	assert_int_equal(s.hello_timeout_ms, 5000);
	assert_int_equal(s.slow_timeout_ms, 30000);
	assert_int_equal(s.drain_delay_ms, 0);
	assert_int_equal(s.drain_timeout_ms, 20000);
	assert_int_equal(s.remember, 100000);
	assert_int_equal(s.log_level, LOG_LEVEL_INFO);
	assert_int_equal(s.log_format, LOG_FORMAT_LOGFMT);
	assert_false(s.allow_plaintext || s.allow_anonymous);
	assert_int_equal(s.max_connections, 0);
	assert_int_equal(s.max_sessions_per_user, 16);
	assert_int_equal(s.max_watches, 10000);
	assert_int_equal(s.max_watches_total, 20000000);
	assert_int_equal(s.max_message_bytes, 65536);
	assert_null(s.admin_token);
	assert_true(!s.tls_cert && !s.tls_key);
	assert_true(!s.jwt_secret && !s.jwt_jwks_file && !s.jwt_issuer && !s.jwt_audience);
	assert_int_equal(s.jwt_algorithms.n, 0);
	assert_int_equal(s.jwt_leeway_ms, 30000);
	assert_false(settings_have_tokens(&s));
	assert_int_equal(s.default_watch, DEFAULT_WATCH_ALL);
	assert_int_equal(s.allowed_origins.n, 0);
	assert_int_equal(s.proxy_trusted.n, 0);
	assert_int_equal(s.max_connections_per_address, 0);
	assert_int_equal(s.message_rate, 200);
	assert_int_equal(s.login_rate, 200);
	assert_int_equal(s.n_injected, 0);
	settings_free(&s);
}

static void what_the_environment_says_is_taken(void **state)
{
	struct settings s;

	(void)state;
	LOAD(&s, "PRESENCED_LISTEN=tcp://[::1]:0, unix:///run/p.sock", "PRESENCED_WORKERS=64",
		"PRESENCED_HEARTBEAT=50ms", "PRESENCED_HEARTBEAT_MIN=50ms",
		"PRESENCED_ADMIN_TOKEN=a=b", "PRESENCED_LOG_FORMAT=json");
	assert_int_equal(s.listen.n, 2);
	assert_int_equal(s.listen.items[1].transport, TRANSPORT_UNIX);
	assert_int_equal(s.workers, 64);
	assert_int_equal(s.heartbeat_ms, 50);
	assert_string_equal(s.admin_token, "a=b");
	assert_int_equal(s.log_format, LOG_FORMAT_JSON);
	settings_free(&s);
	assert_null(s.admin_token);
	settings_free(&s);
}

static void every_error_is_told_at_once_with_name_value_and_expectation(void **state)
{
	(void)state;
	REFUSE("presenced: PRESENCED_HARTBEAT: no such setting; the nearest is PRESENCED_HEARTBEAT\n"
	       "presenced: PRESENCED_WORKERS=65: expected a whole number from 1 to 64\n"
	       "presenced: PRESENCED_HEARTBEAT=abc: expected a duration from 50ms to 24h, "
	       "such as 500ms, 30s or 5m\n"
	       "presenced: PRESENCED_LOG_LEVEL=: expected debug, info, warning or error\n"
	       "presenced: PRESENCED_ALLOW_PLAINTEXT=yes\\x0a\\xff: expected true or false\n"
	       "presenced: PRESENCED_MAX_MESSAGE=64KB: expected a size from 1KiB to 16MiB, "
	       "such as 4096, 64KiB or 1MiB\n",
		"PRESENCED_LOG_LEVEL=", "PRESENCED_HEARTBEAT=abc", "PRESENCED_HARTBEAT=5s",
		"PRESENCED_WORKERS=65", "PRESENCED_MAX_MESSAGE=64KB",
		"PRESENCED_ALLOW_PLAINTEXT=yes\n\xff");
}

static void an_empty_value_is_an_error_but_of_a_list_that_may_be_empty(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SETTING_N; i++) {
		const struct setting_spec *spec = &setting_specs[i];
		bool may_be_empty = spec->type == SETTING_TYPE_TEXTS && spec->low == 0;
		char variable[128];
		struct settings s;

		snprintf(variable, sizeof(variable), "%s=", spec->name);
		int err = load_settings(ENVIRONMENT(variable), &s);
		assert_int_equal(err, may_be_empty ? 0 : -EINVAL);
		assert_int_equal(count_lines(told), may_be_empty ? 0 : 1);
		if (may_be_empty)
			settings_free(&s);
		else
			assert_non_null(strstr(told, variable));
	}
}

#define SECRET_32 "0123456789abcdef0123456789abcdef"

static void who_may_be_watched_by_default_hangs_on_tokens(void **state)
{
	static const struct {
		const char *tokens, *said;
		enum default_watch is;
	} cases[] = {
		{"HOME=/", "HOME=/", DEFAULT_WATCH_ALL},
		{"PRESENCED_JWT_SECRET=" SECRET_32, "HOME=/", DEFAULT_WATCH_NONE},
		{"PRESENCED_JWT_JWKS_FILE=/keys", "HOME=/", DEFAULT_WATCH_NONE},
		{"HOME=/", "PRESENCED_DEFAULT_WATCH=none", DEFAULT_WATCH_NONE},
		{"HOME=/", "PRESENCED_DEFAULT_WATCH=all", DEFAULT_WATCH_ALL},
		{"PRESENCED_JWT_JWKS_FILE=/keys", "PRESENCED_DEFAULT_WATCH=all", DEFAULT_WATCH_ALL},
		{"PRESENCED_JWT_SECRET=" SECRET_32, "PRESENCED_DEFAULT_WATCH=none",
			DEFAULT_WATCH_NONE},
	};
	struct settings s;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		LOAD(&s, cases[i].tokens, cases[i].said);
		assert_int_equal(s.default_watch, cases[i].is);
		FILE *f = start_telling();
		settings_print_config(&s, f);
		stop_telling(f);
		assert_non_null(strstr(told, cases[i].is == DEFAULT_WATCH_ALL
						     ? "PRESENCED_DEFAULT_WATCH=all  #"
						     : "PRESENCED_DEFAULT_WATCH=none  #"));
		settings_free(&s);
	}
	REFUSE("presenced: PRESENCED_DEFAULT_WATCH=some: expected all or none\n",
		"PRESENCED_DEFAULT_WATCH=some");
}

static void the_settings_of_the_doors_are_taken(void **state)
{
	struct settings s;

	(void)state;
	LOAD(&s, "PRESENCED_LISTEN=tls://127.0.0.1:1,wss://127.0.0.1:2,ws://127.0.0.1:3",
		"PRESENCED_TLS_CERT=/etc/cert.pem", "PRESENCED_TLS_KEY=/etc/key.pem",
		"PRESENCED_JWT_SECRET=" SECRET_32, "PRESENCED_JWT_ALGORITHMS=HS256, ES256",
		"PRESENCED_JWT_ISSUER=https://issuer.test", "PRESENCED_JWT_AUDIENCE=presence",
		"PRESENCED_JWT_LEEWAY=0", "PRESENCED_ALLOWED_ORIGINS=https://a.test,https://b.test",
		"PRESENCED_PROXY_TRUSTED=10.0.0.0/8", "PRESENCED_MAX_CONNECTIONS_PER_ADDRESS=7",
		"PRESENCED_MESSAGE_RATE=0", "PRESENCED_LOGIN_RATE=1");
	assert_int_equal(s.listen.items[0].transport, TRANSPORT_TLS);
	assert_int_equal(s.listen.items[1].transport, TRANSPORT_WSS);
	assert_int_equal(s.listen.items[2].transport, TRANSPORT_WS);
	assert_string_equal(s.tls_cert, "/etc/cert.pem");
	assert_string_equal(s.tls_key, "/etc/key.pem");
	assert_string_equal(s.jwt_secret, SECRET_32);
	assert_true(settings_have_tokens(&s));
	assert_string_equal(s.jwt_algorithms.items[1], "ES256");
	assert_string_equal(s.jwt_issuer, "https://issuer.test");
	assert_string_equal(s.jwt_audience, "presence");
	assert_int_equal(s.jwt_leeway_ms, 0);
	assert_string_equal(s.allowed_origins.items[1], "https://b.test");
	assert_string_equal(s.proxy_trusted.items[0], "10.0.0.0/8");
	assert_int_equal(s.max_connections_per_address, 7);
	assert_int_equal(s.message_rate, 0);
	assert_int_equal(s.login_rate, 1);
	settings_free(&s);
	assert_null(s.jwt_secret);
	assert_null(s.jwt_issuer);
	assert_null(s.allowed_origins.items);
}

/* Bounds, at what is just beyond them. */
static void the_settings_of_the_doors_have_bounds(void **state)
{
	(void)state;
	REFUSE("presenced: PRESENCED_JWT_LEEWAY=2h: expected a duration from 0s to 1h, such as 500ms, "
	       "30s or 5m\n",
		"PRESENCED_JWT_LEEWAY=2h");
	REFUSE("presenced: PRESENCED_MESSAGE_RATE=1000001: expected a whole number from 0 to "
	       "1000000\n",
		"PRESENCED_MESSAGE_RATE=1000001");
	REFUSE("presenced: PRESENCED_LOGIN_RATE=1000001: expected a whole number from 0 to 1000000\n",
		"PRESENCED_LOGIN_RATE=1000001");
	REFUSE("presenced: PRESENCED_MAX_CONNECTIONS_PER_ADDRESS=10000001: expected a whole number "
	       "from 0 to 10000000\n",
		"PRESENCED_MAX_CONNECTIONS_PER_ADDRESS=10000001");
	REFUSE("presenced: PRESENCED_JWT_ISSUER=: expected 1 to 1024 bytes\n"
	       "presenced: PRESENCED_JWT_AUDIENCE=: expected 1 to 1024 bytes\n",
		"PRESENCED_JWT_SECRET=" SECRET_32,
		"PRESENCED_JWT_ISSUER=", "PRESENCED_JWT_AUDIENCE=");
	REFUSE("presenced: PRESENCED_JWT_ALGORITHMS=: expected 1 to 16 items with commas between\n",
		"PRESENCED_JWT_SECRET=" SECRET_32, "PRESENCED_JWT_ALGORITHMS=");
}

static void each_default_is_what_is_printed_of_it(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SETTING_N; i++) {
		const struct setting_spec *spec = &setting_specs[i];
		char variable[128], line[160];
		struct settings s;

		if (!spec->fallback)
			continue;
		snprintf(variable, sizeof(variable), "%s=%s", spec->name, spec->fallback);
		LOAD(&s, variable);
		FILE *f = start_telling();
		settings_print_config(&s, f);
		stop_telling(f);
		snprintf(line, sizeof(line), "%s  # environment\n", variable);
		if (!strstr(told, line))
			fail_msg("no line %s", line);
		settings_free(&s);
	}
}

static void unknown_names_get_the_nearest_one_named(void **state)
{
	static const struct {
		const char *variable, *nearest;
	} cases[] = {
		{"PRESENCED_LISTENS=x", "PRESENCED_LISTEN"},
		{"PRESENCED_=x", "PRESENCED_GRACE"},
		{"PRESENCED_WORKER=x", "PRESENCED_WORKERS"},
		{"PRESENCED_MAX_WATCHES_TOTALS=x", "PRESENCED_MAX_WATCHES_TOTAL"},
		{"PRESENCED_LOGLEVEL=x", "PRESENCED_LOG_LEVEL"},
		{"PRESENCED_DRAIN_TIME=x", "PRESENCED_DRAIN_TIMEOUT"},
		{"PRESENCED_ADMIN_TOKEN_FILES=x", "PRESENCED_ADMIN_TOKEN"},
		{"PRESENCED_HEARTBEAT_FILE=x", "PRESENCED_HEARTBEAT"},
		{"PRESENCED_listen=x", "PRESENCED_LISTEN"},
		{"PRESENCED_TLS_KEY_FILE=/k", "PRESENCED_TLS_KEY"},
		{"PRESENCED_TLS_CERT_FILE=/c", "PRESENCED_TLS_CERT"},
		{"PRESENCED_JWT_SECRETS=x", "PRESENCED_JWT_SECRET"},
		{"PRESENCED_JWT_JWKS=/keys", "PRESENCED_JWT_JWKS_FILE"},
		{"PRESENCED_JWT_JWKS_FILE_FILE=/keys", "PRESENCED_JWT_JWKS_FILE"},
		{"PRESENCED_PROXIES_TRUSTED=x", "PRESENCED_PROXY_TRUSTED"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char end[80];
		struct settings s;

		assert_int_equal(load_settings(ENVIRONMENT(cases[i].variable), &s), -EINVAL);
		assert_int_equal(count_lines(told), 1);
		snprintf(end, sizeof(end), "the nearest is %s\n", cases[i].nearest);
		if (!strstr(told, end))
			fail_msg("%s: %s", cases[i].variable, told);
	}
}

static void an_endless_unknown_name_is_cut(void **state)
{
	static char variable[5000] = "PRESENCED_";
	struct settings s;

	(void)state;
	memset(variable + 10, 'X', sizeof(variable) - 13);
	variable[sizeof(variable) - 3] = '=';
	assert_int_equal(load_settings(ENVIRONMENT(variable), &s), -EINVAL);
	assert_int_equal(count_lines(told), 1);
	assert_true(strlen(told) < 400);
}

static void a_name_that_stands_twice_is_an_error(void **state)
{
	(void)state;
	REFUSE("presenced: PRESENCED_WORKERS: expected once in the environment\n",
		"PRESENCED_WORKERS=1", "PRESENCED_WORKERS=2");
}

/* --- Kubernetes --- */

static void injected_names_are_ignored_and_counted(void **state)
{
	struct settings s;

	(void)state;
	LOAD(&s, "PRESENCED_SERVICE_HOST=10.0.0.1", "PRESENCED_SERVICE_PORT=7400",
		"PRESENCED_SERVICE_PORT_CLIENTS=7400", "PRESENCED_PORT=tcp://10.0.0.1:7400",
		"PRESENCED_PORT_7400_TCP=tcp://10.0.0.1:7400", "PRESENCED_PORT_7400_TCP_PROTO=tcp",
		"PRESENCED_PORT_7400_TCP_PORT=7400", "PRESENCED_PORT_7400_TCP_ADDR=10.0.0.1",
		"PRESENCED_PORT_7400_UDP=x", "PRESENCED_PORT_7400_SCTP_ADDR=x",
		"PRESENCED_ADMIN_SERVICE_HOST=10.0.0.2", "PRESENCED_ADMIN_PORT_7402_TCP=x",
		"PRESENCED_A_B_SERVICE_PORT_HTTP=1", "PRESENCED_PORT_PORT=1");
	assert_int_equal(s.n_injected, 14);
	settings_free(&s);
}

static void names_that_only_look_injected_are_errors(void **state)
{
	static const char *const variables[] = {
		"PRESENCED_SERVICE=x",
		"PRESENCED_SERVICE_HOSTS=x",
		"PRESENCED_SERVICE_PORT_=x",
		"PRESENCED_SERVICE_PORTS=x",
		"PRESENCED_MYPORT=x",
		"PRESENCED_PORTS=x",
		"PRESENCED_PORT_=x",
		"PRESENCED_PORT_7400=x",
		"PRESENCED_PORT_X_TCP=x",
		"PRESENCED_PORT__TCP=x",
		"PRESENCED_PORT_7400_ICMP=x",
		"PRESENCED_PORT_7400_TCP_=x",
		"PRESENCED_PORT_7400_TCP_HOST=x",
		"PRESENCED_PORT_7400_TCPX=x",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(variables); i++) {
		struct settings s;

		if (load_settings(ENVIRONMENT(variables[i]), &s) != -EINVAL)
			fail_msg("%s was ignored", variables[i]);
	}
}

static void none_of_our_names_looks_injected(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SETTING_N; i++) {
		const char *name = setting_specs[i].name;
		size_t len = strlen(name);

		assert_null(strstr(name, "SERVICE_HOST"));
		assert_null(strstr(name, "SERVICE_PORT"));
		assert_null(strstr(name, "_PORT_"));
		assert_string_not_equal(name + len - 5, "_PORT");
	}
}

static void what_was_ignored_is_logged_in_one_line(void **state)
{
	struct settings s;
	int fd = memfd_create("log", MFD_CLOEXEC);
	FILE *f = fdopen(fd, "r+");

	(void)state;
	log_redirect(fd);
	LOAD(&s, "PRESENCED_PORT=x", "PRESENCED_SERVICE_HOST=x", "PRESENCED_LOG_FORMAT=json");
	settings_apply_log(&s);
	settings_free(&s);
	stop_telling(f);
	assert_int_equal(count_lines(told), 1);
	assert_int_equal(told[0], '{'); /* in the format that was set */
	assert_non_null(strstr(told, "\"variables\":2"));

	fd = memfd_create("log", MFD_CLOEXEC);
	f = fdopen(fd, "r+");
	log_redirect(fd);
	LOAD(&s);
	settings_apply_log(&s);
	settings_free(&s);
	stop_telling(f);
	assert_string_equal(told, "");
	log_redirect(2);
}

/* --- printing --- */

/* Each has every name once, with a default that has one beside it, and lines that fit a
 * terminal. */
static void help_and_documents_have_every_setting(void **state)
{
	(void)state;
	for (unsigned document = 0; document <= SETTINGS_DOCUMENT_N; document++) {
		FILE *f = start_telling();

		if (document == SETTINGS_DOCUMENT_N)
			settings_print_help(f);
		else
			settings_print_document(document, f);
		stop_telling(f);
		for (unsigned i = 0; i < SETTING_N; i++) {
			const struct setting_spec *spec = &setting_specs[i];

			assert_non_null(strstr(told, spec->name));
			if (spec->fallback)
				assert_non_null(strstr(strstr(told, spec->name), spec->fallback));
		}
		if (document != SETTINGS_DOCUMENT_MARKDOWN) {
			for (const char *line = told; *line; line += strcspn(line, "\n") + 1)
				assert_true(strcspn(line, "\n") <= 100);
		}
	}
}

static void documents_are_known_by_their_words(void **state)
{
	enum settings_document document = SETTINGS_DOCUMENT_N;

	(void)state;
	assert_false(settings_document_parse("", &document));
	assert_false(settings_document_parse("envs", &document));
	assert_int_equal(document, SETTINGS_DOCUMENT_N);
	assert_true(settings_document_parse("env", &document));
	assert_int_equal(document, SETTINGS_DOCUMENT_ENV);
	assert_true(settings_document_parse("markdown", &document));
	assert_int_equal(document, SETTINGS_DOCUMENT_MARKDOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_environment_gives_the_defaults),
		cmocka_unit_test(what_the_environment_says_is_taken),
		cmocka_unit_test(every_error_is_told_at_once_with_name_value_and_expectation),
		cmocka_unit_test(an_empty_value_is_an_error_but_of_a_list_that_may_be_empty),
		cmocka_unit_test(who_may_be_watched_by_default_hangs_on_tokens),
		cmocka_unit_test(the_settings_of_the_doors_are_taken),
		cmocka_unit_test(the_settings_of_the_doors_have_bounds),
		cmocka_unit_test(each_default_is_what_is_printed_of_it),
		cmocka_unit_test(unknown_names_get_the_nearest_one_named),
		cmocka_unit_test(an_endless_unknown_name_is_cut),
		cmocka_unit_test(a_name_that_stands_twice_is_an_error),
		cmocka_unit_test(injected_names_are_ignored_and_counted),
		cmocka_unit_test(names_that_only_look_injected_are_errors),
		cmocka_unit_test(none_of_our_names_looks_injected),
		cmocka_unit_test(what_was_ignored_is_logged_in_one_line),
		cmocka_unit_test(help_and_documents_have_every_setting),
		cmocka_unit_test(documents_are_known_by_their_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
