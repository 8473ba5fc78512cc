/* What is asked of the server: watches and queries, in parties of bounded size, and what becomes of the replies.
 *
 * Of a party the server takes all or none, and does not say whom it refuses. So the party of a refusal is suspect, and
 * asked again in smaller ones, one at a time: halved where it is refused, doubled where it is taken, until those alone
 * are refused who must be. */
#include "client/c/client.h"
#include "client/c/outgoing.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- watches --- */

static uint64_t ask_party(
	struct presence *p, enum contact_phase phase, size_t max, struct contact **from)
{
	uint64_t id = ++p->last_id;
	struct party party = put_party(&p->out, "watch", id);
	struct contact *c = *from;

	for (; c && party.n < max; c = c->next) {
		if (c->phase != phase)
			continue;
		if (!put_user(&p->out, &party, c->user, p->request_bytes))
			break;
		contacts_set_phase(&p->contacts, c, CONTACT_ASKED);
		c->asked_id = id;
	}
	put_party_end(&p->out, &party);
	*from = c;
	return id;
}

static void ask_wanted(struct presence *p)
{
	struct contact *from = p->contacts.first;

	while (from && p->contacts.n_in[CONTACT_WANTED] > 0)
		ask_party(p, CONTACT_WANTED, PARTY_MAX, &from);
}

static void ask_suspects(struct presence *p, uint64_t now_ms)
{
	struct contact *from = p->contacts.first;

	if (p->suspect_id != 0 || now_ms < p->suspect_at_ms)
		return;
	p->suspect_id = ask_party(p, CONTACT_SUSPECT, p->suspect_chunk, &from);
	p->suspect_at_ms = now_ms + SUSPECT_PAUSE_MS;
}

static void ask_queries(struct presence *p)
{
	for (struct query *q = p->queries; q; q = q->next) {
		if (q->asked_id != 0)
			continue;
		q->asked_id = ++p->last_id;
		struct party party = put_party(&p->out, "query", q->asked_id);
		while (q->n_done + party.n < q->n && party.n < PARTY_MAX &&
			put_user(&p->out, &party, q->users[q->n_done + party.n], p->request_bytes))
			continue;
		put_party_end(&p->out, &party);
		q->n_asked = party.n;
	}
}

void ask_all(struct presence *p, uint64_t now_ms)
{
	if (p->link != PRESENCE_LINK_UP || p->stage != STAGE_UP)
		return;
	ask_queries(p);
	if (p->awaits_snapshot)
		return;
	if (p->contacts.n_in[CONTACT_WANTED] > 0)
		ask_wanted(p);
	if (p->contacts.n_in[CONTACT_SUSPECT] > 0)
		ask_suspects(p, now_ms);
}

uint64_t ask_deadline(const struct presence *p)
{
	bool is_due =
		p->contacts.n_in[CONTACT_SUSPECT] > 0 && p->suspect_id == 0 && !p->awaits_snapshot;

	return is_due ? p->suspect_at_ms : UINT64_MAX;
}

void ask_begin(struct presence *p, bool is_resumed)
{
	p->suspect_id = 0;
	p->suspect_at_ms = 0;
	p->suspect_chunk = PARTY_MAX / 2;
	/* By the secret the watches are continued too, and their snapshot follows the welcome at once. A heartbeat
	 * behind it says by its answer where there is none. */
	p->awaits_snapshot = is_resumed && p->has_said_resume && p->contacts.n > 0;
	if (p->awaits_snapshot)
		put_heartbeat(&p->out);
}

void ask_lost(struct presence *p)
{
	p->suspect_id = 0;
	for (struct query *q = p->queries; q; q = q->next)
		q->asked_id = 0;
	/* A query's answers are of one connection: of another one they are asked again from the first. */
	for (struct query *q = p->queries; q; q = q->next) {
		for (size_t i = 0; i < q->n_done; i++)
			free((char *)q->contacts[i].status);
		memset(q->contacts, 0, q->n * sizeof(*q->contacts));
		q->n_done = 0;
	}
}

void ask_unwatch(struct presence *p, const char *const *users, size_t n)
{
	size_t i = 0;

	while (i < n) {
		struct party party = put_party(&p->out, "unwatch", ++p->last_id);
		while (i < n && party.n < PARTY_MAX &&
			put_user(&p->out, &party, users[i], p->request_bytes))
			i++;
		put_party_end(&p->out, &party);
	}
}

/* --- replies to watches --- */

/* One word of a snapshot. Of a user that is not watched any more, in the watches of a resumed session: unwatch. */
static int take_word(struct presence *p, const struct incoming *in, const struct word *word)
{
	struct contact *c = contacts_find(&p->contacts, word->user);
	const char *user = word->user;
	int err;

	if (!c) {
		if (in->id == 0)
			ask_unwatch(p, &user, 1);
		return 0;
	}
	err = contacts_apply(&p->contacts, c, word);
	if (err == 0 && (in->id == 0 || (c->phase == CONTACT_ASKED && c->asked_id == in->id)))
		contacts_set_phase(&p->contacts, c, CONTACT_WATCHED);
	return err;
}

static int take_watching(struct presence *p, const struct incoming *in)
{
	struct json_walk walk = json_walk_begin(in->presences);
	struct json_part part;
	struct word word;

	while (json_walk_element(&walk, &part)) {
		int err = word_read(part, &word);
		if (err == 0)
			err = take_word(p, in, &word);
		if (err != 0)
			return err;
	}
	if (in->has_more)
		return 0;
	if (in->id == 0) {
		p->awaits_snapshot = false;
	} else if (in->id == p->suspect_id) {
		p->suspect_id = 0;
		p->suspect_chunk =
			p->suspect_chunk < PARTY_MAX / 2 ? p->suspect_chunk * 2 : PARTY_MAX;
	}
	return 0;
}

/* Those that were in the request: alone, it is refused; else each is suspect. None may be left of it, where they were
 * unwatched meanwhile. */
static void refuse_party(struct presence *p, uint64_t id, enum presence_error error)
{
	struct contact *one = NULL;
	size_t n = 0;

	for (struct contact *c = p->contacts.first; c; c = c->next) {
		if (c->phase != CONTACT_ASKED || c->asked_id != id)
			continue;
		one = c;
		n++;
		contacts_set_phase(&p->contacts, c, CONTACT_SUSPECT);
	}
	if (id == p->suspect_id)
		p->suspect_id = 0;
	if (n == 1)
		contacts_refuse(&p->contacts, one, error);
	p->suspect_chunk = n > 1 ? n / 2 : 1;
}

/* --- queries --- */

int ask_query_new(const char *const *users, size_t n, struct query **ret)
{
	size_t text_bytes = 0;
	struct query *q;
	char *text;

	for (size_t i = 0; i < n; i++)
		text_bytes += strlen(users[i]) + 1;
	q = malloc(sizeof(*q) + n * sizeof(char *) + text_bytes);
	struct presence_contact *contacts = calloc(n, sizeof(*contacts));
	if (!q || !contacts) {
		free(q);
		free(contacts);
		return -ENOMEM;
	}
	*q = (struct query){.n = n, .users = (char **)(q + 1), .contacts = contacts};
	text = (char *)(q->users + n);
	for (size_t i = 0; i < n; i++) {
		size_t len = strlen(users[i]) + 1;

		memcpy(text, users[i], len);
		q->users[i] = text;
		text += len;
	}
	*ret = q;
	return 0;
}

void ask_query_free(struct query *q)
{
	for (size_t i = 0; i < q->n_done; i++)
		free((char *)q->contacts[i].status);
	free(q->contacts);
	free(q);
}

static struct query *find_query(const struct presence *p, uint64_t id)
{
	struct query *q = p->queries;

	while (q && q->asked_id != id)
		q = q->next;
	return id == 0 ? NULL : q;
}

/* Its one answer. It is gone before: the callback may ask, stop and start. */
static void answer(struct presence *p, struct query *q, enum presence_error error)
{
	struct query **at = &p->queries;

	while (*at != q)
		at = &(*at)->next;
	*at = q->next;
	p->n_callbacks++;
	q->answer(p, error, error == PRESENCE_OK ? q->contacts : NULL,
		error == PRESENCE_OK ? q->n : 0, q->arg);
	p->n_callbacks--;
	ask_query_free(q);
}

void ask_give_up(struct presence *p, enum presence_error error)
{
	while (p->queries && p->link == PRESENCE_LINK_STOPPED)
		answer(p, p->queries, error);
}

static int take_look(struct presence *p, struct query *q, const struct word *word)
{
	struct presence_contact *c = &q->contacts[q->n_done];
	char *status = NULL;

	if (q->n_asked == 0 || strcmp(word->user, q->users[q->n_done]) != 0)
		return -EPROTO;
	if (word->has_status && !(status = strdup(word->status)))
		return -ENOMEM;
	*c = (struct presence_contact){
		.user = q->users[q->n_done],
		.truth = word->state == PRESENCE_STATE_OFFLINE ? PRESENCE_OFFLINE : PRESENCE_ONLINE,
		.state = word->state,
		.status = status,
		.reason = word->reason,
		.is_reconnecting = word->is_reconnecting,
		.seq = word->seq,
		.at_ms = word->at_ms,
		.last_seen_ms = word->last_seen_ms,
		.as_of_ms = p->contacts.heard_ms,
		.fresh_until_ms = p->contacts.heard_ms + p->contacts.timeout_ms,
	};
	q->n_done++;
	q->n_asked--;
	return 0;
}

static int take_presences(struct presence *p, const struct incoming *in)
{
	struct json_walk walk = json_walk_begin(in->presences);
	struct query *q = find_query(p, in->id);
	struct json_part part;
	struct word word;

	while (q && json_walk_element(&walk, &part)) {
		int err = word_read(part, &word);
		if (err == 0)
			err = take_look(p, q, &word);
		if (err != 0)
			return err;
	}
	if (!q || in->has_more)
		return 0;
	if (q->n_asked > 0)
		return -EPROTO;
	q->asked_id = 0;
	if (q->n_done == q->n)
		answer(p, q, PRESENCE_OK);
	return 0;
}

/* --- the door --- */

int ask_reply(struct presence *p, const struct incoming *in, const char **ret_detail)
{
	int err = in->type == INCOMING_WATCHING ? take_watching(p, in) : take_presences(p, in);

	if (err == -EPROTO)
		*ret_detail = "a reply that does not fit what was asked";
	return err;
}

bool ask_refused(struct presence *p, uint64_t id, enum presence_error error)
{
	struct query *q = find_query(p, id);

	if (id == 0 || id > p->last_id)
		return false;
	if (q)
		answer(p, q, error);
	else
		refuse_party(p, id, error);
	return true;
}
