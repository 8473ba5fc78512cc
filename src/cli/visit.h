/* Our end of libpresence: who logs in where, the loop with its signals, and words for what goes wrong.
 *
 * Threads one. Signals: SIGINT, SIGTERM and SIGHUP end a command politely, a second one at once; they are blocked but
 * while visit_run() waits. Memory: a client is freed by visit_close(). */
#ifndef CLI_VISIT_H
#define CLI_VISIT_H

#include "cli/environment.h"
#include "cli/exits.h"

#include "presence.h"

enum visit_end {
	VISIT_END_STOPPED, /* the client is: an error that is final, or presence_stop() */
	VISIT_END_SIGNAL,
	VISIT_END_READER, /* nobody reads our output any more */
	VISIT_END_OVER, /* the command has what it wanted */
	VISIT_END_TIME
};

/* A client by the environment and 'options' (callbacks, state and the like; their user, if NULL, is PRESENCE_USER, the
 * token's, or a new name; their url and token are filled in here). Complains. */
enum exit_code visit_open(
	const struct environment *, struct presence_options *options, struct presence **ret);

/* Begins it, and runs it until one of these; 'is_over' is the command's, looked at after each step. -1: no limit of time,
 * but only as long as somebody reads standard output. */
enum visit_end visit_run(struct presence *, const bool *is_over, int timeout_ms);

/* Says bye, waits for the answer (1 s at most, a signal cuts it short), and frees it. NULL is fine. */
void visit_close(struct presence *);

/* "the server can't be reached: Connection refused", safe to print. */
void visit_append_error(struct buffer *, enum presence_error, const char *detail);
void visit_complain(const struct environment *, enum presence_error, const char *detail);
enum exit_code visit_exit(enum presence_error);

/* The Unix time, milliseconds, of a moment of presence_now(). */
int64_t visit_wall_ms(uint64_t moment_ms);

#endif
