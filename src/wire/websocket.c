#include "wire/websocket.h"

#include "base/buffer.h"
#include "base/ensure.h"
#include "wire/utf8.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

/* Of wslay the frames are taken, not the messages (wslay_event_*): those are allocated by the length that
 * a header claims, before a byte of it came. */

enum {
	HEADER_LEN_MAX = 14, /* 2, a length of 8, a mask of 4 */
	FIN = 0x80,
	RESERVED = 0x70,
	OPCODE = 0x0f,
	IS_CONTROL = 0x08,
	MASKED = 0x80,
	LENGTH = 0x7f,
	KEPT_MAX = 16384 /* bytes of an idle context's buffer */
};

struct websocket {
	wslay_frame_context_ptr frames;
	bool is_client; /* and what it reads a server's */
	/* This call's: the bytes that are left. */
	const char *data;
	size_t len;
	size_t max_message;
	/* The frame under way: its header as far as it came, and how much of its payload did. */
	uint8_t header[HEADER_LEN_MAX];
	uint8_t header_len; /* 0: there is none */
	uint64_t payload_len;
	char control[WEBSOCKET_CONTROL_PAYLOAD_MAX];
	uint8_t control_len;
	/* The message under way, over all its frames. */
	bool in_message; /* a frame of it is complete, the last is not there */
	bool is_told; /* the buffer's content is a message of the call before */
	struct utf8 utf8;
	struct buffer message;
	/* VIOLATION or NO_MEMORY: it is spent, and this is why; else MORE. */
	enum websocket_what fault;
	uint16_t code;
	const char *why;
};

static void blame(struct websocket *ws, uint16_t code, const char *why)
{
	if (ws->fault != WEBSOCKET_MORE)
		return;
	ws->fault = WEBSOCKET_VIOLATION;
	ws->code = code;
	ws->why = why;
}

/* --- wslay asks for bytes --- */

static size_t header_len(const struct websocket *ws)
{
	if (ws->header_len < 2)
		return 2;
	unsigned length = ws->header[1] & LENGTH;
	unsigned mask = ws->header[1] & MASKED ? 4 : 0;
	return 2 + (length == 127 ? 8 : length == 126 ? 2 : 0) + mask;
}

/* Of a header that is whole. */
static uint64_t claimed_len(const struct websocket *ws)
{
	uint64_t length = ws->header[1] & LENGTH;
	if (length < 126)
		return length;
	size_t n = length == 127 ? 8 : 2;
	length = 0;
	for (size_t i = 0; i < n; i++)
		length = length << 8 | ws->header[2 + i];
	return length;
}

/* The first two bytes, as far as wslay leaves that to us. */
static void judge_start(struct websocket *ws)
{
	unsigned opcode = ws->header[0] & OPCODE;

	if (ws->header[0] & RESERVED)
		blame(ws, WEBSOCKET_CODE_PROTOCOL, "a reserved bit is set");
	else if ((opcode & ~(unsigned)IS_CONTROL) > WSLAY_BINARY_FRAME)
		blame(ws, WEBSOCKET_CODE_PROTOCOL, "the opcode is reserved");
	else if (!(ws->header[1] & MASKED) != ws->is_client)
		blame(ws, WEBSOCKET_CODE_PROTOCOL,
			ws->is_client ? "the frame is masked" : "the frame is not masked");
	else if (opcode == WSLAY_CONTINUATION_FRAME && !ws->in_message)
		blame(ws, WEBSOCKET_CODE_PROTOCOL, "a continuation of nothing");
	else if ((opcode == WSLAY_TEXT_FRAME || opcode == WSLAY_BINARY_FRAME) && ws->in_message)
		blame(ws, WEBSOCKET_CODE_PROTOCOL, "a new message inside another");
	else if (opcode == WSLAY_BINARY_FRAME)
		blame(ws, WEBSOCKET_CODE_BINARY, "messages are text");
}

static void judge_length(struct websocket *ws)
{
	if (ws->header[0] & IS_CONTROL)
		return;
	if (ws->message.len > ws->max_message ||
		claimed_len(ws) > ws->max_message - ws->message.len)
		blame(ws, WEBSOCKET_CODE_TOO_BIG, "the message is over the limit");
}

/* What wslay needs next and no more, so that it never holds a byte of the frame after. */
static ssize_t give(uint8_t *to, size_t room, int flags, void *arg)
{
	struct websocket *ws = arg;
	bool is_header = ws->header_len < header_len(ws);
	uint64_t wanted;

	(void)flags;
	if (is_header) {
		wanted = header_len(ws) - ws->header_len;
	} else {
		/* Here wslay has found the header to be good: the time to judge it, before any payload. */
		if (ws->payload_len == 0)
			judge_length(ws);
		wanted = claimed_len(ws) - ws->payload_len;
	}
	size_t n = wanted < room ? (size_t)wanted : room;
	n = n < ws->len ? n : ws->len;
	if (n == 0 || ws->fault != WEBSOCKET_MORE)
		return -1;
	memcpy(to, ws->data, n);
	ws->data += n;
	ws->len -= n;
	if (!is_header) {
		ws->payload_len += n;
		return (ssize_t)n;
	}
	memcpy(ws->header + ws->header_len, to, n);
	ws->header_len += (uint8_t)n;
	if (ws->header_len == 2)
		judge_start(ws);
	return (ssize_t)n;
}

/* --- wslay gives payload --- */

static enum websocket_what tell(
	struct websocket_event *ret, enum websocket_what what, const void *data, size_t len)
{
	ret->data = len > 0 ? data : "";
	ret->len = len;
	return what;
}

static void forget_message(struct websocket *ws)
{
	if (ws->message.cap > KEPT_MAX)
		buffer_free(&ws->message);
	buffer_clear(&ws->message);
	ws->utf8 = (struct utf8){0};
	ws->in_message = false;
	ws->is_told = false;
}

static enum websocket_what take_close(struct websocket *ws, struct websocket_event *ret)
{
	const unsigned char *bytes = (const unsigned char *)ws->control;
	struct utf8 utf8 = {0};

	ret->code = WEBSOCKET_CODE_NONE;
	if (ws->control_len == 1)
		blame(ws, WEBSOCKET_CODE_PROTOCOL, "half a close code");
	if (ws->control_len < 2)
		return tell(ret, WEBSOCKET_CLOSE, "", 0);
	ret->code = (uint16_t)(bytes[0] << 8 | bytes[1]);
	size_t len = ws->control_len - 2u;
	if (!websocket_code_is_valid(ret->code))
		blame(ws, WEBSOCKET_CODE_PROTOCOL, "the close code is not one to send");
	else if (!utf8_feed(&utf8, ws->control + 2, len) || !utf8_is_whole(&utf8))
		blame(ws, WEBSOCKET_CODE_UTF8, "the close reason is not UTF-8");
	return tell(ret, WEBSOCKET_CLOSE, ws->control + 2, len);
}

static enum websocket_what take_control(struct websocket *ws, const struct wslay_frame_iocb *io,
	bool is_last, struct websocket_event *ret)
{
	ensure(io->data_length <= sizeof(ws->control) - ws->control_len);
	memcpy(ws->control + ws->control_len, io->data, io->data_length);
	ws->control_len += (uint8_t)io->data_length;
	if (!is_last)
		return WEBSOCKET_MORE;
	if (io->opcode == WSLAY_PING)
		return tell(ret, WEBSOCKET_PING, ws->control, ws->control_len);
	if (io->opcode == WSLAY_PONG)
		return tell(ret, WEBSOCKET_PONG, ws->control, ws->control_len);
	forget_message(ws);
	return take_close(ws, ret);
}

static enum websocket_what take_text(struct websocket *ws, const struct wslay_frame_iocb *io,
	bool is_last, struct websocket_event *ret)
{
	const char *data = (const char *)io->data;
	bool is_end = is_last && io->fin;

	if (!utf8_feed(&ws->utf8, data, io->data_length) || (is_end && !utf8_is_whole(&ws->utf8))) {
		blame(ws, WEBSOCKET_CODE_UTF8, "the text is not UTF-8");
		return WEBSOCKET_MORE;
	}
	if (is_last)
		ws->in_message = !is_end;
	ws->is_told = is_end;
	if (is_end && ws->message.len == 0)
		return tell(ret, WEBSOCKET_TEXT, data, io->data_length);
	buffer_append(&ws->message, data, io->data_length);
	if (ws->message.failed) {
		ws->fault = WEBSOCKET_NO_MEMORY;
		ws->code = WEBSOCKET_CODE_TRY_LATER;
		ws->why = "out of memory";
	}
	return is_end ? tell(ret, WEBSOCKET_TEXT, ws->message.data, ws->message.len)
		      : WEBSOCKET_MORE;
}

/* A piece of a frame; all of one, often. */
static enum websocket_what take(
	struct websocket *ws, const struct wslay_frame_iocb *io, struct websocket_event *ret)
{
	bool is_last = ws->payload_len == io->payload_length;
	enum websocket_what what = wslay_is_ctrl_frame(io->opcode)
					   ? take_control(ws, io, is_last, ret)
					   : take_text(ws, io, is_last, ret);
	if (is_last) {
		ws->header_len = 0;
		ws->payload_len = 0;
		ws->control_len = 0;
	}
	return what;
}

/* --- the context --- */

int websocket_new(struct websocket **ret)
{
	const struct wslay_frame_callbacks callbacks = {.recv_callback = give};
	struct websocket *ws = calloc(1, sizeof(*ws));

	if (!ws)
		return -ENOMEM;
	if (wslay_frame_context_init(&ws->frames, &callbacks, ws) != 0) {
		free(ws);
		return -ENOMEM;
	}
	*ret = ws;
	return 0;
}

int websocket_new_of_client(struct websocket **ret)
{
	int err = websocket_new(ret);

	if (err == 0)
		(*ret)->is_client = true;
	return err;
}

void websocket_free(struct websocket *ws)
{
	if (!ws)
		return;
	wslay_frame_context_free(ws->frames);
	buffer_free(&ws->message);
	free(ws);
}

bool websocket_is_idle(const struct websocket *ws)
{
	return ws->fault == WEBSOCKET_MORE && ws->header_len == 0 && !ws->in_message;
}

enum websocket_what websocket_feed(struct websocket *ws, const char *data, size_t len,
	size_t max_message, size_t *ret_used, struct websocket_event *ret)
{
	enum websocket_what what = WEBSOCKET_MORE;
	struct wslay_frame_iocb io;

	ws->data = data;
	ws->len = ws->fault == WEBSOCKET_MORE ? len : 0;
	ws->max_message = max_message;
	*ret = (struct websocket_event){0};
	if (ws->is_told)
		forget_message(ws);
	while (what == WEBSOCKET_MORE && ws->fault == WEBSOCKET_MORE) {
		ssize_t n = wslay_frame_recv(ws->frames, &io);

		if (n >= 0)
			what = take(ws, &io, ret);
		else if (n == WSLAY_ERR_WANT_READ)
			break;
		else
			blame(ws, WEBSOCKET_CODE_PROTOCOL,
				ws->header[0] & IS_CONTROL
					? "a control frame is long or in fragments"
					: "the length is not in its only valid form");
	}
	*ret_used = len - ws->len;
	ws->data = NULL; /* not ours beyond the call */
	if (ws->fault == WEBSOCKET_MORE)
		return what;
	buffer_free(&ws->message);
	*ret = (struct websocket_event){.code = ws->code, .why = ws->why};
	return ws->fault;
}

/* --- frames to send --- */

size_t websocket_put_header(char *to, enum websocket_opcode opcode, uint64_t len)
{
	unsigned n = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;

	to[0] = (char)(FIN | opcode);
	to[1] = (char)(n == 0 ? len : n == 2 ? 126 : 127);
	for (unsigned i = 0; i < n; i++)
		to[2 + i] = (char)(len >> 8 * (n - 1 - i));
	return 2 + n;
}

size_t websocket_put_control(char *to, enum websocket_opcode opcode, const char *data, size_t len)
{
	ensure(len <= WEBSOCKET_CONTROL_PAYLOAD_MAX);
	size_t n = websocket_put_header(to, opcode, len);
	memcpy(to + n, data, len);
	return n + len;
}

size_t websocket_put_close(char *to, uint16_t code, const char *reason)
{
	char payload[WEBSOCKET_CONTROL_PAYLOAD_MAX];
	uint16_t wire = htons(code);
	size_t len = strlen(reason);

	if (code == WEBSOCKET_CODE_NONE)
		return websocket_put_control(to, WEBSOCKET_OPCODE_CLOSE, "", 0);
	if (len > sizeof(payload) - sizeof(wire)) {
		len = sizeof(payload) - sizeof(wire);
		while (len > 0 && ((unsigned char)reason[len] & 0xc0) == 0x80)
			len--;
	}
	memcpy(payload, &wire, sizeof(wire));
	memcpy(payload + sizeof(wire), reason, len);
	return websocket_put_control(to, WEBSOCKET_OPCODE_CLOSE, payload, sizeof(wire) + len);
}

size_t websocket_mask(
	char *header, size_t header_len, const unsigned char mask[4], char *payload, size_t len)
{
	header[1] = (char)((unsigned char)header[1] | MASKED);
	memcpy(header + header_len, mask, WEBSOCKET_MASK_LEN);
	for (size_t i = 0; i < len; i++)
		payload[i] = (char)((unsigned char)payload[i] ^ mask[i & 3]);
	return header_len + WEBSOCKET_MASK_LEN;
}

bool websocket_code_is_valid(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
	       (code >= 3000 && code <= 4999);
}
