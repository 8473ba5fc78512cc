/* presencectl: arguments to a command, and its exit code. */
#include "cli/commands.h"
#include "cli/console.h"

#include <signal.h>
#include <stdlib.h>

static enum exit_code print_help(enum cli_command command)
{
	struct buffer text = {.data = NULL};
	enum exit_code code;

	options_append_help(&text, command);
	code = console_exit(console_write(&text));
	buffer_free(&text);
	return code;
}

static enum exit_code print_version(void)
{
	struct buffer text = {.data = NULL};
	enum exit_code code;

	buffer_append_string(&text, "presencectl " PRESENCED_VERSION "\n");
	code = console_exit(console_write(&text));
	buffer_free(&text);
	return code;
}

static enum exit_code run(const struct invocation *what, const struct environment *environment)
{
	switch (what->command) {
	case COMMAND_WATCH:
		return command_watch(what, environment);
	case COMMAND_ONLINE:
		return command_online(what, environment);
	case COMMAND_GET:
		return command_get(what, environment);
	case COMMAND_LIST:
		return command_list(what, environment);
	case COMMAND_KICK:
		return command_kick(what, environment);
	case COMMAND_WHY:
		return command_why(what, environment);
	case COMMAND_STATS:
		return command_stats(what, environment);
	case COMMAND_NONE:
	case COMMAND_HELP:
	case COMMAND_VERSION:
	case COMMAND_N:
		break;
	}
	return EXIT_CODE_USAGE;
}

static enum exit_code complain(const struct buffer *why, enum exit_code code)
{
	if (!why->failed) {
		console_complain_of(why);
		return code;
	}
	console_complain("out of memory");
	return EXIT_CODE_OS;
}

int main(int argc, char **argv)
{
	struct environment environment;
	struct invocation what;
	struct buffer why = {.data = NULL};
	enum exit_code code;

	signal(SIGPIPE, SIG_IGN); /* of writes to a reader that has gone; see console.h */
	if (options_parse(argc, argv, &what, &why) < 0)
		code = complain(&why, EXIT_CODE_USAGE);
	else if (what.command == COMMAND_HELP)
		code = print_help(COMMAND_NONE);
	else if (what.command == COMMAND_VERSION)
		code = print_version();
	else if (what.option[CLI_OPTION_HELP])
		code = print_help(what.command);
	else if (environment_read(&environment, &why) < 0)
		code = complain(&why, EXIT_CODE_CONFIG);
	else
		code = run(&what, &environment);
	buffer_free(&why);
	return code;
}
