#include "admin/answer.h"

#include "admin/stats.h"
#include "admin/stream.h"

#include <string.h>

#define ERROR_ROW(name, status, code, message) [ANSWER_ERROR_##name] = {status, code, message},
static const struct {
	unsigned status;
	const char *code, *message;
} errors[ANSWER_ERROR_N] = {ANSWER_ERRORS(ERROR_ROW)};
#undef ERROR_ROW

struct answer answer_document(unsigned status, json_t *document)
{
	struct answer answer = {.status = status};
	char *text = NULL;

	if (document)
		text = json_dumps(document, JSON_COMPACT);
	json_decref(document);
	if (!text) {
		answer.body.failed = true;
		return answer;
	}
	/* A line, for who reads it in a terminal: the NUL's place is room for it. */
	answer.body = (struct buffer){.data = text, .len = strlen(text), .cap = strlen(text) + 1};
	answer.body.data[answer.body.len++] = '\n';
	return answer;
}

struct answer answer_error_because(enum answer_error e, const char *message)
{
	return answer_document(errors[e].status, stats_error(errors[e].code, message));
}

struct answer answer_error(enum answer_error e)
{
	return answer_error_because(e, errors[e].message);
}

struct answer answer_buffer(struct buffer *body)
{
	struct answer answer = {.status = 200, .body = *body};

	*body = (struct buffer){.data = NULL};
	return answer;
}

void answer_free(struct answer *answer)
{
	stream_drop(answer->stream);
	buffer_free(&answer->body);
}
