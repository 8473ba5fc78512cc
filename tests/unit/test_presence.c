/* The functions of <presence.h>: arguments, life, memory that is refused. */
#include "base/compiler.h"
#include "client/c/client.h"
#include "support/client_play.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WELCOME                                                                                    \
	"{\"type\":\"welcome\",\"user\":\"alice\",\"device\":\"d\",\"session\":\"s\",\"server\":"  \
	"\"one\",\"heartbeat_ms\":10000,\"timeout_ms\":30000}\n"

static const struct presence_options plain = {
	.size = sizeof(plain), .url = "tcp://127.0.0.1:1", .user = "alice"};

static void words(void **state)
{
	(void)state;
	assert_string_equal(presence_error_word(PRESENCE_OK), "ok");
	assert_string_equal(presence_error_word(PRESENCE_ERROR_KICKED), "kicked");
	assert_string_equal(presence_error_word((enum presence_error)1000), "?");
	assert_string_equal(presence_error_text((enum presence_error)1000), "unknown error");
	assert_string_equal(presence_truth_word((enum presence_truth)9), "?");
	assert_string_equal(presence_state_word(PRESENCE_STATE_BUSY), "busy");
	assert_string_equal(presence_reason_word(PRESENCE_REASON_VIOLATION), "violation");
	assert_string_equal(presence_link_word(PRESENCE_LINK_UP), "up");
#define IS_FINAL(name, number, word, text)                                                         \
	assert_true(strlen(presence_error_text(PRESENCE_ERROR_##name)) > 0);
	PRESENCE_ERRORS(IS_FINAL)
#undef IS_FINAL
	char version[32];
	snprintf(version, sizeof(version), "%d.%d.%d", PRESENCE_VERSION_MAJOR,
		PRESENCE_VERSION_MINOR, PRESENCE_VERSION_PATCH);
	assert_string_equal(presence_version(), version);
}

static enum presence_error made(struct presence_options o)
{
	struct presence *p = NULL;
	enum presence_error error = presence_new(&o, &p);

	assert_true((error == PRESENCE_OK) == (p != NULL));
	presence_free(p);
	return error;
}

static void options_are_judged(void **state)
{
	struct presence *p;
	struct {
		struct presence_options known;
		char later[16];
	} newer = {.known = plain};
	char long_user[200];

	(void)state;
#define WITH(...) ((struct presence_options){.size = sizeof(struct presence_options), __VA_ARGS__})
	assert_int_equal(presence_new(NULL, &p), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_new(&plain, NULL), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made((struct presence_options){.url = "tcp://h", .user = "a"}),
		PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made(WITH(.user = "a")), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made(WITH(.url = "tcp://h")), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made(WITH(.url = "http://h", .user = "a")), PRESENCE_ERROR_URL);
	assert_int_equal(made(WITH(.url = "tcp://h", .user = "")), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made(WITH(.url = "tcp://h", .user = "a\nb")), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made(WITH(.url = "tcp://h", .user = "\xff")), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made(WITH(.url = "tcp://h", .user = "\xc3")), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(
		made(WITH(.url = "tcp://h", .user = "a", .device = "")), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made(WITH(.url = "tcp://h", .user = "a", .state = PRESENCE_STATE_OFFLINE)),
		PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(made(WITH(.url = "tcp://h", .token = "t")), PRESENCE_OK);
	assert_int_equal(made(WITH(.url = "tls://h", .user = "a", .ca_file = "/nonexistent")),
		PRESENCE_ERROR_CA);
	assert_int_equal(made(WITH(.url = "wss://h", .user = "a")), PRESENCE_OK);
	memset(long_user, 'u', sizeof(long_user));
	long_user[128] = '\0';
	assert_int_equal(made(WITH(.url = "tcp://h", .user = long_user)), PRESENCE_OK);
	long_user[128] = 'u';
	long_user[129] = '\0';
	assert_int_equal(made(WITH(.url = "tcp://h", .user = long_user)), PRESENCE_ERROR_ARGUMENT);

	/* A program that was compiled with a later header says nothing in what this library does not know, or is refused; an
	 * older one has fewer fields. */
	newer.known.size = sizeof(newer);
	assert_int_equal(presence_new(&newer.known, &p), PRESENCE_OK);
	presence_free(p);
	newer.later[3] = 1;
	assert_int_equal(presence_new(&newer.known, &p), PRESENCE_ERROR_ARGUMENT);
	newer.known.size = offsetof(struct presence_options, heartbeat_ms);
	newer.known.heartbeat_ms = 77;
	assert_int_equal(presence_new(&newer.known, &p), PRESENCE_OK);
	assert_int_equal(p->options.heartbeat_ms, 0);
	presence_free(p);
}

static void no_client_is_no_crash(void **state)
{
	(void)state;
	presence_free(NULL);
	presence_ready(NULL, 3);
	assert_int_equal(presence_start(NULL), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_run(NULL, 0), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_fd(NULL), -1);
	assert_int_equal(presence_timeout(NULL), -1);
	assert_int_equal(presence_count(NULL), 0);
	assert_null(presence_next(NULL, NULL));
	assert_null(presence_self(NULL));
}

static void no_answer(struct presence *p, enum presence_error error,
	const struct presence_contact *contacts, size_t n, void *arg)
{
	(void)p, (void)contacts, (void)n;
	*(enum presence_error *)arg = error;
}

static void arguments_are_judged(void **state)
{
	const char *const bad[] = {"good", "b\x01"
					   "d"};
	enum presence_error answer = PRESENCE_OK;
	struct presence *p;

	(void)state;
	assert_int_equal(presence_new(&plain, &p), PRESENCE_OK);
	assert_int_equal(presence_watch(p, bad, 2), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_watch(p, NULL, 1), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_count(p), 0);
	assert_int_equal(presence_query(p, bad, 2, no_answer, &answer), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_query(p, bad, 0, no_answer, &answer), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_query(p, bad, 1, NULL, NULL), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_update(p, PRESENCE_STATE_OFFLINE, NULL), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_update(p, PRESENCE_STATE_NONE, "\n"), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_set_token(p, "", 0), PRESENCE_ERROR_ARGUMENT);
	assert_int_equal(presence_query(p, bad, 1, no_answer, &answer), PRESENCE_OK);
	assert_int_equal(answer, PRESENCE_OK);
	presence_free(p);
	assert_int_equal(answer, PRESENCE_ERROR_STOPPED);
}

static void contacts_are_in_the_order_of_watching(void **state)
{
	const char *const users[] = {"bob", "carol", "bob", "dave"}, *const gone[] = {"carol",
									     "nobody", NULL};
	struct presence *p;

	(void)state;
	assert_int_equal(presence_new(&plain, &p), PRESENCE_OK);
	assert_int_equal(presence_watch(p, users, 4), PRESENCE_OK);
	assert_int_equal(presence_count(p), 3);
	assert_string_equal(presence_next(p, NULL)->user, "bob");
	assert_string_equal(presence_next(p, "bob")->user, "carol");
	assert_int_equal(presence_unwatch(p, gone, 3), PRESENCE_OK);
	assert_string_equal(presence_next(p, "bob")->user, "dave");
	assert_null(presence_next(p, "dave"));
	assert_null(presence_next(p, "carol"));
	assert_null(presence_contact(p, "carol"));
	const struct presence_contact *bob = presence_contact(p, "bob");
	assert_int_equal(bob->truth, PRESENCE_UNKNOWN);
	assert_int_equal(bob->state, PRESENCE_STATE_NONE);
	assert_int_equal(bob->fresh_until_ms, 0);
	presence_free(p);
}

static void a_child_has_no_client(void **state)
{
	struct presence *p;
	int status;

	(void)state;
	assert_int_equal(presence_new(&plain, &p), PRESENCE_OK);
	pid_t child = fork();
	if (child == 0) {
		bool is_well = presence_start(p) == PRESENCE_ERROR_FORKED && presence_fd(p) == -1 &&
			       presence_run(p, 0) == PRESENCE_ERROR_FORKED &&
			       presence_last_error(p) == PRESENCE_ERROR_FORKED;
		presence_ready(p, 3);
		presence_free(p);
		_exit(is_well ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	presence_free(p);
}

/* --- refused memory --- */

static void refused_memory_in_new(void **state)
{
	const struct presence_options options = {.size = sizeof(options),
		.url = "wss://127.0.0.1:1/p",
		.user = "alice",
		.device = "d",
		.token = "t",
		.status = "s"};
	struct presence *p;
	enum presence_error error;
	long n = 1;

	(void)state;
	for (;; n++) {
		p = NULL;
		alloc_fail_begin(n);
		error = presence_new(&options, &p);
		if (!alloc_fail_end())
			break;
		assert_int_equal(error, PRESENCE_ERROR_MEMORY);
		assert_null(p);
	}
	assert_int_equal(error, PRESENCE_OK);
	assert_true(n > 5);
	presence_free(p);
}

static void refused_memory_in_calls(void **state)
{
	const char *const users[] = {"bob", "carol", "dave"};
	enum presence_error answer;
	struct presence *p;

	(void)state;
	assert_int_equal(presence_new(&plain, &p), PRESENCE_OK);
	for (long n = 1;; n++) {
		alloc_fail_begin(n);
		enum presence_error error = presence_watch(p, users, 3);
		if (!alloc_fail_end())
			break;
		assert_true(error == PRESENCE_ERROR_MEMORY ? presence_count(p) == 0
							   : presence_count(p) == 3);
	}
	for (long n = 1;; n++) {
		alloc_fail_begin(n);
		enum presence_error error = presence_query(p, users, 3, no_answer, &answer);
		if (!alloc_fail_end())
			break;
		assert_int_equal(error, PRESENCE_ERROR_MEMORY);
	}
	alloc_fail_begin(1);
	assert_int_equal(presence_update(p, PRESENCE_STATE_BUSY, "x"), PRESENCE_ERROR_MEMORY);
	assert_true(alloc_fail_end());
	alloc_fail_begin(1);
	assert_int_equal(presence_set_token(p, "x", 0), PRESENCE_ERROR_MEMORY);
	assert_true(alloc_fail_end());
	presence_free(p);
}

/* Of a whole session: wherever memory is refused, the client is well afterwards, or says why not. */
static void refused_memory_in_a_session(void **state)
{
	static const char *const users[] = {"bob"};
	bool is_over = false;

	(void)state;
	for (long n = 1; !is_over; n++) {
		struct client_play play;
		struct contact *c;

		play_begin(&play, NULL);
		assert_int_equal(contacts_add(&play.p->contacts, "bob", &c), 0);
		link_start(play.p, play.now_ms);
		alloc_fail_begin(n);
		play_open(&play);
		link_heard(play.p, play.now_ms);
		link_line(play.p, WELCOME, strlen(WELCOME) - 1, play.now_ms);
		presence_query(play.p, users, 1, no_answer, &(enum presence_error){0});
		const char *line =
			"{\"type\":\"watching\",\"id\":1,\"presences\":[{\"user\":\"bob\",\"state\":\"busy\","
			"\"status\":\"out\"}]}";
		link_line(play.p, line, strlen(line), play.now_ms);
		is_over = !alloc_fail_end();
		if (is_over)
			assert_non_null(strstr(play_told(&play), "contact:bob=online/busy:out"));
		play_end(&play);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(options_are_judged),
		cmocka_unit_test(no_client_is_no_crash),
		cmocka_unit_test(arguments_are_judged),
		cmocka_unit_test(contacts_are_in_the_order_of_watching),
		cmocka_unit_test(a_child_has_no_client),
		cmocka_unit_test(refused_memory_in_new),
		cmocka_unit_test(refused_memory_in_calls),
		cmocka_unit_test(refused_memory_in_a_session),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
