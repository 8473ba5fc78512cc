/* MQTT 3.1.1, as a presence service on a broker would be: who connects leaves a last will in the topic of
 * its user; who watches subscribes to that topic; silence of one and a half keepalives is the end. */
#include "dialect.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
	PACKET_CONNECT = 0x10,
	PACKET_CONNACK = 0x20,
	PACKET_PUBLISH = 0x30,
	PACKET_SUBSCRIBE = 0x82,
	PACKET_SUBACK = 0x90,
	PACKET_PINGREQ = 0xc0,
	PACKET_PINGRESP = 0xd0,
	PACKET_KIND = 0xf0,
	CONNECT_CLEAN = 0x02,
	CONNECT_WILL = 0x04, /* of QoS 0, not retained */
	CONNACK_FULL = 3, /* server unavailable */
	TOPIC_BYTES = 2 + DIALECT_USER_BYTES,
	TOPICS_MAX = 1000, /* a SUBSCRIBE: 21 KB */
	LENGTH_BYTES_MAX = 4,
	KEEPALIVE_MAX_S = 65535,
	KEEPALIVE_LONG_S = 3600,
};

static const char will[] = "off";

static size_t put_u16(char *to, unsigned number)
{
	to[0] = (char)(number >> 8);
	to[1] = (char)number;
	return 2;
}

static size_t put_topic(char *to, uint64_t user)
{
	size_t n = put_u16(to, TOPIC_BYTES);

	n += dialect_put_text(to + n, "p/");
	return n + dialect_put_user(to + n, user);
}

/* The packet whose body of 'len' bytes stands at to + 1 + LENGTH_BYTES_MAX, brought to its beginning. */
static size_t put_packet(char *to, unsigned kind, size_t len)
{
	const char *body = to + 1 + LENGTH_BYTES_MAX;
	size_t left = len, n = 0;

	to[n++] = (char)kind;
	do {
		to[n++] = (char)(left % 128 | (left >= 128 ? 128 : 0));
		left /= 128;
	} while (left);
	memmove(to + n, body, len);
	return n + len;
}

/* The broker gives one and a half of it. */
static unsigned keepalive_s(uint64_t heartbeat_ms)
{
	uint64_t s = heartbeat_ms * DIALECT_MISSED_BEATS * 2 / 3 / 1000;

	if (!heartbeat_ms)
		return KEEPALIVE_LONG_S;
	return s < 1 ? 1 : s > KEEPALIVE_MAX_S ? KEEPALIVE_MAX_S : (unsigned)s;
}

static size_t put_login(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	char *body = to + 1 + LENGTH_BYTES_MAX;
	size_t n = put_u16(body, 4);

	n += dialect_put_text(body + n, "MQTT");
	body[n++] = 4; /* the protocol's level: 3.1.1 */
	body[n++] = CONNECT_CLEAN | CONNECT_WILL;
	n += put_u16(body + n, keepalive_s(heartbeat_ms));
	n += put_u16(body + n, DIALECT_USER_BYTES);
	n += dialect_put_user(body + n, user);
	n += put_topic(body + n, user);
	n += put_u16(body + n, sizeof(will) - 1);
	n += dialect_put_text(body + n, will);
	return put_packet(to, PACKET_CONNECT, n);
}

static size_t put_beat(char *to, uint64_t user, uint64_t heartbeat_ms)
{
	(void)user;
	(void)heartbeat_ms;
	to[0] = (char)PACKET_PINGREQ;
	to[1] = 0;
	return 2;
}

static size_t put_watch(char *to, uint64_t first_user, uint32_t n_users)
{
	char *body = to + 1 + LENGTH_BYTES_MAX;
	size_t n = put_u16(body, 1); /* the request's number */

	for (uint32_t i = 0; i < n_users; i++) {
		n += put_topic(body + n, first_user + i);
		body[n++] = 0; /* QoS */
	}
	return put_packet(to, PACKET_SUBSCRIBE, n);
}

static size_t put_update(char *to, uint64_t user, uint64_t number)
{
	char *body = to + 1 + LENGTH_BYTES_MAX;
	size_t n = put_topic(body, user);

	n += (size_t)snprintf(body + n, 24, "%" PRIu64, number);
	return put_packet(to, PACKET_PUBLISH, n);
}

static void read_event(const char *body, const char *end, struct item *ret)
{
	const char *payload = body + 2 + TOPIC_BYTES;

	if (payload > end)
		return;
	ret->kind = ITEM_EVENT;
	ret->user = dialect_read_user(body + 4, payload);
	ret->number = dialect_read_number(payload, end);
	ret->is_offline = end - payload == (ptrdiff_t)sizeof(will) - 1 &&
			  memcmp(payload, will, sizeof(will) - 1) == 0;
	ret->is_timeout = ret->is_offline; /* a will does not say why */
}

static void read_packet(unsigned kind, const char *body, const char *end, struct item *ret)
{
	*ret = (struct item){.kind = ITEM_OTHER};
	switch (kind) {
	case PACKET_CONNACK:
		ret->kind = end - body < 2            ? ITEM_ERROR
			    : body[1] == 0            ? ITEM_WELCOME
			    : body[1] == CONNACK_FULL ? ITEM_FULL
						      : ITEM_ERROR;
		break;
	case PACKET_PINGRESP:
		ret->kind = ITEM_BEAT;
		break;
	case PACKET_SUBACK:
		ret->kind = ITEM_WATCHING;
		break;
	case PACKET_PUBLISH:
		read_event(body, end, ret);
		break;
	default:
		break;
	}
}

static size_t next(const char *data, size_t len, struct item *ret)
{
	size_t body_len = 0, n = 1;
	unsigned shift = 0;

	do {
		if (n >= len || n > LENGTH_BYTES_MAX)
			return 0;
		body_len |= (size_t)((unsigned char)data[n] & 127) << shift;
		shift += 7;
	} while ((unsigned char)data[n++] & 128);
	if (len - n < body_len)
		return 0;
	read_packet((unsigned char)data[0] & PACKET_KIND, data + n, data + n + body_len, ret);
	return n + body_len;
}

const struct dialect dialect_mqtt = {
	.name = "mqtt",
	.n_watch_max = TOPICS_MAX,
	.put_login = put_login,
	.put_beat = put_beat,
	.put_watch = put_watch,
	.put_update = put_update,
	.next = next,
};
