#include "cli/options.h"

#include "base/terms.h"
#include "cli/exits.h"
#include "cli/text.h"
#include "cli/when.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

enum { HELP_COLUMNS = 79 };

struct command_row {
	const char *name, *operands, *help;
	size_t least, most;
};

#define COMMAND_ROW(id, word, args, least_n, most_n, text)                                         \
	[COMMAND_##id] = {word, args, text, least_n, most_n},
static const struct command_row commands[COMMAND_N] = {CLI_COMMANDS(COMMAND_ROW)};

struct option_row {
	const char *name, *argument;
};

#define OPTION_ROW(id, word, arg) [CLI_OPTION_##id] = {word, arg},
static const struct option_row options[CLI_OPTION_N] = {CLI_OPTIONS(OPTION_ROW)};

static const struct take_row {
	enum cli_command command;
	enum cli_option option;
	const char *help;
} takes[] = {
#define TAKE_ROW(c, o, text) {COMMAND_##c, CLI_OPTION_##o, text},
	CLI_TAKES(TAKE_ROW)};

/* ---- parsing ------------------------------------------------------------------------------------- */

static void append_argument(struct buffer *why, const char *text)
{
	text_append_quoted(why, text, strlen(text));
}

static enum cli_command find_command(const char *word)
{
	if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
		return COMMAND_HELP;
	if (strcmp(word, "--version") == 0)
		return COMMAND_VERSION;
	for (enum cli_command c = COMMAND_NONE + 1; c < COMMAND_HELP; c++)
		if (strcmp(word, commands[c].name) == 0)
			return c;
	return COMMAND_NONE;
}

/* What getopt_long() takes: the options of that command, and --help. */
static void fill_long_options(enum cli_command command, struct option to[CLI_OPTION_N + 1])
{
	size_t n = 0;

	to[n++] = (struct option){.name = "help", .val = 1 + CLI_OPTION_HELP};
	for (size_t i = 0; i < ARRAY_LEN(takes); i++) {
		const struct option_row *row = &options[takes[i].option];
		if (takes[i].command != command)
			continue;
		to[n++] = (struct option){.name = row->name,
			.has_arg = row->argument[0] ? required_argument : no_argument,
			.val = 1 + (int)takes[i].option};
	}
	to[n] = (struct option){.name = NULL};
}

/* What an option's argument must be, or NULL where it is. */
static const char *fault_of(enum cli_command command, enum cli_option option, const char *text)
{
	size_t len = strlen(text);
	enum state state = STATE_N;
	uint32_t number;

	switch (option) {
	case CLI_OPTION_DEVICE:
		return text_is_id(text, len, DEVICE_MAX)
			       ? NULL
			       : "1 to 64 bytes of UTF-8 without control characters";
	case CLI_OPTION_STATUS:
		return text_is_words(text, len, STATUS_MAX)
			       ? NULL
			       : "at most 256 bytes of UTF-8 without control characters";
	case CLI_OPTION_PREFIX:
		return text_is_words(text, len, USER_MAX)
			       ? NULL
			       : "at most 128 bytes of UTF-8 without control characters";
	case CLI_OPTION_HEARTBEAT:
		return when_parse_duration(text, &number) == 0 && number > 0
			       ? NULL
			       : "a duration such as 500ms, 30s or 5m, of a day at most";
	case CLI_OPTION_LIMIT:
		return options_parse_number(text, &number) == 0 ? NULL : "a whole number";
	case CLI_OPTION_STATE:
		if (command == COMMAND_LIST)
			return state_parse(text, len, &state)
				       ? NULL
				       : "online, away, busy, offline or invisible";
		return state_parse(text, len, &state) && state != STATE_OFFLINE
			       ? NULL
			       : "online, away, busy or invisible";
	case CLI_OPTION_HELP:
	case CLI_OPTION_JSON:
	case CLI_OPTION_NAMES:
	case CLI_OPTION_QUIET:
	case CLI_OPTION_UTC:
	case CLI_OPTION_WATCH:
	case CLI_OPTION_N:
		break;
	}
	return NULL;
}

static int check_values(const struct invocation *what, struct buffer *why)
{
	for (enum cli_option i = 0; i < CLI_OPTION_N; i++) {
		const char *fault =
			what->option[i] ? fault_of(what->command, i, what->option[i]) : NULL;
		if (fault) {
			buffer_printf(why, "--%s ", options[i].name);
			append_argument(why, what->option[i]);
			buffer_printf(why, ": must be %s", fault);
			return -EINVAL;
		}
	}
	for (size_t i = 0; i < what->n_operands; i++) {
		if (!text_is_id(what->operands[i], strlen(what->operands[i]), USER_MAX)) {
			append_argument(why, what->operands[i]);
			buffer_append_string(why,
				": must be 1 to 128 bytes of UTF-8 without control characters");
			return -EINVAL;
		}
	}
	return 0;
}

/* What getopt_long() did not take. */
static int complain_of_option(int found, char **argv, const char *command, struct buffer *why)
{
	const char *text = argv[optind - 1];

	if (found == ':') {
		append_argument(why, text);
		buffer_append_string(why, " wants an argument");
	} else if (optopt > 0 && optopt <= CLI_OPTION_N && strncmp(text, "--", 2) == 0) {
		buffer_printf(why, "--%s takes no argument", options[optopt - 1].name);
	} else {
		buffer_append_string(why, "no such option: ");
		append_argument(why, text);
	}
	buffer_printf(why, "; presencectl %s --help lists them", command);
	return -EINVAL;
}

static int parse_options(int argc, char **argv, struct invocation *ret, struct buffer *why)
{
	struct option long_options[CLI_OPTION_N + 2];
	int found;

	fill_long_options(ret->command, long_options);
	opterr = 0;
	optind = 0; /* GNU's word for: from the start, with all that was read before forgotten */
	while ((found = getopt_long(argc, argv, ":h", long_options, NULL)) != -1) {
		if (found == 'h')
			found = 1 + CLI_OPTION_HELP;
		if (found == ':' || found == '?')
			return complain_of_option(found, argv, commands[ret->command].name, why);
		ret->option[found - 1] = optarg ? optarg : "";
	}
	ret->operands = argv + optind;
	ret->n_operands = (size_t)(argc - optind);
	return 0;
}

int options_parse_number(const char *text, uint32_t *ret)
{
	size_t len = strlen(text);
	uint32_t value = 0;

	if (len < 1 || len > 9 || strspn(text, "0123456789") != len)
		return -EINVAL;
	for (size_t i = 0; i < len; i++)
		value = value * 10 + (uint32_t)(text[i] - '0');
	*ret = value;
	return 0;
}

int options_parse(int argc, char **argv, struct invocation *ret, struct buffer *why)
{
	struct invocation got = {.command = COMMAND_NONE};
	const struct command_row *row;
	int err;

	if (argc < 2) {
		buffer_append_string(why, "which command? presencectl --help lists them");
		return -EINVAL;
	}
	got.command = find_command(argv[1]);
	if (got.command == COMMAND_NONE) {
		buffer_append_string(
			why, argv[1][0] == '-' ? "no such option: " : "no such command: ");
		append_argument(why, argv[1]);
		buffer_append_string(why, "; presencectl --help lists them");
		return -EINVAL;
	}
	if (got.command < COMMAND_HELP) {
		row = &commands[got.command];
		err = parse_options(argc - 1, argv + 1, &got, why);
		if (err < 0)
			return err;
		if (!got.option[CLI_OPTION_HELP] &&
			(got.n_operands < row->least || got.n_operands > row->most)) {
			buffer_printf(why, "usage: presencectl %s [OPTION...]%s%s", row->name,
				row->operands[0] ? " " : "", row->operands);
			return -EINVAL;
		}
		err = got.option[CLI_OPTION_HELP] ? 0 : check_values(&got, why);
		if (err < 0)
			return err;
	} else if (argc > 2) {
		append_argument(why, argv[1]);
		buffer_append_string(why, " stands alone");
		return -EINVAL;
	}
	*ret = got;
	return 0;
}

/* ---- help ---------------------------------------------------------------------------------------- */

/* "; 64 usage", on a line of its own where this one is full. */
static void append_exit(struct buffer *b, size_t *line_start, int code, const char *text)
{
	char item[40];
	int len = snprintf(item, sizeof(item), " %d %s", code, text);

	if (code != 0)
		buffer_append_string(b, ";");
	if (b->len - *line_start + (size_t)len + 1 > HELP_COLUMNS) {
		buffer_append_string(b, "\n");
		*line_start = b->len;
	}
	buffer_append_string(b, item);
}

static void append_program_help(struct buffer *b)
{
	size_t line_start;
	char usage[32];

	buffer_append_string(b, "Usage: presencectl COMMAND [OPTION...]\n"
				"Who is online, from a presenced.\n\n");
	for (enum cli_command c = COMMAND_NONE + 1; c < COMMAND_HELP; c++) {
		snprintf(usage, sizeof(usage), "%s %s", commands[c].name, commands[c].operands);
		buffer_printf(b, "  %-20s  %s\n", usage, commands[c].help);
	}
	buffer_append_string(b, "\npresencectl COMMAND --help lists its options; --version\n\n");
#define APPEND_VARIABLE(name, value, text)                                                         \
	buffer_printf(b, "  %-20s  %s%s%s%s\n", #name, text, value[0] ? " (" : "", value,          \
		value[0] ? ")" : "");
	CLI_VARIABLES(APPEND_VARIABLE)
	buffer_append_string(b, "\n");
	line_start = b->len;
	buffer_append_string(b, "Exit codes:");
#define APPEND_EXIT(name, code, text) append_exit(b, &line_start, code, text);
	CLI_EXITS(APPEND_EXIT)
	buffer_append_string(b, "\n");
}

static void append_command_help(struct buffer *b, enum cli_command command)
{
	const struct command_row *row = &commands[command];
	char usage[32];

	buffer_printf(b, "Usage: presencectl %s [OPTION...]%s%s\n%c%s.\n\n", row->name,
		row->operands[0] ? " " : "", row->operands, row->help[0] - 'a' + 'A',
		row->help + 1);
	for (size_t i = 0; i < ARRAY_LEN(takes); i++) {
		const struct option_row *option = &options[takes[i].option];
		if (takes[i].command != command)
			continue;
		snprintf(usage, sizeof(usage), "--%s%s%s", option->name,
			option->argument[0] ? " " : "", option->argument);
		buffer_printf(b, "  %-20s  %s\n", usage, takes[i].help);
	}
	buffer_printf(b, "  %-20s  %s\n", "--help", "this text");
}

void options_append_help(struct buffer *b, enum cli_command command)
{
	if (command == COMMAND_NONE || command >= COMMAND_HELP)
		append_program_help(b);
	else
		append_command_help(b, command);
}
