#include "client/c/outgoing.h"

#include <string.h>

static void put_text(struct buffer *b, const char *key, const char *text)
{
	if (!text)
		return;
	buffer_append_string(b, key);
	buffer_append_json(b, text, strlen(text));
}

static void put_words(struct buffer *b, enum presence_state state, const char *status)
{
	if (state != PRESENCE_STATE_NONE)
		put_text(b, ",\"state\":", presence_state_word(state));
	if (status && status[0] == '\0')
		buffer_append_string(b, ",\"status\":null");
	else
		put_text(b, ",\"status\":", status);
}

void put_hello(struct buffer *b, const struct hello *h)
{
	buffer_append_string(b, "{\"type\":\"hello\",\"v\":1");
	put_text(b, ",\"user\":", h->user);
	put_text(b, ",\"device\":", h->device);
	put_text(b, ",\"token\":", h->token);
	if (h->heartbeat_ms) {
		buffer_append_string(b, ",\"heartbeat_ms\":");
		buffer_append_u64(b, h->heartbeat_ms);
	}
	put_words(b, h->state, h->status);
	put_text(b, ",\"resume\":", h->resume);
	buffer_append_string(b, "}\n");
}

void put_heartbeat(struct buffer *b)
{
	buffer_append(b, "\n", 1);
}

void put_bye(struct buffer *b)
{
	buffer_append_string(b, "{\"type\":\"bye\"}\n");
}

static void put_open(struct buffer *b, const char *type, uint64_t id)
{
	buffer_printf(b, "{\"type\":\"%s\",\"id\":", type);
	buffer_append_u64(b, id);
}

void put_update(struct buffer *b, uint64_t id, enum presence_state state, const char *status,
	const char *token)
{
	put_open(b, "update", id);
	put_words(b, state, status);
	put_text(b, ",\"token\":", token);
	buffer_append_string(b, "}\n");
}

struct party put_party(struct buffer *b, const char *type, uint64_t id)
{
	struct party party = {.begin = b->len};

	put_open(b, type, id);
	buffer_append_string(b, ",\"users\":[");
	return party;
}

bool put_user(struct buffer *b, struct party *party, const char *user, size_t max_bytes)
{
	static const size_t end_len = sizeof("]}\n") - 1;
	size_t len = b->len;

	if (party->n > 0)
		buffer_append(b, ",", 1);
	buffer_append_json(b, user, strlen(user));
	if (party->n > 0 && b->len - party->begin + end_len > max_bytes) {
		b->len = len;
		return false;
	}
	party->n++;
	return true;
}

void put_party_end(struct buffer *b, const struct party *party)
{
	if (party->n == 0)
		b->len = party->begin;
	else
		buffer_append_string(b, "]}\n");
}
