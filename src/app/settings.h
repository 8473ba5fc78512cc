/* The settings: what the environment says, checked, as plain values.
 *
 * Owns     the reading of the environment, once, at the start. Modules get params of their own,
 *          made from this by app/: none sees this struct.
 * Threads  main writes it before there are others; const from then on.
 * Memory   settings_free().
 * Errors   all at once, a line each: name, value, what was expected. Values of secrets are never
 *          printed. */
#ifndef APP_SETTINGS_H
#define APP_SETTINGS_H

#include "app/settings_table.h"
#include "app/settings_value.h"

#include <stdbool.h>
#include <stdio.h>

#define SETTING_ENUM(type, field, NAME, fallback, low, high, help) SETTING_##NAME,
enum setting { SETTINGS(SETTING_ENUM) SETTING_N };
#undef SETTING_ENUM

enum setting_origin {
	SETTING_ORIGIN_DEFAULT,
	SETTING_ORIGIN_ENVIRONMENT,
	SETTING_ORIGIN_FILE, /* NAME_FILE */
	SETTING_ORIGIN_N
};

#define SETTING_FIELD(type, field, NAME, fallback, low, high, help) SETTING_C_##type field;
struct settings {
	SETTINGS(SETTING_FIELD)
	enum setting_origin origins[SETTING_N];
	unsigned n_injected; /* names of Kubernetes' that were ignored */
};
#undef SETTING_FIELD

extern const struct setting_spec setting_specs[SETTING_N];

/* Reads the PRESENCED_ variables of 'environ', a list as environ(7). -EINVAL when 'err' has been
 * told every error; -ENOMEM, likewise told. '*ret' is set on success only. */
int settings_load(char *const environ[], FILE *err, struct settings *ret);
void settings_free(struct settings *);

/* Whether logins need a token. */
bool settings_have_tokens(const struct settings *);

/* Sets the log up as they say, and says there in one line what was ignored of the environment. */
void settings_apply_log(const struct settings *);

/* --- settings_print.c: errors of 'to' are the caller's to look for --- */

void settings_print_help(FILE *to); /* name, default and help of each */
void settings_print_config(
	const struct settings *, FILE *to); /* NAME=value, and where it is from */

/* The documents made of the table, by the word they are asked for. */
#define SETTINGS_DOCUMENTS(X)                                                                      \
	X(MARKDOWN, "markdown", "the README's table")                                              \
	X(ENV, "env", "an environment file, all commented out")                                    \
	X(MAN, "man", "the list of presenced(8), in mdoc(7)")
#define SETTINGS_DOCUMENT_ENUM(name, word, help) SETTINGS_DOCUMENT_##name,
enum settings_document { SETTINGS_DOCUMENTS(SETTINGS_DOCUMENT_ENUM) SETTINGS_DOCUMENT_N };
#undef SETTINGS_DOCUMENT_ENUM

bool settings_document_parse(const char *word, enum settings_document *ret);
void settings_print_document(enum settings_document, FILE *to);

#endif
