/* GET /v1/live: the live numbers (admin/live.h), as a stream to each who follows them.
 *
 * Threads  follow_answer: the admin thread. follow_sample: the streams' thread, once a second. */
#ifndef ADMIN_FOLLOW_H
#define ADMIN_FOLLOW_H

#include "admin/http_private.h"

struct answer follow_answer(struct admin *, const struct request *) REQUIRES(role_admin);

/* Takes a sample: the streams' thread, which is there before the admin's is. */
void follow_sample(struct admin *);

#endif
