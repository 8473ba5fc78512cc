/* libpresence: be present on a presenced server, and know who else is.
 *
 * A client keeps one session on one server: it connects, logs in, sends the heartbeats, notices when the
 * server or the way to it is gone, and comes back by itself. The application says who it is and whom it
 * watches, and is told what changes.
 *
 *     static void told(struct presence *p, const struct presence_contact *c, void *arg)
 *     {
 *             printf("%s is %s\n", c->user, presence_truth_word(c->truth));
 *     }
 *
 *     struct presence_options options = {
 *             .size = sizeof(options), .url = "tcp://127.0.0.1:7400", .user = "alice", .on_contact = told};
 *     struct presence *p;
 *     if (presence_new(&options, &p) == PRESENCE_OK) {
 *             presence_watch(p, (const char *const[]){"bob"}, 1);
 *             presence_run(p, -1);
 *             presence_free(p);
 *     }
 *
 * Owns     a connection, a table of contacts, and what is asked of the server. No thread, no signal or handler of
 *          one (SIGPIPE is never raised), no global state; all descriptors are close-on-exec.
 * Threads  A client belongs to one thread at a time. Clients of different threads know nothing of each other.
 *          The functions without a client are for any thread.
 * Fork     A client is the process's that made it. In a child every call says PRESENCE_ERROR_FORKED (or nothing),
 *          but presence_free(), which gives memory and descriptors back and does not touch the connection.
 * Memory   All strings given are copied. What a callback is given is good until it returns; what a function
 *          returns, until the next call that is not const. About 4 KB a client and 250 bytes a contact; WebSocket
 *          takes 9 KB more, TLS 40.
 * Time     Milliseconds. Durations, and moments on the library's clock, presence_now(): CLOCK_BOOTTIME, which
 *          goes on while a machine is suspended, so that a laptop that wakes knows its words to be stale. What the
 *          *server* says of time (at_ms, last_seen_ms) is Unix time in milliseconds, for display.
 * Blocking Only presence_run() waits. But a name in a URL is looked up with getaddrinfo(3), which may block for
 *          seconds: numeric addresses, localhost and Unix sockets don't, and on_resolve takes lookups over.
 * Errors   enum presence_error, PRESENCE_OK being 0; outputs 'ret' are set only on success. NULL for a client or
 *          a callback that is not there is an error or nothing, never a crash, in presence_free() and the getters.
 * Calls    from callbacks: everything but presence_free(), presence_run() and presence_ready() on that client.
 *
 * What is known of a contact is one of three: online, offline, or unknown. A word of the server holds from as_of_ms
 * until fresh_until_ms, which is the session's timeout later, and moves on with each byte from the server. Losing
 * the connection alone changes nothing; only where no new connection confirms a word until then is it unknown, and
 * the application told so. A word that a new connection confirms unchanged is no change, and not told.
 *
 * After a loss the client waits before it comes back: a random time between 0 and a window that begins with
 * backoff_first_ms and doubles with each failure, to backoff_max_ms at most; and never less than the server asked
 * for. It does not come back by itself where that is of no use: PRESENCE_ERROR_REPLACED, _KICKED, _AUTH_FAILED,
 * _AUTH_REQUIRED, _VERSION, _REJECTED, _TOKEN. */
#ifndef PRESENCE_H
#define PRESENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define PRESENCE_API __attribute__((visibility("default")))
#else
#define PRESENCE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define PRESENCE_VERSION_MAJOR 0
#define PRESENCE_VERSION_MINOR 1
#define PRESENCE_VERSION_PATCH 0

struct presence; /* a client */
struct addrinfo; /* <netdb.h> */

/* --- words --- */

/* X(name, number, word, text). Numbers are for good: a later version only adds. Those from CLOSED on are told by
 * on_link; † are for good, and the client does not come back by itself. */
#define PRESENCE_ERRORS(X)                                                                         \
	X(ARGUMENT, 1, "argument", "an argument is missing, too long or not valid")                \
	X(MEMORY, 2, "memory", "out of memory")                                                    \
	X(URL, 3, "url", "not a tcp, tls, ws, wss or unix URL")                                    \
	X(FORKED, 4, "forked", "the client belongs to another process")                            \
	X(BUSY, 5, "busy", "not from within a callback")                                           \
	X(INTERRUPTED, 6, "interrupted", "a signal came")                                          \
	X(TIME_OVER, 7, "time_over", "the time given is over")                                     \
	X(STOPPED, 8, "stopped", "the client is stopped")                                          \
	X(CA, 9, "ca", "the trusted certificates can't be loaded")                                 \
	X(CLOSED, 20, "closed", "the server closed the connection")                                \
	X(LOST, 21, "lost", "the connection broke")                                                \
	X(SILENCE, 22, "silence", "nothing was heard from the server for its timeout")             \
	X(RESOLVE, 23, "resolve", "the server's name has no address")                              \
	X(CONNECT, 24, "connect", "the server can't be reached")                                   \
	X(CONNECT_TIMEOUT, 25, "connect_timeout", "the server did not answer the login in time")   \
	X(TLS, 26, "tls", "TLS failed")                                                            \
	X(CERTIFICATE, 27, "certificate", "the server's certificate is not trusted")               \
	X(UPGRADE, 28, "upgrade", "the server refused the WebSocket")                              \
	X(PROTOCOL, 29, "protocol", "the server, or the client, broke the protocol")               \
	X(SHUTDOWN, 30, "shutdown", "the server is stopping")                                      \
	X(SLOW, 31, "slow", "this client did not read what it was sent")                           \
	X(EXPIRED, 32, "expired", "the token expired")                                             \
	X(TIMED_OUT, 33, "timed_out", "the server heard nothing for its timeout")                  \
	X(SERVER_FULL, 34, "server_full", "the server is full")                                    \
	X(RATE_LIMITED, 35, "rate_limited", "the server limits the rate")                          \
	X(REPLACED, 36, "replaced", "another login has taken this device") /* † */               \
	X(KICKED, 37, "kicked", "an administrator ended the session") /* † */                    \
	X(AUTH_FAILED, 38, "auth_failed", "the token is wrong") /* † */                          \
	X(AUTH_REQUIRED, 39, "auth_required", "the server wants a token") /* † */                \
	X(VERSION, 40, "version", "the server speaks another version") /* † */                   \
	X(REJECTED, 41, "rejected", "the server does not take this login as it is") /* † */      \
	X(TOKEN, 42, "token", "the application has no token") /* † */                            \
	X(FORBIDDEN, 43, "forbidden", "this user may not be watched")                              \
	X(TOO_MANY_WATCHES, 44, "too_many_watches", "the limit of watched users is reached")

#define PRESENCE_ERROR_ENUM(name, number, word, text) PRESENCE_ERROR_##name = number,
enum presence_error { PRESENCE_OK = 0, PRESENCE_ERRORS(PRESENCE_ERROR_ENUM) };
#undef PRESENCE_ERROR_ENUM

/* The word, for programs; the text, for people. Static; of a number that is none "?" and "unknown error". */
PRESENCE_API const char *presence_error_word(enum presence_error);
PRESENCE_API const char *presence_error_text(enum presence_error);

/* Whether the client does not come back by itself after it. */
PRESENCE_API bool presence_error_is_final(enum presence_error);

/* What is known of a contact. */
enum presence_truth { PRESENCE_UNKNOWN = 0, PRESENCE_OFFLINE = 1, PRESENCE_ONLINE = 2 };

/* What a user is, or wants to be. A contact is never shown INVISIBLE, and a client can't be STATE_OFFLINE. */
enum presence_state {
	PRESENCE_STATE_NONE = 0, /* not said */
	PRESENCE_STATE_OFFLINE = 1,
	PRESENCE_STATE_AWAY = 2,
	PRESENCE_STATE_ONLINE = 3,
	PRESENCE_STATE_BUSY = 4,
	PRESENCE_STATE_INVISIBLE = 5
};

/* Why a contact is in its state. */
enum presence_reason {
	PRESENCE_REASON_UNKNOWN =
		0, /* never seen, forgotten by the server, or a word of a later version */
	PRESENCE_REASON_LOGIN = 1,
	PRESENCE_REASON_UPDATE = 2,
	PRESENCE_REASON_LOGOUT = 3,
	PRESENCE_REASON_CLOSED = 4,
	PRESENCE_REASON_RESET = 5,
	PRESENCE_REASON_TIMEOUT = 6,
	PRESENCE_REASON_KICKED = 7,
	PRESENCE_REASON_EXPIRED = 8,
	PRESENCE_REASON_SLOW = 9,
	PRESENCE_REASON_VIOLATION = 10
};

/* The client's way to the server. */
enum presence_link {
	PRESENCE_LINK_STOPPED = 0, /* not begun, stopped, or an error that is final */
	PRESENCE_LINK_WAITING = 1, /* for the time to come back, or for a token */
	PRESENCE_LINK_CONNECTING = 2, /* lookup, connect, TLS, WebSocket, login */
	PRESENCE_LINK_UP = 3 /* logged in */
};

/* The protocol's words ("online", "timeout", …); of the link "stopped", "waiting", "connecting", "up". Static. */
PRESENCE_API const char *presence_truth_word(enum presence_truth);
PRESENCE_API const char *presence_state_word(enum presence_state);
PRESENCE_API const char *presence_reason_word(enum presence_reason);
PRESENCE_API const char *presence_link_word(enum presence_link);

/* --- what the application is told --- */

/* The library fills these in; a later version may add fields at their ends. */

struct presence_contact {
	const char *user;
	enum presence_truth truth;
	enum presence_state
		state; /* as the server said last; also while the truth is unknown. NONE: it never did */
	const char *status; /* NULL: none */
	enum presence_reason reason;
	/* OK; FORBIDDEN or TOO_MANY_WATCHES: the server does not tell of this user. Asked again with each login. */
	enum presence_error error;
	bool is_reconnecting; /* the last snapshot said that its session had ended, and may yet come back */
	uint64_t seq; /* grows with each event of the user, in one run of the server */
	int64_t at_ms; /* since when it is so; Unix time of the server, -1 unknown */
	int64_t last_seen_ms; /* when the user was last heard; likewise */
	/* presence_now(): the word holds since and until then, where nothing else is heard. Both 0 where the server
	 * never said a word; a fresh_until_ms that is over goes with an unknown truth. */
	uint64_t as_of_ms;
	uint64_t fresh_until_ms;
};

struct presence_link_event {
	enum presence_link link;
	enum presence_error
		error; /* why the connection before this ended; OK: there was none, or it was asked for */
	int system_error; /* errno, where the kernel said why; else 0 */
	const char *detail; /* more for people, never NULL; not for programs */
	uint64_t
		retry_in_ms; /* WAITING: until the next attempt; UINT64_MAX: until presence_set_token() */
	bool is_resumed; /* UP: the server continued the session of before */
};

/* Who the client is, by the server's welcome. */
struct presence_self {
	const char *user;
	const char *device;
	const char *session; /* "" before the first welcome */
	const char *server; /* this run of the server; "" likewise */
	uint32_t heartbeat_ms, timeout_ms; /* 0 likewise */
};

/* --- options --- */

enum {
	PRESENCE_USER_MAX =
		128, /* bytes of UTF-8, without control characters; so are the next two */
	PRESENCE_DEVICE_MAX = 64,
	PRESENCE_STATUS_MAX = 256,
	PRESENCE_TOKEN_MAX = 8192
};

/* Zeroed, but for size, url and user (or a token): every field has a default. */
struct presence_options {
	size_t size; /* sizeof(struct presence_options), by which a later library knows this version */

	/* tcp://host:port, tls://host:port, ws://host:port/path, wss://host:port/path, unix:///path. Without a port:
	 * 7400, 7443 for tls, 80 for ws, 443 for wss. IPv6 in brackets. */
	const char *url;
	const char *user; /* NULL: who the token says */
	const char *
		device; /* NULL: the server makes one up, and the client keeps it. One login a device */
	const char *token; /* NULL: none. Replaced by presence_set_token() */
	enum presence_state state; /* NONE: online */
	const char *status; /* NULL or "": none */

	uint32_t heartbeat_ms; /* wished for; the server has bounds. 0: what the server gives */
	uint32_t connect_timeout_ms; /* from the lookup's end to the welcome. 0: 10,000 */
	uint32_t backoff_first_ms; /* 0: 4,000 */
	uint32_t backoff_max_ms; /* 0: 30,000, or backoff_first_ms where that is more */

	/* TLS: the server's certificate must be for the URL's host, and signed by one of these (PEM). NULL: by one
	 * that the system trusts. */
	const char *ca_file;

	void *arg; /* given to each callback */

	/* A contact is not what it was: its truth, state, status or error changed. */
	void (*on_contact)(struct presence *, const struct presence_contact *, void *arg);

	/* The link changed. */
	void (*on_link)(struct presence *, const struct presence_link_event *, void *arg);

	/* A token is wanted, for a login or because the last one's lifetime is nearly over: presence_set_token()
	 * is due, in this call or later. Until then a login waits, and a session goes on with its old one. Without
	 * this callback the last token given is used. */
	void (*on_token)(struct presence *, void *arg);

	/* A name is to be looked up: presence_set_addresses() is due, in this call or later; the time counts for
	 * connect_timeout_ms. NULL: getaddrinfo(3), which blocks. */
	void (*on_resolve)(struct presence *, const char *host, uint16_t port, void *arg);

	/* For loops that keep descriptors registered (epoll, libuv, GLib): 'fd' is to be waited on for 'want', a
	 * mask of PRESENCE_READABLE and PRESENCE_WRITABLE. 0: forget it now, it is closed after this call. Calls
	 * nothing of the library. */
	void (*on_socket)(struct presence *, int fd, unsigned want, void *arg);
};

/* --- a client's life --- */

/* Makes a client that does nothing yet. ARGUMENT, URL, CA, MEMORY. */
PRESENCE_API enum presence_error presence_new(
	const struct presence_options *, struct presence **ret);

/* Frees it, and closes the connection without a word, as a crash would: presence_stop() first is polite. NULL is
 * fine. Queries that wait are answered with STOPPED. Not from a callback. */
PRESENCE_API void presence_free(struct presence *);

/* Begins to connect, where the link is stopped; else nothing. The first attempt comes at once. ARGUMENT, FORKED. */
PRESENCE_API enum presence_error presence_start(struct presence *);

/* Says bye, so that watchers read `logout`, and stops. The link is STOPPED when the server has answered, after 1 s
 * at most; at once where there is no session. FORKED. */
PRESENCE_API enum presence_error presence_stop(struct presence *);

/* Comes back now, where the link is WAITING for its time: for the user who presses "retry", or news that the
 * network is back. Else nothing. What the server asked for (retry_ms) is waited for still. */
PRESENCE_API enum presence_error presence_retry(struct presence *);

/* --- running it: either the library waits --- */

/* Starts, and runs until the link is stopped: OK where presence_stop() did that, else the error that was final.
 * TIME_OVER after 'timeout_ms' (-1: no limit) and INTERRUPTED by a signal's handler: call again to go on. A signal
 * that comes just before the wait is missed: who lives by signals waits himself, in ppoll(2), by the functions
 * below. FORKED, BUSY, MEMORY. */
PRESENCE_API enum presence_error presence_run(struct presence *, int timeout_ms);

/* --- or the application's loop does, after presence_start() --- */

enum { PRESENCE_READABLE = 1, PRESENCE_WRITABLE = 2 };

/* The descriptor to wait on (by level, not by edge), -1 for none, and for what. Both may be different after any call that is not const; a
 * number that is the same may be another socket (on_socket tells of that). */
PRESENCE_API int presence_fd(const struct presence *);
PRESENCE_API unsigned presence_want(const struct presence *);

/* The moment (presence_now()) at which presence_ready() is due, whatever the descriptor says; UINT64_MAX: never.
 * And the same as a timeout for poll(2): from now on, rounded up, -1 for never. Good until the next call that is not
 * const. */
PRESENCE_API uint64_t presence_deadline(const struct presence *);
PRESENCE_API int presence_timeout(const struct presence *);

/* The descriptor is ready for 'ready' (errors and hang-ups count as both), or 0: the time has come. Reads, writes,
 * decides and calls back; never waits. Cheap where there is nothing to do. */
PRESENCE_API void presence_ready(struct presence *, unsigned ready);

/* CLOCK_BOOTTIME in milliseconds. */
PRESENCE_API uint64_t presence_now(void);

/* --- contacts --- */

/* Watches these users, from now on and over all reconnects: each is a contact at once, its truth unknown until the
 * server's word. Those watched already are nothing new. All or none: ARGUMENT (empty, too long, control characters,
 * not UTF-8), MEMORY, FORKED. */
PRESENCE_API enum presence_error presence_watch(
	struct presence *, const char *const *users, size_t n);

/* Forgets them. Those not watched are ignored. FORKED. */
PRESENCE_API enum presence_error presence_unwatch(
	struct presence *, const char *const *users, size_t n);

/* What is known of a watched user now; NULL: it is not watched. */
PRESENCE_API const struct presence_contact *presence_contact(struct presence *, const char *user);

/* All contacts one after the other, in the order of watching: the first with NULL, the next with the user of the
 * last; NULL after the last one. */
PRESENCE_API const struct presence_contact *presence_next(struct presence *, const char *user);
PRESENCE_API size_t presence_count(const struct presence *);

/* One look at users that need not be watched, answered exactly once: with 'n' contacts in the order asked, or 0 and
 * an error: FORBIDDEN, STOPPED, one that is final, or MEMORY. It waits for a login, and is asked again where the
 * connection was lost before the reply. ARGUMENT, MEMORY, FORKED: not asked, not answered. */
typedef void presence_answer(struct presence *, enum presence_error,
	const struct presence_contact *contacts, size_t n, void *arg);
PRESENCE_API enum presence_error presence_query(
	struct presence *, const char *const *users, size_t n, presence_answer *answer, void *arg);

/* --- oneself --- */

/* What others are to see from now on, over all reconnects. STATE_NONE leaves the state as it is, NULL the status; ""
 * takes the status away. ARGUMENT (OFFLINE; a status too long, with control characters, not UTF-8), MEMORY, FORKED. */
PRESENCE_API enum presence_error presence_update(
	struct presence *, enum presence_state, const char *status);

/* A token for this login and those that follow; a session that is up is renewed with it at once. 'lifetime_ms':
 * when it ends, from now; on_token is called when nine tenths of it are over; 0: not known. NULL for a token: there
 * is none, and a login that waits for one ends with PRESENCE_ERROR_TOKEN. ARGUMENT, MEMORY, FORKED. */
PRESENCE_API enum presence_error presence_set_token(
	struct presence *, const char *token, uint64_t lifetime_ms);

/* The addresses of a name that on_resolve asked for, as getaddrinfo(3) gives them: tried in that order, the next
 * beside the first where that takes long. NULL: there are none. Not kept. Nothing where none were asked for. */
PRESENCE_API enum presence_error presence_set_addresses(struct presence *, const struct addrinfo *);

/* Who the client is; never NULL but for a NULL client. */
PRESENCE_API const struct presence_self *presence_self(struct presence *);

/* The link, as on_link told it last, and the error of the connection that was lost last. */
PRESENCE_API enum presence_link presence_link(const struct presence *);
PRESENCE_API enum presence_error presence_last_error(const struct presence *);

/* The library's version, "0.1.0". */
PRESENCE_API const char *presence_version(void);

#ifdef __cplusplus
}
#endif

#endif
