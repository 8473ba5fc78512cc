#include "cli/environment.h"

#include "base/terms.h"
#include "cli/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_MAX = 8192, URL_MAX = 2048 };

#define VARIABLE_ROW(name, value, help) [VARIABLE_##name] = {#name, value},
static const struct {
	const char *name, *value;
} variables[VARIABLE_N] = {CLI_VARIABLES(VARIABLE_ROW)};

/* What is wrong with it, or NULL. */
static const char *fault_of(enum cli_variable variable, const char *value)
{
	size_t len = strlen(value);

	switch (variable) {
	case VARIABLE_PRESENCE_USER:
		return text_is_id(value, len, USER_MAX)
			       ? NULL
			       : "must be 1 to 128 bytes of UTF-8 without control characters";
	case VARIABLE_PRESENCE_TOKEN:
	case VARIABLE_PRESENCE_ADMIN_TOKEN:
		return text_is_words(value, len, TOKEN_MAX)
			       ? NULL
			       : "must be at most 8 KiB without control characters";
	case VARIABLE_PRESENCE_URL:
	case VARIABLE_PRESENCE_ADMIN_URL:
		return text_is_words(value, len, URL_MAX) && !strchr(value, ' ')
			       ? NULL
			       : "must be a URL of at most 2 KiB";
	case VARIABLE_N:
		break;
	}
	return NULL;
}

int environment_read(struct environment *ret, struct buffer *why)
{
	struct environment got;

	for (enum cli_variable i = 0; i < VARIABLE_N; i++) {
		const char *value = getenv(variables[i].name);
		const char *fault = value && value[0] ? fault_of(i, value) : NULL;
		if (fault) {
			buffer_printf(why, "%s: %s", variables[i].name, fault);
			return -EINVAL;
		}
		got.value[i] = value && value[0]       ? value
			       : variables[i].value[0] ? variables[i].value
						       : NULL;
	}
	*ret = got;
	return 0;
}
