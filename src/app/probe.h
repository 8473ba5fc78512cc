/* A look at a server's health from outside, for container engines whose images have no HTTP client: presenced --health.
 *
 * Threads  main, in a process that serves nobody. Time  a few seconds at most. */
#ifndef APP_PROBE_H
#define APP_PROBE_H

#include "base/address.h"

enum { PROBE_PATH_MAX = 256 };

struct probe {
	struct address to;
	char path[PROBE_PATH_MAX];
};

/* "http://127.0.0.1:7402/readyz"; without a path /healthz. -EINVAL, with '*ret_why' a static text of what was expected. */
int probe_parse(const char *url, struct probe *ret, const char **ret_why);

/* /healthz where the settings say that the admin HTTP is; of all addresses the loopback one. -EINVAL, likewise: its port is
 * for the kernel to choose. */
int probe_of_setting(const struct address *admin_listen, struct probe *ret, const char **ret_why);

/* 0: it answered 200. Else negative errno: -EBADMSG for any other answer, -ETIMEDOUT after 'timeout_ms'. '*ret_status' is the
 * status, 0 where there was none. */
int probe_run(const struct probe *, unsigned timeout_ms, unsigned *ret_status);

#endif
