#include "wire/upgrade.h"

#include <http_parser.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

/* X(name, header, whether it may be there more than once). The headers that are looked at. */
#define HEADERS(X)                                                                                 \
	X(HOST, "Host", false)                                                                     \
	X(CONNECTION, "Connection", true)                                                          \
	X(UPGRADE, "Upgrade", true)                                                                \
	X(VERSION, "Sec-WebSocket-Version", false)                                                 \
	X(KEY, "Sec-WebSocket-Key", false)                                                         \
	X(PROTOCOL, "Sec-WebSocket-Protocol", true)                                                \
	X(ORIGIN, "Origin", false)                                                                 \
	X(CONTENT_LENGTH, "Content-Length", true)                                                  \
	X(TRANSFER_ENCODING, "Transfer-Encoding", true)

#define HEADER_ENUM(name, text, repeats) HEADER_##name,
enum header { HEADERS(HEADER_ENUM) HEADER_N };
#undef HEADER_ENUM

#define HEADER_ROW(name, text, repeats) [HEADER_##name] = {text, repeats},
static const struct {
	const char *name;
	bool repeats;
} headers[HEADER_N] = {HEADERS(HEADER_ROW)};
#undef HEADER_ROW

/* A head as it is read. */
struct reading {
	const char *end; /* of the bytes there are: a piece that ends here may be cut */
	unsigned n_headers;
	bool is_complete;
	bool has_odd_name; /* of a header */
	enum header header; /* whose value is next; HEADER_N: one of no interest */
	unsigned n[HEADER_N];
	struct slice value[HEADER_N]; /* the last of each */
	struct slice path;
	bool wants_upgrade, wants_websocket, has_subprotocol; /* among the words of their headers */
};

/* --- text --- */

static bool slice_is(struct slice s, const char *text)
{
	return s.len == strlen(text) && strncasecmp(s.text, text, s.len) == 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct slice trim(struct slice s)
{
	while (s.len > 0 && is_blank(s.text[0])) {
		s.text++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.text[s.len - 1]))
		s.len--;
	return s;
}

/* Takes the next word off a list with commas; false at its end. */
static bool next_word(struct slice *list, struct slice *ret)
{
	if (list->len == 0)
		return false;
	const char *comma = memchr(list->text, ',', list->len);
	size_t len = comma ? (size_t)(comma - list->text) : list->len;
	*ret = trim((struct slice){list->text, len});
	len += comma ? 1 : 0;
	list->text += len;
	list->len -= len;
	return true;
}

static bool has_word(struct slice list, const char *word)
{
	struct slice one;

	while (next_word(&list, &one)) {
		if (slice_is(one, word))
			return true;
	}
	return false;
}

/* The names of subprotocols, unlike the words of HTTP, mind their case. */
static bool has_exact_word(struct slice list, const char *word)
{
	struct slice one;

	while (next_word(&list, &one)) {
		if (one.len == strlen(word) && memcmp(one.text, word, one.len) == 0)
			return true;
	}
	return false;
}

/* --- what http-parser tells --- */

static int on_url(http_parser *parser, const char *at, size_t len)
{
	struct reading *r = parser->data;

	r->path = (struct slice){at, len};
	return 0;
}

/* At the end of its input the parser tells what it has so far, which is told again when it is whole. */
static int on_header_field(http_parser *parser, const char *at, size_t len)
{
	struct reading *r = parser->data;

	if (at + len == r->end)
		return 0;
	if (++r->n_headers > UPGRADE_HEADERS_MAX)
		return -1;
	r->has_odd_name |= memchr(at, ' ', len) != NULL;
	r->header = 0;
	while (r->header < HEADER_N && !slice_is((struct slice){at, len}, headers[r->header].name))
		r->header++;
	if (r->header < HEADER_N)
		r->n[r->header]++;
	return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
	struct reading *r = parser->data;
	struct slice value = trim((struct slice){at, len});

	if (at + len == r->end || r->header == HEADER_N)
		return 0;
	r->value[r->header] = value;
	if (r->header == HEADER_CONNECTION)
		r->wants_upgrade |= has_word(value, "upgrade");
	if (r->header == HEADER_UPGRADE)
		r->wants_websocket |= has_word(value, "websocket");
	if (r->header == HEADER_PROTOCOL)
		r->has_subprotocol |= has_exact_word(value, UPGRADE_SUBPROTOCOL);
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	struct reading *r = parser->data;

	r->is_complete = true;
	return 2; /* stop behind the head: no body */
}

static const http_parser_settings settings = {
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
};

/* --- the judgement --- */

static enum upgrade_what refuse(struct upgrade *ret, unsigned status, const char *why)
{
	*ret = (struct upgrade){.status = status, .why = why};
	return UPGRADE_REFUSED;
}

/* Lines that end without a carriage return, or go on in the next: readers differ in what they make of it. */
static bool has_odd_lines(const char *head, size_t len)
{
	const char *end = head + len;
	const char *at = head;

	if (len < 4 || memcmp(end - 4, "\r\n\r\n", 4) != 0)
		return true;
	while ((at = memchr(at, '\n', (size_t)(end - at)))) {
		if (at == head || at[-1] != '\r')
			return true;
		at++;
		if (at < end && is_blank(*at))
			return true;
	}
	return false;
}

/* Debian's http-parser is built to be lenient: it takes HTTX for HTTP, two spaces for one, tabs in a path,
 * spaces in names, and any byte behind the last carriage return. */
static bool has_odd_request_line(
	const http_parser *parser, const struct reading *r, const char *head)
{
	const char *method = http_method_str((enum http_method)parser->method);
	size_t method_len = strlen(method);
	const char *at = r->path.text - method_len - 1;

	if (at < head || memcmp(at, method, method_len) != 0)
		return true;
	for (size_t i = 0; i < r->path.len; i++) {
		if (is_blank(r->path.text[i]) || r->path.text[i] == '\f')
			return true;
	}
	return memcmp(r->path.text + r->path.len, " HTTP/", 6) != 0;
}

static bool has_repeated(const struct reading *r)
{
	for (enum header h = 0; h < HEADER_N; h++) {
		if (r->n[h] > 1 && !headers[h].repeats)
			return true;
	}
	return false;
}

/* 16 bytes in base64: 22 digits and two signs to fill up. */
static bool key_is_valid(struct slice key)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789+/";

	if (key.len != 24 || memcmp(key.text + 22, "==", 2) != 0)
		return false;
	for (size_t i = 0; i < 22; i++) {
		if (!memchr(digits, key.text[i], sizeof(digits) - 1))
			return false;
	}
	return true;
}

static enum upgrade_what judge(const http_parser *parser, const struct reading *r, const char *head,
	size_t head_len, struct upgrade *ret)
{
	if (has_odd_lines(head, head_len))
		return refuse(ret, 400, "a folded line, or one that does not end with CRLF");
	if (parser->http_major != 1 || parser->http_minor < 1)
		return refuse(ret, 505, "HTTP/1.1 is needed");
	if (has_odd_request_line(parser, r, head))
		return refuse(ret, 400, "the request line is odd");
	if (parser->method != HTTP_GET)
		return refuse(ret, 405, "the method must be GET");
	if (r->has_odd_name)
		return refuse(ret, 400, "a space in the name of a header");
	if (has_repeated(r))
		return refuse(ret, 400, "a header is repeated that must not be");
	if (r->n[HEADER_CONTENT_LENGTH] > 0 || r->n[HEADER_TRANSFER_ENCODING] > 0)
		return refuse(ret, 400, "a request with a body");
	if (r->value[HEADER_HOST].len == 0)
		return refuse(ret, 400, "Host is missing");
	if (!r->wants_upgrade || !r->wants_websocket)
		return refuse(ret, 426, "WebSocket is spoken here, nothing else");
	if (r->n[HEADER_VERSION] == 0 || !slice_is(r->value[HEADER_VERSION], "13"))
		return refuse(ret, 426, "Sec-WebSocket-Version must be 13");
	if (!key_is_valid(r->value[HEADER_KEY]))
		return refuse(ret, 400, "Sec-WebSocket-Key must be 16 bytes in base64");
	*ret = (struct upgrade){
		.used = head_len,
		.path = r->path,
		.host = r->value[HEADER_HOST],
		.origin = r->value[HEADER_ORIGIN],
		.key = r->value[HEADER_KEY],
		.has_subprotocol = r->has_subprotocol,
	};
	return UPGRADE_COMPLETE;
}

enum upgrade_what upgrade_parse(const char *data, size_t len, size_t searched, struct upgrade *ret)
{
	size_t max = len < UPGRADE_HEAD_MAX ? len : UPGRADE_HEAD_MAX;
	bool is_waiting = searched > 0 && len < UPGRADE_HEAD_MAX;

	*ret = (struct upgrade){0};
	if (len == 0) /* to the parser it would mean the end of the stream */
		return UPGRADE_MORE;
	if (is_waiting && (searched >= len || !memchr(data + searched, '\n', len - searched)))
		return UPGRADE_MORE;

	struct reading r = {.end = data + max, .header = HEADER_N};
	http_parser parser = {0};
	http_parser_init(&parser, HTTP_REQUEST);
	parser.data = &r;
	size_t used = http_parser_execute(&parser, &settings, data, max);
	if (r.is_complete && HTTP_PARSER_ERRNO(&parser) == HPE_OK)
		return judge(&parser, &r, data, used, ret);
	if (r.n_headers > UPGRADE_HEADERS_MAX)
		return refuse(ret, 431, "too many headers");
	if (HTTP_PARSER_ERRNO(&parser) != HPE_OK)
		return refuse(ret, 400, http_errno_description(HTTP_PARSER_ERRNO(&parser)));
	if (len >= UPGRADE_HEAD_MAX)
		return refuse(ret, 431, "the head is too long");
	return UPGRADE_MORE;
}

/* --- origins --- */

bool upgrade_origin_allowed(struct slice origin, char *const *allowed, size_t n_allowed)
{
	if (!origin.text)
		return true;
	/* Scheme and host are the same in any case, and a port has none: so all of it may be compared that way. */
	for (size_t i = 0; i < n_allowed; i++) {
		if (strcmp(allowed[i], "*") == 0 || slice_is(origin, allowed[i]))
			return true;
	}
	return false;
}

static bool all_of(const char *text, size_t len, const char *accepted)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\0' || !strchr(accepted, text[i]))
			return false;
	}
	return len > 0;
}

#define DIGITS  "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

bool upgrade_origin_is_valid(const char *text)
{
	const char *host = strstr(text, "://");

	if (strcmp(text, "*") == 0 || strcmp(text, "null") == 0)
		return true;
	if (!host || !strchr(LETTERS, text[0]) ||
		!all_of(text, (size_t)(host - text), LETTERS DIGITS "+-."))
		return false;
	host += strlen("://");
	size_t len = strcspn(host, ":");
	bool is_host = all_of(host, len, LETTERS DIGITS "-._~%");
	if (host[0] == '[') {
		len = strcspn(host, "]");
		if (host[len] == '\0')
			return false;
		is_host = all_of(host + 1, len - 1, DIGITS "abcdefABCDEF:.");
		len++;
	}
	const char *port = host + len;
	return is_host && (port[0] == '\0' || (port[0] == ':' && strlen(port) <= 6 &&
						      all_of(port + 1, strlen(port + 1), DIGITS)));
}

/* --- the answers --- */

void upgrade_put_accept(struct buffer *to, const struct upgrade *upgrade)
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
	char text[24 + sizeof(guid) - 1];
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned char accept[EVP_MAX_MD_SIZE * 2];
	unsigned digest_len;

	if (upgrade->key.len != 24) { /* not COMPLETE */
		to->failed = true;
		return;
	}
	memcpy(text, upgrade->key.text, 24);
	memcpy(text + 24, guid, sizeof(guid) - 1);
	if (EVP_Digest(text, sizeof(text), digest, &digest_len, EVP_sha1(), NULL) != 1) {
		to->failed = true;
		return;
	}
	int len = EVP_EncodeBlock(accept, digest, (int)digest_len);
	buffer_append_string(to, "HTTP/1.1 101 Switching Protocols\r\n"
				 "Upgrade: websocket\r\n"
				 "Connection: Upgrade\r\n"
				 "Sec-WebSocket-Accept: ");
	buffer_append(to, accept, (size_t)len);
	if (upgrade->has_subprotocol)
		buffer_append_string(to, "\r\nSec-WebSocket-Protocol: " UPGRADE_SUBPROTOCOL);
	buffer_append_string(to, "\r\n\r\n");
}

void upgrade_put_refusal(struct buffer *to, unsigned status, const char *why)
{
	const char *more = "";

	if (status == 405)
		more = "Allow: GET\r\n";
	if (status == 426)
		more = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
	buffer_printf(to, "HTTP/1.1 %u %s\r\n%sConnection: close%s\r\n", status,
		http_status_str((enum http_status)status), more, status == 426 ? ", Upgrade" : "");
	buffer_printf(to,
		"Content-Type: text/plain\r\n"
		"Content-Length: %zu\r\n\r\n"
		"%s\n",
		strlen(why) + 1, why);
}
