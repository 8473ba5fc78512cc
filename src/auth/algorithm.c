#include "auth/algorithm.h"

#include "base/ensure.h"

#include <errno.h>
#include <string.h>

#define ROW(name, key_kind, n_bytes) {.word = #name, .kind = KEY_##key_kind, .bytes = (n_bytes)},
static const struct {
	const char *word;
	enum key_kind kind;
	size_t bytes;
} rows[ALGORITHM_N] = {ALGORITHMS(ROW)};

const char *algorithm_word(enum algorithm a)
{
	ensure(a < ALGORITHM_N);
	return rows[a].word;
}

enum key_kind algorithm_kind(enum algorithm a)
{
	ensure(a < ALGORITHM_N);
	return rows[a].kind;
}

size_t algorithm_signature_bytes(enum algorithm a)
{
	ensure(a < ALGORITHM_N);
	return rows[a].bytes;
}

algorithm_set algorithms_of_kind(enum key_kind kind)
{
	algorithm_set set = 0;

	for (enum algorithm a = 0; a < ALGORITHM_N; a++) {
		if (rows[a].kind == kind)
			set |= ALGORITHM_BIT(a);
	}
	return set;
}

enum algorithm algorithm_parse(const char *word, size_t len)
{
	enum algorithm a = 0;

	while (a < ALGORITHM_N &&
		(strlen(rows[a].word) != len || memcmp(rows[a].word, word, len) != 0))
		a++;
	return a;
}

int algorithms_parse(const char *list, size_t len, algorithm_set *ret, const char **ret_why)
{
	const char *at = list, *end = list + len;
	algorithm_set set = 0;

	for (;;) {
		const char *comma = memchr(at, ',', (size_t)(end - at));
		const char *to = comma ? comma : end;

		while (at < to && *at == ' ')
			at++;
		while (at < to && to[-1] == ' ')
			to--;
		enum algorithm a = algorithm_parse(at, (size_t)(to - at));
		if (a == ALGORITHM_N) {
			*ret_why = "expected a list of HS256, HS384, HS512, RS256, RS384, RS512, "
				   "PS256, PS384, PS512, ES256, ES384, ES512";
			return -EINVAL;
		}
		set |= ALGORITHM_BIT(a);
		if (!comma)
			break;
		at = comma + 1;
	}
	*ret = set;
	return 0;
}
