/* presencectl list: the users that the server knows, a page at a time. */
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/show.h"
#include "cli/text.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { PAGE = 1000 }; /* the API's most */

struct listing {
	const struct invocation *what;
	struct api *api;
	struct style style;
	uint64_t n_left; /* of the limit */
};

static void append_parameter(struct buffer *path, const char *name, const char *value, size_t len)
{
	buffer_printf(path, "&%s=", name);
	text_append_percent(path, value, len);
}

static void append_user(struct buffer *to, const struct listing *l, const struct shown *user)
{
	if (l->what->option[CLI_OPTION_NAMES]) {
		text_append_safe(to, user->user, user->user_len);
		buffer_append_string(to, "\n");
	} else if (l->what->option[CLI_OPTION_JSON]) {
		show_append_json(to, user);
		buffer_append_string(to, "}\n");
	} else {
		show_append_row(to, &l->style, user);
	}
}

/* One page to standard output. */
static enum exit_code print_page(struct listing *l, const json_t *page, int *ret_err)
{
	const json_t *presences = json_object_get(page, "presences"), *presence;
	struct buffer text = {.data = NULL};
	struct shown user;
	size_t i;

	if (!json_is_array(presences))
		return api_strange(l->api, "the answer has no presences");
	json_array_foreach(presences, i, presence)
	{
		if (l->n_left == 0)
			break;
		if (show_read(presence, &user) < 0) {
			buffer_free(&text);
			return api_strange(l->api, "a presence is none");
		}
		append_user(&text, l, &user);
		l->n_left--;
	}
	*ret_err = console_write(&text);
	buffer_free(&text);
	return EXIT_CODE_DONE;
}

static void append_path(
	struct buffer *path, const struct listing *l, const char *cursor, size_t len)
{
	const char *state = l->what->option[CLI_OPTION_STATE];
	const char *prefix = l->what->option[CLI_OPTION_PREFIX];

	buffer_printf(path, "/v1/users?limit=%" PRIu64, l->n_left < PAGE ? l->n_left : PAGE);
	if (state)
		append_parameter(path, "state", state, strlen(state));
	if (prefix && prefix[0])
		append_parameter(path, "prefix", prefix, strlen(prefix));
	if (cursor)
		append_parameter(path, "cursor", cursor, len);
}

static enum exit_code print_pages(struct listing *l)
{
	struct buffer path = {.data = NULL};
	enum exit_code code = EXIT_CODE_DONE;
	json_t *page = NULL;
	int err = 0;

	append_path(&path, l, NULL, 0);
	while (code == EXIT_CODE_DONE && err == 0 && path.len > 0 && l->n_left > 0) {
		const char *cursor;
		size_t len = 0;
		json_decref(page);
		page = NULL;
		code = api_get(l->api, &path, &page);
		if (code == EXIT_CODE_DONE)
			code = print_page(l, page, &err);
		cursor = api_string(page, "cursor", &len);
		buffer_clear(&path);
		if (cursor)
			append_path(&path, l, cursor, len);
	}
	json_decref(page);
	buffer_free(&path);
	return code == EXIT_CODE_DONE ? console_exit(err) : code;
}

enum exit_code command_list(const struct invocation *what, const struct environment *environment)
{
	struct listing l = {.what = what, .n_left = UINT64_MAX};
	const char *limit = what->option[CLI_OPTION_LIMIT];
	enum exit_code code;
	uint32_t most = 0;

	if (limit && options_parse_number(limit, &most) == 0 && most > 0)
		l.n_left = most;
	l.style = console_style(what->option[CLI_OPTION_UTC]);
	code = api_open(environment, &l.api);
	if (code != EXIT_CODE_DONE)
		return code;
	code = print_pages(&l);
	api_close(l.api);
	return code;
}
