/* What presencectl is told by its environment. Secrets come by it alone, never as arguments, which all users of a
 * machine can read. */
#ifndef CLI_ENVIRONMENT_H
#define CLI_ENVIRONMENT_H

#include "cli/options.h"

struct environment {
	/* Its default where a variable is not set or empty; NULL where there is none. Of the process's own. */
	const char *value[VARIABLE_N];
};

/* -EINVAL, with what is wrong in 'why', which never shows a secret. */
int environment_read(struct environment *ret, struct buffer *why);

#endif
