#include "client/c/stream.h"

#include "wire/ndjson.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT_MAX = 4096 }; /* bytes of a buffer that lies empty */

struct stream {
	struct stream_tls *tls; /* NULL: in plain text */
	struct stream_web *web; /* NULL: lines */
	bool is_request_sent; /* web's */
	struct buffer output; /* for the socket */
	struct buffer plain; /* out of TLS, on its way to web; empty between calls */
	struct buffer answers; /* of web's, on their way to TLS; empty between calls */
	struct buffer lines; /* come, from 'begin' on not given out yet */
	size_t begin;
	size_t searched; /* bytes from 'begin' on that hold no '\n' */
};

static int fail(struct ending *ret, enum presence_error error, const char *detail)
{
	*ret = (struct ending){.error = error, .detail = detail};
	return -1;
}

static int no_memory(struct ending *ret)
{
	return fail(ret, PRESENCE_ERROR_MEMORY, NULL);
}

/* Bytes of ours towards the socket, below WebSocket. */
static int send_below(struct stream *s, const char *data, size_t len, struct ending *ret)
{
	if (s->tls)
		return stream_tls_send(s->tls, data, len, ret);
	buffer_append(&s->output, data, len);
	return s->output.failed ? no_memory(ret) : 0;
}

static int send_answers(struct stream *s, struct ending *ret)
{
	int err = 0;

	if (s->answers.failed)
		err = no_memory(ret);
	else if (s->answers.len > 0)
		err = send_below(s, s->answers.data, s->answers.len, ret);
	buffer_free(&s->answers);
	return err;
}

/* What opens the layer above, once the one below is open. */
static int open_web(struct stream *s, struct ending *ret)
{
	if (!s->web || s->is_request_sent || (s->tls && !stream_tls_is_open(s->tls)))
		return 0;
	s->is_request_sent = true;
	stream_web_put_request(s->web, &s->answers);
	return send_answers(s, ret);
}

int stream_new(const struct server_url *url, void *tls_context, struct stream **ret)
{
	struct stream *s = calloc(1, sizeof(*s));
	struct ending ending;

	if (!s)
		return -ENOMEM;
	if ((server_url_is_tls(url) &&
		    stream_tls_new(tls_context, url, &s->output, &s->tls) != 0) ||
		(server_url_is_websocket(url) && stream_web_new(url, &s->web) != 0) ||
		open_web(s, &ending) != 0) {
		stream_free(s);
		return -ENOMEM;
	}
	*ret = s;
	return 0;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	stream_tls_free(s->tls);
	stream_web_free(s->web);
	buffer_free(&s->output);
	buffer_free(&s->plain);
	buffer_free(&s->answers);
	buffer_free(&s->lines);
	free(s);
}

bool stream_is_open(const struct stream *s)
{
	return (!s->tls || stream_tls_is_open(s->tls)) && (!s->web || stream_web_is_open(s->web));
}

bool stream_has_ended(const struct stream *s)
{
	return s->web && stream_web_has_ended(s->web);
}

struct buffer *stream_output(struct stream *s)
{
	return &s->output;
}

/* --- in --- */

/* The lines given out go, so that the buffer holds what is open. */
static void compact(struct stream *s)
{
	if (s->begin == 0)
		return;
	s->lines.len -= s->begin;
	if (s->lines.len > 0)
		memmove(s->lines.data, s->lines.data + s->begin, s->lines.len);
	else if (s->lines.cap > KEPT_MAX)
		buffer_free(&s->lines);
	s->begin = 0;
}

static int take_plain(struct stream *s, const char *data, size_t len, struct ending *ret)
{
	if (!s->web)
		buffer_append(&s->lines, data, len);
	else if (stream_web_receive(s->web, data, len, &s->lines, &s->answers, ret) != 0)
		return -1;
	if (s->lines.failed)
		return no_memory(ret);
	return s->lines.len > STREAM_LINE_MAX && !memchr(s->lines.data, '\n', s->lines.len)
		       ? fail(ret, PRESENCE_ERROR_PROTOCOL, "a line that does not end")
		       : 0;
}

int stream_receive(struct stream *s, const char *data, size_t len, struct ending *ret)
{
	int err;

	compact(s);
	if (!s->tls) {
		err = take_plain(s, data, len, ret);
	} else {
		err = stream_tls_receive(s->tls, data, len, &s->plain, ret);
		if (err == 0)
			err = open_web(s, ret);
		if (err == 0 && s->plain.len > 0)
			err = take_plain(s, s->plain.data, s->plain.len, ret);
		buffer_free(&s->plain);
	}
	return err == 0 ? send_answers(s, ret) : err;
}

bool stream_next_line(struct stream *s, const char **ret_line, size_t *ret_len)
{
	size_t len = s->lines.len - s->begin;
	size_t used;

	if (len == 0 || !ndjson_next(s->lines.data + s->begin, len, s->searched, ret_len, &used)) {
		s->searched = len;
		return false;
	}
	*ret_line = s->lines.data + s->begin;
	s->begin += used;
	s->searched = 0;
	return true;
}

/* --- out --- */

int stream_send(struct stream *s, const char *lines, size_t len, struct ending *ret)
{
	if (!s->web)
		return send_below(s, lines, len, ret);
	stream_web_put(s->web, lines, len, &s->answers);
	return send_answers(s, ret);
}
