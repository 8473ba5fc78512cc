/* The C library as a client program of the scenarios: tests/support/scenario.py says what it reads and writes.
 *
 * One client, in a poll loop of its own beside standard input. */
#include "presence.h"

#include <errno.h>
#include <jansson.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { INPUT_MAX = 1 << 20 };

static struct presence *client;

/* --- what is said --- */

static void say(json_t *line)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	json_object_set_new(line, "at", json_real((double)now.tv_sec + (double)now.tv_nsec / 1e9));
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

static json_t *error_of(enum presence_error error)
{
	return error == PRESENCE_OK ? json_null() : json_string(presence_error_word(error));
}

/* From now on; negative what is over. */
static json_t *from_now(uint64_t at)
{
	return at == 0 ? json_null() : json_integer((json_int_t)(at - presence_now()));
}

static json_t *contact_of(const char *said, const struct presence_contact *c)
{
	json_t *line = json_object();

	json_object_set_new(line, "said", json_string(said));
	json_object_set_new(line, "user", json_string(c->user));
	json_object_set_new(line, "truth", json_string(presence_truth_word(c->truth)));
	json_object_set_new(line, "state",
		c->state == PRESENCE_STATE_NONE ? json_null()
						: json_string(presence_state_word(c->state)));
	json_object_set_new(line, "status", c->status ? json_string(c->status) : json_null());
	json_object_set_new(line, "reason", json_string(presence_reason_word(c->reason)));
	json_object_set_new(line, "error", error_of(c->error));
	json_object_set_new(line, "age_ms",
		c->as_of_ms == 0 ? json_null()
				 : json_integer((json_int_t)(presence_now() - c->as_of_ms)));
	json_object_set_new(line, "fresh_ms", from_now(c->fresh_until_ms));
	return line;
}

static void on_contact(struct presence *p, const struct presence_contact *c, void *arg)
{
	(void)p, (void)arg;
	say(contact_of("contact", c));
}

static void say_self(json_t *line, struct presence *p, bool is_resumed)
{
	const struct presence_self *self = presence_self(p);

	json_object_set_new(line, "user", json_string(self->user));
	json_object_set_new(line, "device", json_string(self->device));
	json_object_set_new(line, "session", json_string(self->session));
	json_object_set_new(line, "server", json_string(self->server));
	json_object_set_new(line, "heartbeat_ms", json_integer(self->heartbeat_ms));
	json_object_set_new(line, "timeout_ms", json_integer(self->timeout_ms));
	json_object_set_new(line, "resumed", json_boolean(is_resumed));
}

static void on_link(struct presence *p, const struct presence_link_event *event, void *arg)
{
	json_t *line = json_object();

	(void)arg;
	json_object_set_new(line, "said", json_string("link"));
	json_object_set_new(line, "link", json_string(presence_link_word(event->link)));
	json_object_set_new(line, "error", error_of(event->error));
	json_object_set_new(line, "detail", json_string(event->detail));
	if (event->link == PRESENCE_LINK_WAITING)
		json_object_set_new(line, "retry_in_ms",
			event->retry_in_ms == UINT64_MAX
				? json_null()
				: json_integer((json_int_t)event->retry_in_ms));
	if (event->link == PRESENCE_LINK_UP)
		say_self(line, p, event->is_resumed);
	say(line);
}

static void on_token(struct presence *p, void *arg)
{
	json_t *line = json_object();

	(void)p, (void)arg;
	json_object_set_new(line, "said", json_string("token_wanted"));
	say(line);
}

static void on_answer(struct presence *p, enum presence_error error,
	const struct presence_contact *contacts, size_t n, void *arg)
{
	json_t *line = json_object(), *array = json_array();

	(void)p, (void)arg;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, contact_of("look", &contacts[i]));
	json_object_set_new(line, "said", json_string("answer"));
	json_object_set_new(line, "error", error_of(error));
	json_object_set_new(line, "contacts", array);
	say(line);
}

/* --- what is asked --- */

static void must(enum presence_error error, const char *what)
{
	if (error == PRESENCE_OK)
		return;
	fprintf(stderr, "%s: %s\n", what, presence_error_text(error));
	exit(1);
}

static const char *text(const json_t *command, const char *name)
{
	return json_string_value(json_object_get(command, name));
}

static uint32_t number(const json_t *command, const char *name)
{
	return (uint32_t)json_integer_value(json_object_get(command, name));
}

static enum presence_state state_of(const json_t *command)
{
	const char *word = text(command, "state");

	for (enum presence_state s = PRESENCE_STATE_OFFLINE; word && s <= PRESENCE_STATE_INVISIBLE;
		s++) {
		if (strcmp(word, presence_state_word(s)) == 0)
			return s;
	}
	return PRESENCE_STATE_NONE;
}

static void do_connect(const json_t *command)
{
	struct presence_options options = {
		.size = sizeof(options),
		.url = text(command, "url"),
		.user = text(command, "user"),
		.device = text(command, "device"),
		.token = text(command, "token"),
		.state = state_of(command),
		.status = text(command, "status"),
		.heartbeat_ms = number(command, "heartbeat_ms"),
		.connect_timeout_ms = number(command, "connect_timeout_ms"),
		.backoff_first_ms = number(command, "backoff_first_ms"),
		.backoff_max_ms = number(command, "backoff_max_ms"),
		.ca_file = text(command, "ca_file"),
		.on_contact = on_contact,
		.on_link = on_link,
	};

	if (json_is_true(json_object_get(command, "asks_token")))
		options.on_token = on_token;
	must(presence_new(&options, &client), "connect");
	must(presence_start(client), "start");
}

static void do_users(const char *what, const json_t *command)
{
	const json_t *users = json_object_get(command, "users");
	size_t n = json_array_size(users);
	const char **texts = calloc(n + 1, sizeof(*texts));

	for (size_t i = 0; texts && i < n; i++)
		texts[i] = json_string_value(json_array_get(users, i));
	if (!texts)
		must(PRESENCE_ERROR_MEMORY, what);
	else if (strcmp(what, "watch") == 0)
		must(presence_watch(client, texts, n), what);
	else if (strcmp(what, "unwatch") == 0)
		must(presence_unwatch(client, texts, n), what);
	else
		must(presence_query(client, texts, n, on_answer, NULL), what);
	free(texts);
}

static void do_update(const json_t *command)
{
	const json_t *status = json_object_get(command, "status");
	const char *words = json_is_null(status) ? "" : json_string_value(status);

	must(presence_update(client, state_of(command), words), "update");
}

static void do_look(const json_t *command)
{
	const struct presence_contact *c = presence_contact(client, text(command, "user"));

	if (c)
		say(contact_of("look", c));
}

static void obey(const json_t *command)
{
	const char *what = text(command, "do");

	if (strcmp(what, "connect") == 0)
		do_connect(command);
	else if (strcmp(what, "update") == 0)
		do_update(command);
	else if (strcmp(what, "look") == 0)
		do_look(command);
	else if (strcmp(what, "token") == 0)
		must(presence_set_token(
			     client, text(command, "token"), number(command, "lifetime_ms")),
			what);
	else if (strcmp(what, "retry") == 0)
		must(presence_retry(client), what);
	else if (strcmp(what, "stop") == 0)
		must(presence_stop(client), what);
	else
		do_users(what, command);
}

/* False at the end. */
static bool read_commands(void)
{
	static char input[INPUT_MAX];
	static size_t len;
	char *end;
	ssize_t n = read(STDIN_FILENO, input + len, sizeof(input) - len);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	len += (size_t)n;
	while ((end = memchr(input, '\n', len))) {
		size_t used = (size_t)(end - input) + 1;
		json_t *command = json_loadb(input, used, 0, NULL);

		if (!command || !text(command, "do")) {
			fprintf(stderr, "not a command: %.*s", (int)used, input);
			exit(1);
		}
		obey(command);
		json_decref(command);
		len -= used;
		memmove(input, input + used, len);
	}
	return true;
}

int main(void)
{
	json_t *line = json_object();
	bool goes_on = true;

	json_object_set_new(line, "said", json_string("ready"));
	say(line);
	while (goes_on) {
		unsigned want = presence_want(client), ready = 0;
		struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
			{.fd = presence_fd(client),
				.events = (short)((want & PRESENCE_READABLE ? POLLIN : 0) |
						  (want & PRESENCE_WRITABLE ? POLLOUT : 0))}};

		if (poll(fds, 2, presence_timeout(client)) < 0)
			continue;
		if (fds[1].revents & (POLLIN | POLLERR | POLLHUP))
			ready |= PRESENCE_READABLE;
		if (fds[1].revents & (POLLOUT | POLLERR | POLLHUP))
			ready |= PRESENCE_WRITABLE;
		presence_ready(client, ready);
		if (fds[0].revents)
			goes_on = read_commands();
	}
	presence_free(client);
	return 0;
}
