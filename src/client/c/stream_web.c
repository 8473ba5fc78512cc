/* WebSocket under the lines: the request, the answer to it, frames. */
#include "base/hash.h"
#include "client/c/stream.h"
#include "wire/upgrade_client.h"
#include "wire/websocket.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stream_web {
	struct websocket *frames;
	char key[UPGRADE_KEY_LEN + 1];
	char host[SERVER_AUTHORITY_MAX];
	char *path;
	bool is_open, has_ended;
	struct buffer head; /* the answer, until it is whole */
	char why[UPGRADE_WHY_MAX];
};

int stream_web_new(const struct server_url *url, struct stream_web **ret)
{
	struct stream_web *w = calloc(1, sizeof(*w));
	unsigned char random[16];

	if (!w)
		return -ENOMEM;
	w->path = strdup(url->path);
	if (!w->path || websocket_new_of_client(&w->frames) != 0) {
		stream_web_free(w);
		return -ENOMEM;
	}
	random_fill(random, sizeof(random));
	upgrade_make_key(random, w->key);
	server_url_authority(url, w->host);
	*ret = w;
	return 0;
}

void stream_web_free(struct stream_web *w)
{
	if (!w)
		return;
	websocket_free(w->frames);
	buffer_free(&w->head);
	free(w->path);
	free(w);
}

bool stream_web_is_open(const struct stream_web *w)
{
	return w->is_open;
}

bool stream_web_has_ended(const struct stream_web *w)
{
	return w->has_ended;
}

void stream_web_put_request(struct stream_web *w, struct buffer *to)
{
	upgrade_put_request(to, w->host, w->path, w->key);
}

/* --- frames out --- */

static void put_frame(
	struct buffer *to, enum websocket_opcode opcode, const char *payload, size_t len)
{
	unsigned char mask[WEBSOCKET_MASK_LEN];
	char header[WEBSOCKET_HEADER_MAX + WEBSOCKET_MASK_LEN];
	char *at = buffer_reserve(to, sizeof(header) + len);

	if (!at)
		return;
	random_fill(mask, sizeof(mask));
	size_t header_len = websocket_put_header(header, opcode, len);
	char *copy = at + header_len + WEBSOCKET_MASK_LEN;
	memcpy(copy, payload, len);
	header_len = websocket_mask(header, header_len, mask, copy, len);
	memcpy(at, header, header_len);
	to->len += header_len + len;
}

void stream_web_put(struct stream_web *w, const char *lines, size_t len, struct buffer *to)
{
	if (w->has_ended)
		return;
	while (len > 0) {
		const char *end = memchr(lines, '\n', len);
		size_t n = end ? (size_t)(end - lines) : len;
		size_t used = n + (end ? 1 : 0);

		put_frame(to, WEBSOCKET_OPCODE_TEXT, lines, n);
		lines += used;
		len -= used;
	}
}

/* --- in --- */

static int fail(struct ending *ret, enum presence_error error, const char *detail)
{
	*ret = (struct ending){.error = error, .detail = detail};
	return -1;
}

static int take_frames(struct stream_web *w, const char *data, size_t len, struct buffer *lines,
	struct buffer *answers, struct ending *ret)
{
	while (len > 0 && !w->has_ended) {
		struct websocket_event event;
		size_t used;
		enum websocket_what what =
			websocket_feed(w->frames, data, len, STREAM_LINE_MAX, &used, &event);

		data += used;
		len -= used;
		switch (what) {
		case WEBSOCKET_TEXT:
			buffer_append(lines, event.data, event.len);
			buffer_append(lines, "\n", 1);
			break;
		case WEBSOCKET_PING:
			put_frame(answers, WEBSOCKET_OPCODE_PONG, event.data, event.len);
			break;
		case WEBSOCKET_CLOSE: {
			char code[2] = {(char)(event.code >> 8), (char)event.code};
			bool has_code = event.code != WEBSOCKET_CODE_NONE;

			put_frame(answers, WEBSOCKET_OPCODE_CLOSE, code, has_code ? 2 : 0);
			w->has_ended = true;
			break;
		}
		case WEBSOCKET_VIOLATION:
			return fail(ret, PRESENCE_ERROR_PROTOCOL, event.why);
		case WEBSOCKET_NO_MEMORY:
			return fail(ret, PRESENCE_ERROR_MEMORY, NULL);
		case WEBSOCKET_MORE:
		case WEBSOCKET_PONG:
		case WEBSOCKET_WHAT_N:
			break;
		}
	}
	return 0;
}

int stream_web_receive(struct stream_web *w, const char *data, size_t len, struct buffer *lines,
	struct buffer *answers, struct ending *ret)
{
	size_t used = 0;
	int err = 0;

	if (w->is_open)
		return take_frames(w, data, len, lines, answers, ret);
	buffer_append(&w->head, data, len);
	if (w->head.failed)
		return fail(ret, PRESENCE_ERROR_MEMORY, NULL);
	switch (upgrade_read_answer(w->head.data, w->head.len, w->key, &used, w->why)) {
	case UPGRADE_ANSWER_ACCEPTED:
		w->is_open = true;
		err = take_frames(w, w->head.data + used, w->head.len - used, lines, answers, ret);
		buffer_free(&w->head);
		break;
	case UPGRADE_ANSWER_REFUSED:
		err = fail(ret, PRESENCE_ERROR_UPGRADE, w->why);
		break;
	case UPGRADE_ANSWER_MORE:
	case UPGRADE_ANSWER_N:
		break;
	}
	return err;
}
