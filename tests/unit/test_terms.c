#include "base/terms.h"

#include "support/cmocka_all.h"

#include <string.h>

static void words_are_the_protocols(void **state)
{
	(void)state;
	static const char *const states[] = {"offline", "away", "online", "busy", "invisible"};
	static const char *const reasons[] = {"unknown", "login", "update", "logout", "closed",
		"reset", "timeout", "kicked", "expired", "slow", "violation", "replaced",
		"shutdown"};

	assert_int_equal(STATE_N, sizeof(states) / sizeof(states[0]));
	for (enum state s = 0; s < STATE_N; s++)
		assert_string_equal(state_word(s), states[s]);
	assert_int_equal(REASON_N, sizeof(reasons) / sizeof(reasons[0]));
	for (enum reason r = 0; r < REASON_N; r++)
		assert_string_equal(reason_word(r), reasons[r]);
}

static void words_are_read_back(void **state)
{
	(void)state;
	for (enum state s = 0; s < STATE_N; s++) {
		enum state read = STATE_N;
		assert_true(state_parse(state_word(s), strlen(state_word(s)), &read));
		assert_int_equal(read, s);
	}
	for (enum reason r = 0; r < REASON_N; r++) {
		enum reason read = REASON_N;
		assert_true(reason_parse(reason_word(r), strlen(reason_word(r)), &read));
		assert_int_equal(read, r);
	}
}

static void other_words_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *word;
		size_t len;
	} cases[] = {{"", 0}, {"onlin", 5}, {"onlinee", 7}, {"Online", 6}, {"online ", 7},
		{"online\0", 7}, {"logi", 4}, {"LOGIN", 5}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		enum state s = STATE_BUSY;
		enum reason r = REASON_SLOW;
		assert_false(state_parse(cases[i].word, cases[i].len, &s));
		assert_false(reason_parse(cases[i].word, cases[i].len, &r));
		assert_int_equal(s, STATE_BUSY);
		assert_int_equal(r, REASON_SLOW);
	}
}

/* A user is shown in the first of busy, online, away, offline that a device is in. */
static void order_of_states_is_their_rank(void **state)
{
	(void)state;
	assert_true(STATE_OFFLINE < STATE_AWAY);
	assert_true(STATE_AWAY < STATE_ONLINE);
	assert_true(STATE_ONLINE < STATE_BUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_are_the_protocols),
		cmocka_unit_test(words_are_read_back),
		cmocka_unit_test(other_words_are_refused),
		cmocka_unit_test(order_of_states_is_their_rank),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
