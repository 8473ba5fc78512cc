/* The rules of a client's link, as tables of lines and numbers: no socket, no sleep. */
#include "base/compiler.h"
#include "client/c/client.h"
#include "support/client_play.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void watch(struct client_play *play, const char *user)
{
	struct contact *c;

	assert_int_equal(contacts_add(&play->p->contacts, user, &c), 0);
	ask_all(play->p, play->now_ms);
}

/* Bob is watched, and known to be in this state. */
static void know_bob(struct client_play *play, const char *state)
{
	char line[512];

	watch(play, "bob");
	snprintf(line, sizeof(line),
		"{\"type\":\"watching\",\"id\":%u,\"presences\":[{\"user\":\"bob\",\"state\":\"%s\","
		"\"reason\":\"login\",\"seq\":7,\"at_ms\":1,\"last_seen_ms\":2,\"status\":null}]}",
		(unsigned)play->p->last_id, state);
	play_line(play, line);
	play_told(play);
	play_sent(play);
}

/* The reply to a watch of bob alone, whatever its id. */
static void snapshot_of_bob(struct client_play *play, const char *state, unsigned seq)
{
	char line[512];

	snprintf(line, sizeof(line),
		"{\"type\":\"watching\",\"id\":%u,\"presences\":[{\"user\":\"bob\",\"state\":\"%s\","
		"\"reason\":\"login\",\"seq\":%u,\"at_ms\":1,\"last_seen_ms\":2,\"status\":null}]}",
		(unsigned)play->p->last_id, state, seq);
	play_line(play, line);
}

static void test_says_hello_and_is_up(void **state)
{
	const struct presence_options options = {.url = "unix:///x",
		.user = "al\"ice",
		.device = "phone",
		.token = "t.o.k",
		.state = PRESENCE_STATE_AWAY,
		.status = "tea",
		.heartbeat_ms = 5000};
	struct client_play play;

	(void)state;
	play_begin(&play, &options);
	link_start(play.p, play.now_ms);
	assert_string_equal(play_told(&play), "connecting ");
	assert_string_equal(play_sent(&play), "");
	play_open(&play);
	assert_string_equal(play_sent(&play),
		"{\"type\":\"hello\",\"v\":1,\"user\":\"al\\\"ice\",\"device\":\"phone\",\"token\":"
		"\"t.o.k\",\"heartbeat_ms\":5000,\"state\":\"away\",\"status\":\"tea\"}\n");
	play_line(&play,
		"{\"type\":\"welcome\",\"v\":1,\"user\":\"alice\",\"device\":\"phone\",\"session\":\"s1\","
		"\"server\":\"one\",\"heartbeat_ms\":5000,\"timeout_ms\":15000,\"now_ms\":1,"
		"\"resumed\":true,\"later\":[1,{}]}");
	assert_string_equal(play_told(&play), "up resumed ");
	assert_string_equal(presence_self(play.p)->session, "s1");
	assert_int_equal(presence_self(play.p)->timeout_ms, 15000);
	play_end(&play);
}

static void test_bare_hello(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	link_start(play.p, play.now_ms);
	play_open(&play);
	assert_string_equal(play_sent(&play), "{\"type\":\"hello\",\"v\":1,\"user\":\"alice\"}\n");
	/* The device that the server made up is kept. */
	play_line(&play,
		"{\"type\":\"welcome\",\"user\":\"alice\",\"device\":\"made\",\"session\":\"s\","
		"\"server\":\"one\",\"heartbeat_ms\":10000,\"timeout_ms\":30000}");
	play_lose(&play, PRESENCE_ERROR_CLOSED);
	play_wait(&play, 4000);
	play_sent(&play);
	play_open(&play);
	assert_string_equal(play_sent(&play),
		"{\"type\":\"hello\",\"v\":1,\"user\":\"alice\",\"device\":\"made\"}\n");
	play_end(&play);
}

static void test_first_heartbeat_at_random_then_in_time(void **state)
{
	unsigned n_early = 0, n_late = 0;

	(void)state;
	for (unsigned i = 0; i < 400; i++) {
		struct client_play play;

		play_begin(&play, NULL);
		play_log_in(&play);
		uint64_t first = play.p->beat_at_ms - play.now_ms;
		assert_true(first < 10000);
		n_early += first < 2500;
		n_late += first >= 7500;
		play_wait(&play, first);
		assert_string_equal(play_sent(&play), "\n");
		uint64_t second = play.p->beat_at_ms - play.now_ms;
		assert_true(second > 9000 && second <= 10000);
		play_end(&play);
	}
	/* A quarter each: 100 of 400, and four times the deviation of 8.7. */
	assert_in_range(n_early, 65, 135);
	assert_in_range(n_late, 65, 135);
}

static void test_silence(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	know_bob(&play, "busy");
	play_wait(&play, 20000);
	play_line(&play, "");
	play_told(&play);
	/* Heard at this moment: nothing for 30 s less a millisecond, then all at once. */
	play_wait(&play, 29999);
	assert_string_equal(play_told(&play), "");
	play_wait(&play, 1);
	assert_string_equal(play_told(&play), "waiting:silence contact:bob=unknown/busy ");
	play_end(&play);
}

static void test_any_byte_is_life(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	for (int i = 0; i < 10; i++) {
		play_wait(&play, 29999);
		link_heard(play.p, play.now_ms);
	}
	assert_string_equal(play_told(&play), "");
	play_end(&play);
}

static void test_back_in_time_with_the_same_words_is_no_news(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	know_bob(&play, "online");
	play_lose(&play, PRESENCE_ERROR_LOST);
	assert_string_equal(play_told(&play), "waiting:lost ");
	play_log_in(&play);
	/* Also of another run of the server, whose numbers are small. */
	snapshot_of_bob(&play, "online", 7);
	assert_string_equal(play_told(&play), "");
	play_lose(&play, PRESENCE_ERROR_LOST);
	play_log_in_as(&play, ",\"server\":\"two\"");
	play_told(&play);
	snapshot_of_bob(&play, "online", 1);
	assert_string_equal(play_told(&play), "");
	play_presence(&play, "bob", "offline", 2);
	assert_string_equal(play_told(&play), "contact:bob=offline/offline ");
	play_end(&play);
}

static void test_back_with_other_words(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	know_bob(&play, "online");
	play_lose(&play, PRESENCE_ERROR_LOST);
	play_log_in(&play);
	snapshot_of_bob(&play, "away", 9);
	assert_string_equal(play_told(&play), "contact:bob=online/away ");
	play_end(&play);
}

static void test_a_loss_alone_changes_nothing_until_the_word_is_stale(void **state)
{
	struct client_play play;
	uint64_t heard;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	know_bob(&play, "online");
	heard = play.now_ms;
	play_wait(&play, 5000);
	play_lose(&play, PRESENCE_ERROR_CLOSED);
	play_told(&play);
	/* No server is there: each attempt fails, and only at the promised moment is bob unknown. */
	while (play.now_ms < heard + 29999) {
		uint64_t next = link_deadline(play.p);

		play_wait(&play,
			next < heard + 29999 ? next - play.now_ms : heard + 29999 - play.now_ms);
		if (play.p->link == PRESENCE_LINK_CONNECTING)
			play_lose(&play, PRESENCE_ERROR_CONNECT);
		assert_null(strstr(play_told(&play), "contact"));
	}
	play_wait(&play, 1);
	assert_non_null(strstr(play_told(&play), "contact:bob=unknown/online "));
	/* And once: not again with the next failure. */
	play_wait(&play, 60000);
	assert_null(strstr(play_told(&play), "contact"));
	play_end(&play);
}

static void test_what_is_asked_before_it_is_told_is_true(void **state)
{
	struct client_play play;
	struct contact *bob;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	know_bob(&play, "online");
	bob = contacts_find(&play.p->contacts, "bob");
	struct presence_contact now = contacts_view(&play.p->contacts, bob, play.now_ms + 29999);
	assert_int_equal(now.truth, PRESENCE_ONLINE);
	assert_int_equal(now.fresh_until_ms, play.now_ms + 30000);
	assert_int_equal(now.as_of_ms, play.now_ms);
	now = contacts_view(&play.p->contacts, bob, play.now_ms + 30000);
	assert_int_equal(now.truth, PRESENCE_UNKNOWN);
	assert_int_equal(now.state, PRESENCE_STATE_ONLINE);
	play_end(&play);
}

static void test_old_news_is_none(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	know_bob(&play, "online");
	play_presence(&play, "bob", "offline", 6);
	assert_string_equal(play_told(&play), "");
	play_presence(&play, "bob", "busy", 8);
	assert_string_equal(play_told(&play), "contact:bob=online/busy ");
	play_presence(&play, "carol", "busy", 8);
	assert_string_equal(play_told(&play), "");
	play_end(&play);
}

static void test_connect_timeout(void **state)
{
	const struct presence_options options = {
		.url = "tcp://x", .user = "a", .connect_timeout_ms = 700};
	struct client_play play;

	(void)state;
	play_begin(&play, &options);
	link_start(play.p, play.now_ms);
	play_wait(&play, 600);
	play_open(&play); /* a stream is not yet a login */
	play_told(&play);
	play_wait(&play, 99);
	assert_string_equal(play_told(&play), "");
	play_wait(&play, 1);
	assert_string_equal(play_told(&play), "waiting:connect_timeout ");
	play_end(&play);
}

static void test_back_off_grows_and_is_forgotten_when_the_server_answers(void **state)
{
	const struct presence_options options = {
		.url = "tcp://x", .user = "a", .backoff_first_ms = 100, .backoff_max_ms = 1000};
	static const uint64_t windows[] = {100, 200, 400, 800, 1000, 1000};
	struct client_play play;

	(void)state;
	play_begin(&play, &options);
	link_start(play.p, play.now_ms);
	for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
		play_lose(&play, PRESENCE_ERROR_CONNECT);
		assert_in_range(play.retry_in_ms, 0, windows[i]);
		play_wait(&play, play.retry_in_ms);
	}
	assert_int_equal(play.p->backoff.window_ms, 1000);
	/* A welcome is not enough: a server that takes logins and fails is not to be stormed. */
	play_log_in(&play);
	assert_int_equal(play.p->backoff.window_ms, 1000);
	play_line(&play, "");
	play_lose(&play, PRESENCE_ERROR_LOST);
	assert_int_equal(play.p->backoff.window_ms, 200);
	play_end(&play);
}

static void test_stop_says_bye_and_waits_a_second(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	link_stop(play.p, play.now_ms);
	assert_string_equal(play_sent(&play), "{\"type\":\"bye\"}\n");
	link_stop(play.p, play.now_ms);
	assert_string_equal(play_sent(&play), "");
	play_wait(&play, 999);
	assert_string_equal(play_told(&play), "");
	play_wait(&play, 1);
	assert_string_equal(play_told(&play), "stopped ");

	play_log_in(&play);
	link_stop(play.p, play.now_ms);
	play_line(&play, "{\"type\":\"bye\",\"reason\":\"logout\"}");
	assert_string_equal(play_told(&play), "stopped ");
	assert_int_equal(presence_last_error(play.p), PRESENCE_OK);

	link_start(play.p, play.now_ms);
	play_told(&play);
	link_stop(play.p, play.now_ms);
	assert_string_equal(play_told(&play), "stopped ");
	play_end(&play);
}

/* --- words of one's own --- */

static void test_updates(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	link_update(play.p, PRESENCE_STATE_BUSY, NULL);
	link_update(play.p, PRESENCE_STATE_NONE, "");
	link_update(play.p, PRESENCE_STATE_NONE, NULL);
	assert_string_equal(play_sent(&play), "{\"type\":\"update\",\"id\":1,\"state\":\"busy\"}\n"
					      "{\"type\":\"update\",\"id\":2,\"status\":null}\n");
	play_end(&play);
}

static void test_update_between_hello_and_welcome(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	link_start(play.p, play.now_ms);
	play_open(&play);
	assert_int_equal(presence_update(play.p, PRESENCE_STATE_AWAY, "x"), PRESENCE_OK);
	play_sent(&play);
	play_line(&play,
		"{\"type\":\"welcome\",\"user\":\"alice\",\"device\":\"d\",\"session\":\"s\","
		"\"server\":\"one\",\"heartbeat_ms\":10000,\"timeout_ms\":30000}");
	assert_string_equal(play_sent(&play),
		"{\"type\":\"update\",\"id\":1,\"state\":\"away\",\"status\":\"x\"}\n");
	play_end(&play);
}

/* --- tokens --- */

static void give_token(struct client_play *play, const char *what)
{
	if (strcmp(what, "token") == 0)
		assert_int_equal(presence_set_token(play->p, "fresh", 3600000), PRESENCE_OK);
}

static void some_token(struct presence *p, void *arg)
{
	(void)p, (void)arg;
}

static void test_a_token_for_each_login(void **state)
{
	const struct presence_options options = {.url = "tcp://x", .on_token = some_token};
	struct client_play play;

	(void)state;
	play_begin(&play, &options);
	link_start(play.p, play.now_ms);
	assert_string_equal(play_told(&play), "token? waiting ");
	assert_int_equal(play.retry_in_ms, UINT64_MAX);
	link_retry(play.p, play.now_ms);
	play_wait(&play, 100000);
	assert_string_equal(play_told(&play), "");
	free(play.p->token);
	play.p->token = strdup("later");
	play.p->is_token_fresh = true;
	link_token_given(play.p, play.now_ms);
	assert_string_equal(play_told(&play), "connecting ");
	play_open(&play);
	assert_string_equal(play_sent(&play), "{\"type\":\"hello\",\"v\":1,\"token\":\"later\"}\n");
	/* The next login wants another one, and gets it at once. */
	play.hook = give_token;
	play_lose(&play, PRESENCE_ERROR_LOST);
	play_wait(&play, 4000);
	assert_string_equal(play_told(&play), "waiting:lost token? connecting ");
	play_end(&play);
}

static void test_a_token_is_renewed_before_it_ends(void **state)
{
	const struct presence_options options = {
		.url = "tcp://x", .token = "first", .on_token = some_token};
	struct client_play play;

	(void)state;
	play_begin(&play, &options);
	play_log_in(&play);
	play.p->token_due_ms = play.now_ms + 9000;
	play.hook = give_token;
	play_wait(&play, 8999);
	assert_string_equal(play_told(&play), "");
	play_sent(&play);
	play.p->beat_at_ms = UINT64_MAX;
	play_wait(&play, 1);
	assert_string_equal(play_told(&play), "token? ");
	assert_string_equal(
		play_sent(&play), "{\"type\":\"update\",\"id\":1,\"token\":\"fresh\"}\n");
	play_end(&play);
}

static void no_token(struct client_play *play, const char *what)
{
	if (strcmp(what, "token") == 0)
		assert_int_equal(presence_set_token(play->p, NULL, 0), PRESENCE_OK);
}

static void test_no_token_is_the_end(void **state)
{
	const struct presence_options options = {.url = "tcp://x", .on_token = some_token};
	struct client_play play;

	(void)state;
	play_begin(&play, &options);
	play.hook = no_token;
	link_start(play.p, play.now_ms);
	assert_string_equal(play_told(&play), "token? stopped:token ");
	play_end(&play);
}

/* --- callbacks that call back --- */

static void stop_in_callback(struct client_play *play, const char *what)
{
	if (strcmp(what, "bob") == 0)
		link_stop(play->p, play->now_ms);
}

static void unwatch_in_callback(struct client_play *play, const char *what)
{
	struct contact *c;

	if (what[0] == '\0')
		return;
	/* The one that is told of, and the one that would be next. */
	while ((c = play->p->contacts.first))
		contacts_remove(&play->p->contacts, c);
}

static void start_in_callback(struct client_play *play, const char *what)
{
	if (what[0] == '\0' && play->p->link == PRESENCE_LINK_STOPPED)
		link_start(play->p, play->now_ms);
}

static void test_callbacks_call_back(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	know_bob(&play, "online");
	watch(&play, "carol");
	play_sent(&play);
	play.hook = stop_in_callback;
	play_presence(&play, "bob", "away", 9);
	assert_string_equal(play_sent(&play), "{\"type\":\"bye\"}\n");
	play.hook = start_in_callback;
	play_told(&play);
	play_line(&play, "{\"type\":\"bye\",\"reason\":\"logout\"}");
	assert_string_equal(play_told(&play), "stopped connecting ");
	play.hook = unwatch_in_callback;
	play_wait(&play, 40000);
	assert_int_equal(presence_count(play.p), 0);
	contacts_bury(&play.p->contacts);
	play_end(&play);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_says_hello_and_is_up),
		cmocka_unit_test(test_bare_hello),
		cmocka_unit_test(test_first_heartbeat_at_random_then_in_time),
		cmocka_unit_test(test_silence),
		cmocka_unit_test(test_any_byte_is_life),
		cmocka_unit_test(test_back_in_time_with_the_same_words_is_no_news),
		cmocka_unit_test(test_back_with_other_words),
		cmocka_unit_test(test_a_loss_alone_changes_nothing_until_the_word_is_stale),
		cmocka_unit_test(test_what_is_asked_before_it_is_told_is_true),
		cmocka_unit_test(test_old_news_is_none),
		cmocka_unit_test(test_connect_timeout),
		cmocka_unit_test(test_back_off_grows_and_is_forgotten_when_the_server_answers),
		cmocka_unit_test(test_stop_says_bye_and_waits_a_second),
		cmocka_unit_test(test_updates),
		cmocka_unit_test(test_update_between_hello_and_welcome),
		cmocka_unit_test(test_a_token_for_each_login),
		cmocka_unit_test(test_a_token_is_renewed_before_it_ends),
		cmocka_unit_test(test_no_token_is_the_end),
		cmocka_unit_test(test_callbacks_call_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
