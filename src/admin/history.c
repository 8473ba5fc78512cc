/* GET /v1/users/{id}/history: why a user was shown as it was. */

#include "admin/api.h"
#include "admin/events.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void put_ago(struct buffer *to, const char *name, uint64_t at_ms, uint32_t ago_ms)
{
	if (ago_ms == AGO_UNKNOWN)
		buffer_printf(to, ",\"%s\":null", name);
	else
		buffer_printf(to, ",\"%s\":%" PRIu64, name, at_ms - ago_ms);
}

static void put_evidence(struct buffer *to, const struct transition *t)
{
	const struct evidence *e = &t->evidence;

	buffer_printf(to,
		"{\"socket\":\"%s\",\"transport\":\"%s\",\"last_byte_ms\":%" PRIu64
		",\"timeout_ms\":%" PRIu32 ",\"granted_ms\":%" PRIu32,
		socket_word((enum socket)e->socket), transport_word((enum transport)e->transport),
		e->last_byte_ms, e->timeout_ms, e->granted_ms);
	put_ago(to, "nominated_ms", t->at_ms, e->nominated_ago_ms);
	put_ago(to, "heard_ms", t->at_ms, e->heard_ago_ms);
	put_ago(to, "expired_ms", t->at_ms, e->late_ms == AGO_UNKNOWN ? AGO_UNKNOWN : 0);
	if (e->late_ms == AGO_UNKNOWN)
		buffer_append_string(to, ",\"late_ms\":null}");
	else
		buffer_printf(to, ",\"late_ms\":%" PRIu32 "}", e->late_ms);
}

static void put_transition(struct buffer *to, const struct transition *t)
{
	char session[SESSION_TEXT_MAX];

	snprintf(session, sizeof(session), "%016" PRIx64, t->evidence.session);
	buffer_printf(to,
		"{\"state\":\"%s\",\"reason\":\"%s\",\"seq\":%" PRIu64 ",\"at_ms\":%" PRIu64
		",\"last_seen_ms\":%" PRIu64 ",\"device\":",
		state_word((enum state)t->state), reason_word((enum reason)t->reason), t->seq,
		t->at_ms, t->last_seen_ms);
	if (t->device_len > 0)
		buffer_append_json(to, t->device, t->device_len);
	else
		buffer_printf(to, "\"%s\"", session);
	buffer_printf(to, ",\"session\":\"%s\",\"evidence\":", session);
	put_evidence(to, t);
	buffer_append_string(to, "}");
}

struct answer events_history(struct admin *a, const struct request *r)
{
	size_t max = a->params.limits.history, n;
	struct buffer body = {.data = NULL};
	struct transition *all;
	struct id id;

	if (!a->params.feed || max == 0)
		return answer_error(ANSWER_ERROR_NO_HISTORY);
	if (!read_id(&r->params[0], &id))
		return answer_error(ANSWER_ERROR_BAD_ID);
	all = malloc(max * sizeof(*all));
	if (!all)
		return answer_error(ANSWER_ERROR_OUT_OF_MEMORY);
	n = feed_history(a->params.feed, id.text, id.len, all, max);
	buffer_append_string(&body, "{\"user\":");
	buffer_append_json(&body, id.text, id.len);
	buffer_append_string(&body, ",\"history\":[");
	for (size_t i = 0; i < n; i++) {
		buffer_append(&body, ",", i > 0);
		put_transition(&body, &all[i]);
	}
	buffer_append_string(&body, "]}\n");
	free(all);
	return answer_buffer(&body);
}
