#include "cli/options.h"

#include "cli/exits.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <string.h>

enum { ARGUMENTS_MAX = 12, HELP_LINES = 24, HELP_COLUMNS = 80 };

/* Splits at spaces; ~ in a word stands for a space. */
static int split(char *line, char *argv[ARGUMENTS_MAX])
{
	int argc = 0;

	argc++; /* the program's name */
	for (char *word = strtok(line, " "); word; word = strtok(NULL, " ")) {
		for (char *c = word; *c; c++)
			*c = *c == '~' ? ' ' : *c;
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	return argc;
}

struct parsed {
	char name[sizeof("presencectl")];
	char line[512];
	char *argv[ARGUMENTS_MAX];
	struct invocation what;
	struct buffer why;
	int err;
};

static void parse(struct parsed *p, const char *line)
{
	int argc;

	memset(p, 0, sizeof(*p));
	memcpy(p->line, line, strlen(line) + 1);
	argc = split(p->line, p->argv);
	p->argv[0] = strcpy(p->name, "presencectl");
	p->err = options_parse(argc, p->argv, &p->what, &p->why);
	buffer_append(&p->why, "", 1);
}

static void commands_and_operands(void **state)
{
	(void)state;
	struct parsed p;

	parse(&p, "watch bob carol");
	assert_int_equal(p.err, 0);
	assert_int_equal(p.what.command, COMMAND_WATCH);
	assert_int_equal(p.what.n_operands, 2);
	assert_string_equal(p.what.operands[1], "carol");
	buffer_free(&p.why);
	parse(&p, "list");
	assert_int_equal(p.err, 0);
	assert_int_equal(p.what.command, COMMAND_LIST);
	assert_int_equal(p.what.n_operands, 0);
	buffer_free(&p.why);
	parse(&p, "kick bob 2f0c");
	assert_int_equal(p.what.command, COMMAND_KICK);
	assert_int_equal(p.what.n_operands, 2);
	buffer_free(&p.why);
}

static void options_stand_anywhere(void **state)
{
	(void)state;
	struct parsed p;

	parse(&p, "online bob --device phone --heartbeat=1s --status in~a~call --state busy");
	assert_int_equal(p.err, 0);
	assert_int_equal(p.what.n_operands, 1);
	assert_string_equal(p.what.operands[0], "bob");
	assert_string_equal(p.what.option[CLI_OPTION_DEVICE], "phone");
	assert_string_equal(p.what.option[CLI_OPTION_HEARTBEAT], "1s");
	assert_string_equal(p.what.option[CLI_OPTION_STATUS], "in a call");
	assert_string_equal(p.what.option[CLI_OPTION_STATE], "busy");
	assert_null(p.what.option[CLI_OPTION_JSON]);
	buffer_free(&p.why);
	parse(&p, "get --quiet -- --bob");
	assert_int_equal(p.err, 0);
	assert_string_equal(p.what.operands[0], "--bob");
	assert_non_null(p.what.option[CLI_OPTION_QUIET]);
	buffer_free(&p.why);
	parse(&p, "stats --watch --json");
	assert_int_equal(p.err, 0);
	assert_non_null(p.what.option[CLI_OPTION_WATCH]);
	buffer_free(&p.why);
}

static void help_and_version(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		enum cli_command command;
		bool has_help;
	} cases[] = {{"--help", COMMAND_HELP, false}, {"-h", COMMAND_HELP, false},
		{"help", COMMAND_HELP, false}, {"--version", COMMAND_VERSION, false},
		{"kick --help", COMMAND_KICK, true}, {"watch -h", COMMAND_WATCH, true},
		{"online --state what --help", COMMAND_ONLINE, true}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct parsed p;
		parse(&p, cases[i].line);
		assert_int_equal(p.err, 0);
		assert_int_equal(p.what.command, cases[i].command);
		assert_int_equal(p.what.option[CLI_OPTION_HELP] != NULL, cases[i].has_help);
		buffer_free(&p.why);
	}
}

static void wrong_lines_are_refused_with_a_word(void **state)
{
	(void)state;
	static const struct {
		const char *line, *word;
	} cases[] = {{"", "which command?"}, {"wach bob", "no such command: \"wach\""},
		{"--wach", "no such option: \"--wach\""}, {"\033[31m", "\"\\x1b[31m\""},
		{"watch", "usage: presencectl watch [OPTION...] USER..."},
		{"list bob", "usage: presencectl list [OPTION...]"},
		{"kick", "usage: presencectl kick"}, {"kick a b c", "usage: presencectl kick"},
		{"why a b", "usage: presencectl why"}, {"online", "usage: presencectl online"},
		{"watch --jsn bob", "no such option: \"--jsn\""},
		{"watch -x bob", "no such option: \"-x\""},
		{"watch --quiet bob", "no such option: \"--quiet\""},
		{"watch --json=1 bob", "--json takes no argument"},
		{"online bob --device", "\"--device\" wants an argument"},
		{"online bob --device=", "--device \"\": must be 1 to 64 bytes"},
		{"online bob --heartbeat 0s", "--heartbeat \"0s\": must be a duration"},
		{"online bob --heartbeat 5", "must be a duration"},
		{"online bob --state offline", "must be online, away, busy or invisible"},
		{"online bob --status \033", "--status \"\\x1b\": must be at most 256 bytes"},
		{"list --state asleep", "must be online, away, busy, offline or invisible"},
		{"list --limit -1", "must be a whole number"},
		{"list --limit 1k", "must be a whole number"},
		{"list --limit 9999999999", "must be a whole number"},
		{"list --prefix \x7f", "--prefix \"\\x7f\": must be"},
		{"get a\tb", "\"a\\x09b\": must be 1 to 128 bytes"},
		{"get \377", "\"\\xff\": must be"}, {"--help bob", "\"--help\" stands alone"}};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct parsed p;
		parse(&p, cases[i].line);
		assert_int_equal(p.err, -EINVAL);
		if (!strstr(p.why.data, cases[i].word))
			fail_msg("\"%s\" is told: %s", cases[i].line, p.why.data);
		buffer_free(&p.why);
	}
}

static void assert_fits(const char *text)
{
	size_t n_lines = 0;

	while (*text) {
		size_t len = strcspn(text, "\n");
		assert_true(
			len <
			HELP_COLUMNS); /* the last column stays free: some terminals wrap there */
		assert_int_equal(text[len], '\n');
		text += len + 1;
		n_lines++;
	}
	assert_true(n_lines > 4);
	assert_true(n_lines <= HELP_LINES);
}

static void help_fits_a_screen(void **state)
{
	(void)state;
	struct buffer b = {.data = NULL};

	for (enum cli_command c = COMMAND_NONE; c < COMMAND_HELP; c++) {
		buffer_clear(&b);
		options_append_help(&b, c);
		buffer_append(&b, "", 1);
		assert_false(b.failed);
		assert_fits(b.data);
	}
	buffer_free(&b);
}

static void help_has_every_row_of_the_tables(void **state)
{
	(void)state;
	struct buffer b = {.data = NULL};

	options_append_help(&b, COMMAND_NONE);
	buffer_append(&b, "", 1);
#define IN_HELP(name, word, ...) assert_non_null(strstr(b.data, "\n  " word " "));
	CLI_COMMANDS(IN_HELP)
#define VARIABLE_IN_HELP(name, value, help) assert_non_null(strstr(b.data, "\n  " #name " "));
	CLI_VARIABLES(VARIABLE_IN_HELP)
#define EXIT_IN_HELP(name, code, help) assert_non_null(strstr(b.data, " " #code " " help));
	CLI_EXITS(EXIT_IN_HELP)
#define TAKE_IN_HELP(command, option, help)                                                        \
	buffer_clear(&b);                                                                          \
	options_append_help(&b, COMMAND_##command);                                                \
	buffer_append(&b, "", 1);                                                                  \
	assert_non_null(strstr(b.data, help));
	CLI_TAKES(TAKE_IN_HELP)
	buffer_free(&b);
}

static void refused_memory_is_told(void **state)
{
	(void)state;
	struct buffer b = {.data = NULL};

	for (long n = 1;; n++) {
		buffer_free(&b);
		b = (struct buffer){.data = NULL};
		alloc_fail_begin(n);
		options_append_help(&b, COMMAND_NONE);
		if (!alloc_fail_end())
			break;
		assert_true(b.failed);
	}
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_and_operands),
		cmocka_unit_test(options_stand_anywhere),
		cmocka_unit_test(help_and_version),
		cmocka_unit_test(wrong_lines_are_refused_with_a_word),
		cmocka_unit_test(help_fits_a_screen),
		cmocka_unit_test(help_has_every_row_of_the_tables),
		cmocka_unit_test(refused_memory_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
