/* presencectl kick: ends the sessions of a user, or one of them. */
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/text.h"

#include <string.h>

struct kick {
	struct api *api;
	const char *user, *session, *device; /* the last two NULL: all */
};

static void append_user_path(struct buffer *path, const struct kick *k)
{
	buffer_append_string(path, "/v1/users/");
	text_append_percent(path, k->user, strlen(k->user));
}

static enum exit_code kick_path(
	const struct kick *k, const char *session, size_t session_len, bool has_session)
{
	struct buffer path = {.data = NULL};
	enum exit_code code;

	append_user_path(&path, k);
	if (has_session) {
		buffer_append_string(&path, "/sessions/");
		text_append_percent(&path, session, session_len);
	}
	code = api_delete(k->api, &path);
	buffer_free(&path);
	return code;
}

/* The session that the device is in; it may have ended by the time it is kicked, which is as good. */
static enum exit_code kick_device(const struct kick *k)
{
	struct buffer path = {.data = NULL};
	enum exit_code code;
	const json_t *session;
	json_t *user = NULL;
	size_t i;

	append_user_path(&path, k);
	code = api_get(k->api, &path, &user);
	buffer_free(&path);
	if (code != EXIT_CODE_DONE)
		return code;
	code = EXIT_CODE_NO;
	json_array_foreach(json_object_get(user, "sessions"), i, session)
	{
		size_t device_len, name_len;
		const char *device = api_string(session, "device", &device_len);
		const char *name = api_string(session, "session", &name_len);
		if (!device || !name || device_len != strlen(k->device) ||
			memcmp(device, k->device, device_len) != 0)
			continue;
		code = kick_path(k, name, name_len, true);
		break;
	}
	json_decref(user);
	return code;
}

/* "kicked bob (device phone)", or that there was nobody. */
static enum exit_code tell(const struct kick *k, enum exit_code code)
{
	struct buffer text = {.data = NULL};
	const char *which = k->device ? k->device : k->session;
	int err;

	if (code == EXIT_CODE_DONE)
		buffer_append_string(&text, "kicked ");
	text_append_name(&text, k->user, strlen(k->user));
	if (code == EXIT_CODE_NO)
		buffer_append_string(&text, which ? " has no such session" : " has no session");
	if (which) {
		buffer_append_string(&text, k->device ? " (device " : " (session ");
		text_append_name(&text, which, strlen(which));
		buffer_append_string(&text, ")");
	}
	if (code == EXIT_CODE_NO) {
		console_complain_of(&text);
		buffer_free(&text);
		return code;
	}
	buffer_append_string(&text, "\n");
	err = console_write(&text);
	buffer_free(&text);
	return console_exit(err);
}

enum exit_code command_kick(const struct invocation *what, const struct environment *environment)
{
	struct kick k = {.user = what->operands[0],
		.session = what->n_operands > 1 ? what->operands[1] : NULL,
		.device = what->option[CLI_OPTION_DEVICE]};
	enum exit_code code;

	if (k.session && k.device) {
		console_complain("kick takes a session or a --device, not both");
		return EXIT_CODE_USAGE;
	}
	code = api_open(environment, &k.api);
	if (code != EXIT_CODE_DONE)
		return code;
	if (k.device)
		code = kick_device(&k);
	else
		code = kick_path(
			&k, k.session, k.session ? strlen(k.session) : 0, k.session != NULL);
	if (code == EXIT_CODE_DONE || code == EXIT_CODE_NO)
		code = tell(&k, code);
	api_close(k.api);
	return code;
}
