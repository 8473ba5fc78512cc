#include "presence/snapshot.h"

static char *put_word(char *to, const char *word)
{
	size_t len = strlen(word);
	*to++ = '"';
	memcpy(to, word, len);
	to += len;
	*to++ = '"';
	return to;
}

static char *put_time(char *to, bool is_known, uint64_t ms)
{
	return is_known ? json_put_u64(to, ms) : json_put_literal(to, "null");
}

char *snapshot_put_fields(char *to, const char *user, size_t user_len, const struct snapshot *s)
{
	to = json_put_literal(to, "\"user\":");
	to = json_put_string(to, user, user_len);
	to = json_put_literal(to, ",\"state\":");
	to = put_word(to, state_word(s->state));
	to = json_put_literal(to, ",\"reason\":");
	to = put_word(to, reason_word(s->reason));
	to = json_put_literal(to, ",\"seq\":");
	to = json_put_u64(to, s->seq);
	to = json_put_literal(to, ",\"at_ms\":");
	to = put_time(to, s->is_known, s->at_ms);
	to = json_put_literal(to, ",\"last_seen_ms\":");
	to = put_time(to, s->is_known, s->last_seen_ms);
	to = json_put_literal(to, ",\"status\":");
	to = s->has_status ? json_put_string(to, s->status, s->status_len)
			   : json_put_literal(to, "null");
	if (s->is_reconnecting)
		to = json_put_literal(to, ",\"reconnecting\":true");
	*to++ = '}';
	return to;
}
