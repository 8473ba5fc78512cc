/* The keys in use, and how new ones come to the workers: handed to each, taken by each when it next looks.
 *
 * Owns     a reference to a set of keys for each worker, and at most one newer set on offer to each.
 * Threads  keyring_replace(): one thread at a time (main, on SIGHUP). keyring_keys(i): worker i only. A worker goes
 *          on with the old set until its next call, and with nothing in between: no lock, no wait on either side,
 *          and a set lives until the last of them has let it go.
 * Memory   a cache line a worker. Errors as said below. */
#ifndef AUTH_KEYRING_H
#define AUTH_KEYRING_H

#include "auth/keys.h"

struct keyring;

/* NULL when memory is refused. Takes a reference of its own for each worker. */
struct keyring *keyring_new(unsigned n_workers, struct keys *);
void keyring_free(struct keyring *); /* after the workers are joined; NULL is fine */

/* From now on every worker gets these. The caller keeps its reference. */
void keyring_replace(struct keyring *, struct keys *);

/* What worker 'i' verifies with now; good until its next call. */
const struct keys *keyring_keys(struct keyring *, unsigned i);

#endif
