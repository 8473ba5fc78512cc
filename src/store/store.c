#include "store/store.h"

#include "base/ensure.h"
#include "base/log.h"
#include "net/descriptors.h"
#include "store/store_private.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	TICK_MS =
		600, /* and the transaction itself, and a sync now and then: within a second all is written */
	BUSY_MS = 200, /* how long a tick waits for another process's lock */
	BUSY_PATIENCE_MS = 5000, /* for so long a lock is no fault: backups and shells take it */
	BUSY_LAST_MS = 5000, /* how long the last transaction waits for one */
	RETRY_FIRST_MS = 1000,
	RETRY_MOST_MS = 10000,
	CHECKPOINT_MS = 60000, /* what the end of the power costs, at most */
	PRUNE_MS = 10000,
	PRUNE_MOST = 2000, /* rows at a time: some 20 ms */
};

/* --- faults --- */

static void publish_fault(struct store *s, int err, uint64_t now_ms)
{
	struct store_telemetry *t = s->telemetry;
	atomic_store_explicit(&t->fault, -err, memory_order_relaxed);
	if (!err)
		return;
	atomic_store_explicit(&t->last_fault, -err, memory_order_relaxed);
	atomic_store_explicit(&t->last_fault_ms, now_ms, memory_order_relaxed);
}

/* The file can't be written: said once, until it is something else. It is closed, and opened again when it is tried again:
 * so what was wrong with it is looked at anew. */
static void suffer(struct store *s, int err, struct instant now)
{
	counter_add(&s->telemetry->counters, COUNTER_store_errors, 1);
	publish_fault(s, err, now.wall_ms);
	if (err != s->fault)
		log_error("store can't be written: what is new is in memory only",
			LOG_TEXT("path", s->params.path),
			LOG_TEXT("fault", store_fault_words(-err)),
			LOG_TEXT("why", file_trouble(s->file)));
	if (!s->fault) {
		s->fault_ms = now.mono_ms;
		s->backoff_ms = RETRY_FIRST_MS;
	}
	s->fault = err;
	s->needs_all = true;
	s->retry_ms = now.mono_ms + s->backoff_ms;
	s->backoff_ms = 2 * s->backoff_ms < RETRY_MOST_MS ? 2 * s->backoff_ms : RETRY_MOST_MS;
	file_close(s->file);
	s->file = NULL;
}

static void recover(struct store *s, struct instant now)
{
	s->has_written = true;
	s->is_begun = false;
	s->busy_ms = 0;
	atomic_store_explicit(&s->telemetry->saved_mono_ms, now.mono_ms, memory_order_relaxed);
	if (!s->fault)
		return;
	/* Before it is said: whoever reads the log finds it so. */
	s->fault = 0;
	publish_fault(s, 0, now.wall_ms);
	log_warning("store is written again", LOG_TEXT("path", s->params.path),
		LOG_U64("after_ms", now.mono_ms - s->fault_ms));
}

int store_move_aside(struct store *s, const char *word, const char *why, uint64_t now_ms)
{
	char *to = NULL;
	file_close(s->file);
	s->file = NULL;
	/* One that we began ourselves, and never wrote whole, holds nothing: a disk that damages each is not
	 * filled with them. */
	int err = s->is_begun ? file_remove(s->params.path)
			      : file_move_aside(s->params.path, word, now_ms, &to);
	if (err)
		return err;
	if (!s->is_begun)
		log_error("store moved aside, and begun anew", LOG_TEXT("path", s->params.path),
			LOG_TEXT("to", to), LOG_TEXT("why", why));
	free(to);
	s->is_unread = s->is_damaged = false;
	s->is_begun = s->needs_all = true;
	return 0;
}

/* The same of one that was found damaged, which is in the log and the counters as an error. */
static int move_damaged_aside(struct store *s, uint64_t now_ms)
{
	char why[FILE_TROUBLE_MAX];
	snprintf(why, sizeof(why), "%s", s->file ? file_trouble(s->file) : "damaged at the start");
	counter_add(&s->telemetry->counters, COUNTER_store_errors, 1);
	return store_move_aside(s, "corrupt", why, now_ms);
}

/* --- the file --- */

int store_open_file(struct store *s, int busy_ms)
{
	struct file_params params = {
		.path = s->params.path,
		.server = s->params.telemetry->server_id,
		.started_ms = s->started_ms,
		.takes_over = !s->has_written,
		.busy_ms = busy_ms,
	};
	return file_open(&params, &s->file);
}

/* Opened again, after a fault or because it went away: what it holds is not what we wrote last. One that is of no use, or that
 * may hold what we don't know, is moved aside, and the next one is new. */
static int reopen(struct store *s, struct instant now)
{
	s->needs_all = true;
	int err = s->is_damaged ? move_damaged_aside(s, now.wall_ms) : 0;
	if (!err)
		err = store_open_file(s, BUSY_MS);
	if (err == -EUCLEAN)
		err = move_damaged_aside(s, now.wall_ms);
	else if (!err && s->is_unread && !file_is_new(s->file))
		err = store_move_aside(
			s, "unread", "it could not be read when the server started", now.wall_ms);
	if (!err && !s->file)
		err = store_open_file(s, BUSY_MS);
	if (!err)
		s->is_unread = false;
	return err;
}

/* --- a tick --- */

static int write_news(struct store *s, struct instant now, bool is_last) REQUIRES(role_store)
{
	uint64_t began_ns = clock_mono_ns();
	int err = save_look(s, now);
	if (err || (!save_has_news(s) && !is_last))
		return err;
	if (is_last)
		file_set_patience(s->file, BUSY_LAST_MS);
	err = save_write(s, now, is_last);
	s->is_tidy = false;
	histogram_record(&s->telemetry->batch_us, (clock_mono_ns() - began_ns) / 1000);
	return err;
}

/* Locked by another process: nothing is lost, and it is no fault before it lasts. */
static void wait_for_lock(struct store *s, struct instant now)
{
	if (s->busy_ms == 0)
		s->busy_ms = now.mono_ms;
	if (now.mono_ms - s->busy_ms < BUSY_PATIENCE_MS || s->fault == -EBUSY)
		return;
	counter_add(&s->telemetry->counters, COUNTER_store_errors, 1);
	publish_fault(s, -EBUSY, now.wall_ms);
	log_error("store can't be written: what is new is in memory only",
		LOG_TEXT("path", s->params.path), LOG_TEXT("fault", store_fault_words(EBUSY)));
	if (!s->fault)
		s->fault_ms = s->busy_ms;
	s->fault = -EBUSY;
}

static int prune(struct store *s, struct instant now)
{
	uint64_t n = 0, users = 0;
	int err = file_begin(s->file);
	if (!err)
		err = file_prune(s->file, s->params.n_remembered, PRUNE_MOST, &n);
	if (!err)
		err = file_count(s->file, &users);
	if (!err && n > 0)
		err = file_commit(s->file, now.wall_ms, false);
	file_rollback(s->file); /* where it was not committed */
	if (!err)
		atomic_store_explicit(&s->telemetry->users, users, memory_order_relaxed);
	s->prune_ms = now.mono_ms + (n == PRUNE_MOST ? 0 : PRUNE_MS);
	return err;
}

/* What can wait until the rest is written. */
static int keep_house(struct store *s, struct instant now)
{
	int err = 0;
	if (s->is_tidy)
		return 0;
	if (now.mono_ms >= s->prune_ms)
		err = prune(s, now);
	if (!err && now.mono_ms >= s->checkpoint_ms) {
		err = file_checkpoint(s->file);
		s->checkpoint_ms = now.mono_ms + CHECKPOINT_MS;
		s->is_tidy = !err;
	}
	return err == -EBUSY ? 0 : err;
}

/* The file is not where it was: what we write would be written nowhere. */
static void miss_file(struct store *s, struct instant now)
{
	log_error("store's file is gone, and is begun anew", LOG_TEXT("path", s->params.path));
	counter_add(&s->telemetry->counters, COUNTER_store_errors, 1);
	publish_fault(s, -ENOENT, now.wall_ms);
	file_close(s->file);
	s->file = NULL;
	s->fault = -ENOENT;
	s->fault_ms = now.mono_ms;
	s->backoff_ms = RETRY_FIRST_MS;
}

static int tick(struct store *s, struct instant now, bool is_last) REQUIRES(role_store)
{
	int err = 0;
	if (s->file && file_is_gone(s->file))
		miss_file(s, now);
	if (!s->file)
		err = reopen(s, now);
	if (err)
		return err;
	err = write_news(s, now, is_last);
	if (!err) {
		recover(s, now);
		err = is_last ? 0 : keep_house(s, now);
	}
	return err;
}

void store_turn(struct store *s, struct instant now, bool is_last)
{
	if (s->fault == -ESTALE || (!s->file && !is_last && now.mono_ms < s->retry_ms))
		return;
	int err = tick(s, now, is_last);
	if (err == -EUCLEAN && s->file) { /* found while it was written */
		err = move_damaged_aside(s, now.wall_ms);
		if (!err)
			err = tick(s, now, is_last);
	}
	if (err == -EBUSY && s->file && file_is_open(s->file) && !is_last)
		wait_for_lock(s, now);
	else if (err)
		suffer(s, err, now);
}

/* --- the thread --- */

static void wait_until(struct store *s, uint64_t until_ms)
{
	uint64_t now_ms = clock_mono_ms();
	struct pollfd wakeup = {.fd = s->wakeup, .events = POLLIN};
	if (until_ms > now_ms)
		poll(&wakeup, 1, (int)(until_ms - now_ms));
}

static void *store_main(void *arg)
{
	struct store *s = arg;
	role_store_begin();
	while (!atomic_load(&s->is_stopping)) {
		uint64_t next_ms = clock_mono_ms() + TICK_MS;
		store_turn(s, clock_instant(), false);
		wait_until(s, next_ms);
	}
	store_turn(s, clock_instant(), true);
	return NULL;
}

/* --- start and stop --- */

static void store_free(struct store *s)
{
	file_close(s->file);
	sampler_free(s->sampler);
	places_free(&s->places);
	save_forget_changed(s);
	free(s->changed);
	if (s->wakeup >= 0)
		close(s->wakeup);
	free((char *)s->params.path);
	free(s);
}

int store_new(const struct store_params *params, struct instant now, struct store **ret)
{
	struct store *s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->params = *params;
	s->params.path = strdup(params->path);
	s->telemetry = &params->telemetry->store;
	s->started_ms = now.wall_ms;
	s->checkpoint_ms = now.mono_ms + CHECKPOINT_MS;
	s->wakeup = -1;
	int err = s->params.path ? wakeup_open(&s->wakeup) : -ENOMEM;
	if (!err)
		err = sampler_new(params->table, &s->sampler);
	if (err) {
		store_free(s);
		return err;
	}
	s->cursor = params->feed ? feed_end(params->feed) : 0;
	atomic_store_explicit(&s->telemetry->is_on, true, memory_order_relaxed);
	atomic_store_explicit(&s->telemetry->saved_mono_ms, now.mono_ms, memory_order_relaxed);
	err = restore_all(s, now);
	if (err == -EUCLEAN) {
		/* Its good part has been read. The rest is for the thread: until all else has started, it may turn out
		 * that another server is at work with it. */
		file_close(s->file);
		s->file = NULL;
		s->is_damaged = true;
	} else if (err) {
		suffer(s, err, now);
	}
	*ret = s;
	return 0;
}

int store_start(struct store *s)
{
	int err = pthread_create(&s->thread, NULL, store_main, s);
	if (err)
		return -err;
	pthread_setname_np(s->thread, "store");
	s->is_started = true;
	return 0;
}

void store_stop(struct store *s)
{
	if (!s)
		return;
	if (s->is_started) {
		atomic_store(&s->is_stopping, true);
		wakeup_signal(s->wakeup);
		pthread_join(s->thread, NULL);
	}
	store_free(s);
}
