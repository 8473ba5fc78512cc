#include "cli/contact.h"

#include <inttypes.h>
#include <string.h>

struct shown contact_shown(const struct presence_contact *c, enum presence_error why_unknown)
{
	struct shown s = {.user = c->user,
		.user_len = strlen(c->user),
		.state = presence_state_word(c->state),
		.reason = presence_reason_word(c->reason),
		.status = c->status,
		.status_len = c->status ? strlen(c->status) : 0,
		.seq = c->state == PRESENCE_STATE_NONE ? -1 : (int64_t)c->seq,
		.at_ms = c->at_ms,
		.last_seen_ms = c->last_seen_ms,
		.is_reconnecting = c->is_reconnecting};

	if (c->truth == PRESENCE_UNKNOWN) {
		enum presence_error why = c->error != PRESENCE_OK ? c->error : why_unknown;
		s.state = presence_truth_word(PRESENCE_UNKNOWN);
		s.reason = why != PRESENCE_OK ? presence_error_word(why) : NULL;
		s.status = NULL;
		s.at_ms = -1;
		s.is_reconnecting = false;
	}
	s.state_len = strlen(s.state);
	s.reason_len = s.reason ? strlen(s.reason) : 0;
	return s;
}

void contact_append_change(struct buffer *b, const struct style *style, bool is_json,
	const struct presence_contact *c, enum presence_error why_unknown, int64_t as_of_ms)
{
	struct shown s = contact_shown(c, why_unknown);
	bool was_known =
		c->truth == PRESENCE_UNKNOWN && c->state != PRESENCE_STATE_NONE && as_of_ms >= 0;
	const char *was = was_known ? presence_state_word(c->state) : NULL;

	if (is_json) {
		show_append_json(b, &s);
		buffer_printf(b, ",\"time_ms\":%" PRId64, style->now_ms);
		if (was)
			buffer_printf(b, ",\"was\":\"%s\",\"as_of_ms\":%" PRId64, was, as_of_ms);
		buffer_append_string(b, "}\n");
		return;
	}
	show_append_change(b, style, &s);
	if (!was || b->failed)
		return;
	b->len--; /* the line goes on */
	buffer_printf(b, ", was %s at ", was);
	when_append(b, style, as_of_ms);
	buffer_append_string(b, "\n");
}
