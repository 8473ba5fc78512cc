/* The API under /v1: users, their sessions, counts, kicks; and the texts of its requests.
 *
 * Threads  the admin thread's. The table's stripes are locked one at a time, for one user or a bounded part of a page.
 * Memory   the answers'. A page has at most 1,000 users, a query 10,000. */
#ifndef ADMIN_API_H
#define ADMIN_API_H

#include "admin/http_private.h"

enum { API_QUERY_MAX = 10000, API_PAGE_MAX = 1000, API_PAGE_DEFAULT = 100 };

/* %XX becomes a byte; '+' stays. 'to' has room for 'len', and may be where the text is. False: a '%' without two
 * hexadecimal digits. */
bool percent_decode(const char *text, size_t len, char *to, size_t *ret_len);

struct id {
	size_t len;
	char text[USER_MAX];
};

/* A user id, percent-encoded: out of the path, or of a list in the query. False: it is none. */
bool read_id(const struct path_param *, struct id *ret);
/* A parameter of the query, decoded; 'len' 0 where it isn't there. False: too long, or no proper encoding. */
bool read_param(const struct request *, const char *name, char *to, size_t room, size_t *ret_len);

struct answer api_user(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_users(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_query(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_counts(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_kick_user(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_kick_session(struct admin *, const struct request *) REQUIRES(role_admin);

#endif
