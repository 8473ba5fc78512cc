/* presencectl get: one look; the exit code is the answer. */
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/contact.h"
#include "cli/visit.h"

enum { ANSWER_TIMEOUT_MS = 10000 };

struct looking {
	const struct invocation *what;
	const struct environment *environment;
	struct style style;
	bool is_over;
	enum exit_code code;
};

static void fail(struct looking *l, enum presence_error error, const char *detail)
{
	l->is_over = true;
	visit_complain(l->environment, error, detail);
	/* 1 and 2 are answers, and this is none. */
	l->code = visit_exit(error) == EXIT_CODE_NO ? EXIT_CODE_UNAVAILABLE : visit_exit(error);
}

/* The worst of them all: 0 online, 1 offline, 2 never seen. */
static enum exit_code answer_of(const struct presence_contact *contacts, size_t n)
{
	enum exit_code worst = EXIT_CODE_DONE;

	for (size_t i = 0; i < n; i++) {
		enum exit_code code = EXIT_CODE_UNKNOWN;
		if (contacts[i].truth == PRESENCE_ONLINE)
			code = EXIT_CODE_DONE;
		else if (contacts[i].truth == PRESENCE_OFFLINE &&
			 contacts[i].reason != PRESENCE_REASON_UNKNOWN)
			code = EXIT_CODE_NO;
		worst = code > worst ? code : worst;
	}
	return worst;
}

static void on_answer(struct presence *client, enum presence_error error,
	const struct presence_contact *contacts, size_t n, void *arg)
{
	struct looking *l = arg;
	struct buffer text = {.data = NULL};
	int err;

	(void)client;
	if (l->is_over)
		return;
	if (error != PRESENCE_OK) {
		fail(l, error, "");
		return;
	}
	for (size_t i = 0; i < n && !l->what->option[CLI_OPTION_QUIET]; i++) {
		struct shown s = contact_shown(&contacts[i], PRESENCE_OK);
		if (l->what->option[CLI_OPTION_JSON]) {
			show_append_json(&text, &s);
			buffer_append_string(&text, "}\n");
		} else {
			show_append_state(&text, &l->style, &s);
		}
	}
	l->is_over = true;
	l->code = answer_of(contacts, n);
	err = console_write(&text);
	if (console_exit(err) != EXIT_CODE_DONE)
		l->code = console_exit(err);
	buffer_free(&text);
}

/* One look does not wait for a server to come. */
static void on_link(struct presence *client, const struct presence_link_event *event, void *arg)
{
	struct looking *l = arg;

	(void)client;
	if (!l->is_over && event->error != PRESENCE_OK &&
		(event->link == PRESENCE_LINK_WAITING || event->link == PRESENCE_LINK_STOPPED))
		fail(l, event->error, event->detail);
}

enum exit_code command_get(const struct invocation *what, const struct environment *environment)
{
	struct looking l = {.what = what,
		.environment = environment,
		.style = console_style(what->option[CLI_OPTION_UTC])};
	struct presence_options options = {
		.state = PRESENCE_STATE_INVISIBLE, .arg = &l, .on_link = on_link};
	struct presence *client;
	enum presence_error error;
	enum visit_end end;
	enum exit_code code = visit_open(environment, &options, &client);

	if (code != EXIT_CODE_DONE)
		return code;
	error = presence_query(
		client, (const char *const *)what->operands, what->n_operands, on_answer, &l);
	if (error != PRESENCE_OK) {
		fail(&l, error, "");
	} else {
		end = visit_run(client, &l.is_over, ANSWER_TIMEOUT_MS);
		if (end == VISIT_END_SIGNAL)
			l.code = EXIT_CODE_UNAVAILABLE;
		else if (end != VISIT_END_OVER && !l.is_over)
			fail(&l, PRESENCE_ERROR_TIME_OVER, "");
	}
	l.is_over = true; /* what is answered by stopping is no answer */
	visit_close(client);
	return l.code;
}
