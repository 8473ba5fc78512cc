/* How a connection ends, and whether the client comes back: a row each. */
#include "base/compiler.h"
#include "client/c/client.h"
#include "support/client_play.h"
#include "support/cmocka_all.h"

#include <stdio.h>
#include <string.h>

static const struct {
	const char *line; /* of a session that is up, or NULL: lost without a word */
	const char *told;
	uint64_t at_least_ms;
} ends[] = {
	{NULL, "waiting:lost ", 0},
	{"{\"type\":\"bye\",\"reason\":\"shutdown\",\"retry_ms\":2500}", "waiting:shutdown ", 2500},
	{"{\"type\":\"bye\",\"reason\":\"slow\",\"retry_ms\":1000}", "waiting:slow ", 1000},
	{"{\"type\":\"bye\",\"reason\":\"timeout\"}", "waiting:timed_out ", 0},
	{"{\"type\":\"bye\",\"reason\":\"expired\"}", "waiting:expired ", 0},
	{"{\"type\":\"bye\",\"reason\":\"violation\"}", "waiting:protocol ", 0},
	{"{\"type\":\"bye\",\"reason\":\"of a later version\"}", "waiting:protocol ", 0},
	{"{\"type\":\"bye\"}", "waiting:protocol ", 0},
	{"{\"type\":\"bye\",\"reason\":\"logout\"}", "waiting:closed ", 0},
	{"{\"type\":\"bye\",\"reason\":\"replaced\"}", "stopped:replaced ", 0},
	{"{\"type\":\"bye\",\"reason\":\"kicked\"}", "stopped:kicked ", 0},
	{"{\"type\":\"error\",\"code\":\"rate_limited\",\"retry_ms\":700}", "waiting:rate_limited ",
		700},
	{"{\"type\":\"error\",\"code\":\"auth_failed\",\"message\":\"m\"}", "stopped:auth_failed ",
		0},
	{"{\"type\":\"error\",\"code\":\"line_too_long\"}", "waiting:protocol ", 0},
	{"{\"type\":\"error\",\"code\":\"forbidden\",\"id\":77}", "waiting:protocol ", 0},
	{"{\"type\":\"error\"}", "waiting:protocol ", 0},
	{"{\"type\":\"welcome\"}", "waiting:protocol ", 0},
	{"{\"type\":\"presence\",\"user\":\"bob\"}", "waiting:protocol ", 0},
	{"{\"type\":\"watching\"}", "waiting:protocol ", 0},
	{"{\"type\":\"watching\",\"presences\":[3]}", "waiting:protocol ", 0},
	{"{\"type\":7}", "waiting:protocol ", 0},
	{"[]", "waiting:protocol ", 0},
	{"not JSON", "waiting:protocol ", 0},
};

static void test_each_end(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		struct client_play play;

		play_begin(&play, NULL);
		play_log_in(&play);
		if (ends[i].line)
			play_line(&play, ends[i].line);
		else
			play_lose(&play, PRESENCE_ERROR_LOST);
		assert_string_equal(play_told(&play), ends[i].told);
		if (strncmp(ends[i].told, "stopped", 7) == 0) {
			/* For good: no time brings it back, but a start does. */
			play_wait(&play, 3600 * 1000);
			assert_string_equal(play_told(&play), "");
			link_start(play.p, play.now_ms);
			assert_string_equal(play_told(&play), "connecting ");
		} else {
			assert_in_range(
				play.retry_in_ms, ends[i].at_least_ms, ends[i].at_least_ms + 4000);
			/* Also where the application is in a hurry. */
			link_retry(play.p, play.now_ms);
			if (ends[i].at_least_ms > 0)
				play_wait(&play, ends[i].at_least_ms - 1);
			assert_string_equal(
				play_told(&play), ends[i].at_least_ms > 0 ? "" : play_told(&play));
			play_wait(&play, 1);
			assert_int_equal(play.p->link, PRESENCE_LINK_CONNECTING);
		}
		play_end(&play);
	}
}

static const struct {
	const char *code, *told;
} refusals[] = {
	{"version", "stopped:version "},
	{"auth_required", "stopped:auth_required "},
	{"auth_failed", "stopped:auth_failed "},
	{"bad_message", "stopped:rejected "},
	{"forbidden", "stopped:rejected "},
	{"of a later version", "stopped:rejected "},
	{"hello_required", "waiting:protocol "},
	{"server_full", "waiting:server_full "},
	{"rate_limited", "waiting:rate_limited "},
};

static void test_each_refusal_of_a_hello(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct client_play play;
		char line[256];

		play_begin(&play, NULL);
		link_start(play.p, play.now_ms);
		play_open(&play);
		play_told(&play);
		snprintf(line, sizeof(line), "{\"type\":\"error\",\"code\":\"%s\"}",
			refusals[i].code);
		play_line(&play, line);
		assert_string_equal(play_told(&play), refusals[i].told);
		play_end(&play);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_end),
		cmocka_unit_test(test_each_refusal_of_a_hello),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
