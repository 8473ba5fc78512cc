/* The admin HTTP's inside: the server, and a request on its way from the head to the answer. */
#ifndef ADMIN_HTTP_PRIVATE_H
#define ADMIN_HTTP_PRIVATE_H

#include "admin/answer.h"
#include "admin/http.h"
#include "base/lock.h"

#include <microhttpd.h>

enum {
	HEAD_MAX = 8 * 1024, /* what a handler accepts: cookies and proxies' headers fit */
	BODY_MAX = 4 * 1024 * 1024, /* 10,000 ids of 128 bytes, every fourth byte of them escaped */
	/* Bodies, and answers over SMALL_MAX, of all connections: what is beyond that is asked to come back. */
	HELD_MAX = 64 * 1024 * 1024,
	SMALL_MAX = 256 * 1024
};

struct stream;
struct streams;
struct live;

struct admin {
	/* const after start */
	struct admin_params params; /* its token is owned here */
	uint64_t started_wall_ms; /* the server, not only this thread */
	struct live *live;
	struct streams *streams;
	struct MHD_Daemon *daemon;
	int statm_fd; /* kept open, so that it can be read when descriptors are short; or -1 */
	/* atomic: main -> the admin thread. Release and acquire: what it points to was written before. NULL: none */
	_Atomic(const struct listen_url *) websocket;
	/* owner: the admin thread */
	struct actor actor;
	size_t held_bytes;
};

/* The numbers as they are now, but for the streams'. Any thread. */
struct stats_view admin_view(const struct admin *);

struct route;

enum { PARAMS_MAX = 2 };

/* A segment of the path as it came, percent-encoded. */
struct path_param {
	const char *text;
	size_t len;
};

/* Whether a path, split at '/', is of that pattern: '{x}' stands for any segment that isn't empty, and those are what
 * 'ret' is filled with. All else must be there as it is written. */
bool path_matches(const char *path, const char *pattern, struct path_param ret[PARAMS_MAX]);

struct request {
	struct MHD_Connection *connection;
	const char *path, *method;
	const struct route *route; /* NULL until routes_refuse() has let it through */
	struct path_param params[PARAMS_MAX];
	struct buffer body;
	size_t n_dropped; /* of a body over the limit */
	bool has_body; /* as its head says */
	bool is_too_long, is_too_much; /* the body: over its own limit; over that of all */
};

/* The value of a request's header; NULL: it has none. */
const char *request_header(const struct request *, const char *name);

/* By the head alone: what is refused is refused before a body is read. True with an answer. */
bool routes_refuse(struct admin *, struct request *, struct answer *ret) REQUIRES(role_admin);
/* Of a request that is whole, and was not refused. */
struct answer routes_answer(struct admin *, struct request *) REQUIRES(role_admin);

#endif
