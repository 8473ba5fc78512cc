/* The load generator: many clients of one server in one thread.
 *
 * Owns     its connections, from load_login() to load_free(), which aborts them (RST: nothing lingers in
 *          TIME_WAIT to spoil the next measurement).
 * Threads  one; more than one descriptor table holds are several processes (fleet.h).
 * Memory   64 bytes a session and what is unfinished of its last line.
 * Time     CLOCK_MONOTONIC nanoseconds; every call is bounded by a moment given to it.
 * Errors   0 or negative errno. A session that the server ends is counted, not an error.
 *
 * Sessions are numbered from 0; session i is user first_user + i. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "base/histogram.h"
#include "dialect.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What happened. May lie in memory shared with another process, who may read it at any time. */
struct load_totals {
	/* atomic: the load's thread -> readers, relaxed: they are statistics */
	_Atomic uint64_t n_welcomes;
	_Atomic uint64_t n_beats_sent;
	_Atomic uint64_t n_beats_answered;
	_Atomic uint64_t n_events;
	_Atomic uint64_t n_errors; /* error lines */
	_Atomic uint64_t n_lost; /* live sessions that the server, or the way to it, ended */
	_Atomic uint64_t n_retries; /* logins tried again, for the server was full */
	struct histogram
		beat_ns; /* from sending a beat (or the first of several in a row) to the last answer */
};

struct load_params {
	struct sockaddr_in server;
	bool is_tls;
	const struct dialect *dialect;
	uint32_t n_sessions;
	uint64_t first_user;
	uint64_t heartbeat_ms; /* wished for at login; 0: whatever the server gives */
	/* Beats of a schedule that fall due within so long go out together: a crowd's load then wakes up a
	 * few times a second, not for each beat. 0: each at its moment. */
	uint64_t beat_grain_ns;
	uint64_t
		beat_phase_ns; /* a schedule begins so much later: those of several processes are not to beat together */
	/* Sessions that the loads of several processes share: how many of them have been taken, in memory that all share. Each
	 * logs in the next as it has room for a login under way, so that all end at the same time. NULL: all are its own. */
	_Atomic uint32_t *taken;
	int wake_fd; /* an eventfd that ends load_run() when it is written to; -1 for none */
	/* Told of every event as it is read; NULL for none. Must not call the load. */
	void (*on_event)(void *arg, const struct item *, uint64_t now_ns);
	void *on_event_arg;
	/* Where to note when each session last sent something, n_sessions of them; NULL for nowhere. */
	_Atomic uint64_t *sent_ns;
};

struct load;

int load_new(const struct load_params *, struct load **ret);
void load_free(struct load *);

/* From now on count into 'totals', which has to live as long as the load does or until the next call. */
void load_count_into(struct load *, struct load_totals *totals);

/* Log in sessions first..first+n-1, at most 'n_parallel' of them under way at once; turns of what else is
 * going on are made meanwhile. -ETIMEDOUT at 'until_ns'; -ECONNREFUSED and the like as they come. */
int load_login(struct load *, uint32_t first, uint32_t n, uint32_t n_parallel, uint64_t until_ns);

/* Abort the connections of those of sessions first..first+n-1 that are live; they may log in again. */
void load_drop(struct load *, uint32_t first, uint32_t n);

/* Beats of sessions first..first+n-1, those that are live, each every 'interval_ns', spread evenly. One such
 * schedule a load; an interval of 0 ends it. */
void load_beat_every(struct load *, uint32_t first, uint32_t n, uint64_t interval_ns);

/* Closed loop: each of these sessions sends 'n_in_row' beats in one write, and the next as many when all are
 * answered. 1 is one at a time; 0 ends the loop. */
void load_beat_in_rows(struct load *, uint32_t first, uint32_t n, unsigned n_in_row);

/* One beat of each of these, as fast as they can be written. */
void load_beat_now(struct load *, uint32_t first, uint32_t n);

/* Let a session watch 'n' users from first_user on, in as many requests as that takes, and wait until all of
 * them are answered. load_watch_all() lets each of a range of sessions watch the same users. */
int load_watch(struct load *, uint32_t session, uint64_t first_user, uint32_t n, uint64_t until_ns);
int load_watch_all(struct load *, uint32_t first, uint32_t n, uint64_t user, uint64_t until_ns);

/* A change of the session's user, recognisable by its number (above 0) in the event. */
int load_update(struct load *, uint32_t session, uint64_t number);

/* Go on until 'until_ns' (0), or until wake_fd is written to (1, and it is read). */
int load_run(struct load *, uint64_t until_ns);

/* One wait and what it brings, at most until 'until_ns'. 1: wake_fd was written to; else 0. */
int load_turn(struct load *, uint64_t until_ns);

uint32_t load_live(const struct load *); /* sessions logged in and not ended */

/* Into 'to' all that 'from' has recorded. */
void load_histogram_add(struct histogram *to, const struct histogram *from);

#endif
