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

struct answer api_user(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_users(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_query(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_counts(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_kick_user(struct admin *, const struct request *) REQUIRES(role_admin);
struct answer api_kick_session(struct admin *, const struct request *) REQUIRES(role_admin);

#endif
