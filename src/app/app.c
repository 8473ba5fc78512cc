#include "app/app.h"

#include "admin/http.h"
#include "app/activation.h"
#include "app/cpus.h"
#include "app/credentials.h"
#include "app/service.h"
#include "app/settings.h"
#include "auth/networks.h"
#include "base/clock.h"
#include "base/ensure.h"
#include "base/log.h"
#include "base/slice.h"
#include "feed/feed.h"
#include "net/descriptors.h"
#include "server/server.h"
#include "store/store.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

enum { MAILBOX_EVENTS = 8192 }; /* a worker's; 128 KB */

struct app {
	const struct settings *settings;
	uint64_t n_descriptors;
	struct service service;
	struct activation activation;
	struct credentials credentials;
	struct networks proxy_trusted;
	struct telemetry *telemetry;
	struct feed *feed; /* NULL: nobody follows all events */
	struct server *server;
	struct store *store;
	struct admin *admin;
};

/* --- signals --- */

static void stop_signals(sigset_t *ret)
{
	sigemptyset(ret);
	sigaddset(ret, SIGTERM);
	sigaddset(ret, SIGINT);
}

/* Those that main waits for. */
static void awaited_signals(sigset_t *ret)
{
	stop_signals(ret);
	sigaddset(ret, SIGHUP);
}

/* Blocked in every thread from here on: main waits for them. A peer that is gone is an error of the write, not a
 * signal. */
static void prepare_signals(void)
{
	sigset_t set;
	awaited_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* From here on a stop signal ends the process at once, as if nobody had ever asked for more. */
static void let_second_signal_kill(void)
{
	sigset_t set;
	stop_signals(&set);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* SIGHUP: files that may have changed are read again; what is broken keeps what there is. */
static void reload(struct app *a)
{
	service_reloading(&a->service, clock_mono_ns());
	if (credentials_reload(a->settings, &a->credentials))
		server_replace_tls(a->server, a->credentials.tls);
	service_reloaded(&a->service);
}

/* The next signal; feeds the service manager's watchdog meanwhile, where there is one. */
static int wait_for_signal(struct app *a, const sigset_t *set)
{
	uint64_t period_ms = service_period_ms(&a->service);
	struct timespec period = {.tv_sec = (time_t)(period_ms / 1000),
		.tv_nsec = (long)(period_ms % 1000) * 1000000};
	int sig;
	while ((sig = sigtimedwait(set, NULL, period_ms > 0 ? &period : NULL)) < 0)
		if (errno == EAGAIN)
			service_pulse(&a->service, clock_mono_ms());
	return sig;
}

static void serve(struct app *a)
{
	sigset_t set;
	int sig;
	awaited_signals(&set);
	while ((sig = wait_for_signal(a, &set)) == SIGHUP)
		reload(a);
	log_info("stopping", LOG_TEXT("signal", sig == SIGTERM ? "SIGTERM" : "SIGINT"));
}

/* --- parts --- */

static int start_telemetry(struct app *a)
{
	a->telemetry = telemetry_new((unsigned)a->settings->workers, clock_mono_ms());
	if (a->telemetry)
		return 0;
	log_error("can't start", LOG_ERRNO(ENOMEM));
	return -ENOMEM;
}

/* A file that is not there, or not what it should be, is a mistake in the settings: -EBADMSG. One that may not be read,
 * and what this machine lacks, are none. */
static int load_credentials(struct app *a)
{
	int err = credentials_load(a->settings, &a->credentials);
	switch (-err) {
	case 0:
	case EACCES:
	case EPERM:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return err;
	default:
		return -EBADMSG;
	}
}

/* They were parsed once when the settings were checked, and are no more than those the table allows. */
static void parse_networks(struct app *a)
{
	const struct text_list *list = &a->settings->proxy_trusted;
	const char *why;
	ensure(list->n <= NETWORKS_MAX);
	for (size_t i = 0; i < list->n; i++) {
		struct network *next = &a->proxy_trusted.all[a->proxy_trusted.n];
		if (network_parse(list->items[i], strlen(list->items[i]), next, &why) == 0)
			a->proxy_trusted.n++;
	}
}

/* Before the server, whose threads post to it: it is there, and its wake-up has a low number, in each of them. */
static int make_feed(struct app *a)
{
	struct feed_params params = {
		.n_events = a->settings->event_log,
		.n_history = (uint32_t)a->settings->history,
		.counters = &a->telemetry->feed,
	};
	if (params.n_events == 0 && params.n_history == 0)
		return 0;
	int err = feed_new(&params, &a->feed);
	if (!err)
		err = feed_start(a->feed);
	if (err)
		log_error("can't start", LOG_ERRNO(-err));
	return err;
}

/* Who comes back after a restart must do so within its grace: the restart itself may take a third of that. */
static uint32_t drain_spread_ms(const struct settings *s)
{
	return s->store && s->restart_grace_ms > 0 ? (uint32_t)(s->restart_grace_ms / 3 * 2) : 0;
}

static int make_server(struct app *a)
{
	parse_networks(a);
	const struct settings *s = a->settings;
	struct server_params params = {
		.listen = s->listen.items,
		.n_listen = s->listen.n,
		.inherited = a->activation.listen,
		.n_workers = (unsigned)s->workers,
		.n_processors = cpus_usable(&cpus_system_paths),
		.heartbeat_ms = (uint32_t)s->heartbeat_ms,
		.heartbeat_min_ms = (uint32_t)s->heartbeat_min_ms,
		.heartbeat_max_ms = (uint32_t)s->heartbeat_max_ms,
		.missed_beats = (uint32_t)s->missed_beats,
		.scan_interval_ms = (uint32_t)s->scan_interval_ms,
		.hello_timeout_ms = (uint32_t)s->hello_timeout_ms,
		.slow_timeout_ms = (uint32_t)s->slow_timeout_ms,
		.drain_timeout_ms = (uint32_t)s->drain_timeout_ms,
		.grace_ms = (uint32_t)s->grace_ms,
		.max_sessions_per_user = (uint32_t)s->max_sessions_per_user,
		.max_watches = (uint32_t)s->max_watches,
		.max_message = (uint32_t)s->max_message_bytes,
		.max_watches_total = s->max_watches_total,
		.max_connections = s->max_connections,
		.n_remembered = s->remember,
		.max_connections_per_address = s->max_connections_per_address,
		.message_rate = (uint32_t)s->message_rate,
		.login_rate = (uint32_t)s->login_rate,
		.allowed_origins = s->allowed_origins.items,
		.n_allowed_origins = s->allowed_origins.n,
		.proxy_trusted = a->proxy_trusted.n > 0 ? &a->proxy_trusted : NULL,
		.allow_plaintext = s->allow_plaintext,
		.tls = a->credentials.tls,
		.tokens = a->credentials.keyring ? &a->credentials.rules : NULL,
		.keyring = a->credentials.keyring,
		.watch_all = s->default_watch == DEFAULT_WATCH_ALL,
		.drain_spread_ms = drain_spread_ms(s),
		.n_descriptors = a->n_descriptors,
		.mailbox_capacity = MAILBOX_EVENTS,
		.telemetry = a->telemetry,
		.feed = a->feed ? feed_mailbox(a->feed) : NULL,
		.feed_wakeup = a->feed ? feed_wakeup(a->feed) : -1,
	};
	return server_new(&params, &a->server);
}

/* What an earlier start left is in the table before anybody can ask for it. */
static int read_store(struct app *a)
{
	const struct settings *s = a->settings;
	if (!s->store)
		return 0;
	struct store_params params = {
		.path = s->store,
		.table = server_table(a->server),
		.feed = s->event_log > 0 ? a->feed : NULL,
		.telemetry = a->telemetry,
		.n_remembered = s->remember,
		.max_sessions_per_user = (uint32_t)s->max_sessions_per_user,
		.restart_grace_ms = (uint32_t)s->restart_grace_ms,
	};
	int err = store_new(&params, clock_instant(), &a->store);
	if (err)
		log_error("can't start", LOG_ERRNO(-err));
	return err;
}

/* Not before all else stands: a file that another server is at work with, whose ports are taken, is left alone. */
static int start_store(struct app *a)
{
	int err = a->store ? store_start(a->store) : 0;
	if (err)
		log_error("can't start", LOG_ERRNO(-err));
	return err;
}

static int start_admin(struct app *a)
{
	const struct settings *s = a->settings;
	struct admin_params params = {
		.listen = s->admin_listen,
		.inherited_fd = a->activation.admin,
		.version = PRESENCED_VERSION,
		.telemetry = a->telemetry,
		.table = server_table(a->server),
		.feed = a->feed,
		.counters = &a->telemetry->admin,
		.wakeups = server_wakeups(a->server),
		.n_wakeups = (unsigned)s->workers,
		.token = s->admin_token,
		.is_metrics_public = s->metrics_public,
		.scan_interval_ms = (uint32_t)s->scan_interval_ms,
		.demo =
			{
				.allowed_origins = s->allowed_origins.items,
				.n_allowed_origins = s->allowed_origins.n,
				.asks_token = a->credentials.keyring != NULL,
			},
		.limits =
			{
				.max_connections = s->max_connections,
				.max_sessions_per_user = s->max_sessions_per_user,
				.max_watches = s->max_watches,
				.max_watches_total = s->max_watches_total,
				.max_message_bytes = s->max_message_bytes,
				.remember = s->remember,
				.descriptors = a->n_descriptors,
				.mailbox_events = MAILBOX_EVENTS,
				.event_log = s->event_log,
				.history = s->history,
			},
	};
	struct address bound;
	char text[ADDRESS_TEXT_MAX];
	int err = admin_start(&params, &a->admin, &bound);
	address_format(err ? &s->admin_listen : &bound, text);
	char url[ADDRESS_TEXT_MAX + 8];
	snprintf(url, sizeof(url), "http://%s", text);
	if (err)
		log_error("can't listen", LOG_TEXT("url", url), LOG_ERRNO(-err));
	else
		log_info("listening", LOG_TEXT("url", url));
	return err;
}

static int start_server(struct app *a)
{
	int err = server_start(a->server);
	for (size_t i = 0; i < a->settings->listen.n && !err; i++) {
		char text[ADDRESS_TEXT_MAX];
		listen_url_format(server_listen_url(a->server, i), text);
		log_info("listening", LOG_TEXT("url", text));
	}
	return err;
}

/* A page without a certificate to trust comes by ws, where there is one. */
static void tell_websocket(struct app *a)
{
	const struct listen_url *found = NULL;
	for (size_t i = 0; i < a->settings->listen.n; i++) {
		const struct listen_url *url = server_listen_url(a->server, i);
		if (url->transport == TRANSPORT_WS || (url->transport == TRANSPORT_WSS && !found))
			found = url;
		if (url->transport == TRANSPORT_WS)
			break;
	}
	admin_tell_websocket(a->admin, found);
}

static void warn_of_limits(const struct app *a)
{
	const struct settings *s = a->settings;
	uint64_t room = a->n_descriptors * s->workers;
	if (s->max_connections > room)
		log_warning("file descriptors can't hold PRESENCED_MAX_CONNECTIONS",
			LOG_U64("max_connections", s->max_connections),
			LOG_U64("descriptors_a_worker", a->n_descriptors),
			LOG_U64("workers", s->workers));
}

static void set_readiness(struct app *a, enum readiness readiness)
{
	atomic_store_explicit(&a->telemetry->readiness, readiness, memory_order_relaxed);
}

/* --- the order of start and stop --- */

/* Whichever part fails has said so in one line. The admin port is claimed before any client is accepted, so that a port
 * in use leaves nothing half-started; until the workers accept, /readyz says starting. */
static int start(struct app *a)
{
	service_open(&a->service);
	/* Refused, its threads wait longer for their turn on a crowded processor, no more. */
	bool has_slices = slice_set(SLICE_SHORT_NS, SLICE_PROMPT) == 0;
	json_object_seed(0); /* before the threads: jansson would seed in one of them */
	a->n_descriptors = descriptors_raise_limit();
	int err = start_telemetry(a);
	if (!err)
		err = activation_find(a->settings, &a->activation);
	if (!err)
		err = load_credentials(a);
	if (!err)
		err = make_feed(a);
	if (!err)
		err = make_server(a);
	if (!err)
		err = read_store(a);
	/* Its answers are little work, for which somebody waits. */
	if (has_slices)
		(void)slice_change(SLICE_BRIEF_NS, SLICE_PROMPT);
	if (!err)
		err = start_admin(a);
	if (has_slices)
		(void)slice_change(SLICE_SHORT_NS, SLICE_PROMPT);
	if (!err)
		err = start_server(a);
	if (!err)
		err = start_store(a);
	if (err)
		return err;
	tell_websocket(a);
	warn_of_limits(a);
	set_readiness(a, READINESS_READY);
	log_info("ready", LOG_TEXT("version", PRESENCED_VERSION),
		LOG_TEXT("server", a->telemetry->server_id),
		LOG_U64("workers", a->settings->workers),
		LOG_U64("descriptors_a_worker", a->n_descriptors),
		LOG_U64("inherited_sockets", a->activation.n));
	service_ready(&a->service, a->telemetry, server_table(a->server), clock_mono_ms());
	return 0;
}

/* /readyz says 503 while connections are still accepted, so that balancers look elsewhere first. */
static void drain(struct app *a)
{
	uint64_t delay_ms = a->settings->drain_delay_ms;
	service_stopping(&a->service, delay_ms + a->settings->drain_timeout_ms);
	set_readiness(a, READINESS_DRAINING);
	if (delay_ms == 0)
		return;
	log_info("draining", LOG_U64("delay_ms", delay_ms));
	struct timespec left = {
		.tv_sec = (time_t)(delay_ms / 1000), .tv_nsec = (long)(delay_ms % 1000) * 1000000};
	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		continue;
}

/* The store writes what is there once the workers are gone, their sessions still in the table. The admin server reads the table:
 * it goes before the table is freed, and after everything else. The feed has all events once the workers are joined; its
 * mailbox is there as long as the table. The workers hold keys and contexts until server_free(): credentials go
 * after. */
static void stop(struct app *a)
{
	if (a->server && a->telemetry) {
		set_readiness(a, READINESS_STOPPING);
		server_stop(a->server);
	}
	feed_stop(a->feed);
	store_stop(a->store);
	admin_stop(a->admin);
	server_free(a->server);
	feed_free(a->feed);
	credentials_free(&a->credentials);
	telemetry_free(a->telemetry);
	service_close(&a->service);
}

static int exit_code(int err)
{
	switch (-err) {
	case 0:
		return EX_OK;
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	case EBADMSG: /* see load_credentials(), activation.h */
		return EX_CONFIG;
	default:
		return EX_UNAVAILABLE;
	}
}

int app_run(const struct settings *settings)
{
	struct app app = {.settings = settings};
	prepare_signals();
	int err = start(&app);
	if (!err) {
		serve(&app);
		let_second_signal_kill();
		drain(&app);
	}
	stop(&app);
	if (!err)
		log_info("stopped");
	return exit_code(err);
}
