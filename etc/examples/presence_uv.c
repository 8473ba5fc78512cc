/* libpresence in a libuv loop.
 *
 *     cc presence_uv.c $(pkg-config --cflags --libs libpresence libuv) -o presence_uv
 *     ./presence_uv tcp://127.0.0.1:7400 alice bob carol
 *
 * The two things that a loop with registered descriptors has to do: on_socket says which descriptor is to be watched
 * for what, and a timer carries the deadline, which may be another one after each call. The same shape fits epoll, GLib
 * (g_unix_fd_add) and Qt (QSocketNotifier). Names are looked up by libuv, on its own threads, so that the loop never
 * waits for a name server. */
#include <presence.h>

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

struct app {
	uv_loop_t *loop;
	struct presence *p;
	uv_poll_t *poll; /* NULL: no descriptor is watched */
	uv_timer_t timer;
	uv_signal_t interrupt;
	uv_getaddrinfo_t lookup;
	bool is_looking_up;
};

/* --- descriptor and deadline --- */

/* After every call that may have changed it. */
static void set_timer(struct app *app);

static void on_timer(uv_timer_t *timer)
{
	struct app *app = timer->data;

	presence_ready(app->p, 0);
	set_timer(app);
}

static void end_if_stopped(struct app *app)
{
	if (presence_link(app->p) != PRESENCE_LINK_STOPPED)
		return;
	/* Nothing is left to wait for: the loop runs out. */
	uv_timer_stop(&app->timer);
	uv_signal_stop(&app->interrupt);
}

static void set_timer(struct app *app)
{
	int wait = presence_timeout(app->p);

	if (wait < 0)
		uv_timer_stop(&app->timer);
	else
		uv_timer_start(&app->timer, on_timer, (uint64_t)wait, 0);
	end_if_stopped(app);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct app *app = poll->data;
	unsigned ready = 0;

	if (status < 0 || events & UV_READABLE)
		ready |= PRESENCE_READABLE;
	if (status < 0 || events & UV_WRITABLE)
		ready |= PRESENCE_WRITABLE;
	presence_ready(app->p, ready);
	set_timer(app);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle);
}

static void forget_socket(struct app *app)
{
	/* Stopped at once, as the descriptor is closed after this; the handle's memory goes when libuv is done with it. */
	uv_poll_stop(app->poll);
	uv_close((uv_handle_t *)app->poll, on_closed);
	app->poll = NULL;
}

static void on_socket(struct presence *p, int fd, unsigned want, void *arg)
{
	struct app *app = arg;

	(void)p;
	if (want == 0) {
		forget_socket(app);
		return;
	}
	if (!app->poll) {
		app->poll = calloc(1, sizeof(*app->poll));
		if (!app->poll || uv_poll_init(app->loop, app->poll, fd) != 0)
			abort();
		app->poll->data = app;
	}
	uv_poll_start(app->poll,
		(want & PRESENCE_READABLE ? UV_READABLE : 0) |
			(want & PRESENCE_WRITABLE ? UV_WRITABLE : 0),
		on_poll);
}

/* --- names --- */

static void on_looked_up(uv_getaddrinfo_t *lookup, int status, struct addrinfo *list)
{
	struct app *app = lookup->data;

	app->is_looking_up = false;
	presence_set_addresses(app->p, status == 0 ? list : NULL);
	uv_freeaddrinfo(list);
	set_timer(app);
}

static void on_resolve(struct presence *p, const char *host, uint16_t port, void *arg)
{
	struct app *app = arg;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	char service[8];

	(void)p;
	snprintf(service, sizeof(service), "%u", port);
	if (app->is_looking_up)
		return; /* the one under way answers this attempt too */
	app->lookup.data = app;
	app->is_looking_up =
		uv_getaddrinfo(app->loop, &app->lookup, on_looked_up, host, service, &hints) == 0;
	if (!app->is_looking_up)
		presence_set_addresses(app->p, NULL);
}

/* --- what the library tells --- */

static void on_contact(struct presence *p, const struct presence_contact *c, void *arg)
{
	(void)p, (void)arg;
	printf("%s is %s", c->user, presence_truth_word(c->truth));
	if (c->error != PRESENCE_OK)
		printf(": %s", presence_error_text(c->error));
	else if (c->truth != PRESENCE_UNKNOWN)
		printf(" (%s)", presence_reason_word(c->reason));
	printf("\n");
	fflush(stdout);
}

static void on_link(struct presence *p, const struct presence_link_event *event, void *arg)
{
	(void)p, (void)arg;
	printf("link: %s%s%s\n", presence_link_word(event->link),
		event->error != PRESENCE_OK ? ", " : "",
		event->error != PRESENCE_OK ? presence_error_text(event->error) : "");
	fflush(stdout);
}

static void on_interrupt(uv_signal_t *signal, int number)
{
	struct app *app = signal->data;

	(void)number;
	presence_stop(app->p);
	set_timer(app);
}

/* --- the program --- */

static enum presence_error begin(struct app *app, int argc, char **argv)
{
	struct presence_options options = {
		.size = sizeof(options),
		.url = argv[1],
		.user = argv[2],
		.arg = app,
		.on_contact = on_contact,
		.on_link = on_link,
		.on_socket = on_socket,
		.on_resolve = on_resolve,
	};
	enum presence_error error = presence_new(&options, &app->p);

	if (error == PRESENCE_OK)
		error = presence_watch(app->p, (const char *const *)argv + 3, (size_t)argc - 3);
	if (error == PRESENCE_OK)
		error = presence_start(app->p);
	return error;
}

int main(int argc, char **argv)
{
	struct app app = {.loop = uv_default_loop()};
	enum presence_error error;

	if (argc < 3) {
		fprintf(stderr, "usage: %s URL USER [CONTACT...]\n", argv[0]);
		return 64;
	}
	uv_timer_init(app.loop, &app.timer);
	uv_signal_init(app.loop, &app.interrupt);
	app.timer.data = app.interrupt.data = &app;
	uv_signal_start(&app.interrupt, on_interrupt, SIGINT);
	error = begin(&app, argc, argv);
	if (error != PRESENCE_OK) {
		fprintf(stderr, "%s\n", presence_error_text(error));
		presence_free(app.p);
		return 1;
	}
	set_timer(&app);
	uv_run(app.loop, UV_RUN_DEFAULT);

	error = presence_last_error(app.p);
	presence_free(app.p);
	uv_close((uv_handle_t *)&app.timer, NULL);
	uv_close((uv_handle_t *)&app.interrupt, NULL);
	uv_run(app.loop, UV_RUN_DEFAULT);
	uv_loop_close(app.loop);
	return error == PRESENCE_OK ? 0 : 1;
}
