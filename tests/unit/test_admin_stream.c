/* Streams: what is told, when, and how they end. The kind is that of /v1/events. */
#include "admin/stream.h"

#include "base/clock.h"
#include "net/descriptors.h"
#include "support/admin_fixture.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000, TEXT_MAX = 64 * 1024 };

#define REQUEST(path) "GET " path " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

/* --- a follower, its text as it comes --- */

struct reader {
	int fd;
	size_t len;
	char text[TEXT_MAX];
};

static void reader_open(struct reader *r, struct admin_fixture *f, const char *request)
{
	r->fd = client_dial(f);
	r->len = 0;
	r->text[0] = '\0';
	client_say(r->fd, request);
}

/* False at the end. */
static bool reader_hear(struct reader *r)
{
	assert_true(r->len < TEXT_MAX - 1);
	assert_true(client_is_readable(r->fd, PATIENCE_MS));
	ssize_t n = recv(r->fd, r->text + r->len, TEXT_MAX - 1 - r->len, 0);
	assert_true(n >= 0 || errno == ECONNRESET);
	if (n <= 0)
		return false;
	r->len += (size_t)n;
	r->text[r->len] = '\0';
	return true;
}

/* Until this has come; and forgets all up to its end. */
static void reader_await(struct reader *r, const char *text)
{
	char *at;
	while (!(at = strstr(r->text, text)))
		if (!reader_hear(r))
			fail_msg("no %s, but the end, after: %s", text, r->text);
	at += strlen(text);
	r->len -= (size_t)(at - r->text);
	memmove(r->text, at, r->len + 1);
}

static void reader_await_end(struct reader *r)
{
	while (reader_hear(r))
		continue;
	close(r->fd);
}

/* --- the table goes on --- */

static struct session *session;
static uint64_t session_number;

static void wake_feed(struct admin_fixture *f, struct actor *a)
{
	if (a->wake_feed)
		wakeup_signal(feed_wakeup(f->feed));
	actor_destroy(a);
}

static void log_in(struct admin_fixture *f, const char *user)
{
	static struct counters counters;
	role_worker_begin();
	struct actor actor;
	struct login_result out;
	struct instant now = clock_instant();
	struct login in = {.user = user,
		.user_len = strlen(user),
		.timeout_ms = 1000000,
		.now = now,
		.stamp_ms = (uint32_t)now.mono_ms};
	actor_init(&actor, &counters);
	assert_int_equal(table_login(f->table, &actor, &in, &out), 0);
	session = out.session;
	session_number = out.id;
	wake_feed(f, &actor);
}

static void log_out(struct admin_fixture *f)
{
	static struct counters counters;
	role_worker_begin();
	struct actor actor;
	actor_init(&actor, &counters);
	assert_true(table_end(
		f->table, &actor, session, session_number, REASON_CLOSED, clock_instant()));
	table_release(f->table, session, false);
	wake_feed(f, &actor);
}

static void await_count(struct admin_fixture *f, enum counter which, uint64_t n)
{
	uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;
	while (telemetry_counter(f->telemetry, which) < n) {
		assert_true(clock_mono_ms() < end_ms);
		poll(NULL, 0, 1);
	}
}

static json_int_t count_streams(struct admin_fixture *f)
{
	static struct reply r;
	client_get(f, "GET", "/stats", "", &r);
	json_t *d = reply_json(&r);
	json_int_t open =
		json_integer_value(json_object_get(json_object_get(d, "feed"), "streams"));
	json_decref(d);
	return open;
}

static void await_streams(struct admin_fixture *f, json_int_t n)
{
	uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;
	while (count_streams(f) != n) {
		assert_true(clock_mono_ms() < end_ms);
		poll(NULL, 0, 1);
	}
}

/* --- the tests --- */

static struct reader a, b;

static void what_happens_is_told_as_it_happens(void **state)
{
	struct admin_fixture *f = *state;
	admin_begin(f);
	log_in(f, "bob");
	reader_open(&a, f, REQUEST("/v1/events"));
	reader_await(&a, "\r\nContent-Type: text/event-stream\r\n");
	reader_await(&a, "event: server\ndata: {\"server\":\"");
	reader_await(&a, "event: reset\nid:\ndata: {\"reason\":\"no_cursor\"}\n\n");
	reader_await(&a, "event: presence\ndata: {\"user\":\"bob\",\"state\":\"online\"");
	reader_await(&a, "event: live\nid: ");
	reader_await(&a, "data: {\"presences\":1}\n\n");
	for (unsigned i = 0; i < 5; i++) {
		log_out(f);
		reader_await(&a, "event: presence\nid: ");
		reader_await(
			&a, "data: {\"user\":\"bob\",\"state\":\"offline\",\"reason\":\"closed\"");
		log_in(f, "bob");
		reader_await(
			&a, "data: {\"user\":\"bob\",\"state\":\"online\",\"reason\":\"login\"");
	}
	assert_int_equal(telemetry_counter(f->telemetry, COUNTER_streams), 1);
	assert_int_equal(telemetry_counter(f->telemetry, COUNTER_stream_resets), 0);
	close(a.fd);
}

static void who_is_told_nothing_gets_a_comment(void **state)
{
	struct admin_fixture *f = *state;
	f->params.keepalive_ms = 300;
	f->params.timeout_s = 1; /* shorter than the stream */
	admin_begin(f);
	reader_open(&a, f, REQUEST("/v1/events"));
	reader_await(&a, "event: live\n");
	uint64_t began_ms = clock_mono_ms();
	reader_await(&a, "\n:\n\n");
	reader_await(&a, ":\n\n");
	assert_true(clock_mono_ms() - began_ms < 10000);
	log_in(f, "bob");
	reader_await(&a, "event: presence\n");
	close(a.fd);
}

static void the_next_one_too_many_is_refused(void **state)
{
	static struct reply r;
	struct admin_fixture *f = *state;
	f->params.max_connections = 5;
	admin_begin(f);
	reader_open(&a, f, REQUEST("/v1/events"));
	reader_await(&a, "event: live\n");
	reader_open(&b, f, REQUEST("/v1/events"));
	reader_await(&b, "event: live\n");
	client_get(f, "GET", "/v1/events", "", &r);
	reply_assert_error(&r, 503, "too_many_streams");
	assert_int_equal(client_status(f, "/healthz", ""), 200);
	assert_int_equal(telemetry_counter(f->telemetry, COUNTER_streams_refused), 1);

	/* Who goes makes room, though nobody has anything to say. */
	close(b.fd);
	await_streams(f, 1);
	reader_open(&b, f, REQUEST("/v1/events"));
	reader_await(&b, "event: live\n");
	close(a.fd);
	close(b.fd);
}

static void a_head_has_no_stream(void **state)
{
	struct admin_fixture *f = *state;
	admin_begin(f);
	reader_open(
		&a, f, "HEAD /v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
	reader_await(&a, "HTTP/1.1 200 ");
	reader_await(&a, "\r\nContent-Type: text/event-stream\r\n");
	reader_await(&a, "\r\n\r\n");
	reader_await_end(&a);
	assert_int_equal(a.len, 0);
	await_streams(f, 0);
}

/* An answer without chunks ends with the connection. */
static void http_1_0_follows_too(void **state)
{
	struct admin_fixture *f = *state;
	admin_begin(f);
	log_in(f, "bob");
	reader_open(&a, f, "GET /v1/events HTTP/1.0\r\n\r\n");
	reader_await(&a, "\r\n\r\nevent: server\n");
	reader_await(&a, "event: live\n");
	log_out(f);
	reader_await(&a, "\"state\":\"offline\"");
	admin_stop(f->admin);
	f->admin = NULL;
	reader_await_end(&a);
}

static void the_stop_ends_them_whole(void **state)
{
	struct admin_fixture *f = *state;
	admin_begin(f);
	reader_open(&a, f, REQUEST("/v1/events"));
	reader_await(&a, "event: live\n");
	uint64_t began_ms = clock_mono_ms();
	admin_stop(f->admin);
	f->admin = NULL;
	assert_true(clock_mono_ms() - began_ms < 5000);
	reader_await(&a, "\r\n0\r\n\r\n");
	reader_await_end(&a);
}

/* More than the kernel takes for one who does not read. */
static void flood_the_deaf(struct admin_fixture *f)
{
	int small = 4096;
	a.fd = socket(f->at.u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(setsockopt(a.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
	assert_int_equal(connect(a.fd, &f->at.u.any, f->at.len), 0);
	client_say(a.fd, REQUEST("/v1/events"));
	await_count(f, COUNTER_streams, 1);
	for (unsigned i = 0; i < 20000; i++) { /* some 4 MB: more than the kernel takes */
		log_in(f, "bob");
		log_out(f);
	}
}

/* One that takes nothing doesn't hold the stop up for long. */
static void the_stop_does_not_wait_for_the_slow(void **state)
{
	struct admin_fixture *f = *state;
	admin_begin(f);
	flood_the_deaf(f);
	uint64_t began_ms = clock_mono_ms();
	admin_stop(f->admin);
	f->admin = NULL;
	assert_true(clock_mono_ms() - began_ms < 5000);
	close(a.fd);
}

static void who_takes_nothing_is_closed(void **state)
{
	struct admin_fixture *f = *state;
	f->params.timeout_s = 1;
	admin_begin(f);
	flood_the_deaf(f);
	/* The kernel takes some megabytes for it. */
	uint64_t end_ms = clock_mono_ms() + PATIENCE_MS;
	while (count_streams(f) > 0) {
		assert_true(clock_mono_ms() < end_ms);
		for (unsigned i = 0; i < 200; i++) {
			log_in(f, "bob");
			log_out(f);
		}
		poll(NULL, 0, 10);
	}
	close(a.fd);
}

static void refused_memory_leaves_nothing(void **state)
{
	struct admin_fixture *f = *state;
	struct streams_params params = {.feed = f->feed, .max_streams = 1, .keepalive_ms = 1};
	struct streams *all = NULL;
	int err;
	for (long n = 1; alloc_fail_begin(n), err = streams_new(&params, &all), alloc_fail_end();
		n++) {
		assert_int_equal(err, -ENOMEM);
		assert_null(all);
	}
	assert_int_equal(err, 0);
	streams_stop(all);
	streams_free(all);
	streams_free(NULL);
	stream_drop(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_happens_is_told_as_it_happens, admin_setup, admin_teardown),
		cmocka_unit_test_setup_teardown(
			who_is_told_nothing_gets_a_comment, admin_setup, admin_teardown),
		cmocka_unit_test_setup_teardown(
			the_next_one_too_many_is_refused, admin_setup, admin_teardown),
		cmocka_unit_test_setup_teardown(a_head_has_no_stream, admin_setup, admin_teardown),
		cmocka_unit_test_setup_teardown(http_1_0_follows_too, admin_setup, admin_teardown),
		cmocka_unit_test_setup_teardown(
			the_stop_ends_them_whole, admin_setup, admin_teardown),
		cmocka_unit_test_setup_teardown(
			the_stop_does_not_wait_for_the_slow, admin_setup, admin_teardown),
		cmocka_unit_test_setup_teardown(
			who_takes_nothing_is_closed, admin_setup, admin_teardown),
		cmocka_unit_test_setup_teardown(
			refused_memory_leaves_nothing, admin_setup, admin_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
