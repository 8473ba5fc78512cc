/* Messages from clients: bytes to a struct, by the protocol's table.
 *
 * Pure: no socket, clock, log or state of its own. jansson reads the JSON, after wire/prescan has refused
 * what is too deep for it; an empty line and the canonical heartbeat never come near it.
 * Threads  any, each with a struct of its own.
 * Memory   message_parse() allocates a few blocks (wire/message_memory); message_free() or
 *          CLEANUP(message_free) gives them back. All strings point into the message and live as long.
 * Errors   an error code of the protocol, never an errno. Refused memory is WIRE_ERROR_SERVER_FULL. */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include "base/terms.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(name, word, whether it ends the connection, WebSocket close code or 0) */
#define WIRE_ERRORS(X)                                                                             \
	X(BAD_JSON, "bad_json", true, 1007)                                                        \
	X(BAD_MESSAGE, "bad_message", false, 0)                                                    \
	X(UNKNOWN_TYPE, "unknown_type", false, 0)                                                  \
	X(ALREADY_HELLO, "already_hello", false, 0)                                                \
	X(LINE_TOO_LONG, "line_too_long", true, 1009)                                              \
	X(HELLO_REQUIRED, "hello_required", true, 1008)                                            \
	X(VERSION, "version", true, 1008)                                                          \
	X(AUTH_REQUIRED, "auth_required", true, 4401)                                              \
	X(AUTH_FAILED, "auth_failed", true, 4401)                                                  \
	X(FORBIDDEN, "forbidden", false, 0)                                                        \
	X(TOO_MANY_WATCHES, "too_many_watches", false, 0)                                          \
	X(SERVER_FULL, "server_full", true, 1013)                                                  \
	X(RATE_LIMITED, "rate_limited", true, 1008)

#define WIRE_ERROR_ENUM(name, word, fatal, close) WIRE_ERROR_##name,
enum wire_error { WIRE_OK, WIRE_ERRORS(WIRE_ERROR_ENUM) WIRE_ERROR_N };
#undef WIRE_ERROR_ENUM

const char *wire_error_word(enum wire_error);
bool wire_error_is_fatal(enum wire_error);
uint16_t wire_error_close_code(enum wire_error); /* of a WebSocket; 0: it goes on */
uint16_t reason_close_code(enum reason); /* of a bye; 1000 where the protocol names none */

/* X(name, word) */
#define REQUESTS(X)                                                                                \
	X(HELLO, "hello")                                                                          \
	X(HEARTBEAT, "heartbeat")                                                                  \
	X(UPDATE, "update")                                                                        \
	X(WATCH, "watch")                                                                          \
	X(UNWATCH, "unwatch")                                                                      \
	X(QUERY, "query")                                                                          \
	X(BYE, "bye")

#define REQUEST_ENUM(name, word) REQUEST_##name,
enum request { REQUESTS(REQUEST_ENUM) REQUEST_N };
#undef REQUEST_ENUM

/* A piece of text inside the message: not terminated. text == NULL: the field was absent. */
struct slice {
	const char *text;
	size_t len;
};

enum { MESSAGE_ID_TEXT_MAX = 6 * REQUEST_ID_MAX + 3, MESSAGE_WHY_MAX = 96 };
enum { TOKEN_MAX = 8192, RESUME_MAX = 256 }; /* bytes, as USER_MAX */

struct message {
	enum request type;
	/* The request's id as JSON text, ready to be sent back; id_len 0: there was none. Filled in also where
	 * parsing failed later than the id. */
	char id[MESSAGE_ID_TEXT_MAX];
	size_t id_len;
	bool is_empty_line; /* a heartbeat in one byte, answered in kind */

	/* hello. Where a token is given the user may be absent: a server that asks for no tokens must look. */
	struct slice user, device, token, resume;
	bool has_heartbeat_ms;
	uint64_t heartbeat_ms;
	bool wants_pings; /* absent: true */
	/* hello, update */
	bool has_state;
	enum state state;
	bool has_status; /* then a status.text of NULL is the null that takes the status away */
	struct slice status;
	/* watch, unwatch, query: use message_user(); 0..REQUEST_USERS_MAX of them */
	size_t n_users;

	json_t *root; /* NULL for heartbeats */
	json_t *users; /* borrowed from root */
	struct message_memory *memory; /* owned: where root is */
	/* Of a failure: what was wrong, for people. Terminated. */
	char why[MESSAGE_WHY_MAX];
};

/* 'line' without its end (\n, \r\n). Sets '*ret' wholly in every case: on an error type may be REQUEST_N,
 * and id and why are filled in as far as known. message_free() is due in every case.
 *
 * Where 'max_depth' etc. are limits of the protocol they are constants here. Order of the judgement:
 * bad_json, then not an object / no type / bad id: bad_message, then unknown_type, then the fields in the
 * order of the protocol's table. A hello's version is judged before its other fields. */
enum wire_error message_parse(const char *line, size_t len, struct message *ret);
void message_free(struct message *);

/* The i-th id asked for, i < n_users. */
struct slice message_user(const struct message *, size_t i);

/* Whether the line is {"type":"heartbeat"} to the letter: recognised without a parser. */
bool message_is_canonical_heartbeat(const char *line, size_t len);

/* How many of the data's bytes, from its start, are nothing but heartbeats in their two short forms: canonical lines and empty
 * ones, each with its '\n' and no '\r'. Their answers are these very bytes. '*ret_n': how many heartbeats. */
size_t message_leading_heartbeats(const char *data, size_t len, size_t *ret_n);

#endif
