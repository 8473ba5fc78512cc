/* What the admin thread does with the table: a user's sessions, pages of users, counts, kicks. */
#include "presence/table_admin.h"

#include "support/failing_alloc.h"
#include "support/stage.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a user's sessions --- */

static size_t list(
	struct stage *s, const char *user, struct snapshot *ret, struct session_view **views)
{
	role_admin_begin();
	size_t n = 99;
	assert_int_equal(table_sessions(s->table, user, strlen(user), s->now, ret, views, &n), 0);
	return n;
}

static void sessions_are_listed(void **state)
{
	(void)state;
	struct stage s;
	struct snapshot look;
	struct session_view *views;
	char name[SESSION_TEXT_MAX];
	stage_begin(&s, 1000, 10);
	stage_login(&s, 0, "bob", "a-long-device-name", STATE_AWAY, "gone");
	stage_pass(&s, 500);
	struct seat nameless = stage_login(&s, 1, "bob", NULL, KEEP, NULL);
	stage_pass(&s, 500);
	stage_login(&s, 2, "bob", "shy", STATE_INVISIBLE, "hidden");

	assert_int_equal(list(&s, "bob", &look, &views), 3);
	assert_string_equal(stage_words(&look), "online login -");
	/* The one updated last comes first. */
	assert_int_equal(views[0].state, STATE_INVISIBLE);
	assert_memory_equal(views[0].device, "shy", views[0].device_len);
	assert_int_equal(views[0].since_ms, STAGE_WALL_MS + 1000);
	assert_true(views[0].has_status && views[0].status_len == 6);
	assert_memory_equal(views[0].status, "hidden", 6);
	table_session_text(s.table, nameless.id, name);
	assert_string_equal(views[1].session, name);
	assert_int_equal(views[1].device_len, SESSION_TEXT_MAX - 1);
	assert_memory_equal(views[1].device, name, views[1].device_len);
	assert_false(views[1].has_status);
	assert_int_equal(views[1].last_seen_ms, STAGE_SEEN(STAGE_WALL_MS + 500));
	assert_int_equal(views[1].timeout_ms, TIMEOUT_MS);
	assert_int_equal(views[2].state, STATE_AWAY);
	assert_int_equal(views[2].device_len, strlen("a-long-device-name"));
	assert_memory_equal(views[2].device, "a-long-device-name", views[2].device_len);
	free(views);
	stage_end(&s);
}

static void who_has_none_has_none(void **state)
{
	(void)state;
	struct stage s;
	struct snapshot look;
	struct session_view *views = (void *)&s;
	stage_begin(&s, 1000, 10);
	stage_watch(&s, 0, "watched");
	stage_leave(&s, stage_login(&s, 0, "gone", NULL, KEEP, NULL), REASON_LOGOUT);
	assert_int_equal(list(&s, "nobody", &look, &views), 0);
	assert_true(!views && !look.is_known);
	assert_int_equal(list(&s, "watched", &look, &views), 0);
	assert_int_equal(list(&s, "gone", &look, &views), 0);
	assert_string_equal(stage_words(&look), "offline logout -");
	stage_end(&s);
}

static void a_list_with_refused_memory(void **state)
{
	(void)state;
	role_admin_begin();
	struct stage s;
	struct snapshot look = {.seq = 77};
	struct session_view *views = (void *)&s;
	size_t n = 99;
	stage_begin(&s, 1000, 10);
	stage_login(&s, 0, "bob", NULL, KEEP, NULL);
	alloc_fail_begin(1);
	assert_int_equal(table_sessions(s.table, "bob", 3, s.now, &look, &views, &n), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_true(look.seq == 77 && views == (void *)&s && n == 99);
	stage_end(&s);
}

/* --- counts --- */

static struct seat log_in_by(struct stage *s, const char *user, enum transport transport)
{
	role_worker_begin();
	struct login in = {.transport = transport,
		.user = user,
		.user_len = strlen(user),
		.timeout_ms = TIMEOUT_MS,
		.now = s->now,
		.stamp_ms = (uint32_t)s->now.mono_ms};
	struct login_result out;
	assert_int_equal(table_login(s->table, &s->actor, &in, &out), 0);
	return (struct seat){.session = out.session, .id = out.id, .stamp = out.stamp};
}

static void counts_by_state_and_transport(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	for (unsigned i = 0; i < TRANSPORT_N; i++)
		for (unsigned k = 0; k <= i; k++) {
			char name[16];
			snprintf(name, sizeof(name), "u%u.%u", i, k);
			log_in_by(&s, name, (enum transport)i);
		}
	struct seat busy = log_in_by(&s, "busy", TRANSPORT_UNIX);
	stage_update(&s, busy, STATE_BUSY, NULL, NULL);
	stage_login(&s, 0, "away", NULL, STATE_AWAY, NULL);
	stage_login(&s, 0, "shy", NULL, STATE_INVISIBLE, NULL);
	stage_leave(&s, log_in_by(&s, "gone", TRANSPORT_WSS), REASON_CLOSED);
	stage_check(&s);
	struct table_counts c = table_count(s.table);
	for (unsigned i = 0; i < TRANSPORT_N; i++)
		assert_int_equal(c.sessions_by_transport[i],
			i + 1 + (i == TRANSPORT_UNIX) + 2 * (i == TRANSPORT_TCP));
	assert_int_equal(c.sessions, 15 + 3);
	assert_int_equal(c.users_in_state[STATE_ONLINE], 15);
	assert_int_equal(c.users_in_state[STATE_BUSY], 1);
	assert_int_equal(c.users_in_state[STATE_AWAY], 1);
	assert_int_equal(c.users_in_state[STATE_OFFLINE], 2); /* shy and gone */
	assert_int_equal(c.users_online, 17);
	stage_update(&s, busy, STATE_INVISIBLE, NULL, NULL);
	c = table_count(s.table);
	assert_int_equal(c.users_in_state[STATE_BUSY], 0);
	assert_int_equal(c.users_in_state[STATE_OFFLINE], 3);
	stage_end(&s);
}

/* --- pages --- */

enum { MANY = 3000, CHURN = 20000, PAGE = 50 };

/* How often each of "u0" to "u2999" was met, and how many others. */
struct met {
	unsigned times[MANY];
	unsigned n_others;
};

static void meet(struct met *met, const struct user_view *view)
{
	char name[USER_MAX + 1];
	unsigned number;
	snprintf(name, sizeof(name), "%.*s", (int)view->len, view->user);
	if (sscanf(name, "u%u", &number) == 1 && number < MANY)
		met->times[number]++;
	else
		met->n_others++;
}

/* One page of so many at most; false at the end. */
static bool page(
	struct stage *s, const struct user_filter *f, uint64_t *cursor, struct met *met, size_t max)
{
	role_admin_begin();
	struct user_view views[PAGE];
	size_t n = 999;
	bool has_more = table_page(s->table, f, s->now, cursor, views, max, &n);
	assert_true(n <= max);
	for (size_t i = 0; i < n; i++)
		meet(met, &views[i]);
	return has_more;
}

static void page_all(struct stage *s, const struct user_filter *f, struct met *met, size_t max)
{
	uint64_t cursor = 0;
	memset(met, 0, sizeof(*met));
	while (page(s, f, &cursor, met, max))
		continue;
}

static void assert_each_once(const struct met *met)
{
	for (unsigned i = 0; i < MANY; i++)
		if (met->times[i] != 1)
			fail_msg("u%u was met %u times", i, met->times[i]);
}

static void log_in_many(struct stage *s)
{
	for (unsigned i = 0; i < MANY; i++) {
		char name[16];
		snprintf(name, sizeof(name), "u%u", i);
		stage_login(s, 0, name, NULL, KEEP, NULL);
	}
}

static void pages_hold_everyone_once(void **state)
{
	(void)state;
	static const size_t sizes[] = {1, 2, 7, PAGE};
	static const struct user_filter all = {.prefix_len = 0};
	static struct met met;
	struct stage s;
	stage_begin(&s, 1000, 10);
	page_all(&s, &all, &met, PAGE); /* nobody */
	assert_int_equal(met.n_others, 0);
	log_in_many(&s);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		page_all(&s, &all, &met, sizes[i]);
		assert_each_once(&met);
	}
	stage_end(&s);
}

static unsigned count_matches(struct stage *s, const char *prefix, int want)
{
	static struct met met;
	struct user_filter f = {.prefix = prefix,
		.prefix_len = strlen(prefix),
		.has_state = want != KEEP,
		.state = want == KEEP ? STATE_OFFLINE : (enum state)want};
	page_all(s, &f, &met, PAGE);
	return met.n_others;
}

static void pages_by_prefix_and_state(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	stage_login(&s, 0, "team:a", NULL, KEEP, NULL);
	stage_login(&s, 0, "team:b", NULL, STATE_BUSY, NULL);
	stage_login(&s, 0, "team:c", NULL, STATE_INVISIBLE, NULL);
	stage_login(&s, 0, "teal", "d", STATE_BUSY, NULL);
	stage_login(&s, 0, "teal", "e", STATE_INVISIBLE, NULL);
	stage_leave(&s, stage_login(&s, 0, "team:gone", NULL, KEEP, NULL), REASON_CLOSED);
	stage_watch(&s, 0, "team:never-seen");
	assert_int_equal(count_matches(&s, "", KEEP), 5);
	assert_int_equal(count_matches(&s, "team:", KEEP), 4);
	assert_int_equal(count_matches(&s, "team:a", KEEP), 1);
	assert_int_equal(count_matches(&s, "team:ab", KEEP), 0);
	assert_int_equal(count_matches(&s, "tea", STATE_BUSY), 2);
	assert_int_equal(count_matches(&s, "team:", STATE_OFFLINE), 2);
	assert_int_equal(count_matches(&s, "", STATE_AWAY), 0);
	assert_int_equal(count_matches(&s, "", STATE_INVISIBLE), 2);
	stage_end(&s);
}

/* Others come (the buckets double, again and again) and are forgotten (they halve): between any two pages. */
static void pages_survive_growing_and_shrinking_buckets(void **state)
{
	(void)state;
	static const struct user_filter all = {.prefix_len = 0};
	static struct seat seats[CHURN];
	static struct met met;
	struct stage s;
	stage_begin(&s, 1000, 0); /* who leaves is forgotten */
	log_in_many(&s);
	for (unsigned round = 0; round < 3; round++) {
		uint64_t cursor = 0;
		unsigned n_pages = 0, n_in = 0;
		char name[16];
		memset(&met, 0, sizeof(met));
		while (page(&s, &all, &cursor, &met, 3 + round)) {
			n_pages++;
			if (n_pages % 400 < 200 && n_in + 200 <= CHURN) {
				for (unsigned i = 0; i < 200; i++, n_in++) {
					snprintf(name, sizeof(name), "x%u.%u", round, n_in);
					seats[n_in] = stage_login(&s, 0, name, NULL, KEEP, NULL);
				}
			} else {
				for (unsigned i = 0; i < 200 && n_in > 0; i++)
					stage_leave(&s, seats[--n_in], REASON_CLOSED);
			}
		}
		assert_each_once(&met);
		while (n_in > 0)
			stage_leave(&s, seats[--n_in], REASON_CLOSED);
		stage_check(&s);
	}
	stage_end(&s);
}

struct churn {
	struct stage *stage;
	_Atomic bool is_over;
	uint64_t n_logins;
};

/* A worker: users come and go, in waves that make the buckets more and fewer. */
static void *churn_users(void *arg)
{
	struct churn *c = arg;
	struct stage *s = c->stage;
	enum { WAVE = 4000 };
	static struct seat seats[WAVE];
	char name[16];
	role_worker_begin();
	while (!atomic_load(&c->is_over)) {
		for (unsigned i = 0; i < WAVE; i++, c->n_logins++) {
			snprintf(name, sizeof(name), "x%u", i);
			seats[i] = stage_login(s, 0, name, NULL, KEEP, NULL);
		}
		for (unsigned i = 0; i < WAVE; i++)
			stage_leave(s, seats[i], REASON_CLOSED);
	}
	return NULL;
}

static void pages_while_others_come_and_go(void **state)
{
	(void)state;
	static const struct user_filter all = {.prefix_len = 0};
	static struct met met;
	struct stage s;
	struct churn churn = {.stage = &s};
	pthread_t thread;
	stage_begin(&s, 1000, 0);
	log_in_many(&s);
	assert_int_equal(pthread_create(&thread, NULL, churn_users, &churn), 0);
	unsigned n_met_others = 0;
	for (unsigned i = 0; i < 20 || (n_met_others == 0 && i < 2000); i++) {
		page_all(&s, &all, &met, 1 + i % PAGE);
		assert_each_once(&met);
		n_met_others += met.n_others;
	}
	atomic_store(&churn.is_over, true);
	pthread_join(thread, NULL);
	assert_true(churn.n_logins > 0 && n_met_others > 0);
	stage_end(&s);
}

/* Whatever a cursor says, a page ends, and so does the table. */
static void cursors_of_any_value(void **state)
{
	(void)state;
	static const struct user_filter all = {.prefix_len = 0};
	static struct met met;
	struct stage s;
	stage_begin(&s, 1000, 0);
	log_in_many(&s);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t cursor = i == 0 ? UINT64_MAX : i * UINT64_C(0x9e3779b97f4a7c15);
		unsigned n = 0;
		while (page(&s, &all, &cursor, &met, PAGE))
			assert_true(++n < 2 * (MANY + 512));
	}
	stage_end(&s);
}

/* --- kicks --- */

static unsigned kick_user(struct stage *s, const char *user)
{
	role_admin_begin();
	return table_kick_user(s->table, &s->actor, user, strlen(user), s->now);
}

static bool kick_session(struct stage *s, const char *user, const char *session)
{
	role_admin_begin();
	return table_kick_session(
		s->table, &s->actor, user, strlen(user), session, strlen(session), s->now);
}

/* The worker finds the session in its list, ended. */
static void assert_buried(struct stage *s, unsigned worker, struct seat seat)
{
	role_worker_begin();
	struct session *listed = stage_listed(s, worker);
	assert_ptr_equal(listed, seat.session);
	assert_int_equal(session_id(listed), 0);
	assert_int_equal(session_end_reason(listed), REASON_KICKED);
	table_release(s->table, listed, true);
}

static void a_user_is_kicked_from_all_workers(void **state)
{
	(void)state;
	struct stage s;
	struct seat seats[STAGE_WORKERS];
	stage_begin(&s, 1000, 10);
	stage_watch(&s, 1, "bob");
	seats[0] = stage_login(&s, 0, "bob", "a-long-device-name", STATE_AWAY, "x");
	seats[1] = stage_login(&s, 1, "bob", NULL, STATE_BUSY, "y");
	seats[2] = stage_login(&s, 2, "bob", "shy", STATE_INVISIBLE, NULL);
	struct seat other = stage_login(&s, 0, "bo", NULL, KEEP, NULL);
	stage_told(&s, 1, NULL);
	stage_told(&s, 1, NULL);
	for (unsigned i = 0; i < STAGE_WORKERS; i++)
		while (!mailbox_sleep(&s.boxes[i]))
			continue;
	s.actor.wake_workers = 0;

	assert_int_equal(kick_user(&s, "bob"), 3);
	assert_int_equal(s.actor.wake_workers, 7);
	assert_string_equal(stage_told(&s, 1, NULL), "bob offline kicked -");
	assert_string_equal(stage_told(&s, 1, NULL), ""); /* one change, not one a session */
	assert_int_equal(stage_counter(&s, COUNTER_ended_kicked), 3);
	stage_check(&s);
	for (unsigned i = 0; i < STAGE_WORKERS; i++)
		assert_buried(&s, i, seats[i]);
	assert_int_equal(kick_user(&s, "bob"), 0);
	assert_int_equal(kick_user(&s, "nobody"), 0);
	assert_int_equal(session_id(other.session), other.id);
	struct snapshot look = stage_look(&s, "bob");
	assert_string_equal(stage_words(&look), "offline kicked -");
	stage_end(&s);
}

static void one_session_is_kicked(void **state)
{
	(void)state;
	struct stage s;
	char name[SESSION_TEXT_MAX], wrong[SESSION_TEXT_MAX];
	stage_begin(&s, 1000, 10);
	stage_watch(&s, 1, "bob");
	struct seat calm = stage_login(&s, 0, "bob", "a", STATE_AWAY, NULL);
	struct seat busy = stage_login(&s, 2, "bob", "b", STATE_BUSY, NULL);
	stage_told(&s, 1, NULL);
	stage_told(&s, 1, NULL);
	table_session_text(s.table, busy.id, name);

	static const char *const rubbish[] = {
		"", "0", "b", "00000000000000000", "zzzzzzzzzzzzzzzz"};
	for (size_t i = 0; i < ARRAY_LEN(rubbish); i++)
		assert_false(kick_session(&s, "bob", rubbish[i]));
	strcpy(wrong, name);
	wrong[0] = wrong[0] == '0' ? '1' : '0';
	assert_false(kick_session(&s, "bob", wrong));
	assert_false(kick_session(&s, "bo", name)); /* another user's */
	assert_string_equal(stage_told(&s, 1, NULL), "");

	assert_true(kick_session(&s, "bob", name));
	assert_string_equal(stage_told(&s, 1, NULL), "bob away kicked -");
	assert_buried(&s, 2, busy);
	assert_false(kick_session(&s, "bob", name));
	assert_int_equal(session_id(calm.session), calm.id);
	table_session_text(s.table, calm.id, name);
	assert_true(kick_session(&s, "bob", name));
	assert_string_equal(stage_told(&s, 1, NULL), "bob offline kicked -");
	assert_buried(&s, 0, calm);
	stage_end(&s);
}

static void the_kicked_are_remembered_and_forgotten_like_others(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 1);
	struct seat a = stage_login(&s, 0, "a", NULL, KEEP, NULL);
	assert_int_equal(kick_user(&s, "a"), 1);
	assert_buried(&s, 0, a);
	assert_true(stage_look(&s, "a").is_known);
	struct seat b = stage_login(&s, 0, "b", NULL, KEEP, NULL);
	assert_int_equal(kick_user(&s, "b"), 1);
	assert_buried(&s, 0, b);
	assert_true(!stage_look(&s, "a").is_known && stage_look(&s, "b").is_known);
	/* Only ever invisible: nothing to remember, and nobody to tell. */
	struct seat shy = stage_login(&s, 0, "shy", NULL, STATE_INVISIBLE, NULL);
	assert_int_equal(kick_user(&s, "shy"), 1);
	assert_buried(&s, 0, shy);
	assert_int_equal(table_count(s.table).users_known, 1);
	stage_end(&s);
}

/* More sessions than one hold of the lock ends. */
static void a_user_with_very_many_sessions(void **state)
{
	(void)state;
	enum { MANY_SESSIONS = 100 };
	struct stage s;
	stage_begin(&s, 1000, 10);
	table_free(s.table);
	struct table_params params = {.n_workers = STAGE_WORKERS,
		.mailboxes = s.mailboxes,
		.watchdog = &s.watchdog,
		.n_remembered = 10,
		.max_sessions_per_user = MANY_SESSIONS};
	assert_int_equal(table_new(&params, &s.table), 0);
	struct snapshot look;
	struct session_view *views;
	for (unsigned i = 0; i < MANY_SESSIONS; i++)
		stage_login(&s, i % STAGE_WORKERS, "bob", NULL, KEEP, NULL);
	assert_int_equal(list(&s, "bob", &look, &views), MANY_SESSIONS);
	free(views);
	assert_int_equal(kick_user(&s, "bob"), MANY_SESSIONS);
	assert_int_equal(table_count(s.table).sessions, 0);
	stage_end(&s);
}

struct duel {
	struct stage *stage;
	struct counters counters;
	_Atomic bool is_over;
	uint64_t n_kicked;
};

static void *kick_again_and_again(void *arg)
{
	struct duel *d = arg;
	struct actor actor;
	role_admin_begin();
	actor_init(&actor, &d->counters);
	while (!atomic_load(&d->is_over))
		d->n_kicked += table_kick_user(d->stage->table, &actor, "bob", 3, d->stage->now);
	actor_destroy(&actor);
	return NULL;
}

/* What came by the list: what has ended is given back, the living are let go. */
static void deal_with_list(struct stage *s)
{
	role_worker_begin();
	struct mailbox_link *next;
	for (struct mailbox_link *l = mailbox_take_links(&s->boxes[0]); l; l = next) {
		next = l->next;
		struct session *listed = session_from_link(l);
		if (session_id(listed) == 0 || !table_acquit(listed))
			table_release(s->table, listed, true);
	}
}

/* The worker ends sessions by itself while the operator kicks the same ones: each ends once, none is lost. */
static void ends_and_kicks_meet(void **state)
{
	(void)state;
	enum { ROUNDS = 20000 };
	struct stage s;
	struct duel duel = {.n_kicked = 0};
	pthread_t thread;
	uint64_t n_logouts = 0;
	role_worker_begin();
	stage_begin(&s, 1000, 10);
	duel.stage = &s;
	assert_int_equal(pthread_create(&thread, NULL, kick_again_and_again, &duel), 0);
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct login in = {.connection = 1,
			.user = "bob",
			.user_len = 3,
			.timeout_ms = TIMEOUT_MS,
			.now = s.now,
			.stamp_ms = (uint32_t)s.now.mono_ms};
		struct login_result out;
		assert_int_equal(table_login(s.table, &s.actor, &in, &out), 0);
		n_logouts +=
			table_end(s.table, &s.actor, out.session, out.id, REASON_LOGOUT, s.now);
		table_release(s.table, out.session, false);
		deal_with_list(&s);
	}
	atomic_store(&duel.is_over, true);
	pthread_join(thread, NULL);
	deal_with_list(&s);
	assert_int_equal(n_logouts + duel.n_kicked, ROUNDS);
	assert_int_equal(counter_read(&duel.counters, COUNTER_ended_kicked), duel.n_kicked);
	assert_int_equal(table_count(s.table).sessions, 0);
	assert_int_equal(table_count(s.table).users_online, 0);
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sessions_are_listed),
		cmocka_unit_test(who_has_none_has_none),
		cmocka_unit_test(a_list_with_refused_memory),
		cmocka_unit_test(counts_by_state_and_transport),
		cmocka_unit_test(pages_hold_everyone_once),
		cmocka_unit_test(pages_by_prefix_and_state),
		cmocka_unit_test(pages_survive_growing_and_shrinking_buckets),
		cmocka_unit_test(pages_while_others_come_and_go),
		cmocka_unit_test(cursors_of_any_value),
		cmocka_unit_test(a_user_is_kicked_from_all_workers),
		cmocka_unit_test(one_session_is_kicked),
		cmocka_unit_test(the_kicked_are_remembered_and_forgotten_like_others),
		cmocka_unit_test(a_user_with_very_many_sessions),
		cmocka_unit_test(ends_and_kicks_meet),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
