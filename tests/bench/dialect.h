/* What a server and its clients say to each other: the words, apart from who says them when.
 *
 * The load generator knows sessions, beats, watches and events; a dialect writes and reads them as one
 * kind of server understands them, so that the same loads can be put on other servers.
 * Threads  any: tables and pure functions.
 * Users are numbers; a dialect makes names of them, ids of 16 bytes where it is free to. */
#ifndef BENCH_DIALECT_H
#define BENCH_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	DIALECT_MESSAGE_MAX = 32768, /* the room that every put function may rely on */
	DIALECT_USER_BYTES = 16,
	DIALECT_MISSED_BEATS =
		3, /* silence of so many heartbeats ends a session, in every dialect */
};

enum item_kind {
	ITEM_OTHER,
	ITEM_WELCOME,
	ITEM_BEAT, /* the answer to a beat */
	ITEM_WATCHING, /* the last part of the answer to a watch */
	ITEM_EVENT,
	ITEM_FULL, /* the server has no room for this login; another try may find some */
	ITEM_ERROR,
	ITEM_BYE,
};

/* One thing that a server said. */
struct item {
	enum item_kind kind;
	/* of an event */
	uint64_t user;
	bool is_offline;
	bool is_timeout; /* offline because nothing was heard, as far as the server tells why */
	uint64_t number; /* as given to put_update; 0 where there is none */
};

struct dialect {
	const char *name;
	uint32_t n_watch_max; /* users in one watch request */
	bool is_mute; /* beats are never answered: what is counted is what was sent */
	/* Each writes one message and returns its length. The last two are NULL where the server has nothing
	 * of the kind. A heartbeat of 0 is whatever the server gives, or long. */
	size_t (*put_login)(char *to, uint64_t user, uint64_t heartbeat_ms);
	size_t (*put_beat)(char *to, uint64_t user, uint64_t heartbeat_ms);
	size_t (*put_watch)(char *to, uint64_t first_user, uint32_t n);
	size_t (*put_update)(char *to, uint64_t user, uint64_t number);
	/* The first whole item in the 'len' bytes: returns the bytes it took, 0 where none is whole yet. */
	size_t (*next)(const char *data, size_t len, struct item *ret);
};

extern const struct dialect dialect_presence; /* beats are {"type":"heartbeat"} */
extern const struct dialect dialect_presence_empty; /* beats are empty lines */
/* Beats are a space, a part of a line: read and stamped, never answered. */
extern const struct dialect dialect_presence_part;

extern const struct dialect dialect_mqtt; /* CONNECT with a last will; beats are PINGREQ */
extern const struct dialect
	dialect_redis; /* a key a session; beats are PING; watches are channels */
/* Beats put the key's expiry off, and a watch is one of all keys' expiries. */
extern const struct dialect dialect_redis_expiry;
extern const struct dialect dialect_memcached; /* an item a session; beats are get */

/* NULL where no dialect has that name. */
const struct dialect *dialect_find(const char *name);

/* For dialects: a user's name of DIALECT_USER_BYTES, without an end; a text without its end; and a number
 * in digits, from 'at' to the first that is none or 'end'. */
size_t dialect_put_user(char *to, uint64_t user);
size_t dialect_put_text(char *to, const char *text);
uint64_t dialect_read_number(const char *at, const char *end);

/* The user of a name that dialect_put_user() wrote, which begins at 'at'. */
uint64_t dialect_read_user(const char *at, const char *end);

#endif
