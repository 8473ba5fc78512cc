/* presencectl watch: every change of some users, while the server is there and while it isn't. */
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/contact.h"
#include "cli/visit.h"

#include "base/clock.h"

struct watching {
	const struct environment *environment;
	struct style style;
	bool is_json;
	bool is_over;
	bool is_anything_told;
	int err; /* of standard output */
	enum presence_error complained; /* of this outage; OK: there is none */
	enum presence_error
		refused; /* why there will never be a word of any of them; OK: there may be */
};

static void print_contact(
	struct watching *w, struct presence *client, const struct presence_contact *contact)
{
	struct buffer text = {.data = NULL};
	int64_t as_of_ms = contact->as_of_ms > 0 ? visit_wall_ms(contact->as_of_ms) : -1;

	w->is_anything_told = true;
	w->style.now_ms = (int64_t)clock_instant().wall_ms;
	contact_append_change(
		&text, &w->style, w->is_json, contact, presence_last_error(client), as_of_ms);
	w->err = console_write(&text);
	w->is_over |= w->err < 0;
	buffer_free(&text);
}

/* Whether none of them may be watched: there will never be a word. */
static bool is_all_forbidden(struct presence *client)
{
	const struct presence_contact *c = presence_next(client, NULL);

	for (; c; c = presence_next(client, c->user))
		if (c->error == PRESENCE_OK)
			return false;
	return true;
}

static void on_contact(struct presence *client, const struct presence_contact *contact, void *arg)
{
	struct watching *w = arg;
	enum presence_error error = contact->error;

	print_contact(w, client, contact);
	if (error != PRESENCE_OK && is_all_forbidden(client)) {
		w->is_over = true;
		w->refused = error;
	}
}

/* Where the server is not even there at first, all are unknown from the start: the library tells of changes only. */
static void print_unknown(struct watching *w, struct presence *client)
{
	const struct presence_contact *c = presence_next(client, NULL);

	for (; c && !w->is_over; c = presence_next(client, c->user))
		print_contact(w, client, c);
}

static void on_link(struct presence *client, const struct presence_link_event *event, void *arg)
{
	struct watching *w = arg;

	if (event->link == PRESENCE_LINK_WAITING && event->error != w->complained) {
		visit_complain(w->environment, event->error, event->detail);
		w->complained = event->error;
	}
	if (event->link == PRESENCE_LINK_WAITING && !w->is_anything_told)
		print_unknown(w, client);
	if (event->link == PRESENCE_LINK_UP && w->complained != PRESENCE_OK) {
		console_complain("back");
		w->complained = PRESENCE_OK;
	}
}

static enum exit_code run(struct watching *w, struct presence *client)
{
	enum visit_end end = visit_run(client, &w->is_over, -1);
	enum presence_error error = w->refused;

	if (end == VISIT_END_STOPPED)
		error = presence_last_error(client);
	if (error != PRESENCE_OK) {
		visit_complain(w->environment, error, "");
		/* Who watches has lost the server, whoever's hand it was. */
		return visit_exit(error) == EXIT_CODE_NO ? EXIT_CODE_UNAVAILABLE
							 : visit_exit(error);
	}
	return console_exit(w->err);
}

enum exit_code command_watch(const struct invocation *what, const struct environment *environment)
{
	struct watching w = {.environment = environment,
		.style = console_style(what->option[CLI_OPTION_UTC]),
		.is_json = what->option[CLI_OPTION_JSON] != NULL};
	struct presence_options options = {.state = PRESENCE_STATE_INVISIBLE,
		.arg = &w,
		.on_contact = on_contact,
		.on_link = on_link};
	const char *heartbeat = what->option[CLI_OPTION_HEARTBEAT];
	struct presence *client;
	enum presence_error error;
	enum exit_code code;

	if (heartbeat)
		when_parse_duration(heartbeat, &options.heartbeat_ms);
	code = visit_open(environment, &options, &client);
	if (code != EXIT_CODE_DONE)
		return code;
	error = presence_watch(client, (const char *const *)what->operands, what->n_operands);
	if (error == PRESENCE_OK) {
		code = run(&w, client);
	} else {
		visit_complain(environment, error, "");
		code = visit_exit(error);
	}
	visit_close(client);
	return code;
}
