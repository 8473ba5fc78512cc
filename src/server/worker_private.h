/* A worker's inside, shared by the files that are its parts: worker.c (the loop), accept.c (how connections come
 * in), peer.c (the life of one), session.c (what messages mean), arrival.c (who goes on with a session), roster.c
 * (watch, unwatch, query), output.c (what is written), hearing.c (what others ask of it). */
#ifndef SERVER_WORKER_PRIVATE_H
#define SERVER_WORKER_PRIVATE_H

#include "base/buffer.h"
#include "net/descriptors.h"
#include "net/poller.h"
#include "presence/table_grace.h"
#include "server/alarm.h"
#include "server/connection.h"
#include "server/patience.h"
#include "server/shared.h"
#include "server/worker.h"
#include "wire/reply.h"
#include "wire/websocket.h"

#include <pthread.h>

enum {
	READ_MAX = 16384, /* bytes of one connection a turn: a flooder waits for its neighbours */
	WRITE_SLICE = 16384, /* of events, to one connection a turn */
	REPLY_PART_MAX = 65536, /* bytes of one line to a client */
	HELLO_MAX = 4096,
	HELLO_WITH_TOKEN_MAX = 12288,
	SIGNATURES_PER_TURN = 4, /* handshakes and tokens: some 0.2 to 1 ms each */
	OPEN_MESSAGES_MAX =
		4096, /* WebSocket messages begun and not complete, a worker: 5 KB each and what came */
	OPEN_MESSAGE_MS = 30000, /* and how long one may be */
	HELLO_REPLIES_MAX = 1024, /* bytes, before a valid hello */
	ARRIVAL_MS = 1000, /* how long a welcome waits for whom its session watches */
	LINGER_MS = 1000,
	LINGER_BYTES = 65536,
	LISTENERS_MAX = 64,
	LINGER_SHARE = 16, /* at most one of so many descriptors lingers */
	HELD_EVENTS_MAX = 16384, /* at some 300 bytes: 5 MB */
};

struct worker {
	/* const after start */
	struct server_shared *shared;
	struct table *table;
	struct mailbox *mailbox;
	struct worker_telemetry *telemetry;
	unsigned index;
	uint32_t n_descriptors;
	pthread_t thread;
	int error; /* of opening the listeners; read by main behind the barrier */

	/* owner: the worker's thread */
	struct actor actor;
	struct poller poller;
	int n_events, next_event; /* of the last wait, those not handled yet: of 'events' */
	int *listeners; /* one for each URL; -1: none */
	struct reserve reserve;
	uint64_t accept_again_ms; /* 0: accepting; else when to try again */
	uint64_t knocked; /* a bit for each listener with connections waiting */
	struct connections connections;
	uint32_t n_connections, n_lingering;
	uint32_t published_connections, published_lingering; /* as the telemetry has them */
	struct timed_list hellos, lingering;
	struct output *output_first, *output_last; /* by progress */
	uint32_t ready_first, ready_last; /* with more to read */
	struct watch_index *watches;
	struct watching *dying; /* watches to be taken down */
	struct mailbox_link *to_hear, **to_hear_end;
	struct mailbox_link *to_part, **to_part_end;
	struct mailbox_link *ended, **ended_end;
	uint64_t bury_next_ns; /* see burial.h */
	struct patience patience;
	bool has_slices; /* of its own choice: see base/slice.h */
	char *in; /* READ_MAX: what was just read */
	struct buffer out; /* replies to the connection at hand */
	size_t n_sealed; /* of out: bytes at its start that are frames already */
	struct websocket
		*websocket; /* reads the frames of whoever has none open; NULL: not made yet */
	uint32_t n_open_messages;
	uint32_t n_signatures; /* in this turn */
	uint64_t
		allowance; /* of messages, in RATE_UNITS: what the last read's sender may send without a bucket */
	struct tls_context *tls; /* for new connections */
	struct alarms alarms; /* on the clock of worker_boot_ms() */
	/* the present */
	uint64_t now_ns;
	uint64_t wall_offset_ms, wall_look_ms;
	uint64_t suspended_ms; /* what the machine's suspends have kept from the monotonic clock */
	struct instant now;
	uint32_t stamp_ms; /* now, rounded up */
	struct poller_event events[POLLER_BATCH]; /* last: the rest of the record lies together */
};

static inline struct counters *worker_counters(struct worker *w)
{
	return &w->telemetry->counters;
}

static inline void worker_count(struct worker *w, enum counter which)
{
	counter_add(&w->telemetry->counters, which, 1);
}

/* The present on a clock that goes on while the machine is suspended. */
static inline uint64_t worker_boot_ms(const struct worker *w)
{
	return w->now.mono_ms + w->suspended_ms;
}

/* What the poller hands back: of a connection its number and generation; of others, these. */
#define TOKEN_WAKEUP      UINT64_MAX
#define TOKEN_LISTENER(i) (UINT64_MAX - 1 - (uint64_t)(i))

/* Looks at the clock. */
void worker_tick(struct worker *) REQUIRES(role_worker);

/* --- peer.c --- */

/* When to come back, at random, so that a restart is no stampede. */
uint64_t worker_retry_ms(const struct worker *);
/* The same of a server that stops, once it does. */
uint64_t worker_shutdown_retry_ms(const struct worker *);

/* Puts the connection among those with more to read, or takes it out. */
void worker_want_read(struct worker *, struct connection *) REQUIRES(role_worker);
void worker_forget_read(struct worker *, struct connection *) REQUIRES(role_worker);

/* A new connection from a listener, or negative errno; the descriptor is the worker's then. 'key': the address that it is
 * counted by, and has been; 0: none. 'is_proxied': a PROXY header comes first. */
int worker_adopt(struct worker *, int fd, enum transport, uint64_t key, bool is_proxied)
	REQUIRES(role_worker);

/* What a read came to, for those who asked for it. */
enum heard { HEARD_BYTES, HEARD_NOTHING, HEARD_END };

/* One read of a live connection, and all that comes of it. After HEARD_END the connection is gone, or lingers, and its
 * session's record was released unless it is in a list. */
enum heard worker_read(struct worker *, struct connection *) REQUIRES(role_worker);

/* Parts with a connection that its session, if it had one, has left: sends what is in w->out, shuts the sending side and
 * lingers. 'close_code': of the WebSocket close. 'was_expired': bytes that still come are mistakes. */
void worker_farewell(struct worker *, struct connection *, uint16_t close_code, bool was_expired)
	REQUIRES(role_worker);
/* At once, without a word. */
void worker_close(struct worker *, struct connection *) REQUIRES(role_worker);
/* Reads once, in whatever phase it is; not at all while it does not take what it is sent. */
void worker_read_any(struct worker *, struct connection *) REQUIRES(role_worker);
/* The connection has no session any more, of which nothing is said here; the caller makes it linger, or closes it. */
void worker_let_go(struct worker *, struct connection *) REQUIRES(role_worker);
/* Ends the connection's session for a reason of this worker's own, now or when its grace is over, if it is still there, and
 * lets go of it. */
void worker_end_session(struct worker *, struct connection *, enum reason) REQUIRES(role_worker);
/* Lets go of the session, which stays until its timeout. */
void worker_detach_session(struct worker *, struct connection *) REQUIRES(role_worker);
/* Lets go of an ended session: its record goes back, its watches are taken down in slices; whom it watched is packed for who
 * has gone on with it elsewhere. */
void worker_leave_session(struct worker *, struct connection *, bool is_listed)
	REQUIRES(role_worker);

/* Sessions that this worker has connections of, for the telemetry. */
void worker_add_session(struct worker *, int n) REQUIRES(role_worker);

/* A connection without a hello whose time is over: heard once more, then told so as its stage can, and closed. False: not
 * now, this turn has done its share of signatures. */
bool peer_turn_out(struct worker *, struct connection *) REQUIRES(role_worker);
/* Uses up what was kept, once the peer takes its replies again, or there is time. False when the connection is gone (or
 * lingers) since. */
bool peer_resume(struct worker *, struct connection *) REQUIRES(role_worker);
/* The connection is to be looked at then (monotonic; a suspend doesn't put it off), or a while before. -ENOMEM, never where the connection's last alarm has just
 * rung: this one takes its place. */
int worker_set_alarm(struct worker *, const struct connection *, enum alarm_kind, uint64_t due_ms)
	REQUIRES(role_worker);
/* Connections whose alarm is due, at most 'max'. */
void peer_ring(struct worker *, unsigned max) REQUIRES(role_worker);

/* --- accept.c --- */

/* The worker's own listeners, and those that all workers wait on. 0 or negative errno, and then what was opened is
 * closed by accept_close(). */
int accept_open(struct worker *) REQUIRES(role_worker);
/* Begin, or begin again, to wait for connections. */
int accept_begin(struct worker *) REQUIRES(role_worker);
/* Takes connections in from those listeners that have some, within 'until_ns'. */
void accept_some(struct worker *, uint64_t until_ns) REQUIRES(role_worker);
/* The stop: what still waits is told so; then the listeners are closed. */
void accept_close(struct worker *) REQUIRES(role_worker);

/* --- pass.c: who may come in, and whom it may watch --- */

/* Whether a hello may go on: its token is verified, or none is needed. On WIRE_OK '*ret_user' is who it is, and '*ret_pass'
 * (NULL: none is needed) is the caller's. 'why' is for people. */
enum wire_error pass_check(struct worker *, struct connection *, const struct message *,
	struct slice *ret_user, struct pass **ret_pass, const char **ret_why) REQUIRES(role_worker);
/* The same of a token in an update: it replaces the session's pass. */
enum wire_error pass_renew(struct worker *, struct connection *, const struct message *,
	const char **ret_why) REQUIRES(role_worker);
/* Has the connection looked at when its pass expires. -ENOMEM: it would not be. */
int pass_watch_clock(struct worker *, struct connection *) REQUIRES(role_worker);
bool pass_allows(const struct worker *, const struct connection *, struct slice user)
	REQUIRES(role_worker);
void pass_free(struct pass *);

/* --- stage.c: each false when the connection is gone (or lingers), or when there is no more to do with it now --- */

/* The first stage of a new connection. */
bool stage_begin(struct worker *, struct connection *, bool has_proxy_header) REQUIRES(role_worker);
bool stage_take_proxy(struct worker *, struct connection *) REQUIRES(role_worker);
bool stage_shake_hands(struct worker *, struct connection *) REQUIRES(role_worker);
bool stage_consume_head(struct worker *, struct connection *, const char *data, size_t len)
	REQUIRES(role_worker);

/* --- frames.c --- */

/* Makes frames of the lines in w->out that are none yet, where the connection speaks frames. */
void frames_seal(struct worker *, const struct connection *) REQUIRES(role_worker);
/* The size of one of our own frames, which begins there. */
size_t frames_size(const char *frame);
void frames_append_close(struct worker *, const struct connection *, uint16_t code)
	REQUIRES(role_worker);
void frames_ping(struct worker *, struct connection *) REQUIRES(role_worker);
/* As session_consume, of frames. */
bool frames_consume(struct worker *, struct connection *, const char *data, size_t len)
	REQUIRES(role_worker);
void frames_free(struct worker *, struct connection *) REQUIRES(role_worker);

/* --- session.c --- */

/* A whole message: lines, the last of which has no end. As session_consume, but sends nothing yet. */
bool session_consume_message(struct worker *, struct connection *, const char *data, size_t len)
	REQUIRES(role_worker);
/* The longest line that is taken, at present. */
uint32_t session_line_limit(const struct worker *, const struct connection *) REQUIRES(role_worker);

/* Uses up what came: lines, as far as replies are taken. The rest is kept. False when the connection is gone (or
 * lingers) since. */
bool session_consume(struct worker *, struct connection *, const char *data, size_t len)
	REQUIRES(role_worker);

/* --- roster.c --- */

void roster_watch(struct worker *, struct connection *, const struct message *)
	REQUIRES(role_worker);
void roster_unwatch(struct worker *, struct connection *, const struct message *)
	REQUIRES(role_worker);
void roster_query(struct worker *, struct connection *, const struct message *)
	REQUIRES(role_worker);
/* Goes on with a reply that waits. False when it is not done: the peer took no more. */
bool roster_continue(struct worker *, struct connection *, struct roster *) REQUIRES(role_worker);
/* Ends those watches that the session's pass does not allow any more. */
void roster_prune(struct worker *, struct connection *) REQUIRES(role_worker);
/* Takes down watches of connections that are gone, within 'until_ns'; true when none are left. */
bool roster_bury(struct worker *, uint64_t until_ns) REQUIRES(role_worker);
/* Reads again some of what is watched; true when done. */
bool roster_resync(struct worker *, uint64_t until_ns) REQUIRES(role_worker);

/* Whom the connection watches, for who goes on with its session; the caller's. */
struct baggage roster_pack(struct worker *, const struct connection *) REQUIRES(role_worker);
/* Watches for names out of the pack, as far as they may be watched now, and the part of a 'watching' that says so. True when
 * that was the last. */
bool roster_restore(struct worker *, struct connection *, struct watch_pack *)
	REQUIRES(role_worker);

/* --- arrival.c: who goes on with a session --- */

/* Welcomes whoever has just logged in, at once or as soon as what its session watches is there, and tells it of them. */
void arrival_begin(struct worker *, struct connection *, const struct message *, struct slice user,
	struct login_result *, uint32_t heartbeat_ms) REQUIRES(role_worker);
/* It is looked at whether what is waited for is there; with 'is_last_call' it is not waited for any longer. */
void arrival_look(struct worker *, struct connection *, bool is_last_call) REQUIRES(role_worker);
/* Goes on telling, in place of a read. */
void arrival_go_on(struct worker *, struct connection *) REQUIRES(role_worker);
void arrival_free(struct arrival *); /* NULL is fine */

/* --- output.c --- */

void output_clear(struct worker *) REQUIRES(role_worker);

/* Sends w->out and empties it; what the peer does not take is kept, and the connection paused. False, and nothing is
 * kept, where the connection turned out to be broken or memory was refused: then it is among those to be read. */
bool output_push(struct worker *, struct connection *) REQUIRES(role_worker);
/* The peer takes more: goes on with what is kept. */
void output_continue(struct worker *, struct connection *) REQUIRES(role_worker);
void output_free(struct worker *, struct connection *) REQUIRES(role_worker);
/* Drops what the peer does not take, but for the end of a line under way: what is said after it is the last. */
void output_cut(struct worker *, struct connection *) REQUIRES(role_worker);
/* Tells a connection what is dirty, at most a slice of it. */
void output_flush(struct worker *, struct connection *) REQUIRES(role_worker);
/* Connections in the flush list, within 'until_ns'; true when none are left. */
bool output_flush_all(struct worker *, uint64_t until_ns) REQUIRES(role_worker);
/* Ends those that took nothing for too long, at most 'max'; when to look again, UINT64_MAX: never. */
uint64_t output_expire(struct worker *, unsigned max) REQUIRES(role_worker);

/* --- hearing.c --- */

/* Takes what the mailbox's list holds, and works on it within the time: each false when there is more to do. */
void hearing_collect(struct worker *) REQUIRES(role_worker);
bool hearing_hear(struct worker *, uint64_t until_ns) REQUIRES(role_worker);
/* A slice of what is left of sessions that were ended elsewhere, if its time has come (see burial.h); a smaller one while
 * there is other work. And when to go on; UINT64_MAX: nobody waits. */
void hearing_bury(struct worker *, bool has_other_work) REQUIRES(role_worker);
uint64_t hearing_next_burial_ms(const struct worker *) REQUIRES(role_worker);

/* --- questions.c --- */

/* The peer's address: what a PROXY header said, else the socket's. False: it is not known any more. */
bool connection_peer(const struct connection *, struct address *ret);
/* Answers what the admin thread has asked. */
void questions_answer(struct worker *) REQUIRES(role_worker);

#endif
