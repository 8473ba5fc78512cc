/* What settings must be to each other, and how an error in them is told.
 *
 * Threads  main only, at the start. */
#ifndef APP_SETTINGS_CHECK_H
#define APP_SETTINGS_CHECK_H

#include "app/settings.h"
#include "base/compiler.h"

#include <stdbool.h>
#include <stdio.h>

struct complaints {
	FILE *to;
	unsigned n;
};

/* "presenced: NAME<suffix>=value: " and what was expected; without '=value' where it is NULL.
 * One line. */
void complain(struct complaints *, const char *name, const char *suffix, const char *value,
	const char *format, ...) FORMAT_PRINTF(5, 6);

/* The checks that involve more than one setting, or what this build can do. A check that needs a
 * setting which is not 'good' (its own error has been told) is left out. */
void settings_check(const struct settings *, const bool good[SETTING_N], struct complaints *);

#endif
