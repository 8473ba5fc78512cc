/* WebSocket frames: the same messages however the bytes come in pieces, and the ones that a plain decoder of
 * the whole makes of them. The first byte seeds the sizes of the pieces, the second the limit. */
#include "fuzz.h"

#include "base/buffer.h"
#include "wire/utf8.h"
#include "wire/websocket.h"

#include <string.h>

/* What was told, one thing after the other: what, code, length, bytes. */
static void record(
	struct buffer *log, enum websocket_what what, unsigned code, const char *data, size_t len)
{
	buffer_append_u64(log, what);
	buffer_append_string(log, ":");
	buffer_append_u64(log, code);
	buffer_append_string(log, ":");
	buffer_append_u64(log, len);
	buffer_append_string(log, ":");
	buffer_append(log, data, len);
}

static bool is_text(const char *data, size_t len)
{
	struct utf8 utf8 = {0};

	return utf8_feed(&utf8, data, len) && utf8_is_whole(&utf8);
}

/* --- the plain decoder: RFC 6455, 5.2, over bytes that are all there --- */

struct plain {
	const uint8_t *at;
	size_t left, limit;
	struct buffer message;
	struct utf8 utf8;
	bool in_message;
};

struct frame {
	unsigned opcode;
	bool fin;
	uint64_t len;
	const uint8_t *mask, *payload;
	size_t n_payload; /* of len, so many bytes are there */
};

/* 0: a header, whole and good as far as a header can be; 1: it is not whole; else the code of what is wrong. */
static unsigned plain_header(const struct plain *p, struct frame *f)
{
	size_t n = 2;

	if (p->left < 2)
		return 1;
	f->fin = p->at[0] & 0x80;
	f->opcode = p->at[0] & 0x0f;
	f->len = p->at[1] & 0x7f;
	bool is_control = f->opcode >= 8;
	if ((p->at[0] & 0x70) || (f->opcode > 2 && f->opcode < 8) || f->opcode > 10 ||
		!(p->at[1] & 0x80) || (f->opcode == 0 && !p->in_message) ||
		((f->opcode == 1 || f->opcode == 2) && p->in_message))
		return WEBSOCKET_CODE_PROTOCOL;
	if (f->opcode == 2)
		return WEBSOCKET_CODE_BINARY;
	if (is_control && (!f->fin || f->len > 125))
		return WEBSOCKET_CODE_PROTOCOL;
	if (f->len >= 126) {
		size_t size = f->len == 126 ? 2 : 8;

		n += size;
		if (p->left < n)
			return 1;
		f->len = 0;
		for (size_t i = 2; i < n; i++)
			f->len = f->len << 8 | p->at[i];
		if (f->len < (size == 2 ? 126 : 65536) || f->len > INT64_MAX)
			return WEBSOCKET_CODE_PROTOCOL;
	}
	if (p->left < n + 4)
		return 1;
	if (!is_control && f->len > p->limit - p->message.len)
		return WEBSOCKET_CODE_TOO_BIG;
	f->mask = p->at + n;
	f->payload = p->at + n + 4;
	f->n_payload = f->len < p->left - n - 4 ? (size_t)f->len : p->left - n - 4;
	return 0;
}

/* The payload that is there, unmasked; whether it is all. */
static bool plain_payload(struct plain *p, const struct frame *f, struct buffer *to)
{
	for (size_t i = 0; i < f->n_payload; i++) {
		char c = (char)(f->payload[i] ^ f->mask[i % 4]);

		buffer_append(to, &c, 1);
	}
	p->left -= (size_t)(f->payload - p->at) + f->n_payload;
	p->at = f->payload + f->n_payload;
	return f->n_payload == f->len;
}

/* False when nothing more is told. */
static bool plain_close(const struct buffer *payload, struct buffer *log)
{
	const uint8_t *bytes = (const uint8_t *)payload->data;
	unsigned code = payload->len < 2 ? 1005u : (unsigned)bytes[0] << 8 | bytes[1];

	if (payload->len == 0)
		record(log, WEBSOCKET_CLOSE, code, "", 0);
	else if (payload->len == 1 || !websocket_code_is_valid(code))
		record(log, WEBSOCKET_VIOLATION, WEBSOCKET_CODE_PROTOCOL, "", 0);
	else if (!is_text(payload->data + 2, payload->len - 2))
		record(log, WEBSOCKET_VIOLATION, WEBSOCKET_CODE_UTF8, "", 0);
	else
		record(log, WEBSOCKET_CLOSE, code, payload->data + 2, payload->len - 2);
	return false;
}

static bool plain_control(struct plain *p, const struct frame *f, struct buffer *log)
{
	struct buffer CLEANUP(buffer_free) payload = {0};

	if (!plain_payload(p, f, &payload))
		return false;
	if (f->opcode == 8)
		return plain_close(&payload, log);
	record(log, f->opcode == 9 ? WEBSOCKET_PING : WEBSOCKET_PONG, 0, payload.data, payload.len);
	return true;
}

static bool plain_text(struct plain *p, const struct frame *f, struct buffer *log)
{
	size_t before = p->message.len;
	bool is_whole = plain_payload(p, f, &p->message);
	bool is_good = p->message.len == before ||
		       utf8_feed(&p->utf8, p->message.data + before, p->message.len - before);

	if (!is_good || (is_whole && f->fin && !utf8_is_whole(&p->utf8))) {
		record(log, WEBSOCKET_VIOLATION, WEBSOCKET_CODE_UTF8, "", 0);
		return false;
	}
	p->in_message = !f->fin;
	if (is_whole && f->fin) {
		record(log, WEBSOCKET_TEXT, 0, p->message.data, p->message.len);
		buffer_clear(&p->message);
	}
	return is_whole;
}

static void decode_plainly(const uint8_t *data, size_t size, size_t limit, struct buffer *log)
{
	struct plain p = {.at = data, .left = size, .limit = limit};
	struct frame f;
	unsigned code;

	while ((code = plain_header(&p, &f)) == 0) {
		if (!(f.opcode >= 8 ? plain_control(&p, &f, log) : plain_text(&p, &f, log)))
			break;
	}
	if (code > 1)
		record(log, WEBSOCKET_VIOLATION, code, "", 0);
	buffer_free(&p.message);
}

/* --- ours --- */

/* Gives a piece; false when nothing more is told. */
static bool feed(
	struct websocket *ws, const char *data, size_t len, size_t limit, struct buffer *log)
{
	struct websocket_event e;
	enum websocket_what what;
	size_t used;

	do {
		what = websocket_feed(ws, data, len, limit, &used, &e);
		PROPERTY(used <= len && (used > 0 || len == 0));
		PROPERTY(what != WEBSOCKET_MORE || used == len);
		PROPERTY(what != WEBSOCKET_NO_MEMORY && what < WEBSOCKET_WHAT_N);
		PROPERTY((what == WEBSOCKET_VIOLATION) == (e.why != NULL));
		PROPERTY(what != WEBSOCKET_TEXT || (e.len <= limit && is_text(e.data, e.len)));
		if (what != WEBSOCKET_MORE)
			record(log, what, e.code, e.data, e.len);
		if (what == WEBSOCKET_CLOSE)
			PROPERTY(websocket_is_idle(ws) && is_text(e.data, e.len));
		if (what == WEBSOCKET_VIOLATION)
			PROPERTY(!websocket_is_idle(ws));
		data += used;
		len -= used;
		if (what == WEBSOCKET_CLOSE || what == WEBSOCKET_VIOLATION)
			return false;
	} while (what != WEBSOCKET_MORE || len > 0);
	return true;
}

static void decode(
	const uint8_t *data, size_t size, uint32_t noise, size_t limit, struct buffer *log)
{
	struct websocket *ws;
	bool goes_on = true;

	PROPERTY(websocket_new(&ws) == 0);
	for (size_t at = 0, n; goes_on && at < size; at += n) {
		noise = noise * 1664525 + 1013904223;
		n = (noise >> 16) % (1u << (noise >> 28)) + 1;
		n = n < size - at ? n : size - at;
		goes_on = feed(ws, (const char *)data + at, n, limit, log);
	}
	websocket_free(ws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buffer CLEANUP(buffer_free) plain = {0};
	struct buffer CLEANUP(buffer_free) whole = {0};
	struct buffer CLEANUP(buffer_free) pieces = {0};
	struct websocket *ws;

	if (size < 2)
		return 0;
	uint32_t noise = data[0];
	size_t limit = (size_t)data[1] * data[1];
	data += 2;
	size -= 2;

	decode_plainly(data, size, limit, &plain);
	PROPERTY(websocket_new(&ws) == 0);
	feed(ws, (const char *)data, size, limit, &whole);
	websocket_free(ws);
	decode(data, size, noise, limit, &pieces);
	PROPERTY(plain.len == whole.len && plain.len == pieces.len);
	PROPERTY(plain.len == 0 || memcmp(plain.data, whole.data, plain.len) == 0);
	PROPERTY(plain.len == 0 || memcmp(plain.data, pieces.data, plain.len) == 0);
	return 0;
}
