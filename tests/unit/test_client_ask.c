/* Watches and queries of a client: parties, refusals, resumed sessions. */
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
}

/* A server of its own: answers each watch, unwatch and query that the client sends, and knows whom it refuses. */
struct server {
	struct client_play *play;
	bool (*refuses)(const char *user);
	unsigned n_requests, n_watches, n_unwatched;
	size_t longest; /* line */
};

static size_t count_users(char *array, const char *users[])
{
	size_t n = 0;

	for (char *at = strtok(array, ","); at; at = strtok(NULL, ",")) {
		at[strlen(at) - 1] = '\0';
		users[n++] = at + 1;
	}
	return n;
}

static void serve_line(struct server *s, char *line)
{
	static const char *users[PARTY_MAX];
	static char reply[PLAY_TEXT_MAX * 4];
	bool is_watch = strstr(line, "\"watch\"") != NULL, is_query = strstr(line, "\"query\"");
	unsigned long id = strtoul(strstr(line, "\"id\":") + 5, NULL, 10);
	char *array = strchr(line, '[') + 1;
	size_t at = 0;

	s->longest = strlen(line) + 1 > s->longest ? strlen(line) + 1 : s->longest;
	*strchr(array, ']') = '\0';
	size_t n = count_users(array, users);
	assert_true(n >= 1 && n <= PARTY_MAX);
	s->n_requests++;
	if (!is_watch && !is_query) {
		s->n_unwatched += (unsigned)n;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		if (!s->refuses(users[i]))
			continue;
		snprintf(reply, sizeof(reply),
			"{\"type\":\"error\",\"id\":%lu,\"code\":\"forbidden\"}", id);
		play_line(s->play, reply);
		return;
	}
	s->n_watches += is_watch ? (unsigned)n : 0;
	at += (size_t)snprintf(reply + at, sizeof(reply) - at,
		"{\"type\":\"%s\",\"id\":%lu,\"presences\":[", is_watch ? "watching" : "presences",
		id);
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(reply + at, sizeof(reply) - at,
			"%s{\"user\":\"%s\",\"state\":\"away\",\"seq\":1}", i ? "," : "", users[i]);
	snprintf(reply + at, sizeof(reply) - at, "]}");
	play_line(s->play, reply);
}

/* All that was sent, and what is sent because of it; time goes on where the client paces itself. */
static void serve(struct server *s)
{
	do {
		char *sent = strdup(play_sent(s->play));
		char *rest, *line = sent;

		assert_non_null(sent);
		for (; (rest = strchr(line, '\n')); line = rest + 1) {
			*rest = '\0';
			if (line != rest)
				serve_line(s, line);
		}
		free(sent);
		if (ask_deadline(s->play->p) != UINT64_MAX)
			play_wait(s->play, SUSPECT_PAUSE_MS);
	} while (s->play->p->out.len > 0 || ask_deadline(s->play->p) != UINT64_MAX);
}

static bool refuses_none(const char *user)
{
	(void)user;
	return false;
}

static bool refuses_all(const char *user)
{
	(void)user;
	return true;
}

static bool refuses_some(const char *user)
{
	return strcmp(user, "u0") == 0 || strcmp(user, "u500") == 0 || strcmp(user, "u501") == 0 ||
	       strcmp(user, "u2499") == 0;
}

static void watch_many(struct client_play *play, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		char user[16];

		snprintf(user, sizeof(user), "u%u", i);
		watch(play, user);
	}
	ask_all(play->p, play->now_ms);
}

static unsigned count_phase(const struct client_play *play, enum contact_phase phase)
{
	unsigned n = 0;

	for (struct contact *c = play->p->contacts.first; c; c = c->next)
		n += c->phase == phase;
	assert_int_equal(n, play->p->contacts.n_in[phase]);
	return n;
}

static void test_many_are_asked_for_in_parties(void **state)
{
	struct client_play *play = calloc(1, sizeof(*play));
	struct server s = {.play = play, .refuses = refuses_none};

	(void)state;
	play_begin(play, NULL);
	play_log_in(play);
	watch_many(play, 2500);
	serve(&s);
	assert_int_equal(s.n_requests, 3);
	assert_int_equal(count_phase(play, CONTACT_WATCHED), 2500);
	assert_true(s.longest <= REQUEST_BYTES_MAX);
	play_end(play);
	free(play);
}

static void test_those_who_are_refused_are_found(void **state)
{
	struct client_play *play = calloc(1, sizeof(*play));
	struct server s = {.play = play, .refuses = refuses_some};

	(void)state;
	play_begin(play, NULL);
	play_log_in(play);
	watch_many(play, 2500);
	serve(&s);
	assert_int_equal(count_phase(play, CONTACT_WATCHED), 2496);
	assert_int_equal(count_phase(play, CONTACT_REFUSED), 4);
	/* Three parties, and a few halvings for each of the four. */
	assert_in_range(s.n_requests, 10, 3 + 4 * 24);
	assert_int_equal(
		contacts_find(&play->p->contacts, "u500")->view.error, PRESENCE_ERROR_FORBIDDEN);
	assert_int_equal(play->p->link, PRESENCE_LINK_UP);
	play_end(play);
	free(play);
}

static void test_all_refused_are_told_once_each(void **state)
{
	struct client_play *play = calloc(1, sizeof(*play));
	struct server s = {.play = play, .refuses = refuses_all};
	uint64_t began;

	(void)state;
	play_begin(play, NULL);
	play_log_in(play);
	watch_many(play, 50);
	began = play->now_ms;
	serve(&s);
	assert_int_equal(count_phase(play, CONTACT_REFUSED), 50);
	/* Not faster than a server takes it: 200 a second. */
	assert_true(play->now_ms - began >= 50 * SUSPECT_PAUSE_MS / 2);
	const char *told = play_told(play);
	unsigned n = 0;
	for (; (told = strstr(told, "forbidden ")); told++)
		n++;
	assert_int_equal(n, 50);
	/* With the next login they are asked for again. */
	play_lose(play, PRESENCE_ERROR_LOST);
	s.refuses = refuses_none;
	play_log_in_as(play, ",\"server\":\"one\"");
	serve(&s);
	assert_int_equal(count_phase(play, CONTACT_WATCHED), 50);
	play_end(play);
	free(play);
}

static void test_what_is_unwatched_meanwhile_holds_nothing_up(void **state)
{
	struct client_play *play = calloc(1, sizeof(*play));
	struct server s = {.play = play, .refuses = refuses_some};
	struct contact *c;

	(void)state;
	play_begin(play, NULL);
	play_log_in(play);
	watch(play, "u0");
	watch(play, "u1");
	ask_all(play->p, play->now_ms);
	while ((c = play->p->contacts.first))
		contacts_remove(&play->p->contacts, c);
	watch(play, "u2");
	serve(&s);
	assert_int_equal(count_phase(play, CONTACT_WATCHED), 1);
	contacts_bury(&play->p->contacts);
	play_end(play);
	free(play);
}

/* --- resumed sessions --- */

static void test_resumed_watches(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in_as(&play, ",\"server\":\"one\",\"resume\":\"secret\"");
	watch(&play, "bob");
	watch(&play, "carol");
	play_lose(&play, PRESENCE_ERROR_LOST);
	play_told(&play);
	play_wait(&play, 4000);
	play_open(&play);
	assert_non_null(strstr(play_sent(&play), ",\"resume\":\"secret\"}\n"));
	play_line(&play,
		"{\"type\":\"welcome\",\"user\":\"alice\",\"device\":\"d\",\"session\":\"s\",\"server\":\"one\","
		"\"heartbeat_ms\":10000,\"timeout_ms\":30000,\"resumed\":true,\"resume\":\"other\"}");
	/* Nothing is asked for before the snapshot is there, but that there is one. */
	assert_string_equal(play_sent(&play), "\n");
	play_line(&play,
		"{\"type\":\"watching\",\"presences\":[{\"user\":\"bob\",\"state\":\"online\"}],\"more\":true}");
	assert_string_equal(play_sent(&play), "");
	play_line(&play,
		"{\"type\":\"watching\",\"presences\":[{\"user\":\"dave\",\"state\":\"online\"}]}");
	assert_string_equal(play_sent(&play),
		"{\"type\":\"unwatch\",\"id\":1,\"users\":[\"dave\"]}\n"
		"{\"type\":\"watch\",\"id\":2,\"users\":[\"carol\"]}\n");
	assert_int_equal(contacts_find(&play.p->contacts, "bob")->phase, CONTACT_WATCHED);
	assert_string_equal(play.p->resume, "other");
	play_end(&play);
}

static void test_resumed_without_watches(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in_as(&play, ",\"server\":\"one\",\"resume\":\"secret\"");
	watch(&play, "bob");
	play_lose(&play, PRESENCE_ERROR_LOST);
	play_wait(&play, 4000);
	play_open(&play);
	play_sent(&play);
	play_line(&play,
		"{\"type\":\"welcome\",\"user\":\"alice\",\"device\":\"d\",\"session\":\"s\",\"server\":\"one\","
		"\"heartbeat_ms\":10000,\"timeout_ms\":30000,\"resumed\":true}");
	assert_string_equal(play_sent(&play), "\n");
	play_line(&play, "");
	assert_string_equal(
		play_sent(&play), "{\"type\":\"watch\",\"id\":1,\"users\":[\"bob\"]}\n");
	play_end(&play);
}

/* --- queries --- */

static const char *const two[] = {"bob", "carol"};

static void test_query(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_query(&play, two, 2);
	assert_string_equal(play_sent(&play), "");
	play_log_in_as(&play, ",\"server\":\"one\"");
	assert_string_equal(
		play_sent(&play), "{\"type\":\"query\",\"id\":1,\"users\":[\"bob\",\"carol\"]}\n");
	play_told(&play);
	play_line(&play,
		"{\"type\":\"presences\",\"id\":1,\"more\":true,\"presences\":[{\"user\":\"bob\",\"state\":\"busy\"}]}");
	assert_string_equal(play_told(&play), "");
	play_line(&play,
		"{\"type\":\"presences\",\"id\":1,\"presences\":[{\"user\":\"carol\",\"state\":\"offline\","
		"\"status\":\"gone\"}]}");
	assert_string_equal(play_told(&play), "answer:ok=2:bob/online,carol/offline ");
	play_end(&play);
}

static void test_a_query_outlives_its_connection(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	play_query(&play, two, 2);
	play_line(&play,
		"{\"type\":\"presences\",\"id\":1,\"more\":true,\"presences\":[{\"user\":\"bob\",\"state\":\"busy\","
		"\"status\":\"a\"}]}");
	play_lose(&play, PRESENCE_ERROR_LOST);
	play_log_in_as(&play, ",\"server\":\"one\"");
	assert_non_null(strstr(play_sent(&play), "[\"bob\",\"carol\"]"));
	play_told(&play);
	play_line(&play, "{\"type\":\"error\",\"id\":2,\"code\":\"forbidden\"}");
	assert_string_equal(play_told(&play), "answer:forbidden=0 ");
	play_end(&play);
}

static void test_a_query_that_can_not_be_answered(void **state)
{
	struct client_play play;

	(void)state;
	play_begin(&play, NULL);
	play_log_in(&play);
	play_query(&play, two, 2);
	play_line(&play, "{\"type\":\"bye\",\"reason\":\"kicked\"}");
	assert_string_equal(play_told(&play), "stopped:kicked answer:kicked=0 ");
	play_query(&play, two, 1);
	link_start(play.p, play.now_ms);
	play_told(&play);
	link_stop(play.p, play.now_ms);
	assert_string_equal(play_told(&play), "stopped answer:stopped=0 ");
	play_end(&play);
}

#define PRESENCES(elements) "{\"type\":\"presences\",\"id\":1,\"presences\":" elements "}"
#define IS_BUSY(user)       "{\"user\":\"" user "\",\"state\":\"busy\"}"

static const char *const wrong_replies[] = {
	PRESENCES("[]"),
	PRESENCES("[" IS_BUSY("carol") "]"),
	PRESENCES("[" IS_BUSY("bob") "," IS_BUSY("carol") "," IS_BUSY("dave") "]"),
	PRESENCES("{}"),
};

static void test_a_reply_that_does_not_fit(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong_replies); i++) {
		struct client_play play;

		play_begin(&play, NULL);
		play_log_in(&play);
		play_query(&play, two, 2);
		play_line(&play, wrong_replies[i]);
		assert_string_equal(play_told(&play), "waiting:protocol ");
		play_end(&play);
	}
}

static void test_a_long_query_goes_in_parts(void **state)
{
	struct client_play *play = calloc(1, sizeof(*play));
	struct server s = {.play = play, .refuses = refuses_none};
	static const char *users[2200];
	static char names[2200][16];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(users); i++) {
		snprintf(names[i], sizeof(names[i]), "u%zu", i);
		users[i] = names[i];
	}
	play_begin(play, NULL);
	play_log_in(play);
	play_query(play, users, ARRAY_LEN(users));
	serve(&s);
	assert_int_equal(s.n_requests, 3);
	assert_non_null(strstr(play_told(play), "answer:ok=2200:u0/online,u1/online"));
	play_end(play);
	free(play);
}

/* A server that takes only short lines says so, and the next login keeps to it. */
static void test_lines_become_shorter(void **state)
{
	struct client_play *play = calloc(1, sizeof(*play));
	struct server s = {.play = play, .refuses = refuses_none};

	(void)state;
	play_begin(play, NULL);
	for (unsigned i = 0; i < 5; i++) {
		play_log_in(play);
		play_line(play, "{\"type\":\"error\",\"code\":\"line_too_long\"}");
	}
	play_log_in(play);
	watch_many(play, 1000);
	serve(&s);
	assert_true(s.longest <= REQUEST_BYTES_MAX / 32);
	assert_int_equal(count_phase(play, CONTACT_WATCHED), 1000);
	play_end(play);
	free(play);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_many_are_asked_for_in_parties),
		cmocka_unit_test(test_those_who_are_refused_are_found),
		cmocka_unit_test(test_all_refused_are_told_once_each),
		cmocka_unit_test(test_what_is_unwatched_meanwhile_holds_nothing_up),
		cmocka_unit_test(test_resumed_watches),
		cmocka_unit_test(test_resumed_without_watches),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_a_query_outlives_its_connection),
		cmocka_unit_test(test_a_query_that_can_not_be_answered),
		cmocka_unit_test(test_a_reply_that_does_not_fit),
		cmocka_unit_test(test_a_long_query_goes_in_parts),
		cmocka_unit_test(test_lines_become_shorter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
