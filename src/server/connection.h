/* Connections of one worker: records, what of their input and output waits, and their timers.
 *
 * Owns     a record of 64 bytes for each descriptor, addressed by the descriptor's number (dense, where each
 *          worker has a descriptor table of its own), in chunks that are never moved.
 * Threads  the owning worker's only. No other thread is ever handed a connection: what mail carries is its number, in
 *          a session record that the worker owns.
 * Memory   an idle connection has its record and nothing else: input and output hang off it only while
 *          bytes wait. Before a hello, the input is as large as what came, no larger.
 * Time     told by the caller. Errors 0 or negative errno. */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "auth/rate.h"
#include "base/address.h"
#include "base/lock.h"
#include "presence/table.h"
#include "presence/watch.h"
#include "presence/watch_pack.h"
#include "wire/message.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum phase {
	PHASE_FREE,
	PHASE_HELLO, /* accepted, nobody yet */
	PHASE_LIVE, /* has a session, which others may have ended already */
	PHASE_LINGER, /* closed by us: the sending side is shut, what still comes is dropped */
	PHASE_N
};

/* How the bytes of a connection are understood: each stage hands over to the next that applies. */
enum stage {
	STAGE_PROXY, /* a PROXY header comes first: from trusted networks */
	STAGE_TLS, /* the handshake */
	STAGE_UPGRADE, /* the head of an HTTP request */
	STAGE_FRAMES, /* WebSocket frames, with lines in them */
	STAGE_LINES,
	STAGE_N
};

/* Bytes that came and are not used up: a part of a line, or lines behind a reply that is not taken. */
struct input {
	uint32_t len, capacity;
	char bytes[];
};

/* The rest of a 'watching' or 'presences' whose earlier parts the peer has not taken yet. */
struct roster {
	enum request request;
	char id[MESSAGE_ID_TEXT_MAX];
	uint32_t id_len;
	uint32_t len, at; /* of names: a byte of length and the id, one after the other */
	char names[];
};

/* Bytes that the peer does not take. While there is an output the connection is not read. */
struct output {
	uint32_t fd;
	uint32_t len, at;
	uint32_t boundary; /* where, in bytes, the line or frame under way ends */
	uint64_t progress_ms; /* when the peer last took some */
	int n_queued; /* bytes in the kernel's queue then: fewer is progress too */
	struct output *prev, *next; /* in the worker's list, by progress */
	struct roster *roster;
	char bytes[];
};

/* What a connection that watches has beside its record. Outlives it while its watches are taken down. */
struct watching {
	struct watcher watcher; /* first: the index hands out this */
	uint32_t fd; /* CONNECTION_NONE once the connection is gone */
	struct watching *next; /* among those being taken down */
};

/* A login that goes on with a session by its secret: until it has been told whom that watches, its connection is not
 * read. The welcome itself waits for what another worker has to pack. */
struct arrival {
	struct watch_pack *watches; /* those not told yet; NULL: none */
	bool is_welcome; /* said */
	uint32_t heartbeat_ms;
	char id[MESSAGE_ID_TEXT_MAX]; /* of the hello */
	size_t id_len, user_len, device_len; /* device_len 0: it is the session's name */
	char user[USER_MAX], device[DEVICE_MAX];
};

/* What a session was let in with. */
struct pass {
	struct watchlist *watch; /* the token's claim; NULL: it has none */
	uint64_t expires_ms; /* when the token does, by worker_boot_ms(); 0: there is no token */
	uint64_t
		alarm_ms; /* when ALARM_EXPIRY rings; one of another time is of before; 0: none is set */
	size_t user_len;
	char user[USER_MAX];
};

/* What a connection has beside its record: few have any of it. */
struct side {
	struct watching *watching;
	struct tls *tls;
	struct websocket *websocket; /* while a frame or a message is open */
	uint64_t open_since_ms; /* since when it is */
	struct input *frames; /* that came behind what is not used up yet */
	struct pass *
		pass; /* who it is and whom it may watch; NULL: whom it may watch needs no asking */
	struct address *peer; /* as the PROXY header said; NULL: the socket's own */
	uint64_t peer_key; /* of the address that it is counted by */
	struct arrival *arrival;
	struct rate rate; /* of messages, once they came faster than it */
	bool has_rate;
	bool is_local_proxy; /* a trusted proxy's own connection */
	bool has_open_alarm; /* ALARM_OPEN_MESSAGE is set */
	bool is_counted; /* among the connections of its address */
};

struct connection {
	int fd;
	uint32_t
		generation; /* of this descriptor's number: stale events of the poller don't match */
	struct input *input;
	struct output *output;
	union {
		struct {
			_Atomic uint32_t *stamp;
			struct session *session;
		} live;
		struct {
			uint32_t prev, next; /* in the worker's hello or linger list, by deadline */
			uint32_t deadline_ms; /* serial, as stamps are */
			uint32_t n_bytes; /* hello: of replies sent; linger: of input dropped */
		} timed;
	} u;
	struct side *side;
	union {
		uint32_t timeout_ms; /* live: what a stamp adds */
		uint32_t deadline_ms; /* linger, was_expired: when the session's time was over */
	};
	uint32_t ready_next, ready_prev; /* in the worker's list of those with more to read */
	uint8_t phase; /* enum phase */
	uint8_t transport; /* enum transport */
	bool is_ready : 1; /* in that list */
	bool has_hangup : 1; /* an end is waiting behind the bytes: read on to it */
	bool is_broken : 1; /* a write failed: the next read must say how it ended */
	bool was_expired : 1; /* linger: bytes that still come were a mistake of ours */
	bool is_deferred : 1; /* what was kept is to be used up, in a turn with time for it */
	bool was_pinged : 1; /* in the present silence */
	bool is_arriving : 1; /* has an arrival; is_deferred too */
	uint8_t stage; /* enum stage */
};
static_assert(sizeof(struct connection) == 64,
	"one cache line: 8 fd, generation; 16 input, output; 16 by phase; 8 side; 12 timeout, ready; 4 of marks");

enum { CONNECTIONS_CHUNK = 256 };

struct connections {
	struct connection **chunks;
	uint32_t n_chunks;
};

/* A list by deadline, first in first out: all members have the same time to run. */
struct timed_list {
	uint32_t first, last; /* CONNECTION_NONE: empty */
	uint32_t n;
};

int connections_init(struct connections *, uint32_t n_descriptors);
void connections_destroy(struct connections *);

/* The record of a new descriptor, in PHASE_HELLO. -ENOMEM, -EMFILE (beyond n_descriptors). */
int connections_open(struct connections *, int fd, enum transport, struct connection **ret);
/* The record that was opened for it; NULL where it is not in use. */
struct connection *connections_at(const struct connections *, uint32_t fd);
/* Frees what hangs off the record, and forgets it; the descriptor is the caller's to close. */
void connections_close(struct connection *);

void timed_list_init(struct timed_list *);
void timed_list_append(
	struct timed_list *, const struct connections *, struct connection *, uint32_t deadline_ms);
void timed_list_remove(struct timed_list *, const struct connections *, struct connection *);

/* What the connection has beside its record, made where it has nothing yet; NULL: no memory. */
struct side *connection_side(struct connection *);
static inline struct watching *connection_watching(const struct connection *c)
{
	return c->side ? c->side->watching : NULL;
}

/* Keeps bytes for later. 'is_exact': no room to spare. -ENOMEM. */
int input_append(struct connection *, const char *bytes, size_t len, bool is_exact);
void input_free(struct connection *);

#endif
