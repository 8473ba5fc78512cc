/* What a server may say to the client library, over lines and over WebSocket: it neither crashes nor hangs, tells of
 * nobody whom it was not asked for, keeps its table whole, and a link that is final stays so.
 *
 * The first byte: transport, whether the session is resumed, how the bytes come in pieces. The rest is what the server
 * sends after a welcome (or in place of it, where the first byte says so). */
#include "fuzz.h"

#include "client/c/client.h"
#include "client/c/stream.h"
#include "wire/upgrade.h"

#include <string.h>

enum { IS_WEBSOCKET = 1, IS_UPGRADED = 2, IS_WELCOME = 4, IS_RESUMED = 8 };

struct told {
	unsigned n;
	enum presence_link link;
};

static void on_contact(struct presence *p, const struct presence_contact *c, void *arg)
{
	struct told *told = arg;

	told->n++;
	PROPERTY(strcmp(c->user, "bob") == 0 || strcmp(c->user, "carol") == 0);
	PROPERTY(presence_contact(p, c->user) != NULL);
	PROPERTY((c->truth == PRESENCE_OFFLINE) == (c->state == PRESENCE_STATE_OFFLINE) ||
		 c->truth == PRESENCE_UNKNOWN);
	PROPERTY(!c->status || strlen(c->status) <= PRESENCE_STATUS_MAX);
}

static void on_link(struct presence *p, const struct presence_link_event *event, void *arg)
{
	struct told *told = arg;

	told->link = event->link;
	PROPERTY(event->link == presence_link(p));
	PROPERTY(event->link != PRESENCE_LINK_WAITING || !presence_error_is_final(event->error));
	PROPERTY(event->link != PRESENCE_LINK_STOPPED || presence_error_is_final(event->error));
}

static void on_answer(struct presence *p, enum presence_error error,
	const struct presence_contact *contacts, size_t n, void *arg)
{
	unsigned *n_answers = arg;

	(void)p;
	(*n_answers)++;
	PROPERTY((error == PRESENCE_OK) == (n == 2));
	for (size_t i = 0; i < n; i++)
		PROPERTY(strcmp(contacts[i].user, i == 0 ? "bob" : "dave") == 0);
}

static void welcome(struct presence *p, bool is_resumed, uint64_t now_ms)
{
	static const char line[] =
		"{\"type\":\"welcome\",\"user\":\"alice\",\"device\":\"d\",\"session\":\"s\",\"server\":"
		"\"one\",\"heartbeat_ms\":10000,\"timeout_ms\":30000,\"resumed\":true,\"resume\":\"r\"}";

	if (is_resumed)
		memcpy(p->resume, "r", 2);
	link_connected(p);
	link_line(p, line, sizeof(line) - 1, now_ms);
	PROPERTY(p->link == PRESENCE_LINK_UP);
}

/* The server's answer to the request, so that what follows is frames. */
static void upgrade(struct stream *s)
{
	struct buffer *out = stream_output(s), answer = {0};
	struct upgrade upgrade;
	struct ending ending;

	PROPERTY(upgrade_parse(out->data, out->len, 0, &upgrade) == UPGRADE_COMPLETE);
	upgrade_put_accept(&answer, &upgrade);
	PROPERTY(stream_receive(s, answer.data, answer.len, &ending) == 0);
	PROPERTY(stream_is_open(s));
	buffer_free(&answer);
}

static void check_table(const struct presence *p)
{
	size_t n = 0, n_in[CONTACT_PHASE_N] = {0};

	for (const struct contact *c = p->contacts.first; c; c = c->next) {
		n++;
		n_in[c->phase]++;
		PROPERTY(contacts_find(&p->contacts, c->user) == c);
		PROPERTY(!c->is_untold);
	}
	PROPERTY(n == p->contacts.n);
	PROPERTY(memcmp(n_in, p->contacts.n_in, sizeof(n_in)) == 0);
}

static void feed(
	struct presence *p, struct stream *s, const char *data, size_t size, uint32_t noise)
{
	uint64_t now_ms = 1000;

	while (size > 0 && link_wants_connection(p)) {
		struct ending ending;
		const char *line;
		size_t len, piece;

		noise = noise * 1664525 + 1013904223;
		piece = (noise >> 16) % (1u << (noise >> 29)) + 1;
		piece = piece < size ? piece : size;
		link_heard(p, now_ms);
		int err = stream_receive(s, data, piece, &ending);
		while (stream_next_line(s, &line, &len))
			link_line(p, line, len, now_ms);
		if (err != 0)
			link_lost(p, &ending, now_ms);
		data += piece;
		size -= piece;
		now_ms += noise & 15;
		link_tick(p, now_ms);
		buffer_clear(&p->out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const users[] = {"bob", "dave"}, *const watched[] = {"bob", "carol"};
	struct told told = {.n = 0};
	unsigned n_answers = 0;
	struct presence *p;
	struct stream *s;

	if (size < 1)
		return 0;
	struct presence_options options = {.size = sizeof(options),
		.url = data[0] & IS_WEBSOCKET ? "ws://h/" : "tcp://h",
		.user = "alice",
		.arg = &told,
		.on_contact = on_contact,
		.on_link = on_link};
	PROPERTY(presence_new(&options, &p) == PRESENCE_OK);
	PROPERTY(presence_watch(p, watched, 2) == PRESENCE_OK);
	PROPERTY(presence_query(p, users, 2, on_answer, &n_answers) == PRESENCE_OK);
	PROPERTY(stream_new(&p->url, NULL, &s) == 0);
	link_start(p, 1000);
	if ((data[0] & IS_WEBSOCKET) && (data[0] & IS_UPGRADED))
		upgrade(s);
	if (data[0] & IS_WELCOME)
		welcome(p, data[0] & IS_RESUMED, 1000);
	else
		link_connected(p);
	feed(p, s, (const char *)data + 1, size - 1, data[0]);
	check_table(p);
	PROPERTY(n_answers <= 1);
	stream_free(s);
	presence_free(p);
	PROPERTY(n_answers == 1);
	return 0;
}
