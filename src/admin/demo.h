/* What the demo page (page/demo/) has to be told before it can begin: where a page reaches the server, and whether this
 * one may.
 *
 * It tells of no user and no number, so nobody is asked for a token. Threads  the admin thread's. */
#ifndef ADMIN_DEMO_H
#define ADMIN_DEMO_H

#include "admin/http_private.h"

/* GET /demo/config.json: {"websocket": a URL, or null where none is listened for, "is_origin_allowed", "asks_token"}. The
 * host of a listener on every address is "*". */
struct answer demo_answer_config(struct admin *, const struct request *);

#endif
