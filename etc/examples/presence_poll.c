/* libpresence in a poll(2) loop of one's own.
 *
 *     cc presence_poll.c $(pkg-config --cflags --libs libpresence) -o presence_poll
 *     ./presence_poll tcp://127.0.0.1:7400 alice bob carol
 *
 * Logs in as alice and says what becomes of bob and carol. A line on standard input becomes alice's status. The end of
 * the input, or Ctrl-C, says goodbye. Everything is done in one thread; nothing here blocks but poll(). */
#include <presence.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t is_interrupted;

static void on_signal(int number)
{
	(void)number;
	is_interrupted = 1;
}

/* --- what the library tells --- */

static void on_contact(struct presence *p, const struct presence_contact *c, void *arg)
{
	(void)p, (void)arg;
	if (c->error != PRESENCE_OK)
		printf("%s: %s\n", c->user, presence_error_text(c->error));
	else if (c->truth == PRESENCE_UNKNOWN)
		printf("%s is unknown (%s when last heard of)\n", c->user,
			presence_state_word(c->state));
	else
		printf("%s is %s (%s)%s%s\n", c->user, presence_state_word(c->state),
			presence_reason_word(c->reason), c->status ? ": " : "",
			c->status ? c->status : "");
	fflush(stdout);
}

static void on_link(struct presence *p, const struct presence_link_event *event, void *arg)
{
	(void)p, (void)arg;
	printf("link: %s", presence_link_word(event->link));
	if (event->error != PRESENCE_OK)
		printf(", %s", presence_error_text(event->error));
	if (event->link == PRESENCE_LINK_WAITING)
		printf(", again in %.1f s", (double)event->retry_in_ms / 1000);
	printf("\n");
	fflush(stdout);
}

/* --- the loop --- */

/* False when the input has ended. */
static bool read_status(struct presence *p)
{
	char line[PRESENCE_STATUS_MAX + 2];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	line[n] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	enum presence_error error = presence_update(p, PRESENCE_STATE_NONE, line);
	if (error != PRESENCE_OK)
		printf("not a status: %s\n", presence_error_text(error));
	return true;
}

/* What poll() says of a descriptor, as the library wants to hear it. */
static unsigned ready_of(short revents)
{
	unsigned ready = 0;

	if (revents & (POLLIN | POLLERR | POLLHUP))
		ready |= PRESENCE_READABLE;
	if (revents & (POLLOUT | POLLERR | POLLHUP))
		ready |= PRESENCE_WRITABLE;
	return ready;
}

static void run(struct presence *p)
{
	bool is_leaving = false;

	while (presence_link(p) != PRESENCE_LINK_STOPPED) {
		unsigned want = presence_want(p);
		struct pollfd fds[2] = {
			/* An fd of -1 is none to poll(): so it is before the first connection. */
			{.fd = presence_fd(p),
				.events = (short)((want & PRESENCE_READABLE ? POLLIN : 0) |
						  (want & PRESENCE_WRITABLE ? POLLOUT : 0))},
			{.fd = is_leaving ? -1 : STDIN_FILENO, .events = POLLIN},
		};
		int n = poll(fds, 2, presence_timeout(p));

		if (n < 0 && errno != EINTR)
			return;
		/* Also where nothing is ready: then it is the time that has come. */
		presence_ready(p, n > 0 ? ready_of(fds[0].revents) : 0);
		if (n > 0 && fds[1].revents && !read_status(p))
			is_interrupted = 1;
		if (is_interrupted && !is_leaving) {
			is_leaving = true;
			presence_stop(p); /* says bye; the link is stopped when that is answered */
		}
	}
}

int main(int argc, char **argv)
{
	struct presence_options options = {
		.size = sizeof(options),
		.on_contact = on_contact,
		.on_link = on_link,
	};
	struct presence *p;
	enum presence_error error;

	if (argc < 3) {
		fprintf(stderr, "usage: %s URL USER [CONTACT...]\n", argv[0]);
		return 64;
	}
	options.url = argv[1];
	options.user = argv[2];
	error = presence_new(&options, &p);
	if (error == PRESENCE_OK)
		error = presence_watch(p, (const char *const *)argv + 3, (size_t)argc - 3);
	if (error != PRESENCE_OK) {
		fprintf(stderr, "%s\n", presence_error_text(error));
		return 1;
	}
	/* Without SA_RESTART, so that poll() is woken. */
	sigaction(SIGINT, &(struct sigaction){.sa_handler = on_signal}, NULL);
	presence_start(p);
	run(p);
	error = presence_last_error(p);
	presence_free(p);
	return error == PRESENCE_OK ? 0 : 1;
}
