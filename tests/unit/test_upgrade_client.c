#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "wire/upgrade.h"
#include "wire/upgrade_client.h"
#include "wire/websocket.h"

#include <stdio.h>
#include <string.h>

/* RFC 6455, section 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ANSWER(status, more)                                                                       \
	"HTTP/1.1 " status "\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"         \
	"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" more "\r\n"

static void our_server_takes_our_request_and_we_its_answer(void **state)
{
	const unsigned char random[16] = "0123456789abcdef";
	struct buffer request = {0}, answer = {0};
	struct upgrade upgrade;
	char key[UPGRADE_KEY_LEN + 1], why[UPGRADE_WHY_MAX];
	size_t used;

	(void)state;
	upgrade_make_key(random, key);
	upgrade_put_request(&request, "h:81", "/p?q", key);
	assert_int_equal(upgrade_parse(request.data, request.len, 0, &upgrade), UPGRADE_COMPLETE);
	assert_int_equal(upgrade.used, request.len);
	assert_true(upgrade.has_subprotocol);
	assert_memory_equal(upgrade.host.text, "h:81", 4);
	upgrade_put_accept(&answer, &upgrade);
	size_t len = answer.len;
	buffer_append(&answer, "\x81\x00", 2);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(
			upgrade_read_answer(answer.data, i, key, &used, why), UPGRADE_ANSWER_MORE);
	assert_int_equal(upgrade_read_answer(answer.data, answer.len, key, &used, why),
		UPGRADE_ANSWER_ACCEPTED);
	assert_int_equal(used, len);
	buffer_free(&request);
	buffer_free(&answer);
}

static const struct {
	const char *answer, *why;
} refused[] = {
	{ANSWER("403 Forbidden", ""), "HTTP status 403"},
	{"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 3\r\n\r\nno\n", "HTTP status 426"},
	{"HTTP/1.1 200 OK\r\n\r\n", "HTTP status 200"},
	{ANSWER("101 X", "Sec-WebSocket-Extensions: permessage-deflate\r\n"),
		"an extension that was not asked for"},
	{ANSWER("101 X", "Sec-WebSocket-Protocol: chat\r\n"),
		"a subprotocol that was not asked for"},
	{ANSWER("101 X", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
		"an answer to another key"},
	{"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
	 "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=\r\n\r\n",
		"an answer to another key"},
	{"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"an answer to another key"},
	{"HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
		"an answer that upgrades to something else"},
	{"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n",
		"an answer that upgrades to something else"},
	{"{\"type\":\"error\"}\n", "no HTTP comes from there"},
	{"SSH-2.0-x\r\n", "no HTTP comes from there"},
};

static void what_is_no_yes_is_refused(void **state)
{
	char why[UPGRADE_WHY_MAX];
	size_t used = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		assert_int_equal(upgrade_read_answer(refused[i].answer, strlen(refused[i].answer),
					 KEY, &used, why),
			UPGRADE_ANSWER_REFUSED);
		assert_string_equal(why, refused[i].why);
	}
	assert_int_equal(used, 77);
	static const char good[] =
		ANSWER("101 Switching Protocols", "sec-websocket-protocol: presence.v1 \r\n");
	assert_int_equal(
		upgrade_read_answer(good, strlen(good), KEY, &used, why), UPGRADE_ANSWER_ACCEPTED);
}

static void a_head_that_does_not_end_is_refused(void **state)
{
	static char head[UPGRADE_ANSWER_MAX + 100];
	char why[UPGRADE_WHY_MAX];
	size_t used;
	int len = snprintf(head, sizeof(head), "HTTP/1.1 101 X\r\nX: ");

	(void)state;
	memset(head + len, 'x', sizeof(head) - (size_t)len);
	assert_int_equal(upgrade_read_answer(head, 4000, KEY, &used, why), UPGRADE_ANSWER_MORE);
	assert_int_equal(
		upgrade_read_answer(head, sizeof(head), KEY, &used, why), UPGRADE_ANSWER_REFUSED);
}

/* What a client masks the server reads, and what a client reads must not be masked. */
static void frames_of_a_client(void **state)
{
	static const unsigned char mask[4] = {1, 2, 0xff, 4};
	char frame[64], header[WEBSOCKET_HEADER_MAX + WEBSOCKET_MASK_LEN], payload[] = "hello, you";
	struct websocket *server, *client;
	struct websocket_event event;
	size_t used;

	(void)state;
	assert_int_equal(websocket_new(&server), 0);
	assert_int_equal(websocket_new_of_client(&client), 0);
	size_t len = websocket_put_header(header, WEBSOCKET_OPCODE_TEXT, strlen(payload));
	len = websocket_mask(header, len, mask, payload, strlen("hello, you"));
	assert_int_equal(len, 6);
	memcpy(frame, header, len);
	memcpy(frame + len, payload, strlen("hello, you"));
	len += strlen("hello, you");
	assert_int_equal(websocket_feed(server, frame, len, 100, &used, &event), WEBSOCKET_TEXT);
	assert_int_equal(event.len, 10);
	assert_memory_equal(event.data, "hello, you", 10);
	assert_int_equal(
		websocket_feed(client, frame, len, 100, &used, &event), WEBSOCKET_VIOLATION);
	assert_string_equal(event.why, "the frame is masked");
	websocket_free(client);

	/* Byte by byte, the length in two bytes. */
	char large[1000 + 4] = "\x81\x7e\x03\xe8";
	memset(large + 4, 'x', 1000);
	assert_int_equal(websocket_new_of_client(&client), 0);
	for (size_t i = 0; i < sizeof(large); i++) {
		enum websocket_what what =
			websocket_feed(client, large + i, 1, 4096, &used, &event);
		assert_int_equal(what, i + 1 < sizeof(large) ? WEBSOCKET_MORE : WEBSOCKET_TEXT);
	}
	assert_int_equal(event.len, 1000);
	websocket_free(client);
	websocket_free(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_server_takes_our_request_and_we_its_answer),
		cmocka_unit_test(what_is_no_yes_is_refused),
		cmocka_unit_test(a_head_that_does_not_end_is_refused),
		cmocka_unit_test(frames_of_a_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
