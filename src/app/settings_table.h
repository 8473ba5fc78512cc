/* The settings: the one table from which come struct settings, the parser, --help, --print-config,
 * the README's section and the example environment file. A new variable is a line here, and a use.
 *
 * X(type, field, NAME, default, low, high, help)
 *
 * type     which enum setting_type (app/settings_value.h) it is, and with it what low and high
 *          bound: milliseconds of a DURATION, bytes of a SIZE, a COUNT, the items of a list, the
 *          length of a text. A low of 0 is what allows the 0 that means none. Of a WORD, low is
 *          which words.
 * field    the member of struct settings; durations end in _ms there, sizes in _bytes.
 * NAME     without the PRESENCED_ before it. Nothing that Kubernetes would inject for a service: no
 *          SERVICE_HOST, SERVICE_PORT or PORT at its end (tests/unit/test_settings.c checks).
 * default  as it would stand in the environment, or NULL for none; WORKERS' is computed.
 * help     one or two lines. */
#ifndef APP_SETTINGS_TABLE_H
#define APP_SETTINGS_TABLE_H

/* clang-format off */
#define SETTINGS(X) \
	X(URLS, listen, LISTEN, "tcp://127.0.0.1:7400", 1, 16, \
		"where clients connect: tcp://host:port and unix:///path, with commas;\n" \
		"hosts are numeric, * is every address, IPv6 stands in [ ]") \
	X(ADDRESS, admin_listen, ADMIN_LISTEN, "127.0.0.1:7402", 0, 0, \
		"host:port of the admin HTTP: /stats, /healthz, /readyz") \
	X(SECRET, admin_token, ADMIN_TOKEN, NULL, 1, 1024, \
		"bearer token of the admin HTTP, required off loopback; health needs none") \
	X(COUNT, workers, WORKERS, NULL, 1, 64, \
		"worker threads; by default as many as it may use CPUs:\n" \
		"the lesser of its affinity and its cgroup's quota, rounded up") \
	X(DURATION, heartbeat_ms, HEARTBEAT, "10s", 50, 24 * 3600 * 1000, \
		"how often a session beats that asks for nothing else") \
	X(DURATION, heartbeat_min_ms, HEARTBEAT_MIN, "1s", 50, 24 * 3600 * 1000, \
		"the shortest heartbeat that a session may ask for") \
	X(DURATION, heartbeat_max_ms, HEARTBEAT_MAX, "5m", 50, 24 * 3600 * 1000, \
		"the longest heartbeat that a session may ask for") \
	X(COUNT, missed_beats, MISSED_BEATS, "3", 2, 1000, \
		"a session ends after a silence of its heartbeat times this") \
	X(DURATION, scan_interval_ms, SCAN_INTERVAL, "100ms", 10, 1000, \
		"how often the watchdog looks for silent sessions") \
	X(DURATION, hello_timeout_ms, HELLO_TIMEOUT, "5s", 100, 5 * 60 * 1000, \
		"a connection without a valid hello is closed after this, whatever it sent") \
	X(DURATION, slow_timeout_ms, SLOW_TIMEOUT, "30s", 1000, 3600 * 1000, \
		"a connection that takes none of what is written to it is closed after this") \
	X(DURATION, drain_delay_ms, DRAIN_DELAY, "0s", 0, 3600 * 1000, \
		"at a stop: how long /readyz says 503 while connections are still accepted") \
	X(DURATION, drain_timeout_ms, DRAIN_TIMEOUT, "20s", 100, 3600 * 1000, \
		"at a stop: how long connections have to take their bye") \
	X(COUNT, remember, REMEMBER, "100000", 0, 100 * 1000 * 1000, \
		"offline users nobody watches whose last seen is kept in memory") \
	X(WORD, log_level, LOG_LEVEL, "info", SETTING_WORDS_LOG_LEVEL, 0, \
		"the least level that is logged, on stderr") \
	X(WORD, log_format, LOG_FORMAT, "logfmt", SETTING_WORDS_LOG_FORMAT, 0, \
		"how a line of the log looks") \
	X(BOOL, allow_plaintext, ALLOW_PLAINTEXT, "false", 0, 0, \
		"whether listeners off loopback may do without TLS") \
	X(BOOL, allow_anonymous, ALLOW_ANONYMOUS, "false", 0, 0, \
		"whether listeners off loopback may do without tokens:\n" \
		"anyone who reaches them can log in as anyone") \
	X(COUNT, max_connections, MAX_CONNECTIONS, "0", 0, 100 * 1000 * 1000, \
		"connections in all, 0 for no limit but that of descriptors") \
	X(COUNT, max_sessions_per_user, MAX_SESSIONS_PER_USER, "16", 1, 1000, \
		"devices of a user at a time; one more replaces the longest silent") \
	X(COUNT, max_watches, MAX_WATCHES, "10000", 1, 10 * 1000 * 1000, \
		"users that a session may watch") \
	X(COUNT, max_watches_total, MAX_WATCHES_TOTAL, "20000000", 1, 1000 * 1000 * 1000, \
		"watches in all") \
	X(SIZE, max_message_bytes, MAX_MESSAGE, "64KiB", 1024, 16 * 1024 * 1024, \
		"the longest message taken from a client after its hello")
/* clang-format on */

#endif
