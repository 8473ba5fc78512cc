/* The client: all that <presence.h>'s opaque handle holds, and its rules over lines and time.
 *
 * The parts, from the application inwards:
 *
 *   presence.c   the functions of <presence.h>: arguments checked, a turn begun and ended
 *   run.c        presence_run(): a loop of our own
 *   turn.c       what a descriptor or the time brings: moves bytes between the socket and the rules
 *   dial.c       names, addresses, sockets          stream*.c   bytes to lines and back: TLS, WebSocket
 *   link.c       the rules: login, heartbeats, silence, back-off, ends          (pure)
 *   ask.c        watches, queries: what is asked of the server, and its replies  (pure)
 *   contacts.c   who is watched, and what is known    incoming.c, outgoing.c   lines to fields and back (pure)
 *
 * link.c and ask.c know neither socket nor clock: lines come in, lines go to 'out', 'now_ms' is told. They say by
 * 'link' and 'attempt' whether there should be a connection, and turn.c sees to it. So all rules are tested by tables
 * of lines and numbers.
 *
 * Callbacks run in the middle of these, and may call back in: each is in the last place of what it ends, when the state
 * is whole again, and nothing that was looked at before it is trusted after it. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/buffer.h"
#include "client/c/backoff.h"
#include "client/c/contacts.h"
#include "client/c/incoming.h"
#include "client/c/url.h"
#include "presence.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	SESSION_MAX = 128, /* of session and server ids, as far as we keep them */
	RESUME_SECRET_MAX = 256,
	DETAIL_MAX = 160,
	REQUEST_BYTES_MAX =
		32768, /* of a line of ours; the server's limit is 64 KiB, or what it was set to */
	REQUEST_BYTES_MIN = 512,
	PARTY_MAX = 1000, /* users a request */
	SUSPECT_PAUSE_MS =
		10, /* between requests that look for the user that is refused: the rate is limited */
	CLOSE_WAIT_MS = 1000, /* for the server's bye */
	LATE_MS =
		1000 /* a turn that comes so much later than it was due can't tell when bytes came */
};

/* What a connection is doing, where the link is CONNECTING or UP. */
enum stage {
	STAGE_DIALING, /* until the stream is open */
	STAGE_HELLO, /* until the welcome */
	STAGE_UP,
	STAGE_CLOSING, /* bye was said */
	STAGE_N
};

/* One look that is waiting for its answer. */
struct query {
	struct query *next;
	presence_answer *answer;
	void *arg;
	size_t n; /* users */
	size_t n_done; /* of them that are answered */
	size_t n_asked; /* of them that the request under way is for */
	uint64_t asked_id; /* 0: none is under way */
	char **users; /* owned, in one block with this */
	struct presence_contact *contacts; /* owned; statuses too */
};

struct dial;
struct stream;

struct presence {
	/* const after start */
	pid_t pid;
	struct presence_options options; /* its strings are below or NULL */
	char *user, *device, *ca_file;
	struct server_url url;
	void *tls_context; /* SSL_CTX; NULL where the URL is not TLS */

	/* owner: the client's thread. What the application wants */
	char *token; /* NULL: none */
	bool is_token_fresh; /* not used for a login yet */
	uint64_t token_due_ms; /* when another one is wanted; UINT64_MAX */
	enum presence_state state; /* NONE: never said */
	char *status; /* NULL: never said, "": none */
	struct contacts contacts;
	struct query *queries; /* in the order asked */

	/* The link. */
	enum presence_link link;
	enum stage stage;
	uint64_t attempt; /* counts the connections wanted: 'link' is about this one */
	struct backoff backoff;
	uint64_t retry_at_ms; /* WAITING; UINT64_MAX: for a token */
	uint64_t not_before_ms; /* what the server asked for */
	uint64_t attempt_deadline_ms; /* CONNECTING */
	uint64_t beat_at_ms; /* UP */
	uint64_t close_deadline_ms; /* CLOSING */
	bool is_token_wanted; /* on_token was called, and nothing given since */
	bool is_in_token_call;
	bool has_news; /* state or status are not those of the hello that is on its way */
	enum presence_error last_error;
	uint64_t due_ms; /* what the last turn ended with as its deadline */

	/* The session. */
	struct presence_self self;
	char self_user[PRESENCE_USER_MAX + 1], self_device[PRESENCE_DEVICE_MAX + 1];
	char session[SESSION_MAX + 1], server[SESSION_MAX + 1];
	char resume[RESUME_SECRET_MAX + 1];
	bool has_said_resume; /* in the hello of this connection */
	bool awaits_snapshot; /* a resumed session's watches are still to come */
	uint64_t last_id; /* of requests */
	uint64_t suspect_id; /* the request that looks for who is refused; 0: none */
	size_t suspect_chunk; /* users in the next such one */
	uint64_t suspect_at_ms; /* when it may be */
	size_t request_bytes; /* of a line of ours; less after line_too_long */
	struct buffer out; /* lines to be sent */

	/* The connection, turn.c's. */
	uint64_t connection_attempt; /* the attempt it is of; 0: none */
	struct dial *dial; /* while there is no socket yet */
	bool awaits_addresses; /* on_resolve was called, and no answer came */
	struct stream *stream;
	int fd; /* of the stream; -1 */
	bool has_user_timeout; /* set to the session's */
	int told_fd; /* on_socket knows this one; -1 */
	unsigned told_want;
	unsigned n_callbacks; /* that are running */
	bool is_in_turn;

	struct presence_contact shown; /* what presence_contact() returned last */
};

/* --- link.c --- */

void link_start(struct presence *, uint64_t now_ms);
void link_stop(struct presence *, uint64_t now_ms);
void link_retry(struct presence *, uint64_t now_ms);

/* The lookup is over: now the time counts. The stream is open: say hello. */
void link_dialing(struct presence *, uint64_t now_ms);
void link_connected(struct presence *);

/* Bytes came, at 'when_ms' at the latest. A line without its end. */
void link_heard(struct presence *, uint64_t when_ms);
void link_line(struct presence *, const char *line, size_t len, uint64_t now_ms);

/* What ended a connection. */
struct ending {
	enum presence_error error;
	int system_error;
	const char *detail; /* NULL: the error's text is enough */
	uint64_t retry_ms; /* what the server asked for */
};
void link_lost(struct presence *, const struct ending *, uint64_t now_ms);

/* What is due is done; when the next is. */
void link_tick(struct presence *, uint64_t now_ms);
uint64_t link_deadline(const struct presence *);

/* A token was given, or (NULL in p->token) refused. */
void link_token_given(struct presence *, uint64_t now_ms);

/* What others are to see is new: NONE and NULL are not. */
void link_update(struct presence *, enum presence_state, const char *status);

/* Whether there should be a connection. */
bool link_wants_connection(const struct presence *);

/* --- ask.c --- */

/* Asks for what is wanted and not under way. Nothing where the link is not up. */
void ask_all(struct presence *, uint64_t now_ms);
uint64_t ask_deadline(const struct presence *);

/* A new connection is up; a connection is lost. */
void ask_begin(struct presence *, bool is_resumed);
void ask_lost(struct presence *);

/* Of a reply; 0, or -EPROTO, -ENOMEM with '*ret_detail'. */
int ask_reply(struct presence *, const struct incoming *, const char **ret_detail);

/* A watch or a query is refused; false where the id is none of ours. */
bool ask_refused(struct presence *, uint64_t id, enum presence_error);

/* Tells the server of users that are watched no longer. */
void ask_unwatch(struct presence *, const char *const *users, size_t n);

int ask_query_new(const char *const *users, size_t n, struct query **ret);
void ask_query_free(struct query *);

/* Answers all queries, as long as the link stays stopped. */
void ask_give_up(struct presence *, enum presence_error);

/* --- telling (link.c) --- */

void tell_contacts(struct presence *, uint64_t now_ms);

/* --- turn.c --- */

/* Makes socket and link agree, sends what is to be sent, tells what is to be told. Ends each call of the application. */
void turn_settle(struct presence *, uint64_t now_ms);
void turn_ready(struct presence *, unsigned ready, uint64_t now_ms);
void turn_addresses(struct presence *, const struct addrinfo *, uint64_t now_ms);
void turn_close(struct presence *); /* the socket and all that belongs to it */
int turn_fd(const struct presence *);
unsigned turn_want(const struct presence *);
uint64_t turn_deadline(const struct presence *);

#endif
