/* The types of settings: text to value and back, with words for what was expected.
 *
 * Threads  main only, at the start. Memory  lists, paths and secrets are allocated; setting_clear()
 *          frees.
 * Errors   -EINVAL where the text is no such value, -ENOMEM; the field is untouched then. */
#ifndef APP_SETTINGS_VALUE_H
#define APP_SETTINGS_VALUE_H

#include "base/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct url_list {
	struct listen_url *items;
	size_t n;
};

struct text_list {
	char **items;
	size_t n;
};

enum setting_type {
	SETTING_TYPE_URLS, /* listen URLs with commas between */
	SETTING_TYPE_ADDRESS, /* host:port */
	SETTING_TYPE_TEXTS, /* words with commas between; may be empty */
	SETTING_TYPE_PATH, /* of a file; NULL for none */
	SETTING_TYPE_TEXT, /* as it is; NULL for none */
	SETTING_TYPE_SECRET, /* NULL for none; or in NAME_FILE; never shown; wiped when freed */
	SETTING_TYPE_DURATION, /* milliseconds */
	SETTING_TYPE_SIZE, /* bytes */
	SETTING_TYPE_COUNT,
	SETTING_TYPE_BOOL,
	SETTING_TYPE_WORD, /* the index of one of some words */
};

/* What each is in C. */
#define SETTING_C_URLS     struct url_list
#define SETTING_C_ADDRESS  struct address
#define SETTING_C_TEXTS    struct text_list
#define SETTING_C_PATH     char *
#define SETTING_C_TEXT     char *
#define SETTING_C_SECRET   char *
#define SETTING_C_DURATION uint64_t
#define SETTING_C_SIZE     uint64_t
#define SETTING_C_COUNT    uint64_t
#define SETTING_C_BOOL     bool
#define SETTING_C_WORD     unsigned

/* The words that a WORD may be; each in the order of the enum that its index becomes. */
enum setting_words {
	SETTING_WORDS_LOG_LEVEL,
	SETTING_WORDS_LOG_FORMAT,
	SETTING_WORDS_WATCH,
	SETTING_WORDS_N
};

/* The words of SETTING_WORDS_WATCH. */
enum default_watch { DEFAULT_WATCH_ALL, DEFAULT_WATCH_NONE };

/* One line of the table in app/settings_table.h. */
struct setting_spec {
	enum setting_type type;
	const char *name; /* "PRESENCED_..." */
	const char *fallback; /* its default as text; NULL for none */
	uint64_t low, high;
	size_t offset; /* of the field in struct settings */
	const char *help;
};

enum { SETTING_SECRET_MAX = 8192 };

/* 'field' is of the type's C type, and zeroed. -EINVAL: '*ret_why' is a static text of what was
 * expected, or NULL where setting_describe() says it all. */
int setting_parse(const struct setting_spec *, const char *text, void *field, const char **ret_why);

/* The same for a SECRET in a file; one line end after it is no part of it. -EINVAL: the content
 * isn't what setting_describe() says; -ENOMEM; other errors: the file can't be read. */
int setting_parse_file(const struct setting_spec *, const char *path, char **field);

void setting_clear(enum setting_type, void *field);

/* The field as text that setting_parse() would take; secrets as ***. */
void setting_print(const struct setting_spec *, const void *field, FILE *);

/* "a duration from 50ms to 5m": what setting_parse() expects. */
void setting_describe(const struct setting_spec *, FILE *);

/* Foreign text for people to read: control characters and what isn't ASCII as \xNN, cut at 200
 * bytes. */
void setting_print_escaped(const char *text, FILE *);

#endif
