/* The command line: commands, their options, the variables of the environment, and their help.
 *
 * These tables make the parser, --help and a command's own --help; tests hold the man page and the completion to
 * them. Pure but for getopt's state. Threads one: getopt_long(3) has only one. Memory: points into argv. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "base/buffer.h"

/* As many users as one request of the protocol may have. */
enum { CLI_OPERANDS_MAX = 1000 };

/* X(NAME, "name", "operands", least, most, "help") */
#define CLI_COMMANDS(X)                                                                            \
	X(WATCH, "watch", "USER...", 1, CLI_OPERANDS_MAX, "tell every change of these users")      \
	X(ONLINE, "online", "NAME", 1, 1, "be present as NAME, until Ctrl-C")                      \
	X(GET, "get", "USER...", 1, CLI_OPERANDS_MAX, "look once whether these users are online")  \
	X(LIST, "list", "", 0, 0, "the users that the server knows")                               \
	X(KICK, "kick", "USER [SESSION]", 1, 2, "end the sessions of a user, or one of them")      \
	X(WHY, "why", "USER", 1, 1, "a user's devices and last changes, explained")                \
	X(STATS, "stats", "", 0, 0, "the server's numbers")

/* X(NAME, "name", "ARGUMENT") */
#define CLI_OPTIONS(X)                                                                             \
	X(DEVICE, "device", "DEVICE")                                                              \
	X(HEARTBEAT, "heartbeat", "DURATION")                                                      \
	X(HELP, "help", "")                                                                        \
	X(JSON, "json", "")                                                                        \
	X(LIMIT, "limit", "N")                                                                     \
	X(NAMES, "names", "")                                                                      \
	X(PREFIX, "prefix", "TEXT")                                                                \
	X(QUIET, "quiet", "")                                                                      \
	X(STATE, "state", "STATE")                                                                 \
	X(STATUS, "status", "TEXT")                                                                \
	X(UTC, "utc", "")                                                                          \
	X(WATCH, "watch", "")

/* X(COMMAND, OPTION, "help"). All take --help. */
#define CLI_TAKES(X)                                                                               \
	X(WATCH, JSON, "one JSON object a line, one line a change")                                \
	X(WATCH, UTC, "times in UTC, as ISO 8601")                                                 \
	X(WATCH, HEARTBEAT, "how often to beat, and so how soon a dead server shows")              \
	X(ONLINE, DEVICE, "the device to be; one of the server's making by default")               \
	X(ONLINE, STATE, "online (the default), away, busy or invisible")                          \
	X(ONLINE, STATUS, "what others see beside the state")                                      \
	X(ONLINE, HEARTBEAT, "how often to beat, such as 500ms, 30s or 5m")                        \
	X(ONLINE, JSON, "one JSON object a line")                                                  \
	X(ONLINE, UTC, "times in UTC, as ISO 8601")                                                \
	X(GET, QUIET, "print nothing: the exit code is the answer")                                \
	X(GET, JSON, "one JSON object a line, one line a user")                                    \
	X(GET, UTC, "times in UTC, as ISO 8601")                                                   \
	X(LIST, STATE, "online, away, busy, offline or invisible only")                            \
	X(LIST, PREFIX, "only users whose id begins so")                                           \
	X(LIST, LIMIT, "at most so many; 0, the default: all")                                     \
	X(LIST, NAMES, "the ids alone, one a line")                                                \
	X(LIST, JSON, "one JSON object a line, one line a user")                                   \
	X(LIST, UTC, "times in UTC, as ISO 8601")                                                  \
	X(KICK, DEVICE, "only the session of this device")                                         \
	X(WHY, JSON, "one JSON object: user, sessions and history")                                \
	X(WHY, UTC, "times in UTC, as ISO 8601")                                                   \
	X(STATS, JSON, "the server's own JSON, on one line")                                       \
	X(STATS, WATCH, "again every second, with rates, until Ctrl-C")

/* X(NAME, "default", "help") */
#define CLI_VARIABLES(X)                                                                           \
	X(PRESENCE_URL, "tcp://127.0.0.1:7400", "watch, online, get log in here")                  \
	X(PRESENCE_TOKEN, "", "who you are, where the server asks for tokens")                     \
	X(PRESENCE_USER, "", "who watch and get log in as, unseen; else a new name")               \
	X(PRESENCE_ADMIN_URL, "http://127.0.0.1:7402", "list, kick, why, stats ask here")          \
	X(PRESENCE_ADMIN_TOKEN, "", "the token that it may want")

#define CLI_COMMAND_ENUM(name, word, operands, least, most, help) COMMAND_##name,
enum cli_command {
	COMMAND_NONE,
	CLI_COMMANDS(CLI_COMMAND_ENUM) COMMAND_HELP,
	COMMAND_VERSION,
	COMMAND_N
};
#undef CLI_COMMAND_ENUM

#define CLI_OPTION_ENUM(name, word, argument) CLI_OPTION_##name,
enum cli_option { CLI_OPTIONS(CLI_OPTION_ENUM) CLI_OPTION_N };
#undef CLI_OPTION_ENUM

#define CLI_VARIABLE_ENUM(name, value, help) VARIABLE_##name,
enum cli_variable { CLI_VARIABLES(CLI_VARIABLE_ENUM) VARIABLE_N };
#undef CLI_VARIABLE_ENUM

struct invocation {
	enum cli_command command;
	const char *option[CLI_OPTION_N]; /* its argument, or ""; NULL where it isn't given */
	char **operands;
	size_t n_operands;
};

/* Sorts 'argv', options first, and checks all of it. -EINVAL with what is wrong in 'why', safe to print. */
int options_parse(int argc, char **argv, struct invocation *ret, struct buffer *why);
int options_parse_number(const char *text, uint32_t *ret); /* up to nine digits; -EINVAL */

/* The help of the program (COMMAND_NONE) or of a command: at most 24 lines of 80 columns. */
void options_append_help(struct buffer *, enum cli_command);

#endif
