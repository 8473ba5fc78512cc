/* What the watchers of the play are told. */

#include "play.h"

#include <string.h>

void hear_word(struct teller *t, unsigned user, const struct word *word, bool is_first)
{
	struct word *last = &t->words[user];
	/* The first of a watch may repeat what was told before it was ended; all others are news. */
	CHECK(is_first ? word->seq >= last->seq : word->seq > last->seq);
	*last = *word;
}

struct word word_of_snapshot(const struct snapshot *s)
{
	struct word word = {
		.is_known = s->is_known, .state = s->state, .reason = s->reason, .seq = s->seq};
	word.at_ms = s->is_known ? s->at_ms : 0;
	if (s->has_status)
		memcpy(word.status, s->status, s->status_len);
	return word;
}

static const char *field(const char *line, const char *name)
{
	const char *at = strstr(line, name);
	CHECK(at);
	return at + strlen(name);
}

static struct word word_of_line(const struct event *e, unsigned user)
{
	char line[EVENT_LINE_MAX + 1], name[NAME_MAX_LEN];
	CHECK(e->line_len < sizeof(line));
	memcpy(line, event_line(e), e->line_len);
	line[e->line_len] = '\0';
	size_t len = user_name(name, user);
	const char *at = field(line, "{\"type\":\"presence\",\"user\":\"");
	CHECK(strncmp(at, name, len) == 0 && at[len] == '"');

	struct word word = {.is_known = true};
	at = field(line, "\"state\":\"");
	CHECK(state_parse(at, strcspn(at, "\""), &word.state));
	at = field(line, "\"reason\":\"");
	CHECK(reason_parse(at, strcspn(at, "\""), &word.reason));
	word.seq = strtoull(field(line, "\"seq\":"), NULL, 10);
	word.at_ms = strtoull(field(line, "\"at_ms\":"), NULL, 10);
	at = field(line, "\"status\":");
	if (*at == '"')
		memcpy(word.status, at + 1, strcspn(at + 1, "\""));
	CHECK(word.seq == e->seq);
	return word;
}

static unsigned user_of_name(const char *name)
{
	return (unsigned)(name[4] - '0') * 10 + (unsigned)(name[5] - '0');
}

static void tell(struct worker *me, struct teller *t, struct watch *w)
{
	struct watched *u = w->watched;
	unsigned user = user_of_name(u->user);
	if (u->event) {
		struct word word = word_of_line(u->event, user);
		hear_word(t, user, &word, false);
		watch_set_told(me->watches, w, word.seq);
	} else {
		struct snapshot s;
		table_look(table, u->user, u->user_len, instant_now(), &s);
		CHECK(s.is_known && s.seq >= u->seq);
		struct word word = word_of_snapshot(&s);
		hear_word(t, user, &word, false);
		watch_set_told(me->watches, w, s.counter);
	}
	me->n_told++;
}

void flush_one(struct worker *me, unsigned n_lines)
{
	struct teller *t = (struct teller *)(void *)watch_next_flush(me->watches);
	struct watch *w;
	while (t && n_lines-- > 0 && (w = watch_next_dirty(me->watches, &t->watcher)))
		tell(me, t, w);
	if (t)
		watch_want_flush(me->watches, &t->watcher);
}
