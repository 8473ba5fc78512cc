#include "support/admin_fixture.h"

#include "base/clock.h"
#include "presence/inquiry.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

/* As a server's main would: signals are for none of the threads that it starts. */
static void start_feed(struct feed *feed)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	assert_int_equal(feed_start(feed), 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int admin_setup(void **state)
{
	struct admin_fixture *f = calloc(1, sizeof(*f));
	const char *why;

	assert_non_null(f);
	f->telemetry = telemetry_new(ADMIN_N_WORKERS, clock_mono_ms());
	assert_non_null(f->telemetry);
	for (unsigned i = 0; i < ADMIN_N_WORKERS; i++) {
		assert_int_equal(mailbox_init(&f->mailboxes[i], 64), 0);
		f->pointers[i] = &f->mailboxes[i];
	}
	assert_int_equal(mailbox_init(&f->watchdog, 0), 0);
	struct feed_params feed = {
		.n_events = 1024, .n_history = 4, .counters = &f->telemetry->feed};
	assert_int_equal(feed_new(&feed, &f->feed), 0);
	start_feed(f->feed);
	struct table_params table = {.n_workers = ADMIN_N_WORKERS,
		.feed = feed_mailbox(f->feed),
		.mailboxes = f->pointers,
		.watchdog = &f->watchdog,
		.n_remembered = 10,
		.max_sessions_per_user = 16};
	assert_int_equal(table_new(&table, &f->table), 0);
	f->params = (struct admin_params){.version = "1.2.3",
		.telemetry = f->telemetry,
		.table = f->table,
		.feed = f->feed,
		.counters = &f->telemetry->admin,
		.limits = {.max_watches = 77, .event_log = 1024, .history = 4}};
	assert_int_equal(address_parse("127.0.0.1:0", 11, &f->params.listen, &why), 0);
	atomic_store(&f->telemetry->readiness, READINESS_READY);
	*state = f;
	return 0;
}

/* There are no workers that would have answered. */
static void drop_questions(struct mailbox *m)
{
	struct mailbox_link *next;

	for (struct mailbox_link *link = mailbox_take_questions(m); link; link = next) {
		next = link->next;
		inquiry_answer(inquiry_from_link(link), NULL);
	}
}

int admin_teardown(void **state)
{
	struct admin_fixture *f = *state;

	feed_stop(f->feed);
	admin_stop(f->admin);
	table_free(f->table);
	feed_free(f->feed);
	for (unsigned i = 0; i < ADMIN_N_WORKERS; i++) {
		drop_questions(&f->mailboxes[i]);
		mailbox_destroy(&f->mailboxes[i]);
	}
	mailbox_destroy(&f->watchdog);
	telemetry_free(f->telemetry);
	free(f);
	return 0;
}

void admin_begin(struct admin_fixture *f)
{
	assert_int_equal(admin_start(&f->params, &f->admin, &f->at), 0);
	assert_int_not_equal(address_port(&f->at), 0);
}

int client_dial(const struct admin_fixture *f)
{
	int fd = socket(f->at.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (connect(fd, &f->at.u.any, f->at.len) < 0)
		fail_msg("connect: %s", strerror(errno));
	return fd;
}

void client_say(int fd, const char *text)
{
	size_t len = strlen(text);

	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

bool client_is_readable(int fd, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, timeout_ms) == 1;
}

void client_await_end(int fd)
{
	char text[4096];
	ssize_t n;

	do {
		assert_true(client_is_readable(fd, PATIENCE_MS));
		n = recv(fd, text, sizeof(text), 0);
	} while (n > 0);
	assert_true(n == 0 || errno == ECONNRESET);
}

const char *reply_header(const struct reply *r, const char *name)
{
	static char value[256];
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\r\n%s: ", name);
	at = strcasestr(r->text, key);
	if (!at || at >= r->body)
		return NULL;
	at += strlen(key);
	snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
	return value;
}

void client_hear(int fd, bool has_body, struct reply *ret)
{
	size_t want = SIZE_MAX;
	const char *end;
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	while (ret->len < want) {
		assert_true(ret->len < REPLY_MAX - 1);
		assert_true(client_is_readable(fd, PATIENCE_MS));
		n = recv(fd, ret->text + ret->len, want == SIZE_MAX ? 1 : want - ret->len, 0);
		if (n <= 0)
			fail_msg("the reply is cut: %s", ret->text);
		ret->len += (size_t)n;
		end = want == SIZE_MAX ? strstr(ret->text, "\r\n\r\n") : NULL;
		if (!end)
			continue;
		ret->body = end + 4;
		assert_non_null(reply_header(ret, "Content-Length"));
		ret->body_len =
			has_body ? strtoul(reply_header(ret, "Content-Length"), NULL, 10) : 0;
		want = (size_t)(ret->body - ret->text) + ret->body_len;
		assert_true(want < REPLY_MAX);
	}
	assert_int_equal(sscanf(ret->text, "HTTP/1.%*d %u", &ret->status), 1);
}

void client_get(const struct admin_fixture *f, const char *method, const char *path,
	const char *headers, struct reply *ret)
{
	size_t size = strlen(path) + strlen(headers) + 128;
	char *request = malloc(size);
	int fd = client_dial(f);

	assert_non_null(request);
	snprintf(request, size, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n",
		method, path, headers);
	client_say(fd, request);
	client_hear(fd, strcmp(method, "HEAD") != 0, ret);
	client_await_end(fd);
	close(fd);
	free(request);
}

json_t *reply_json(const struct reply *r)
{
	json_error_t error;
	json_t *d = json_loadb(r->body, r->body_len, JSON_REJECT_DUPLICATES, &error);

	if (!d)
		fail_msg("%s in %.*s", error.text, (int)r->body_len, r->body);
	assert_string_equal(reply_header(r, "Content-Type"), "application/json");
	assert_string_equal(reply_header(r, "Cache-Control"), "no-store");
	return d;
}

void reply_assert_error(const struct reply *r, unsigned status, const char *code)
{
	json_t *d = reply_json(r);
	const char *got, *message;

	assert_int_equal(
		json_unpack(d, "{s:{s:s,s:s!}!}", "error", "code", &got, "message", &message), 0);
	assert_string_equal(got, code);
	assert_int_equal(r->status, status);
	json_decref(d);
}

unsigned client_status(const struct admin_fixture *f, const char *path, const char *headers)
{
	struct reply r;

	client_get(f, "GET", path, headers, &r);
	return r.status;
}
