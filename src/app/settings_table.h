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
		"where clients connect, with commas: tcp, tls, ws, wss://host:port, unix:///path;\n" \
		"hosts are numeric, * is every address, IPv6 stands in [ ]") \
	X(ADDRESS, admin_listen, ADMIN_LISTEN, "127.0.0.1:7402", 0, 0, \
		"host:port of the admin HTTP: API, /metrics, /stats, /healthz, /readyz") \
	X(SECRET, admin_token, ADMIN_TOKEN, NULL, 1, 1024, \
		"bearer token of the admin HTTP, required off loopback; health needs none") \
	X(BOOL, metrics_public, METRICS_PUBLIC, "false", 0, 0, \
		"whether /metrics is for everybody who reaches the admin HTTP, without its token") \
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
		"how often the watchdog looks for the silent; ten times as often in a mass death") \
	X(DURATION, hello_timeout_ms, HELLO_TIMEOUT, "5s", 100, 5 * 60 * 1000, \
		"a connection without a valid hello is closed after this, whatever it sent") \
	X(DURATION, slow_timeout_ms, SLOW_TIMEOUT, "30s", 1000, 3600 * 1000, \
		"a connection that takes none of what is written to it is closed after this") \
	X(DURATION, grace_ms, GRACE, "0s", 0, 24 * 3600 * 1000, \
		"how long a session waits for its device to come back before watchers are told\n" \
		"that its connection was closed, reset or silent; 0 for no waiting") \
	X(DURATION, drain_delay_ms, DRAIN_DELAY, "0s", 0, 3600 * 1000, \
		"at a stop: how long /readyz says 503 while connections are still accepted") \
	X(DURATION, drain_timeout_ms, DRAIN_TIMEOUT, "20s", 100, 3600 * 1000, \
		"at a stop: how long connections have to take their bye") \
	X(COUNT, remember, REMEMBER, "100000", 0, 100 * 1000 * 1000, \
		"offline users nobody watches whose last seen is kept in memory") \
	X(COUNT, event_log, EVENT_LOG, "65536", 0, 16 * 1024 * 1024, \
		"events kept for those who follow /v1/events, some 0.4 KB each; 0 for none,\n" \
		"and then nobody can follow") \
	X(COUNT, history, HISTORY, "16", 0, 1000, \
		"transitions kept of each recently changed user, and 131072 of all; 0 for none") \
	X(PATH, store, STORE, NULL, 1, 4000, \
		"SQLite file of what survives a restart: who is online, and last seen") \
	X(DURATION, restart_grace_ms, RESTART_GRACE, "30s", 0, 3600 * 1000, \
		"how long those who were online at a stop or crash may take to come back before\n" \
		"they are told to be offline; with a store") \
	X(WORD, log_level, LOG_LEVEL, "info", SETTING_WORDS_LOG_LEVEL, 0, \
		"the least level that is logged, on stderr") \
	X(WORD, log_format, LOG_FORMAT, "logfmt", SETTING_WORDS_LOG_FORMAT, 0, \
		"how a line of the log looks") \
	X(BOOL, allow_plaintext, ALLOW_PLAINTEXT, "false", 0, 0, \
		"whether listeners off loopback may do without TLS") \
	X(BOOL, allow_anonymous, ALLOW_ANONYMOUS, "false", 0, 0, \
		"whether listeners off loopback may do without tokens:\n" \
		"anyone who reaches them can log in as anyone") \
	X(PATH, tls_cert, TLS_CERT, NULL, 1, 4095, \
		"PEM file of the certificate and its chain, read again on SIGHUP") \
	X(PATH, tls_key, TLS_KEY, NULL, 1, 4095, \
		"PEM file of its key, read again on SIGHUP") \
	X(SECRET, jwt_secret, JWT_SECRET, NULL, 32, 1024, \
		"the key of HS256 tokens, as its bytes are; turns tokens on") \
	X(PATH, jwt_jwks_file, JWT_JWKS_FILE, NULL, 1, 4095, \
		"a JWK set with the keys of tokens, read again on SIGHUP; turns tokens on") \
	X(TEXTS, jwt_algorithms, JWT_ALGORITHMS, NULL, 1, 16, \
		"which algorithms tokens may be signed with; by default what the keys allow") \
	X(TEXT, jwt_issuer, JWT_ISSUER, NULL, 1, 1024, \
		"what the iss of a token must be") \
	X(TEXT, jwt_audience, JWT_AUDIENCE, NULL, 1, 1024, \
		"what the aud of a token must be, or hold") \
	X(DURATION, jwt_leeway_ms, JWT_LEEWAY, "30s", 0, 3600 * 1000, \
		"how far clocks may differ in judging a token's times") \
	X(WORD, default_watch, DEFAULT_WATCH, NULL, SETTING_WORDS_WATCH, 0, \
		"who may be watched by a session without a watch claim, all or none;\n" \
		"by default all without tokens, none with them") \
	X(TEXTS, allowed_origins, ALLOWED_ORIGINS, NULL, 0, 64, \
		"origins of the pages that may open a WebSocket, * for all; clients that send\n" \
		"none are no browsers, and are let in") \
	X(TEXTS, proxy_trusted, PROXY_TRUSTED, NULL, 0, 64, \
		"networks whose connections begin with a PROXY protocol header, v1 or v2:\n" \
		"address or address/bits") \
	X(COUNT, max_connections, MAX_CONNECTIONS, "0", 0, 100 * 1000 * 1000, \
		"connections in all, 0 for no limit but that of descriptors") \
	X(COUNT, max_connections_per_address, MAX_CONNECTIONS_PER_ADDRESS, "0", 0, 10 * 1000 * 1000, \
		"connections of one address, 0 for no limit") \
	X(COUNT, max_sessions_per_user, MAX_SESSIONS_PER_USER, "16", 1, 1000, \
		"devices of a user at a time; one more replaces the longest silent") \
	X(COUNT, max_watches, MAX_WATCHES, "10000", 1, 10 * 1000 * 1000, \
		"users that a session may watch") \
	X(COUNT, max_watches_total, MAX_WATCHES_TOTAL, "20000000", 1, 1000 * 1000 * 1000, \
		"watches in all") \
	X(SIZE, max_message_bytes, MAX_MESSAGE, "64KiB", 1024, 16 * 1024 * 1024, \
		"the longest message taken from a client after its hello") \
	X(COUNT, message_rate, MESSAGE_RATE, "200", 0, 1000 * 1000, \
		"messages of a session in a second, in bursts of five seconds' worth; 0 for no\n" \
		"limit; an id in a request costs a fiftieth of a message") \
	X(COUNT, login_rate, LOGIN_RATE, "200", 0, 1000 * 1000, \
		"failed logins of an address in a second, 0 for no limit; loopback and Unix\n" \
		"sockets are exempt")
/* clang-format on */

#endif
