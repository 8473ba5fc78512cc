#include "base/terms.h"

#include "base/ensure.h"

#include <string.h>

#define TERM_WORD_STATE(name, word) [STATE_##name] = word,
static const char *const state_words[STATE_N] = {STATES(TERM_WORD_STATE)};

#define TERM_WORD_REASON(name, word) [REASON_##name] = word,
static const char *const reason_words[REASON_N] = {REASONS(TERM_WORD_REASON)};

const char *state_word(enum state state)
{
	ensure(state < STATE_N);
	return state_words[state];
}

const char *reason_word(enum reason reason)
{
	ensure(reason < REASON_N);
	return reason_words[reason];
}

/* The place of 'word' in the table, or -1. */
static int word_find(const char *const *words, int n, const char *word, size_t len)
{
	for (int i = 0; i < n; i++) {
		if (strlen(words[i]) == len && memcmp(words[i], word, len) == 0)
			return i;
	}
	return -1;
}

bool state_parse(const char *word, size_t len, enum state *ret)
{
	int found = word_find(state_words, STATE_N, word, len);

	if (found < 0)
		return false;
	*ret = (enum state)found;
	return true;
}

bool reason_parse(const char *word, size_t len, enum reason *ret)
{
	int found = word_find(reason_words, REASON_N, word, len);

	if (found < 0)
		return false;
	*ret = (enum reason)found;
	return true;
}
