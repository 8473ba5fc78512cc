/* Answers of the admin HTTP, before they are libmicrohttpd's.
 *
 * Threads  the admin thread's. Memory: the body is the answer's, answer_free(), until it is sent. Where memory was
 *          refused the body is not whole, and the client is told so instead. */
#ifndef ADMIN_ANSWER_H
#define ADMIN_ANSWER_H

#include "base/buffer.h"

#include <jansson.h>

/* X(name, status, code, message): refusals, as clients read them. The message of those that have none is given
 * with each. */
#define ANSWER_ERRORS(X)                                                                           \
	X(BAD_ID, 400, "bad_id", "an id is 1 to 128 bytes of UTF-8 without control characters")    \
	X(BAD_QUERY, 400, "bad_query", "")                                                         \
	X(BAD_BODY, 400, "bad_body", "")                                                           \
	X(UNAUTHORIZED, 401, "unauthorized", "this needs the bearer token of the server")          \
	X(FOREIGN_HOST, 403, "foreign_host",                                                       \
		"without PRESENCED_ADMIN_TOKEN this answers to addresses and localhost only, as "  \
		"a page of somebody else's may have any other name led here")                      \
	X(FOREIGN_ORIGIN, 403, "foreign_origin", "this is not for pages of another origin")        \
	X(NOT_FOUND, 404, "not_found", "there is nothing at this path")                            \
	X(NO_SESSION, 404, "no_session", "there is no such session")                               \
	X(METHOD, 405, "method_not_allowed", "the Allow header says what this path takes")         \
	X(BODY, 413, "body_too_large", "this takes no request body")                               \
	X(BODY_LIMIT, 413, "body_too_large", "the request's body is over 4 MiB")                   \
	X(HEAD, 431, "headers_too_large", "the request's headers are over 8 KiB")                  \
	X(NO_EVENTS, 404, "no_events", "this server keeps no events: PRESENCED_EVENT_LOG is 0")    \
	X(NO_HISTORY, 404, "no_history", "this server keeps no history: PRESENCED_HISTORY is 0")   \
	X(STREAMS, 503, "too_many_streams", "as many streams as there may be are open already")    \
	X(NOT_READY, 503, "not_ready", "")                                                         \
	X(BUSY, 503, "busy", "too much is under way: ask again in a second")                       \
	X(OUT_OF_MEMORY, 503, "out_of_memory", "out of memory")

#define ANSWER_ERROR_ENUM(name, status, code, message) ANSWER_ERROR_##name,
enum answer_error { ANSWER_ERRORS(ANSWER_ERROR_ENUM) ANSWER_ERROR_N };
#undef ANSWER_ERROR_ENUM

/* A file of the page (admin/page.h), constant as long as the program runs. */
struct page_file {
	const char *path; /* in a URL */
	const char *type;
	const char *policy; /* Content-Security-Policy; NULL: the file is no document */
	const char *begin, *end;
};

struct stream;

struct answer {
	unsigned status;
	const char *type; /* static; NULL: JSON */
	struct buffer body; /* empty with 204 */
	const struct page_file
		*file; /* NULL; or what is sent, with status 304 its headers, in place of a body */
	const char *allow; /* of a 405: good as long as the request */
	struct stream *stream; /* an answer without an end: see stream.h. NULL: it is the body */
};

struct answer answer_error(enum answer_error);
/* With words of its own. */
struct answer answer_error_because(enum answer_error, const char *message);
/* Takes the document; NULL: memory was refused. */
struct answer answer_document(unsigned status, json_t *document);
/* Takes what was built. */
struct answer answer_buffer(struct buffer *);
void answer_free(struct answer *);

#endif
