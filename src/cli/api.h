/* The server's admin HTTP, asked by libcurl.
 *
 * Goes to PRESENCE_ADMIN_URL and nowhere else: follows no redirect, uses no proxy. The token is in no argument and no
 * error text. Each failure is complained of here, once, and its exit code returned.
 * Threads one. Time: 3 s to connect, 10 s an answer. Memory: an answer is at most 64 MiB. */
#ifndef CLI_API_H
#define CLI_API_H

#include "cli/environment.h"
#include "cli/exits.h"

#include <jansson.h>

struct api;

/* CONFIG where the URL is none, OS. */
enum exit_code api_open(const struct environment *, struct api **ret);
void api_close(struct api *); /* of NULL: nothing */

/* 'path' begins with a slash; what comes from elsewhere in it is percent-encoded. The object is the caller's. Both: NO
 * where the server says that there is none (no_session, no_history), of which nothing is complained. */
enum exit_code api_get(struct api *, const struct buffer *path, json_t **ret);
enum exit_code api_delete(struct api *, const struct buffer *path);

/* A string of an object, NULL where it isn't there or none; with its length. */
const char *api_string(const json_t *object, const char *key, size_t *ret_len);
/* A whole number; 'otherwise' where there is none. */
int64_t api_number(const json_t *object, const char *key, int64_t otherwise);

/* For an answer that is not what presenced answers: complains, PROTOCOL. */
enum exit_code api_strange(const struct api *, const char *what);

#endif
