/* Exit codes: the answers of get below 64, failures from 64 up with the numbers of sysexits.h. */
#ifndef CLI_EXITS_H
#define CLI_EXITS_H

/* X(NAME, code, "in --help"). The man page explains each; a test holds it to this table. */
#define CLI_EXITS(X)                                                                               \
	X(DONE, 0, "done, or online")                                                              \
	X(NO, 1, "offline, or there was none")                                                     \
	X(UNKNOWN, 2, "never seen")                                                                \
	X(USAGE, 64, "usage")                                                                      \
	X(UNAVAILABLE, 69, "no server")                                                            \
	X(OS, 71, "out of memory")                                                                 \
	X(IO, 74, "output")                                                                        \
	X(PROTOCOL, 76, "protocol")                                                                \
	X(PERMISSION, 77, "permission")                                                            \
	X(CONFIG, 78, "environment")

#define CLI_EXIT_ENUM(name, code, help) EXIT_CODE_##name = (code),
enum exit_code { CLI_EXITS(CLI_EXIT_ENUM) };
#undef CLI_EXIT_ENUM

#endif
