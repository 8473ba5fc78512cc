/* WebSocket (RFC 6455): from bytes to messages, and the frames to send. The server's side, and the client's, whose
 * frames are masked.
 *
 * Pure: bytes in, events out; no socket, clock or log. wslay reads the frames; what they make together
 * (messages, their limits, UTF-8, the order of fragments, close codes) is judged here. No extensions.
 *
 * Owns     a context of about 4.6 KB. It belongs to a connection only while websocket_is_idle() says no: a
 *          worker has one for all its connections, and gives it away only then. Nothing is ever read ahead,
 *          so that a context is idle whenever the bytes used up so far end with a frame and a message.
 * Threads  any, one at a time.
 * Memory   beside the context: nothing for a message that comes in one frame, in one piece, of up to 4 KiB;
 *          else at most twice what came of it (256 bytes at least), and max_message bounds what may come.
 *          An idle one keeps 16 KiB at most (what a message had beyond that goes with the next call).
 * Time     each byte is looked at once. How long a message may be open is the caller's to say: fragments of
 *          no bytes may come for ever.
 * Errors   as events. */
#ifndef WIRE_WEBSOCKET_H
#define WIRE_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum websocket_what {
	WEBSOCKET_MORE, /* all bytes are used up, and nothing is complete yet */
	WEBSOCKET_TEXT, /* a message: data, len; valid UTF-8 */
	WEBSOCKET_PING, /* data, len (125 at most): to be sent back in a pong */
	WEBSOCKET_PONG, /* data, len */
	WEBSOCKET_CLOSE, /* code and, as data and len, the reason, valid UTF-8. What comes after it is no concern */
	WEBSOCKET_VIOLATION, /* why, and the code to close with */
	WEBSOCKET_NO_MEMORY, /* the same, but the fault is ours */
	WEBSOCKET_WHAT_N
};

/* Codes that are made here. */
enum {
	WEBSOCKET_CODE_PROTOCOL = 1002,
	WEBSOCKET_CODE_BINARY = 1003,
	WEBSOCKET_CODE_NONE = 1005, /* never on the wire: a close frame without a code */
	WEBSOCKET_CODE_UTF8 = 1007,
	WEBSOCKET_CODE_TOO_BIG = 1009,
	WEBSOCKET_CODE_TRY_LATER = 1013
};

struct websocket_event {
	const char *data; /* never NULL with TEXT, PING, PONG and CLOSE; good until the next call */
	size_t len;
	uint16_t code;
	const char *why; /* static, for people */
};

struct websocket;

int websocket_new(struct websocket **ret); /* -ENOMEM */
/* One that reads what a server sends: frames that are not masked. */
int websocket_new_of_client(struct websocket **ret);
void websocket_free(struct websocket *); /* NULL is fine */

/* Reads on, to the end of the first thing that is to be told. '*ret_used' of the bytes belong to what has
 * come so far: all of them with MORE; at least one with everything else, of 'len' > 0. The others are to be
 * given again, in the next call.
 *
 * 'max_message' is the most bytes a text message may have; the same until the message is complete.
 * After VIOLATION and NO_MEMORY the context is spent: each later call says the same and uses up all. */
enum websocket_what websocket_feed(struct websocket *, const char *data, size_t len,
	size_t max_message, size_t *ret_used, struct websocket_event *ret);

/* No frame and no message is open, and it is not spent: the bytes of any connection may be next. So it is
 * after a CLOSE, whatever was open before. */
bool websocket_is_idle(const struct websocket *);

/* --- frames to send: whole, unmasked; a client masks them afterwards --- */

enum websocket_opcode {
	WEBSOCKET_OPCODE_TEXT = 1,
	WEBSOCKET_OPCODE_BINARY = 2, /* not sent by us: for tests */
	WEBSOCKET_OPCODE_CLOSE = 8,
	WEBSOCKET_OPCODE_PING = 9,
	WEBSOCKET_OPCODE_PONG = 10
};

enum {
	WEBSOCKET_HEADER_MAX = 10,
	WEBSOCKET_MASK_LEN = 4,
	WEBSOCKET_CONTROL_PAYLOAD_MAX = 125,
	WEBSOCKET_CONTROL_MAX = 2 + WEBSOCKET_CONTROL_PAYLOAD_MAX
};

/* The header of a frame of 'len' bytes, WEBSOCKET_HEADER_MAX at most; its size: 2, 4 or 10. */
size_t websocket_put_header(char *to, enum websocket_opcode, uint64_t len);

/* A ping or pong of at most WEBSOCKET_CONTROL_PAYLOAD_MAX bytes; the frame's size. */
size_t websocket_put_control(char *to, enum websocket_opcode, const char *data, size_t len);

/* A close frame; its size, WEBSOCKET_CONTROL_MAX at most. A reason that is too long is cut between
 * characters. WEBSOCKET_CODE_NONE makes one without a code and a reason. */
size_t websocket_put_close(char *to, uint16_t code, const char *reason);

/* Makes a frame with a payload of 'len' bytes at 'payload' a client's: its header, 'header_len' bytes at 'header' made
 * by websocket_put_header(), gets the mask's flag and the mask behind it, WEBSOCKET_MASK_LEN bytes more. The new size. */
size_t websocket_mask(
	char *header, size_t header_len, const unsigned char mask[4], char *payload, size_t len);

/* Whether a peer may send this code: 1000 to 1003, 1007 to 1014, 3000 to 4999. */
bool websocket_code_is_valid(unsigned code);

#endif
