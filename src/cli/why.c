/* presencectl why: a user's devices and last changes, explained. */
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/explain.h"
#include "cli/show.h"
#include "cli/text.h"

#include <string.h>

static enum exit_code ask(struct api *api, const char *user, const char *more, json_t **ret)
{
	struct buffer path = {.data = NULL};
	enum exit_code code;

	buffer_append_string(&path, "/v1/users/");
	text_append_percent(&path, user, strlen(user));
	buffer_append_string(&path, more);
	code = api_get(api, &path, ret);
	buffer_free(&path);
	return code;
}

static void append_for_people(struct buffer *b, const struct style *style,
	const struct shown *shown, const json_t *user, const json_t *history)
{
	const json_t *entry;
	size_t i;

	show_append_state(b, style, shown);
	explain_append_sessions(b, style, json_object_get(user, "sessions"));
	if (!history)
		buffer_append_string(b, "the server keeps no history (PRESENCED_HISTORY)\n");
	else if (json_array_size(history) > 0)
		buffer_append_string(b, "\n");
	json_array_foreach(history, i, entry) explain_append_entry(b, style, entry);
}

static enum exit_code print(
	struct api *api, const struct invocation *what, json_t *user, json_t *answer)
{
	const struct style style = console_style(what->option[CLI_OPTION_UTC]);
	json_t *history = json_object_get(answer, "history");
	struct buffer text = {.data = NULL};
	struct shown shown;
	bool is_known;
	int err;

	if (show_read(user, &shown) < 0 || (answer && !json_is_array(history)))
		return api_strange(api, "no user and history");
	is_known = json_array_size(history) > 0 || shown.at_ms >= 0 ||
		   json_array_size(json_object_get(user, "sessions")) > 0;
	if (what->option[CLI_OPTION_JSON]) {
		json_object_set_new(user, "history", history ? json_incref(history) : json_null());
		show_append_json_document(&text, user);
		buffer_append_string(&text, "\n");
	} else {
		append_for_people(&text, &style, &shown, user, history);
	}
	err = console_write(&text);
	buffer_free(&text);
	return err == 0 && !is_known ? EXIT_CODE_NO : console_exit(err);
}

enum exit_code command_why(const struct invocation *what, const struct environment *environment)
{
	json_t *user = NULL, *history = NULL;
	struct api *api;
	enum exit_code code = api_open(environment, &api);

	if (code != EXIT_CODE_DONE)
		return code;
	code = ask(api, what->operands[0], "", &user);
	if (code == EXIT_CODE_DONE)
		code = ask(api, what->operands[0], "/history", &history);
	if (code == EXIT_CODE_DONE || (code == EXIT_CODE_NO && user)) /* it keeps none */
		code = print(api, what, user, history);
	json_decref(user);
	json_decref(history);
	api_close(api);
	return code;
}
