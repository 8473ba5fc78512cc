/* A client without a socket: lines are put into it by hand, what it would send is looked at, time is told, and what
 * the application would be told is written down. */
#ifndef TESTS_CLIENT_PLAY_H
#define TESTS_CLIENT_PLAY_H

#include "client/c/client.h"

#include <stdbool.h>
#include <stdint.h>

enum { PLAY_TEXT_MAX = 65536 };

struct client_play {
	struct presence *p;
	uint64_t now_ms;
	char told
		[PLAY_TEXT_MAX]; /* what was told since it was asked for: "up contact:bob=online/busy " */
	char said[PLAY_TEXT_MAX];
	char sent[PLAY_TEXT_MAX];
	/* Called in on_contact, on_link ("" of no contact) and on_token, where it is not NULL. */
	void (*hook)(struct client_play *, const char *what);
	uint64_t retry_in_ms; /* of the last link event */
	const char *answer_status; /* of the first contact in the last answer */
};

/* A client that is stopped; 'options' may be NULL, its callbacks and arg are the play's. */
void play_begin(struct client_play *, const struct presence_options *options);
void play_end(struct client_play *);

/* Started, connected, and logged in: heartbeat 10,000, timeout 30,000, server "one". What was told and sent is
 * forgotten. */
void play_log_in(struct client_play *);
void play_log_in_as(struct client_play *, const char *more_of_the_welcome);

/* The stream is open; a line comes; time goes on, tick by tick where one is due. */
void play_open(struct client_play *);
void play_line(struct client_play *, const char *line);
void play_wait(struct client_play *, uint64_t ms);
void play_lose(struct client_play *, enum presence_error);

/* Since the last time it was asked for. */
const char *play_told(struct client_play *);
const char *play_sent(struct client_play *);

/* "presence" of this user. */
void play_presence(struct client_play *, const char *user, const char *state, unsigned seq);

/* A query whose answer is told as "answer:forbidden=0 " or "answer:ok=2 ". */
void play_query(struct client_play *, const char *const *users, size_t n);

#endif
