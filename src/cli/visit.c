#include "cli/visit.h"

#include "base/clock.h"
#include "cli/console.h"
#include "cli/text.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* Somebody sits and waits: back sooner than the library would have thousands of programs come. */
enum { CONNECT_TIMEOUT_MS = 5000, BACKOFF_FIRST_MS = 1000, BACKOFF_MAX_MS = 10000 };

/* ---- signals ------------------------------------------------------------------------------------- */

static volatile sig_atomic_t n_signals;
static sigset_t mask_while_waiting;

static void note_signal(int number)
{
	(void)number;
	n_signals = 1;
}

static void take_signals(void)
{
	static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction action = {.sa_handler = note_signal}, before;
	sigset_t blocked;

	sigemptyset(&blocked);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		sigaddset(&blocked, numbers[i]);
	sigprocmask(SIG_BLOCK, &blocked, &mask_while_waiting);
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		sigdelset(&mask_while_waiting, numbers[i]);
		/* What nohup(1), or a shell for its background jobs, has ignored stays so. */
		if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
			sigaction(numbers[i], &action, NULL);
	}
}

/* ---- opening ------------------------------------------------------------------------------------- */

enum { NAME_BYTES = 4 };

static bool make_name(char to[32])
{
	unsigned char bytes[NAME_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return false;
	snprintf(to, 32, "presencectl-%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2], bytes[3]);
	return true;
}

static enum exit_code complain_of_start(
	const struct environment *environment, enum presence_error error)
{
	if (error == PRESENCE_ERROR_URL)
		console_complain("PRESENCE_URL must be a tcp, tls, ws, wss or unix URL");
	else
		visit_complain(environment, error, "");
	return visit_exit(error);
}

enum exit_code visit_open(const struct environment *environment, struct presence_options *options,
	struct presence **ret)
{
	enum presence_error error;
	char name[32]; /* the library copies it */

	options->size = sizeof(*options);
	options->url = environment->value[VARIABLE_PRESENCE_URL];
	options->token = environment->value[VARIABLE_PRESENCE_TOKEN];
	options->connect_timeout_ms = CONNECT_TIMEOUT_MS;
	options->backoff_first_ms = BACKOFF_FIRST_MS;
	options->backoff_max_ms = BACKOFF_MAX_MS;
	if (!options->user)
		options->user = environment->value[VARIABLE_PRESENCE_USER];
	if (!options->user && !options->token) {
		if (!make_name(name)) {
			console_complain("no random numbers");
			return EXIT_CODE_OS;
		}
		options->user = name;
	}
	take_signals();
	error = presence_new(options, ret);
	return error == PRESENCE_OK ? EXIT_CODE_DONE : complain_of_start(environment, error);
}

/* ---- running ------------------------------------------------------------------------------------- */

static short events_wanted(unsigned want)
{
	return (short)((want & PRESENCE_READABLE ? POLLIN : 0) |
		       (want & PRESENCE_WRITABLE ? POLLOUT : 0));
}

static unsigned events_ready(short revents)
{
	unsigned ready = 0;

	if (revents & (POLLIN | POLLERR | POLLHUP))
		ready |= PRESENCE_READABLE;
	if (revents & (POLLOUT | POLLERR | POLLHUP))
		ready |= PRESENCE_WRITABLE;
	return ready;
}

/* One wait and what is due after it, until 'end_ms' at most (0: no limit). */
static void step(struct presence *client, uint64_t end_ms)
{
	/* Standard output only for its errors: a reader that goes away is seen without writing to it. */
	struct pollfd fds[] = {
		{.fd = presence_fd(client), .events = events_wanted(presence_want(client))},
		{.fd = STDOUT_FILENO},
	};
	uint64_t now_ms = presence_now(), until_ms = presence_deadline(client);
	struct timespec wait;
	int n;

	if (end_ms > 0 && end_ms < until_ms)
		until_ms = end_ms;
	until_ms = until_ms > now_ms ? until_ms - now_ms : 0;
	wait.tv_sec = (time_t)(until_ms / 1000);
	wait.tv_nsec = (long)(until_ms % 1000) * 1000000;
	n = ppoll(fds, ARRAY_LEN(fds), until_ms > INT32_MAX ? NULL : &wait, &mask_while_waiting);
	presence_ready(client, n > 0 ? events_ready(fds[0].revents) : 0);
}

enum visit_end visit_run(struct presence *client, const bool *is_over, int timeout_ms)
{
	uint64_t end_ms = timeout_ms < 0 ? 0 : presence_now() + (uint64_t)timeout_ms;

	presence_start(client);
	for (;;) {
		if (*is_over)
			return VISIT_END_OVER;
		if (presence_link(client) == PRESENCE_LINK_STOPPED)
			return VISIT_END_STOPPED;
		if (n_signals > 0)
			return VISIT_END_SIGNAL;
		if (end_ms == 0 && console_reader_is_gone())
			return VISIT_END_READER;
		if (end_ms > 0 && presence_now() >= end_ms)
			return VISIT_END_TIME;
		step(client, end_ms);
	}
}

void visit_close(struct presence *client)
{
	n_signals = 0;
	presence_stop(client);
	while (client && presence_link(client) != PRESENCE_LINK_STOPPED && n_signals == 0)
		step(client, 0);
	presence_free(client);
}

int64_t visit_wall_ms(uint64_t moment_ms)
{
	return (int64_t)clock_instant().wall_ms - (int64_t)(presence_now() - moment_ms);
}

/* ---- what goes wrong ----------------------------------------------------------------------------- */

void visit_append_error(struct buffer *b, enum presence_error error, const char *detail)
{
	const char *words = presence_error_text(error);

	buffer_append_string(b, words);
	/* Where it says nothing new, as is an empty one. */
	if (!detail || strstr(words, detail) || strcmp(detail, presence_error_word(error)) == 0)
		return;
	buffer_append_string(b, ": ");
	text_append_safe(b, detail, strlen(detail));
}

void visit_complain(
	const struct environment *environment, enum presence_error error, const char *detail)
{
	const char *url = environment->value[VARIABLE_PRESENCE_URL];
	struct buffer text = {.data = NULL};

	/* What stands before an @ may be a secret that was taken for a part of it. */
	if (strchr(url, '@'))
		url = "PRESENCE_URL";
	text_append_safe(&text, url, strlen(url));
	buffer_append_string(&text, ": ");
	visit_append_error(&text, error, detail);
	console_complain_of(&text);
	buffer_free(&text);
}

enum exit_code visit_exit(enum presence_error error)
{
	switch (error) {
	case PRESENCE_OK:
		return EXIT_CODE_DONE;
	case PRESENCE_ERROR_ARGUMENT:
		return EXIT_CODE_USAGE;
	case PRESENCE_ERROR_URL:
	case PRESENCE_ERROR_CA:
		return EXIT_CODE_CONFIG;
	case PRESENCE_ERROR_MEMORY:
	case PRESENCE_ERROR_FORKED:
	case PRESENCE_ERROR_BUSY:
		return EXIT_CODE_OS;
	case PRESENCE_ERROR_PROTOCOL:
	case PRESENCE_ERROR_UPGRADE:
	case PRESENCE_ERROR_VERSION:
	case PRESENCE_ERROR_REJECTED:
		return EXIT_CODE_PROTOCOL;
	case PRESENCE_ERROR_CERTIFICATE:
	case PRESENCE_ERROR_EXPIRED:
	case PRESENCE_ERROR_AUTH_FAILED:
	case PRESENCE_ERROR_AUTH_REQUIRED:
	case PRESENCE_ERROR_TOKEN:
	case PRESENCE_ERROR_FORBIDDEN:
	case PRESENCE_ERROR_TOO_MANY_WATCHES:
		return EXIT_CODE_PERMISSION;
	case PRESENCE_ERROR_REPLACED:
	case PRESENCE_ERROR_KICKED:
		return EXIT_CODE_NO;
	case PRESENCE_ERROR_INTERRUPTED:
	case PRESENCE_ERROR_TIME_OVER:
	case PRESENCE_ERROR_STOPPED:
	case PRESENCE_ERROR_CLOSED:
	case PRESENCE_ERROR_LOST:
	case PRESENCE_ERROR_SILENCE:
	case PRESENCE_ERROR_RESOLVE:
	case PRESENCE_ERROR_CONNECT:
	case PRESENCE_ERROR_CONNECT_TIMEOUT:
	case PRESENCE_ERROR_TLS:
	case PRESENCE_ERROR_SHUTDOWN:
	case PRESENCE_ERROR_SLOW:
	case PRESENCE_ERROR_TIMED_OUT:
	case PRESENCE_ERROR_SERVER_FULL:
	case PRESENCE_ERROR_RATE_LIMITED:
		break;
	}
	return EXIT_CODE_UNAVAILABLE;
}
