#include "wire/websocket.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 200, TOLD_MAX = 4096 };

/* --- what is told, as one line of text --- */

static void describe(char *told, enum websocket_what what, const struct websocket_event *event)
{
	static const char *const words[WEBSOCKET_WHAT_N] = {
		"", "text", "ping", "pong", "close", "violation", "no memory"};
	char *to = told + strlen(told);
	size_t room = TOLD_MAX - strlen(told);

	switch (what) {
	case WEBSOCKET_MORE:
		return;
	case WEBSOCKET_TEXT:
	case WEBSOCKET_PING:
	case WEBSOCKET_PONG:
		assert_non_null(event->data);
		if (event->len > 40)
			snprintf(to, room, "%s[%zu] ", words[what], event->len);
		else
			snprintf(to, room, "%s(%.*s) ", words[what], (int)event->len, event->data);
		return;
	case WEBSOCKET_CLOSE:
		assert_non_null(event->data);
		snprintf(to, room, "close(%u,%.*s) ", event->code, (int)event->len, event->data);
		return;
	case WEBSOCKET_VIOLATION:
	case WEBSOCKET_NO_MEMORY:
		assert_non_null(event->why);
		snprintf(to, room, "!%u ", event->code);
		return;
	case WEBSOCKET_WHAT_N:
		break;
	}
	fail();
}

/* Gives the bytes, and again what was left; true while no end was told. */
static bool feed(struct websocket *ws, const char *data, size_t len, char *told)
{
	struct websocket_event event;
	enum websocket_what what;
	size_t used;

	do {
		what = websocket_feed(ws, data, len, LIMIT, &used, &event);
		assert_true(used <= len);
		assert_true(what != WEBSOCKET_MORE || used == len);
		assert_true(what == WEBSOCKET_MORE || used > 0 || len == 0);
		describe(told, what, &event);
		data += used;
		len -= used;
		if (what >= WEBSOCKET_CLOSE)
			return false;
	} while (what != WEBSOCKET_MORE || len > 0);
	return true;
}

static struct websocket *begin(void)
{
	struct websocket *ws;

	assert_int_equal(websocket_new(&ws), 0);
	assert_true(websocket_is_idle(ws));
	return ws;
}

/* The bytes in pieces that end at 'a' and 'b', in a block of their own size each, for the sanitizers' sake. */
static void run_split(const char *data, size_t len, size_t a, size_t b, char *told)
{
	const size_t ends[] = {a, b, len};
	struct websocket *ws = begin();
	size_t at = 0;

	told[0] = '\0';
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		size_t n = ends[i] - at;
		char *piece = malloc(n + 1);

		assert_non_null(piece);
		memcpy(piece, data + at, n);
		bool goes_on = feed(ws, piece, n, told);
		free(piece);
		if (!goes_on)
			break;
		at = ends[i];
	}
	strcat(told, websocket_is_idle(ws) ? "idle" : "-");
	websocket_free(ws);
}

static void run_bytes(const char *data, size_t len, char *told)
{
	struct websocket *ws = begin();

	told[0] = '\0';
	for (size_t i = 0; i < len; i++) {
		if (!feed(ws, data + i, 1, told))
			break;
	}
	strcat(told, websocket_is_idle(ws) ? "idle" : "-");
	websocket_free(ws);
}

/* --- the table --- */

/* A mask of zeros leaves the payload readable. */
#define M        "\0\0\0\0"
#define TEN      "0123456789"
#define FIFTY    TEN TEN TEN TEN TEN
#define N125     FIFTY FIFTY TEN TEN "01234"
#define BYTES(s) s, sizeof(s) - 1

static const struct row {
	const char *name;
	const char *data;
	size_t len;
	const char *told;
} rows[] = {
	/* RFC 6455, 5.7 */
	{"masked Hello", BYTES("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "text(Hello) idle"},
	{"masked ping", BYTES("\x89\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "ping(Hello) idle"},
	{"masked pong", BYTES("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "pong(Hello) idle"},
	{"unmasked Hello", BYTES("\x81\x05Hello"), "!1002 -"},
	{"fragmented", BYTES("\x01\x83" M "Hel\x80\x82" M "lo"), "text(Hello) idle"},
	/* messages */
	{"empty", BYTES("\x81\x80" M), "text() idle"},
	{"two empty", BYTES("\x81\x80" M "\x81\x80" M), "text() text() idle"},
	{"one byte", BYTES("\x81\x81" M "a"), "text(a) idle"},
	{"125 bytes", BYTES("\x81\xfd" M N125), "text[125] idle"},
	{"126 bytes", BYTES("\x81\xfe\0\x7e" M N125 "5"), "text[126] idle"},
	{"two", BYTES("\x81\x81" M "a\x81\x82" M "bc"), "text(a) text(bc) idle"},
	{"NUL inside", BYTES("\x81\x82" M "\0\0"), "text() idle"},
	{"200 bytes: the limit", BYTES("\x81\xfe\0\xc8" M FIFTY FIFTY FIFTY FIFTY),
		"text[200] idle"},
	/* fragments */
	{"of nothing", BYTES("\x01\x80" M "\0\x80" M "\x80\x80" M), "text() idle"},
	{"begins empty", BYTES("\x01\x80" M "\x80\x81" M "a"), "text(a) idle"},
	{"ends empty", BYTES("\x01\x81" M "a\x80\x80" M), "text(a) idle"},
	{"bytes of three", BYTES("\x01\x81" M "a\0\x81" M "b\x80\x81" M "c"), "text(abc) idle"},
	{"then another", BYTES("\x01\x81" M "a\x80\x81" M "b\x81\x81" M "c"),
		"text(ab) text(c) idle"},
	{"twice", BYTES("\x01\x81" M "a\x80\x81" M "b\x01\x81" M "c\x80\x81" M "d"),
		"text(ab) text(cd) idle"},
	{"ping between", BYTES("\x01\x81" M "a\x89\x81" M "p\x80\x81" M "b"),
		"ping(p) text(ab) idle"},
	{"pong between", BYTES("\x01\x81" M "a\x8a\x80" M "\x80\x81" M "b"),
		"pong() text(ab) idle"},
	{"ping into a message at its limit",
		BYTES("\x01\xfe\0\xc8" M FIFTY FIFTY FIFTY FIFTY "\x89\x81" M "p\x80\x80" M),
		"ping(p) text[200] idle"},
	{"many between", BYTES("\x01\x80" M "\x89\x80" M "\x89\x81" M "x\x80\x81" M "b"),
		"ping() ping(x) text(b) idle"},
	{"close between", BYTES("\x01\x81" M "a\x88\x82" M "\x03\xe8"), "close(1000,) idle"},
	{"a whole message inside", BYTES("\x01\x81" M "a\x81\x81" M "b"), "!1002 -"},
	{"another begins inside", BYTES("\x01\x81" M "a\x01\x81" M "b"), "!1002 -"},
	{"a binary one inside", BYTES("\x01\x81" M "a\x82\x81" M "b"), "!1002 -"},
	{"continues nothing", BYTES("\x80\x81" M "a"), "!1002 -"},
	{"continues nothing, not last", BYTES("\0\x81" M "a"), "!1002 -"},
	{"continues what was complete", BYTES("\x81\x81" M "a\x80\x81" M "b"), "text(a) !1002 -"},
	{"open", BYTES("\x01\x81" M "a"), "-"},
	/* control frames */
	{"empty ping", BYTES("\x89\x80" M), "ping() idle"},
	{"ping of 125", BYTES("\x89\xfd" M N125), "ping[125] idle"},
	{"ping of bytes that are no text", BYTES("\x89\x82" M "\xff\xfe"), "ping(\xff\xfe) idle"},
	{"ping of 126", BYTES("\x89\xfe\0\x7e" M N125 "5"), "!1002 -"},
	{"ping of 2^16", BYTES("\x89\xff\0\0\0\0\0\1\0\0" M), "!1002 -"},
	{"pong of 126", BYTES("\x8a\xfe\0\x7e" M N125 "5"), "!1002 -"},
	{"close of 126", BYTES("\x88\xfe\0\x7e" M "\x03\xe8" N125), "!1002 -"},
	{"ping in fragments", BYTES("\x09\x81" M "a\x80\x81" M "b"), "!1002 -"},
	{"pong in fragments", BYTES("\x0a\x80" M), "!1002 -"},
	{"close in fragments", BYTES("\x08\x80" M), "!1002 -"},
	{"unmasked ping", BYTES("\x89\0"), "!1002 -"},
	{"unmasked close", BYTES("\x88\0"), "!1002 -"},
	/* close */
	{"close", BYTES("\x88\x80" M), "close(1005,) idle"},
	{"close, half a code", BYTES("\x88\x81" M "\x03"), "!1002 -"},
	{"close 1000", BYTES("\x88\x82" M "\x03\xe8"), "close(1000,) idle"},
	{"close 1001 with a reason",
		BYTES("\x88\x86" M "\x03\xe9"
		      "away"),
		"close(1001,away) idle"},
	{"close with the longest reason", BYTES("\x88\xfd" M "\x03\xe8" FIFTY FIFTY TEN TEN "012"),
		"close(1000," FIFTY FIFTY TEN TEN "012) idle"},
	{"close with a reason that is no text", BYTES("\x88\x83" M "\x03\xe8\xff"), "!1007 -"},
	{"close with a reason that is cut", BYTES("\x88\x83" M "\x03\xe8\xc3"), "!1007 -"},
	{"close 1005", BYTES("\x88\x82" M "\x03\xed"), "!1002 -"},
	{"close inside a character", BYTES("\x01\x81" M "\xc3\x88\x80" M), "close(1005,) idle"},
	{"close, then rubbish", BYTES("\x88\x80" M "\xff\xff\xff"), "close(1005,) idle"},
	/* what is reserved */
	{"RSV1", BYTES("\xc1\x80" M), "!1002 -"},
	{"RSV2", BYTES("\xa1\x80" M), "!1002 -"},
	{"RSV3", BYTES("\x91\x80" M), "!1002 -"},
	{"RSV1 of a ping", BYTES("\xc9\x80" M), "!1002 -"},
	{"RSV1 of a continuation", BYTES("\x01\x80" M "\xc0\x80" M), "!1002 -"},
	{"opcode 3", BYTES("\x83\x80" M), "!1002 -"},
	{"opcode 4", BYTES("\x84\x80" M), "!1002 -"},
	{"opcode 5", BYTES("\x85\x80" M), "!1002 -"},
	{"opcode 6", BYTES("\x86\x80" M), "!1002 -"},
	{"opcode 7", BYTES("\x87\x80" M), "!1002 -"},
	{"opcode 11", BYTES("\x8b\x80" M), "!1002 -"},
	{"opcode 12", BYTES("\x8c\x80" M), "!1002 -"},
	{"opcode 13", BYTES("\x8d\x80" M), "!1002 -"},
	{"opcode 14", BYTES("\x8e\x80" M), "!1002 -"},
	{"opcode 15", BYTES("\x8f\x80" M), "!1002 -"},
	{"binary", BYTES("\x82\x81" M "a"), "!1003 -"},
	{"binary in fragments", BYTES("\x02\x81" M "a"), "!1003 -"},
	/* lengths; the header is enough */
	{"201 bytes", BYTES("\x81\xfe\0\xc9" M), "!1009 -"},
	{"65,536 bytes", BYTES("\x81\xff\0\0\0\0\0\1\0\0" M), "!1009 -"},
	{"2^63 - 1 bytes", BYTES("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff" M), "!1009 -"},
	{"2^63 bytes", BYTES("\x81\xff\x80\0\0\0\0\0\0\0" M), "!1002 -"},
	{"too much in two", BYTES("\x01\xe4" M FIFTY FIFTY "\x80\xe5" M), "!1009 -"},
	{"just not too much in two", BYTES("\x01\xe4" M FIFTY FIFTY "\x80\xe4" M FIFTY FIFTY),
		"text[200] idle"},
	{"one byte more", BYTES("\x01\xe4" M FIFTY FIFTY "\0\xe4" M FIFTY FIFTY "\x80\x81" M),
		"!1009 -"},
	{"125 in 16 bits", BYTES("\x81\xfe\0\x7d" M), "!1002 -"},
	{"65,535 in 64 bits", BYTES("\x81\xff\0\0\0\0\0\0\xff\xff" M), "!1002 -"},
	/* text */
	{"UTF-8", BYTES("\x81\x8b" M "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"),
		"text(\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5) idle"},
	{"a character over two frames", BYTES("\x01\x81" M "\xc3\x80\x81" M "\xa9"),
		"text(\xc3\xa9) idle"},
	{"a ping inside a character", BYTES("\x01\x81" M "\xc3\x89\x80" M "\x80\x81" M "\xa9"),
		"ping() text(\xc3\xa9) idle"},
	{"four frames a character",
		BYTES("\x01\x81" M "\xf0\0\x81" M "\x9f\0\x81" M "\x98\x80\x81" M "\x80"),
		"text(\xf0\x9f\x98\x80) idle"},
	{"a cut character at the end", BYTES("\x81\x81" M "\xc3"), "!1007 -"},
	{"a cut character at the end of fragments", BYTES("\x01\x81" M "\xc3\x80\x80" M),
		"!1007 -"},
	{"a surrogate", BYTES("\x81\x83" M "\xed\xa0\x80"), "!1007 -"},
	{"longer than need be", BYTES("\x81\x82" M "\xc0\xaf"), "!1007 -"},
	{"beyond U+10FFFF", BYTES("\x81\x84" M "\xf4\x90\x80\x80"), "!1007 -"},
	{"bad in a fragment: at once", BYTES("\x01\x82" M "a\xff"), "!1007 -"},
	{"bad in a frame that is not complete: at once", BYTES("\x81\x8a" M "\xce\xba\xff"),
		"!1007 -"},
	{"a bad second byte over frames: at once", BYTES("\x01\x81" M "\xed\0\x85" M "\xa0"),
		"!1007 -"},
	/* not complete */
	{"nothing", BYTES(""), "idle"},
	{"one byte of a header", BYTES("\x81"), "-"},
	{"no mask yet", BYTES("\x81\x81\0\0\0"), "-"},
	{"no payload yet", BYTES("\x81\x81" M), "-"},
	{"half a 16-bit length", BYTES("\x81\xfe\0"), "-"},
};

static void test_rows(void **state)
{
	char told[TOLD_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		run_split(rows[i].data, rows[i].len, 0, 0, told);
		if (strcmp(told, rows[i].told) != 0)
			fail_msg("%s: %s, not %s", rows[i].name, told, rows[i].told);
	}
}

static void test_rows_split_at_every_two_bytes(void **state)
{
	char told[TOLD_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];

		run_bytes(r->data, r->len, told);
		if (strcmp(told, r->told) != 0)
			fail_msg("%s, by bytes: %s, not %s", r->name, told, r->told);
		for (size_t a = 0; a <= r->len; a++) {
			for (size_t b = a; b <= r->len; b++) {
				run_split(r->data, r->len, a, b, told);
				if (strcmp(told, r->told) != 0)
					fail_msg("%s, split at %zu and %zu: %s", r->name, a, b,
						told);
			}
		}
	}
}

/* Each row's messages mean the same after any other row that leaves the context idle. */
static void test_an_idle_context_is_as_good_as_new(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		for (size_t j = 0; j < ARRAY_LEN(rows); j++) {
			struct websocket *ws = begin();
			char told[TOLD_MAX] = "";

			feed(ws, rows[i].data, rows[i].len, told);
			if (websocket_is_idle(ws)) {
				told[0] = '\0';
				feed(ws, rows[j].data, rows[j].len, told);
				strcat(told, websocket_is_idle(ws) ? "idle" : "-");
				if (strcmp(told, rows[j].told) != 0)
					fail_msg("%s after %s: %s", rows[j].name, rows[i].name,
						told);
			}
			websocket_free(ws);
		}
	}
}

/* --- masks, sizes --- */

/* A masked frame; its size. */
static size_t put_masked(char *to, unsigned first, uint32_t mask, const char *payload, size_t len)
{
	size_t n = websocket_put_header(to, WEBSOCKET_OPCODE_TEXT, len);

	to[0] = (char)first;
	to[1] = (char)(to[1] | 0x80);
	memcpy(to + n, &mask, 4);
	for (size_t i = 0; i < len; i++)
		to[n + 4 + i] = (char)(payload[i] ^ to[n + i % 4]);
	return n + 4 + len;
}

enum { BIG = 70000 };

static void fill(char *text, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i++)
		text[i] = (char)(' ' + (i * 7 + i / 97 + seed) % 95);
}

/* One message of every interesting size, in pieces of several sizes. */
static void test_sizes_and_pieces(void **state)
{
	static const size_t sizes[] = {
		0, 1, 125, 126, 127, 4080, 4095, 4096, 4097, 8192, 65535, 65536, BIG};
	static const size_t pieces[] = {1, 13, 4095, 4096, 4097, 16384, BIG + 100};
	static char text[BIG], frame[BIG + 14];

	(void)state;
	for (size_t s = 0; s < ARRAY_LEN(sizes); s++) {
		for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
			struct websocket *ws = begin();
			struct websocket_event event = {0};
			enum websocket_what what = WEBSOCKET_MORE;
			size_t used, at = 0;

			fill(text, sizes[s], (unsigned)p);
			size_t n =
				put_masked(frame, 0x81, 0x5ac3f10fu + (uint32_t)s, text, sizes[s]);
			while (what == WEBSOCKET_MORE) {
				size_t piece = n - at < pieces[p] ? n - at : pieces[p];

				assert_true(piece > 0);
				what = websocket_feed(ws, frame + at, piece, BIG, &used, &event);
				at += used;
			}
			assert_int_equal(what, WEBSOCKET_TEXT);
			assert_int_equal(at, n);
			assert_int_equal(event.len, sizes[s]);
			assert_memory_equal(event.data, text, sizes[s]);
			assert_true(websocket_is_idle(ws));
			websocket_free(ws);
		}
	}
}

static void test_many_fragments(void **state)
{
	static char text[4000], wire[4000 * 7];
	struct websocket *ws = begin();
	struct websocket_event event;
	size_t len = 0, used, at = 0, n_pings = 0;
	enum websocket_what what;

	(void)state;
	fill(text, sizeof(text), 3);
	for (size_t i = 0; i < sizeof(text); i++)
		len += put_masked(wire + len,
			(i == 0 ? 1u : 0u) | (i + 1 == sizeof(text) ? 0x80u : 0u),
			(uint32_t)i * 2654435761u, text + i, 1);
	while ((what = websocket_feed(ws, wire + at, len - at, sizeof(text), &used, &event)) !=
		WEBSOCKET_TEXT) {
		assert_int_equal(what, WEBSOCKET_PING);
		n_pings++;
		at += used;
	}
	assert_int_equal(n_pings, 0);
	assert_int_equal(at + used, len);
	assert_int_equal(event.len, sizeof(text));
	assert_memory_equal(event.data, text, sizeof(text));
	websocket_free(ws);
}

static void test_frames_behind_are_left(void **state)
{
	static const char two[] = "\x81\x81" M "a\x89\x80" M;
	struct websocket *ws = begin();
	struct websocket_event event;
	size_t used;

	(void)state;
	assert_int_equal(
		websocket_feed(ws, two, sizeof(two) - 1, LIMIT, &used, &event), WEBSOCKET_TEXT);
	assert_int_equal(used, 7);
	assert_true(websocket_is_idle(ws));
	assert_int_equal(
		websocket_feed(ws, two + used, sizeof(two) - 1 - used, LIMIT, &used, &event),
		WEBSOCKET_PING);
	assert_int_equal(used, 6);
	websocket_free(ws);
}

static void test_spent_stays_spent(void **state)
{
	struct websocket *ws = begin();
	struct websocket_event event;
	size_t used;

	(void)state;
	assert_int_equal(
		websocket_feed(ws, "\x82\x80zzzzzz", 8, LIMIT, &used, &event), WEBSOCKET_VIOLATION);
	for (int i = 0; i < 3; i++) {
		event.code = 0;
		assert_int_equal(websocket_feed(ws, "\x81\x80" M, 6, LIMIT, &used, &event),
			WEBSOCKET_VIOLATION);
		assert_int_equal(used, 6);
		assert_int_equal(event.code, WEBSOCKET_CODE_BINARY);
		assert_false(websocket_is_idle(ws));
	}
	websocket_free(ws);
	websocket_free(NULL);
}

/* --- close codes --- */

static void test_every_close_code(void **state)
{
	unsigned n_valid = 0;

	(void)state;
	for (unsigned code = 0; code <= UINT16_MAX; code++) {
		/* RFC 6455, 7.4, and the registry: assigned and to be sent, or for libraries and applications. */
		bool is_valid = (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 &&
					code != 1006) ||
				(code >= 3000 && code < 5000);
		char frame[] = {'\x88', '\x82', 0, 0, 0, 0, (char)(code >> 8), (char)code};
		struct websocket *ws = begin();
		struct websocket_event event;
		size_t used;
		enum websocket_what what =
			websocket_feed(ws, frame, sizeof(frame), LIMIT, &used, &event);

		assert_int_equal(what, is_valid ? WEBSOCKET_CLOSE : WEBSOCKET_VIOLATION);
		assert_int_equal(event.code, is_valid ? code : WEBSOCKET_CODE_PROTOCOL);
		assert_int_equal(websocket_code_is_valid(code), is_valid);
		assert_int_equal(websocket_is_idle(ws), is_valid);
		n_valid += is_valid;
		websocket_free(ws);
	}
	assert_int_equal(n_valid, 12 + 2000);
}

/* --- memory --- */

static void test_refused_memory(void **state)
{
	static const char split[] = "\x01\x81" M "a\x80\x81" M "b";
	struct websocket *ws = NULL;
	struct websocket_event event;
	size_t used;

	(void)state;
	alloc_fail_begin(1);
	int err = websocket_new(&ws);
	assert_true(alloc_fail_end());
	assert_int_equal(err, -ENOMEM);
	assert_null(ws);

	ws = begin();
	alloc_fail_begin(1);
	enum websocket_what what =
		websocket_feed(ws, split, sizeof(split) - 1, LIMIT, &used, &event);
	assert_true(alloc_fail_end());
	assert_int_equal(what, WEBSOCKET_NO_MEMORY);
	assert_int_equal(event.code, WEBSOCKET_CODE_TRY_LATER);
	assert_false(websocket_is_idle(ws));
	assert_int_equal(websocket_feed(ws, "a", 1, LIMIT, &used, &event), WEBSOCKET_NO_MEMORY);
	assert_int_equal(used, 1);
	websocket_free(ws);
}

/* A message that comes in one piece asks for no memory. */
static void test_whole_messages_are_free(void **state)
{
	struct websocket *ws = begin();
	char told[TOLD_MAX] = "";

	(void)state;
	alloc_fail_begin(1);
	assert_true(feed(ws, BYTES("\x81\xfd" M N125 "\x89\x81" M "p\x81\x80" M), told));
	assert_false(alloc_fail_end());
	assert_string_equal(told, "text[125] ping(p) text() ");
	websocket_free(ws);
}

/* What a header claims costs nothing before it comes. Under a sanitizer mallinfo2() sees nothing. */
static void test_a_claim_costs_nothing(void **state)
{
	static const char claim[] = "\x81\xff\0\0\0\0\x10\0\0\0" M "a";
	struct websocket *ws = begin();
	struct websocket_event event;
	size_t used, before = mallinfo2().uordblks + mallinfo2().hblkhd;

	(void)state;
	assert_int_equal(
		websocket_feed(ws, claim, sizeof(claim) - 1, (size_t)1 << 30, &used, &event),
		WEBSOCKET_MORE);
	assert_in_range(mallinfo2().uordblks + mallinfo2().hblkhd - before, 0, 512);
	websocket_free(ws);
}

/* A context that carried a long message gives that memory back. */
static void test_an_idle_context_is_small(void **state)
{
	static char text[BIG], frame[BIG + 14];
	struct websocket *ws = begin();
	struct websocket_event event;
	size_t used, before = mallinfo2().uordblks + mallinfo2().hblkhd;

	(void)state;
	fill(text, sizeof(text), 1);
	size_t n = put_masked(frame, 0x81, 77, text, BIG);
	assert_int_equal(websocket_feed(ws, frame, n, BIG, &used, &event), WEBSOCKET_TEXT);
	assert_int_equal(used, n);
	assert_int_equal(websocket_feed(ws, "", 0, BIG, &used, &event), WEBSOCKET_MORE);
	assert_int_equal(used, 0);
	assert_in_range(mallinfo2().uordblks + mallinfo2().hblkhd - before, 0, 512);
	websocket_free(ws);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_rows_split_at_every_two_bytes),
		cmocka_unit_test(test_an_idle_context_is_as_good_as_new),
		cmocka_unit_test(test_sizes_and_pieces),
		cmocka_unit_test(test_many_fragments),
		cmocka_unit_test(test_frames_behind_are_left),
		cmocka_unit_test(test_spent_stays_spent),
		cmocka_unit_test(test_every_close_code),
		cmocka_unit_test(test_refused_memory),
		cmocka_unit_test(test_whole_messages_are_free),
		cmocka_unit_test(test_a_claim_costs_nothing),
		cmocka_unit_test(test_an_idle_context_is_small),
	};

	return cmocka_run_group_tests_name("websocket", tests, NULL, NULL);
}
