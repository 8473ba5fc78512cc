/* What is written to a FILE, as text; and settings that load, or are refused with these lines. */
#ifndef TESTS_TELLING_H
#define TESTS_TELLING_H

#include "app/settings.h"
#include "support/cmocka_all.h"

#include <errno.h>
#include <stdio.h>

extern char told[16384]; /* what was written until the last stop_telling() */

FILE *start_telling(void);
void stop_telling(FILE *); /* any FILE that can be read, too; closes it */
unsigned count_lines(const char *text);

#define ENVIRONMENT(...) ((const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* settings_load(), its errors in 'told'. */
int load_settings(const char *const environment[], struct settings *ret);

/* It loads. */
#define LOAD(s, ...)                                                                               \
	do {                                                                                       \
		int load_err = load_settings(ENVIRONMENT(__VA_ARGS__), (s));                       \
		assert_string_equal(told, "");                                                     \
		assert_int_equal(load_err, 0);                                                     \
	} while (0)

/* It is refused with exactly these lines, and nothing is set. */
#define REFUSE(lines, ...)                                                                         \
	do {                                                                                       \
		struct settings refused = {.n_injected = 77};                                      \
		int refuse_err = load_settings(ENVIRONMENT(__VA_ARGS__), &refused);                \
		assert_string_equal(told, (lines));                                                \
		assert_int_equal(refuse_err, -EINVAL);                                             \
		assert_int_equal(refused.n_injected, 77);                                          \
	} while (0)

#endif
