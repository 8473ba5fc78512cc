/* The session table, the mailboxes and the watch indexes under eight threads: six play workers, with simulated
 * connections and watchers, one the watchdog and one who only looks. The same few users log in, take over, end, go
 * silent, are watched, unwatched and forgotten everywhere at once; the mailboxes are small enough to overflow.
 *
 * Checked all the time: no number that anybody is told of a user goes back; who is logged in and visible is never
 * seen offline, so that no old end masks a newer login; a session that answers its hearings never times
 * out, and a silent one not before its deadline; whoever shows a session's secret gets that session's baggage and no
 * other's. All of it twice, without a grace and with one. After each round: each watcher's last word is the table's, posted =
 * taken, sessions begun = ended, and the table is whole. */
#include "support/play.h"

#include "presence/table_check.h"
#include "presence/table_private.h" /* to see that all records were given back */

#include <sched.h>
#include <string.h>

enum {
	N_ROUNDS = 25
}; /* after each all come to rest, and all is checked: later news would hide what was lost */

static struct worker *workers;
static struct mailbox watchdog_mailbox;
static struct counters watchdog_counters;
static struct actor watchdog_actor;
static struct rng watchdog_rng;
static uint64_t n_judged[VERDICT_N];
static _Atomic bool is_over;

/* --- the watchdog, and one who looks --- */

static void judge(const struct standstill *still) REQUIRES(role_watchdog)
{
	struct mailbox_link *next;
	for (struct mailbox_link *l = mailbox_take_links(&watchdog_mailbox); l; l = next) {
		next = l->next;
		struct session *s = session_from_link(l);
		n_judged[table_judge(table, &watchdog_actor, s, still, instant_now()).kind]++;
	}
}

static void *watch_over(void *argument)
{
	role_watchdog_begin();
	struct standstill still = {.is_set = false};
	while (!atomic_load(&is_over)) {
		uint32_t step = 1 + rng_below(&watchdog_rng, 3);
		if (rng_one_in(&watchdog_rng, 100)) {
			step = 20 + rng_below(&watchdog_rng, 100);
			still = (struct standstill){.is_set = true, .gap_ms = step};
			still.end_ms = (uint32_t)atomic_load(&now_ms) + step;
		}
		atomic_fetch_add(&now_ms, step);
		judge(&still);
		for (unsigned w = 0; w < N_WORKERS; w++)
			table_nominate(table, &watchdog_actor, w, (uint32_t)atomic_load(&now_ms));
		sched_yield();
	}
	return argument;
}

static void *look_on(void *argument)
{
	uint64_t seen[N_USERS] = {0};
	struct rng rng = {torture.seed + 99};
	while (!atomic_load(&is_over)) {
		unsigned user = rng_below(&rng, N_USERS);
		char name[NAME_MAX_LEN];
		struct snapshot s;
		table_look(table, name, user_name(name, user), instant_now(), &s);
		CHECK(s.seq >= seen[user] && s.seq <= s.counter);
		seen[user] = s.seq;
		struct table_counts counts = table_count(table);
		CHECK(counts.sessions <=
			N_WORKERS * (UINT64_C(2) * N_CONNECTIONS + N_FLOOD) + 100000);
		sched_yield();
	}
	return argument;
}

/* --- the end --- */

/* Alone by now: all the mail, until there is none. */
static void come_to_rest(void)
{
	role_worker_begin();
	role_watchdog_begin();
	struct standstill never = {.is_set = false};
	/* A nominated session's way goes to its worker, to the watchdog and back. */
	for (unsigned round = 0; round < 6; round++) {
		judge(&never);
		for (unsigned i = 0; i < N_WORKERS; i++)
			worker_rest(&workers[i]);
	}
	CHECK(!mailbox_take_links(&watchdog_mailbox));
	/* Nobody waits for what nobody owes any more. */
	for (unsigned i = 0; i < N_WORKERS; i++)
		for (unsigned c = 0; c < N_CONNECTIONS; c++)
			CHECK(!workers[i].connections[c].is_waiting);
}

static uint64_t counted(enum counter which)
{
	uint64_t n = counter_read(&watchdog_counters, which);
	for (unsigned i = 0; i < N_WORKERS; i++)
		n += counter_read(&workers[i].counters, which);
	return n;
}

static uint64_t check_words(void)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < N_WORKERS * N_WATCHERS; i++) {
		struct worker *w = &workers[i / N_WATCHERS];
		struct teller *t = &w->tellers[i % N_WATCHERS];
		CHECK(!t->watcher.dirty.first && !t->watcher.is_flushing);
		for (unsigned user = 0; user < N_USERS; user++) {
			char name[NAME_MAX_LEN];
			size_t len = user_name(name, user);
			if (!watch_find(w->watches, &t->watcher, name, len,
				    table_hash(table, name, len)))
				continue;
			struct snapshot s;
			table_look(table, name, len, instant_now(), &s);
			struct word word = word_of_snapshot(&s);
			const struct word *last = &t->words[user];
			CHECK(last->is_known == word.is_known && last->state == word.state);
			CHECK(last->reason == word.reason && last->at_ms == word.at_ms);
			CHECK(strcmp(last->status, word.status) == 0);
			CHECK(!word.is_known || last->seq == word.seq);
			n++;
		}
	}
	return n;
}

static void check_counters(uint64_t n_alive)
{
	uint64_t n_taken = 0, n_expired = 0;
	for (unsigned i = 0; i < N_WORKERS; i++) {
		n_taken += workers[i].n_taken;
		n_expired += workers[i].n_expired;
		CHECK(mailbox_depth(&workers[i].mailbox) == 0);
	}
	CHECK(counted(COUNTER_events_mailed) == n_taken);
	CHECK(counted(COUNTER_out_of_memory) == 0);
	uint64_t n_silent = n_judged[VERDICT_EXPIRED] + n_judged[VERDICT_PARTED];
	CHECK(n_expired <=
		n_judged[VERDICT_EXPIRED] +
			n_judged[VERDICT_OVER]); /* some came back after the connection was let go */
	CHECK(counted(COUNTER_ended_timeout) <= n_silent);
	CHECK(counted(COUNTER_grace_over) == n_judged[VERDICT_OVER]);
	CHECK(counted(COUNTER_grace_began) >=
		n_judged[VERDICT_OVER] + n_judged[VERDICT_PARTED] - counted(COUNTER_grace_over));
	uint64_t n_ended = counted(COUNTER_ended_logout) + counted(COUNTER_ended_closed) +
			   counted(COUNTER_ended_reset) + counted(COUNTER_ended_timeout);
	CHECK(counted(COUNTER_logins) == n_ended + counted(COUNTER_takeovers) +
						 counted(COUNTER_resumed) +
						 counted(COUNTER_evicted) + n_alive);
	CHECK(table_count(table).sessions == n_alive);
}

static void check_whole(void)
{
	const char *broken = table_check(table);
	if (broken)
		torture_fail(broken, __FILE__, __LINE__);
}

/* Everybody leaves, and nobody is left. */
static void empty(void)
{
	role_worker_begin();
	role_watchdog_begin();
	for (unsigned i = 0; i < N_WORKERS; i++) {
		for (unsigned c = 0; c < N_CONNECTIONS + N_FLOOD; c++)
			if (workers[i].connections[c].session)
				worker_end(&workers[i], &workers[i].connections[c], REASON_LOGOUT);
		for (unsigned c = 0; c < N_WATCHERS; c++)
			worker_close_watcher(&workers[i], &workers[i].tellers[c]);
	}
	for (unsigned round = 0; round < 2; round++) { /* the detached; and those in their grace */
		atomic_fetch_add(&now_ms, 1000);
		for (unsigned i = 0; i < N_WORKERS; i++)
			table_nominate(table, &watchdog_actor, i, (uint32_t)atomic_load(&now_ms));
		come_to_rest();
	}
	check_counters(0);
	check_whole();
	struct table_counts counts = table_count(table);
	CHECK(counts.users_online == 0 && counts.users_remembered == REMEMBERED);
	CHECK(counts.users_known == counts.users_remembered);
	for (unsigned i = 0; i < N_WORKERS; i++)
		CHECK(table->slabs[i].stamps.n_used == 0);
}

static void set_up(uint32_t grace_ms)
{
	static struct mailbox *mailboxes[N_WORKERS];
	memset(n_judged, 0, sizeof(n_judged));
	memset(&watchdog_counters, 0, sizeof(watchdog_counters));
	workers = aligned_alloc(CACHE_LINE, N_WORKERS * sizeof(*workers));
	CHECK(workers);
	memset(workers, 0, N_WORKERS * sizeof(*workers));
	for (unsigned i = 0; i < N_WORKERS; i++) {
		struct worker *w = &workers[i];
		w->index = i;
		w->rng.state = torture.seed * N_WORKERS + i;
		CHECK(mailbox_init(&w->mailbox, RING) == 0);
		CHECK(watch_index_new(HELD, &w->watches) == 0);
		actor_init(&w->actor, &w->counters);
		mailboxes[i] = &w->mailbox;
	}
	CHECK(mailbox_init(&watchdog_mailbox, 0) == 0);
	actor_init(&watchdog_actor, &watchdog_counters);
	watchdog_rng.state = torture.seed + 7;
	atomic_store(&now_ms, MONO_START);
	struct table_params params = {.n_workers = N_WORKERS,
		.mailboxes = mailboxes,
		.watchdog = &watchdog_mailbox,
		.n_remembered = REMEMBERED,
		.max_sessions_per_user = SESSIONS_MAX,
		.grace_ms = grace_ms};
	CHECK(table_new(&params, &table) == 0);
	users_init();
}

static void tear_down(void)
{
	table_free(table);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		mailbox_destroy(&workers[i].mailbox);
		watch_index_free(workers[i].watches);
		actor_destroy(&workers[i].actor);
	}
	mailbox_destroy(&watchdog_mailbox);
	actor_destroy(&watchdog_actor);
	free(workers);
}

static void play_round(unsigned round)
{
	pthread_t watchdog, looker;
	atomic_store(&is_over, false);
	CHECK(pthread_create(&watchdog, NULL, watch_over, NULL) == 0);
	CHECK(pthread_create(&looker, NULL, look_on, NULL) == 0);
	for (unsigned i = 0; i < N_WORKERS; i++) {
		workers[i].n_until = torture.n_ops / N_WORKERS * round / N_ROUNDS;
		CHECK(pthread_create(&workers[i].thread, NULL, worker_run, &workers[i]) == 0);
	}
	for (unsigned i = 0; i < N_WORKERS; i++)
		CHECK(pthread_join(workers[i].thread, NULL) == 0);
	atomic_store(&is_over, true);
	CHECK(pthread_join(watchdog, NULL) == 0);
	CHECK(pthread_join(looker, NULL) == 0);
}

static uint64_t sum(size_t offset)
{
	uint64_t n = 0;
	for (unsigned i = 0; i < N_WORKERS; i++)
		n += *(const uint64_t *)(const void *)((const char *)&workers[i] + offset);
	return n;
}

#define SUM(field)    ((unsigned long long)sum(offsetof(struct worker, field)))
#define COUNTED(name) ((unsigned long long)counted(COUNTER_##name))

static void report(uint32_t grace_ms, uint64_t began_ms, uint64_t n_words)
{
	printf("grace %u: %llu operations in %llu ms: %llu logins (%llu takeovers, %llu evicted, %llu resumed), "
	       "%llu nominated, %llu acquitted, %llu expired, %llu granted, %llu forgotten, %llu events, %llu mailed, "
	       "%llu met a full mailbox, %llu resyncs, %llu words told, %llu last words right\n",
		grace_ms, SUM(n_ops), (unsigned long long)(clock_mono_ms() - began_ms),
		COUNTED(logins), COUNTED(takeovers), COUNTED(evicted), COUNTED(resumed),
		COUNTED(nominated), SUM(n_acquitted), (unsigned long long)n_judged[VERDICT_EXPIRED],
		(unsigned long long)n_judged[VERDICT_GRANTED], COUNTED(forgotten), COUNTED(events),
		COUNTED(events_mailed), COUNTED(mailbox_full), SUM(n_resyncs), SUM(n_told),
		(unsigned long long)n_words);
	if (grace_ms > 0)
		printf("in grace: %llu began, %llu over, %llu parted, %llu revived; baggage: %llu at once, %llu late, "
		       "%llu given up\n",
			COUNTED(grace_began), COUNTED(grace_over),
			(unsigned long long)n_judged[VERDICT_PARTED], SUM(n_revived),
			SUM(n_at_once), SUM(n_late), SUM(n_given_up));
}

static void play(uint32_t grace_ms)
{
	uint64_t n_words = 0, began_ms = clock_mono_ms();
	set_up(grace_ms);
	for (unsigned round = 1; round <= N_ROUNDS; round++) {
		play_round(round);
		come_to_rest();
		check_whole();
		n_words += check_words();
		check_counters(table_count(table).sessions);
	}
	report(grace_ms, began_ms, n_words);
	empty();
	tear_down();
}

int main(int argc, char **argv)
{
	torture = torture_begin(argc, argv, 1000000);
	torture.n_ops /= 2;
	torture.limit_ms = TIME_LIMIT_MS / 2;
	play(0);
	torture.limit_ms = TIME_LIMIT_MS;
	play(GRACE_MS);
	return 0;
}
