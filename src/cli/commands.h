/* The commands: each is told what was asked for, does it, complains of what goes wrong, and returns the exit code. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/environment.h"
#include "cli/exits.h"
#include "cli/options.h"

enum exit_code command_watch(const struct invocation *, const struct environment *);
enum exit_code command_get(const struct invocation *, const struct environment *);
enum exit_code command_online(const struct invocation *, const struct environment *);
enum exit_code command_list(const struct invocation *, const struct environment *);
enum exit_code command_kick(const struct invocation *, const struct environment *);
enum exit_code command_why(const struct invocation *, const struct environment *);
enum exit_code command_stats(const struct invocation *, const struct environment *);

#endif
