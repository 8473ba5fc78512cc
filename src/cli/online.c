/* presencectl online: be present until Ctrl-C. */
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/show.h"
#include "cli/text.h"
#include "cli/visit.h"

#include "base/clock.h"
#include "base/terms.h"

#include <inttypes.h>
#include <string.h>

struct being {
	const struct environment *environment;
	struct style style;
	bool is_json, is_over, is_here;
	int err; /* of standard output */
};

static enum presence_state state_of(const char *word)
{
	enum presence_state s = PRESENCE_STATE_INVISIBLE;

	while (word && s > PRESENCE_STATE_NONE && strcmp(word, presence_state_word(s)) != 0)
		s--;
	return word ? s : PRESENCE_STATE_ONLINE;
}

/* "{"link":"up","error":null" and more. */
static void append_json(
	struct buffer *b, const struct presence_link_event *event, const struct presence_self *self)
{
	buffer_printf(b, "{\"link\":\"%s\",\"error\":", presence_link_word(event->link));
	if (event->error == PRESENCE_OK)
		buffer_append_string(b, "null");
	else
		buffer_printf(b, "\"%s\"", presence_error_word(event->error));
	buffer_append_string(b, ",\"user\":");
	show_append_json_string(b, self->user, strlen(self->user));
	if (event->link == PRESENCE_LINK_UP) {
		buffer_append_string(b, ",\"device\":");
		show_append_json_string(b, self->device, strlen(self->device));
		buffer_append_string(b, ",\"session\":");
		show_append_json_string(b, self->session, strlen(self->session));
		buffer_append_string(b, ",\"server\":");
		show_append_json_string(b, self->server, strlen(self->server));
		buffer_printf(b,
			",\"heartbeat_ms\":%" PRIu32 ",\"timeout_ms\":%" PRIu32 ",\"resumed\":%s",
			self->heartbeat_ms, self->timeout_ms, event->is_resumed ? "true" : "false");
	}
	if (event->link == PRESENCE_LINK_WAITING && event->retry_in_ms != UINT64_MAX)
		buffer_printf(b, ",\"retry_in_ms\":%" PRIu64, event->retry_in_ms);
	buffer_append_string(b, "}\n");
}

static void append_text(struct buffer *b, const struct style *style,
	const struct presence_link_event *event, const struct presence_self *self)
{
	when_append(b, style, style->now_ms);
	buffer_append_string(b, "  ");
	if (event->link == PRESENCE_LINK_UP) {
		text_append_name(b, self->user, strlen(self->user));
		buffer_append_string(
			b, event->is_resumed ? " is here again: device " : " is here: device ");
		text_append_name(b, self->device, strlen(self->device));
		buffer_append_string(b, ", beats every ");
		when_append_length(b, self->heartbeat_ms);
		buffer_append_string(b, ", is offline after a silence of ");
		when_append_length(b, self->timeout_ms);
	} else if (event->link == PRESENCE_LINK_WAITING) {
		visit_append_error(b, event->error, event->detail);
		if (event->retry_in_ms != UINT64_MAX) {
			buffer_append_string(b, "; again in ");
			when_append_length(b, (int64_t)event->retry_in_ms);
		}
	} else {
		buffer_append_string(b, "bye");
	}
	buffer_append_string(b, "\n");
}

static void on_link(struct presence *client, const struct presence_link_event *event, void *arg)
{
	struct being *being = arg;
	struct buffer text = {.data = NULL};

	if (event->link == PRESENCE_LINK_CONNECTING)
		return;
	if (event->link == PRESENCE_LINK_STOPPED && event->error != PRESENCE_OK &&
		!being->is_json) {
		visit_complain(being->environment, event->error, event->detail);
		return;
	}
	if (event->link == PRESENCE_LINK_STOPPED && !being->is_here && !being->is_json)
		return; /* it never was, or is no more: there is nothing to say bye to */
	being->is_here = event->link == PRESENCE_LINK_UP;
	being->style.now_ms = (int64_t)clock_instant().wall_ms;
	if (being->is_json)
		append_json(&text, event, presence_self(client));
	else
		append_text(&text, &being->style, event, presence_self(client));
	if (being->err == 0)
		being->err = console_write(&text);
	being->is_over |= being->err < 0;
	buffer_free(&text);
}

enum exit_code command_online(const struct invocation *what, const struct environment *environment)
{
	struct being being = {.environment = environment,
		.style = console_style(what->option[CLI_OPTION_UTC]),
		.is_json = what->option[CLI_OPTION_JSON] != NULL};
	struct presence_options options = {.user = what->operands[0],
		.device = what->option[CLI_OPTION_DEVICE],
		.status = what->option[CLI_OPTION_STATUS],
		.state = state_of(what->option[CLI_OPTION_STATE]),
		.arg = &being,
		.on_link = on_link};
	const char *heartbeat = what->option[CLI_OPTION_HEARTBEAT];
	struct presence *client;
	enum exit_code code;
	enum visit_end end;

	if (heartbeat)
		when_parse_duration(heartbeat, &options.heartbeat_ms);
	code = visit_open(environment, &options, &client);
	if (code != EXIT_CODE_DONE)
		return code;
	end = visit_run(client, &being.is_over, -1);
	code = end == VISIT_END_STOPPED ? visit_exit(presence_last_error(client)) : EXIT_CODE_DONE;
	visit_close(client);
	return code != EXIT_CODE_DONE ? code : console_exit(being.err);
}
