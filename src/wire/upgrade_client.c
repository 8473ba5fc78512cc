#include "wire/upgrade_client.h"

#include <http_parser.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SUBPROTOCOL "presence.v1"

enum { ACCEPT_LEN = 28 }; /* of a SHA-1, in base64 */

/* X(name, header) */
#define HEADERS(X)                                                                                 \
	X(UPGRADE, "Upgrade")                                                                      \
	X(CONNECTION, "Connection")                                                                \
	X(ACCEPT, "Sec-WebSocket-Accept")                                                          \
	X(EXTENSIONS, "Sec-WebSocket-Extensions")                                                  \
	X(PROTOCOL, "Sec-WebSocket-Protocol")

#define HEADER_ENUM(name, text) HEADER_##name,
enum header { HEADERS(HEADER_ENUM) HEADER_N };
#undef HEADER_ENUM

#define HEADER_ROW(name, text) [HEADER_##name] = text,
static const char *const headers[HEADER_N] = {HEADERS(HEADER_ROW)};
#undef HEADER_ROW

struct reading {
	const char *end; /* of the bytes there are: a piece that ends here may be cut */
	enum header header; /* whose value is next; HEADER_N: of no interest */
	unsigned n[HEADER_N];
	const char *value[HEADER_N]; /* the last of each */
	size_t value_len[HEADER_N];
	bool wants_upgrade; /* "upgrade" is a word of Connection */
	bool is_complete;
};

void upgrade_make_key(const unsigned char random[16], char to[UPGRADE_KEY_LEN + 1])
{
	EVP_EncodeBlock((unsigned char *)to, random, 16);
}

void upgrade_put_request(struct buffer *to, const char *host, const char *path, const char *key)
{
	buffer_printf(to,
		"GET %s HTTP/1.1\r\n"
		"Host: %s\r\n"
		"Upgrade: websocket\r\n"
		"Connection: Upgrade\r\n"
		"Sec-WebSocket-Key: %s\r\n"
		"Sec-WebSocket-Version: 13\r\n"
		"Sec-WebSocket-Protocol: " SUBPROTOCOL "\r\n"
		"\r\n",
		path, host, key);
}

/* --- what http-parser tells --- */

static bool is_word(const char *text, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

static bool has_word(const char *list, size_t len, const char *word)
{
	while (len > 0) {
		const char *comma = memchr(list, ',', len);
		size_t part = comma ? (size_t)(comma - list) : len;
		const char *text = list;
		size_t text_len = part;

		while (text_len > 0 && (text[0] == ' ' || text[0] == '\t')) {
			text++;
			text_len--;
		}
		while (text_len > 0 && (text[text_len - 1] == ' ' || text[text_len - 1] == '\t'))
			text_len--;
		if (is_word(text, text_len, word))
			return true;
		part += comma ? 1 : 0;
		list += part;
		len -= part;
	}
	return false;
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
	struct reading *r = parser->data;

	if (at + len == r->end)
		return 0;
	r->header = 0;
	while (r->header < HEADER_N && !is_word(at, len, headers[r->header]))
		r->header++;
	return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
	struct reading *r = parser->data;

	if (at + len == r->end || r->header == HEADER_N)
		return 0;
	while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	r->n[r->header]++;
	r->value[r->header] = at;
	r->value_len[r->header] = len;
	if (r->header == HEADER_CONNECTION)
		r->wants_upgrade |= has_word(at, len, "upgrade");
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct reading *r = parser->data;

	r->is_complete = true;
	return 2; /* stop behind the head */
}

static const http_parser_settings settings = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
};

/* --- the judgement --- */

static bool accept_is_right(const struct reading *r, const char *key)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
	char text[UPGRADE_KEY_LEN + sizeof(guid) - 1];
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned char right[EVP_MAX_MD_SIZE * 2];
	unsigned digest_len;

	memcpy(text, key, UPGRADE_KEY_LEN);
	memcpy(text + UPGRADE_KEY_LEN, guid, sizeof(guid) - 1);
	if (EVP_Digest(text, sizeof(text), digest, &digest_len, EVP_sha1(), NULL) != 1)
		return false;
	int len = EVP_EncodeBlock(right, digest, (int)digest_len);
	return r->n[HEADER_ACCEPT] == 1 && len == ACCEPT_LEN &&
	       r->value_len[HEADER_ACCEPT] == ACCEPT_LEN &&
	       memcmp(r->value[HEADER_ACCEPT], right, ACCEPT_LEN) == 0;
}

static bool value_is(const struct reading *r, enum header header, const char *word)
{
	return r->n[header] == 1 && is_word(r->value[header], r->value_len[header], word);
}

static const char *judge(const http_parser *parser, const struct reading *r, const char *key)
{
	if (parser->http_major != 1 || parser->http_minor < 1)
		return "an answer of another HTTP";
	if (!value_is(r, HEADER_UPGRADE, "websocket") || !r->wants_upgrade)
		return "an answer that upgrades to something else";
	if (!accept_is_right(r, key))
		return "an answer to another key";
	if (r->n[HEADER_EXTENSIONS] > 0)
		return "an extension that was not asked for";
	if (r->n[HEADER_PROTOCOL] > 0 && !value_is(r, HEADER_PROTOCOL, SUBPROTOCOL))
		return "a subprotocol that was not asked for";
	return NULL;
}

static enum upgrade_answer refuse(char *why, const char *text)
{
	snprintf(why, UPGRADE_WHY_MAX, "%s", text);
	return UPGRADE_ANSWER_REFUSED;
}

enum upgrade_answer upgrade_read_answer(const char *data, size_t len, const char *key,
	size_t *ret_used, char ret_why[UPGRADE_WHY_MAX])
{
	size_t max = len < UPGRADE_ANSWER_MAX ? len : UPGRADE_ANSWER_MAX;
	struct reading r = {.end = data + max, .header = HEADER_N};
	http_parser parser = {0};

	if (len == 0)
		return UPGRADE_ANSWER_MORE;
	http_parser_init(&parser, HTTP_RESPONSE);
	parser.data = &r;
	size_t used = http_parser_execute(&parser, &settings, data, max);
	if (HTTP_PARSER_ERRNO(&parser) != HPE_OK)
		return refuse(ret_why, "no HTTP comes from there");
	/* The status is told before the rest came: an answer that says no may be long. */
	if (parser.status_code != 0 && parser.status_code != 101 && r.is_complete) {
		snprintf(ret_why, UPGRADE_WHY_MAX, "HTTP status %u", parser.status_code);
		return UPGRADE_ANSWER_REFUSED;
	}
	if (!r.is_complete)
		return len >= UPGRADE_ANSWER_MAX ? refuse(ret_why, "the answer's head is too long")
						 : UPGRADE_ANSWER_MORE;
	const char *wrong = judge(&parser, &r, key);
	if (wrong)
		return refuse(ret_why, wrong);
	/* http-parser stops on the head's last byte. */
	*ret_used = used;
	return UPGRADE_ANSWER_ACCEPTED;
}
