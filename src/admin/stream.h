/* Streams: answers that don't end, as Server-Sent Events.
 *
 * A route answers with stream_answer(): what kind of stream it is, and a state of the kind's own. The kind's fill() is
 * asked for what is to be said; where it has nothing to say the connection sleeps, without a thread that waits for it
 * or turns, until it is woken for one of the reasons that the kind names, and fill() is asked again:
 *
 *   STREAM_ON_FEED    the feed has gone on: at once after a calm, and every 25 ms in a storm
 *   STREAM_ON_SECOND  stream_second() has changed: for what is made once a second for all who follow it. The first fill()
 *                     in the new second makes the text, into memory that they share, and all copy it from there
 *
 * A follower holds what its kind's state holds, never what it has not read yet: fill() is not asked before all that it said
 * is written, so a slow one is asked less often, and one that takes nothing for the admin's timeout is closed. One that
 * is told nothing for STREAM_KEEPALIVE_MS gets a comment, so that no proxy closes it; one whose peer has gone, or has
 * shut its sending side, is closed at once.
 *
 * Owns     the streams that are open, and a thread, "streams", that wakes them, and once a second, streams or none, calls
 *          what there is to be done then.
 * Threads  streams_new, _stop, _free: main. fill() and free() of a kind, stream_answer: the admin thread (at the stop,
 *          free() may be main, with all others joined).
 * Locks    RANK_STREAMS, over the list of streams. No kind's function runs under it.
 * Memory   STREAM_ROOM a stream beside its connection, and its state; at most STREAMS_MAX of them, or half the
 *          connections where that is less, so that probes and scrapers always get in: then 503.
 * Errors   0 or negative errno. */
#ifndef ADMIN_STREAM_H
#define ADMIN_STREAM_H

#include "admin/http_private.h"

enum {
	STREAMS_MAX = 256,
	STREAM_ROOM = 16 * 1024, /* what one fill() may say at least: an event must fit */
	STREAM_KEEPALIVE_MS = 15000
};

enum { STREAM_ON_FEED = 1, STREAM_ON_SECOND = 2 };

struct stream_kind {
	unsigned wakes; /* STREAM_ON_… */
	/* Writes whole events (lines, and an empty one after each), as many as there are and fit; how many bytes. 0: there
	 * is nothing now. It may be asked without a reason. */
	size_t (*fill)(struct admin *, void *state, char *to, size_t room);
	void (*free)(struct admin *, void *state);
};

/* The answer to a request, which takes 'state': also where it is a refusal. */
struct answer stream_answer(struct admin *, const struct request *, const struct stream_kind *,
	void *state) REQUIRES(role_admin);

/* Counts the seconds. Any thread. */
uint64_t stream_second(const struct admin *);

/* --- for http.c --- */

struct streams_params {
	struct feed *feed; /* NULL: nothing comes of STREAM_ON_FEED */
	unsigned max_streams;
	unsigned keepalive_ms;
	/* By the streams' thread, at its start and each second, before those who wait for it are woken; or NULL. */
	void (*on_second)(void *);
	void *on_second_cls;
};

int streams_new(const struct streams_params *, struct streams **ret);
/* No stream sleeps any more; all are told their end, and given half a second to take it. Before MHD_stop_daemon(), for it
 * wants none asleep. */
void streams_stop(struct streams *);
void streams_free(struct streams *); /* after it */

unsigned streams_count(const struct streams *);

/* Takes the stream. NULL: no memory. */
struct MHD_Response *stream_response(struct stream *);
void stream_drop(struct stream *); /* that was never answered with; of NULL: nothing */

#endif
