/* presencectl stats: the server's numbers, once or every second. */
#include "cli/api.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/show.h"
#include "cli/stats_text.h"

#include "base/clock.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { INTERVAL_MS = 1000 };

struct screen {
	struct api *api;
	bool is_json, is_repeated;
	struct style style;
	json_t *before; /* the last document; NULL at first, and after the server was away */
	uint64_t before_ms; /* when that was, CLOCK_MONOTONIC */
};

/* Rates are of one start of the server. */
static bool is_same_server(const json_t *a, const json_t *b)
{
	const char *first = json_string_value(json_object_get(a, "server"));
	const char *second = json_string_value(json_object_get(b, "server"));

	return first && second && strcmp(first, second) == 0;
}

static int print_document(struct screen *s, const json_t *stats, uint64_t now_ms)
{
	const json_t *before = is_same_server(stats, s->before) ? s->before : NULL;
	struct buffer text = {.data = NULL};
	int err;

	if (s->is_json) {
		show_append_json_document(&text, stats);
		buffer_append_string(&text, "\n");
	} else {
		if (s->is_repeated && s->style.is_terminal)
			buffer_append_string(&text, "\033[H\033[2J"); /* home, clear */
		else if (s->before)
			buffer_append_string(&text, "\n");
		stats_append_text(&text, &s->style, stats, before, now_ms - s->before_ms);
	}
	err = console_write(&text);
	buffer_free(&text);
	return err;
}

static enum exit_code print_once(struct screen *s, int *ret_err)
{
	struct buffer path = {.data = NULL};
	json_t *stats = NULL;
	enum exit_code code;
	uint64_t now_ms;

	buffer_append_string(&path, "/stats");
	code = api_get(s->api, &path, &stats);
	buffer_free(&path);
	now_ms = clock_mono_ms();
	if (code == EXIT_CODE_DONE)
		*ret_err = print_document(s, stats, now_ms);
	json_decref(s->before);
	s->before = stats;
	s->before_ms = now_ms;
	return code;
}

/* Until the next is due. False where nobody reads any more. */
static bool wait_for_next(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, INTERVAL_MS) == 0;
}

enum exit_code command_stats(const struct invocation *what, const struct environment *environment)
{
	struct screen s = {.is_json = what->option[CLI_OPTION_JSON] != NULL,
		.is_repeated = what->option[CLI_OPTION_WATCH] != NULL};
	enum exit_code code;
	int err = 0;

	s.style = console_style(false);
	code = api_open(environment, &s.api);
	if (code != EXIT_CODE_DONE)
		return code;
	code = print_once(&s, &err);
	/* A server that was there is waited for: it may be starting anew. */
	s.is_repeated &= code == EXIT_CODE_DONE;
	while (s.is_repeated && err == 0 &&
		(code == EXIT_CODE_DONE || code == EXIT_CODE_UNAVAILABLE) && wait_for_next())
		code = print_once(&s, &err);
	json_decref(s.before);
	api_close(s.api);
	return code == EXIT_CODE_DONE ? console_exit(err) : code;
}
