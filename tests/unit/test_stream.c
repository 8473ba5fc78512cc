/* A client's stream: lines however the bytes come, WebSocket's frames and its ends; refused memory. */
#include "base/compiler.h"
#include "client/c/stream.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"
#include "wire/upgrade.h"
#include "wire/websocket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct stream *open_stream(const char *text)
{
	struct server_url url;
	struct stream *s;

	assert_int_equal(server_url_parse(text, &url), 0);
	assert_int_equal(stream_new(&url, NULL, &s), 0);
	return s;
}

/* What our server answers to the request that lies in the stream's output. */
static void put_answer(struct stream *s, struct buffer *to)
{
	struct upgrade upgrade;
	struct buffer *out = stream_output(s);

	assert_int_equal(upgrade_parse(out->data, out->len, 0, &upgrade), UPGRADE_COMPLETE);
	upgrade_put_accept(to, &upgrade);
	buffer_clear(out);
}

static void put_text(struct buffer *to, const char *text)
{
	char header[WEBSOCKET_HEADER_MAX];

	buffer_append(
		to, header, websocket_put_header(header, WEBSOCKET_OPCODE_TEXT, strlen(text)));
	buffer_append(to, text, strlen(text));
}

/* All lines, joined by '|'. */
static const char *lines(struct stream *s)
{
	static char text[1024];
	const char *line;
	size_t len, at = 0;

	while (stream_next_line(s, &line, &len)) {
		assert_true(at + len + 2 < sizeof(text));
		memcpy(text + at, line, len);
		at += len;
		text[at++] = '|';
	}
	text[at] = '\0';
	return text;
}

static void lines_come_in_pieces(void **state)
{
	static const char bytes[] = "one\r\n\ntwo\nthr";
	struct ending ending;
	char all[64] = "";

	(void)state;
	struct stream *s = open_stream("tcp://h");
	assert_true(stream_is_open(s));
	assert_string_equal(lines(s), "");
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		assert_int_equal(stream_receive(s, bytes + i, 1, &ending), 0);
		strcat(all, lines(s));
	}
	assert_string_equal(all, "one||two|");
	assert_int_equal(stream_receive(s, "ee\nfour\n", 8, &ending), 0);
	assert_string_equal(lines(s), "three|four|");
	assert_int_equal(stream_send(s, "a\nb\n", 4, &ending), 0);
	assert_memory_equal(stream_output(s)->data, "a\nb\n", 4);
	stream_free(s);
}

static void a_line_without_end_is_an_error(void **state)
{
	char *much = malloc(65536);
	struct ending ending = {.error = PRESENCE_OK};
	int err = 0;

	(void)state;
	memset(much, 'x', 65536);
	struct stream *s = open_stream("tcp://h");
	for (int i = 0; i < 17 && err == 0; i++)
		err = stream_receive(s, much, 65536, &ending);
	assert_int_equal(err, -1);
	assert_int_equal(ending.error, PRESENCE_ERROR_PROTOCOL);
	stream_free(s);
	free(much);
}

/* A server's side of what the stream sends: the texts of its frames, joined by '|'. */
static const char *texts_sent(struct stream *s, enum websocket_what *ret_last)
{
	static char text[1024];
	struct buffer *out = stream_output(s);
	struct websocket *server;
	struct websocket_event event;
	size_t used, done = 0, at = 0;

	assert_int_equal(websocket_new(&server), 0);
	while (done < out->len) {
		*ret_last = websocket_feed(
			server, out->data + done, out->len - done, 1000, &used, &event);
		assert_int_not_equal(*ret_last, WEBSOCKET_VIOLATION);
		done += used;
		memcpy(text + at, event.data, event.len);
		at += event.len;
		text[at++] = '|';
	}
	text[at] = '\0';
	buffer_clear(out);
	websocket_free(server);
	return text;
}

static void web_socket(void **state)
{
	struct buffer bytes = {0};
	struct ending ending;
	enum websocket_what last = WEBSOCKET_MORE;
	char all[256] = "";

	(void)state;
	struct stream *s = open_stream("ws://h:81/p");
	assert_false(stream_is_open(s));
	put_answer(s, &bytes);
	put_text(&bytes, "one\ntwo");
	put_text(&bytes, "");
	buffer_append(&bytes, "\x89\x02hi", 4); /* ping */
	put_text(&bytes, "three");
	for (size_t i = 0; i < bytes.len; i++) {
		assert_int_equal(stream_receive(s, bytes.data + i, 1, &ending), 0);
		strcat(all, lines(s));
	}
	assert_true(stream_is_open(s));
	assert_string_equal(all, "one|two||three|");
	assert_string_equal(texts_sent(s, &last), "hi|");
	assert_int_equal(last, WEBSOCKET_PONG);
	assert_int_equal(stream_send(s, "a\n\nb\n", 5, &ending), 0);
	assert_string_equal(texts_sent(s, &last), "a||b|");

	assert_int_equal(stream_receive(s,
				 "\x81\x03"
				 "bye\x88\x02\x03\xe8",
				 9, &ending),
		0);
	assert_string_equal(lines(s), "bye|");
	assert_true(stream_has_ended(s));
	texts_sent(s, &last);
	assert_int_equal(last, WEBSOCKET_CLOSE);
	/* Nothing is said behind a close. */
	assert_int_equal(stream_send(s, "a\n", 2, &ending), 0);
	assert_int_equal(stream_output(s)->len, 0);
	stream_free(s);
	buffer_free(&bytes);
}

static const struct {
	const char *bytes;
	size_t len;
	enum presence_error error;
} wrongs[] = {
	{"\x82\x01x", 3, PRESENCE_ERROR_PROTOCOL}, /* binary */
	{"\x81\x81maskx", 7, PRESENCE_ERROR_PROTOCOL}, /* masked */
	{"\x81\x01\xff", 3, PRESENCE_ERROR_PROTOCOL}, /* no UTF-8 */
	{"\x81\x7f\x00\x00\x00\x00\x7f\xff\xff\xff", 10, PRESENCE_ERROR_PROTOCOL}, /* 2 GB */
	{"\x80\x01x", 3, PRESENCE_ERROR_PROTOCOL}, /* a continuation of nothing */
};

static void what_no_server_sends(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrongs); i++) {
		struct stream *s = open_stream("ws://h");
		struct buffer bytes = {0};
		struct ending ending = {.error = PRESENCE_OK};

		put_answer(s, &bytes);
		buffer_append(&bytes, wrongs[i].bytes, wrongs[i].len);
		assert_int_equal(stream_receive(s, bytes.data, bytes.len, &ending), -1);
		assert_int_equal(ending.error, wrongs[i].error);
		stream_free(s);
		buffer_free(&bytes);
	}
	struct stream *s = open_stream("ws://h");
	struct ending ending;
	assert_int_equal(stream_receive(s, "HTTP/1.1 403 No\r\n\r\n", 19, &ending), -1);
	assert_int_equal(ending.error, PRESENCE_ERROR_UPGRADE);
	assert_string_equal(ending.detail, "HTTP status 403");
	stream_free(s);
}

static void refused_memory(void **state)
{
	bool is_over = false;

	(void)state;
	for (long n = 1; !is_over; n++) {
		struct server_url url;
		struct stream *s = NULL;
		struct buffer bytes = {0};
		struct ending ending = {.error = PRESENCE_OK};

		assert_int_equal(server_url_parse("ws://h", &url), 0);
		alloc_fail_begin(n);
		int err = stream_new(&url, NULL, &s);
		if (alloc_fail_end()) {
			assert_int_equal(err, -ENOMEM);
			continue;
		}
		put_answer(s, &bytes);
		put_text(&bytes, "line");
		/* And now of what is received and sent. */
		bool is_done = false;
		for (long m = 1; !is_done; m++) {
			struct stream *again;
			struct buffer answer = {0};

			assert_int_equal(stream_new(&url, NULL, &again), 0);
			put_answer(again, &answer);
			put_text(&answer, "line");
			alloc_fail_begin(m);
			err = stream_receive(again, answer.data, answer.len, &ending);
			if (err == 0)
				err = stream_send(again, "x\n", 2, &ending);
			is_done = !alloc_fail_end();
			assert_true(is_done ? err == 0 : ending.error == PRESENCE_ERROR_MEMORY);
			stream_free(again);
			buffer_free(&answer);
		}
		is_over = true;
		stream_free(s);
		buffer_free(&bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_in_pieces),
		cmocka_unit_test(a_line_without_end_is_an_error),
		cmocka_unit_test(web_socket),
		cmocka_unit_test(what_no_server_sends),
		cmocka_unit_test(refused_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
