/* What moved in the table since the last look. */
#include "presence/sampler.h"

#include "presence/table_admin.h"

#include "support/failing_alloc.h"
#include "support/stage.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A look over all workers, as text: "slot+who" changed, "slot-" changed and nobody's, "slot@ms" heard, counted from
 * STAGE_WALL_MS. */
static const char *look(struct stage *s, struct sampler *sampler, size_t max)
{
	static char text[4096];
	char user[USER_MAX];
	size_t len = 0;
	role_store_begin();
	text[0] = '\0';
	for (unsigned worker = 0; worker < STAGE_WORKERS; worker++) {
		uint32_t cursor = 0;
		while (cursor != UINT32_MAX) {
			struct sample samples[64];
			size_t n;
			assert_int_equal(
				sampler_look(sampler, worker, s->now, &cursor, samples, max, &n),
				0);
			for (size_t i = 0; i < n; i++) {
				size_t who = samples[i].is_changed ? sampler_who(sampler, worker,
									     samples[i].slot, user)
								   : 0;
				len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u.%u",
					len ? " " : "", worker, samples[i].slot);
				if (!samples[i].is_changed)
					len += (size_t)snprintf(text + len, sizeof(text) - len,
						"@%lld",
						(long long)(samples[i].last_seen_ms -
							    STAGE_WALL_MS));
				else
					len += (size_t)snprintf(text + len, sizeof(text) - len,
						who ? "+%.*s" : "-", (int)who, user);
			}
		}
	}
	return text;
}

static void what_moved_is_reported_once(void **state)
{
	(void)state;
	struct stage s;
	struct sampler *sampler;
	stage_begin(&s, 1000, 10);
	assert_int_equal(sampler_new(s.table, &sampler), 0);
	assert_string_equal(look(&s, sampler, 64), "");

	struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	struct seat eve = stage_login(&s, 2, "eve", NULL, STATE_INVISIBLE, NULL);
	assert_string_equal(look(&s, sampler, 64), "0.0+bob 2.0+eve");
	assert_string_equal(look(&s, sampler, 64), "");

	stage_pass(&s, 700);
	stage_stamp(&s, bob);
	assert_string_equal(look(&s, sampler, 64), "0.0@699");
	assert_string_equal(look(&s, sampler, 64), "");
	/* The clock was set meanwhile: the moment is the same, and so told by the new one. */
	stage_pass(&s, 100);
	stage_stamp(&s, bob);
	s.now.wall_ms += 5000;
	assert_string_equal(look(&s, sampler, 64), "0.0@5799");
	s.now.wall_ms -= 5000;

	stage_update(&s, eve, STATE_BUSY, NULL, NULL);
	assert_string_equal(look(&s, sampler, 64), "2.0+eve");
	stage_update(&s, eve, KEEP, "-", NULL);
	assert_string_equal(look(&s, sampler, 64), "2.0+eve");
	stage_update(&s, eve, KEEP, NULL, NULL); /* no words */
	assert_string_equal(look(&s, sampler, 64), "");

	stage_leave(&s, bob, REASON_LOGOUT);
	assert_string_equal(look(&s, sampler, 64), "0.0-");
	assert_string_equal(look(&s, sampler, 64), "");
	stage_leave(&s, eve, REASON_LOGOUT);
	assert_string_equal(look(&s, sampler, 64), "2.0-");
	sampler_free(sampler);
	stage_end(&s);
}

/* The slot is another's before anybody looked. */
static void a_slot_that_changed_hands_is_the_new_ones(void **state)
{
	(void)state;
	struct stage s;
	struct sampler *sampler;
	stage_begin(&s, 1000, 10);
	assert_int_equal(sampler_new(s.table, &sampler), 0);
	struct seat bob = stage_login(&s, 1, "bob", "phone", KEEP, NULL);
	assert_string_equal(look(&s, sampler, 64), "1.0+bob");
	stage_leave(&s, bob, REASON_CLOSED);
	struct seat eve = stage_login(&s, 1, "eve", "phone", KEEP, NULL);
	assert_string_equal(look(&s, sampler, 64), "1.0+eve");
	/* Come and gone in between: somebody was there. */
	stage_leave(&s, eve, REASON_CLOSED);
	stage_leave(&s, stage_login(&s, 1, "zoe", "phone", KEEP, NULL), REASON_CLOSED);
	assert_string_equal(look(&s, sampler, 64), "1.0-");
	/* A takeover from another worker moves the session. */
	stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	struct seat old = stage_login(&s, 1, "bob", "tablet", KEEP, NULL);
	look(&s, sampler, 64);
	assert_true(stage_login(&s, 2, "bob", "tablet", KEEP, NULL).is_takeover);
	assert_string_equal(look(&s, sampler, 64), "1.0- 2.0+bob");
	role_worker_begin();
	assert_non_null(stage_listed(&s, 1));
	table_release(s.table, old.session, true);
	sampler_free(sampler);
	stage_end(&s);
}

/* What a standstill adds to a stamp is no sign of life. */
static void a_grant_is_not_heard(void **state)
{
	(void)state;
	struct stage s;
	struct sampler *sampler;
	struct snapshot snapshot;
	struct session_view *views;
	size_t n;
	stage_begin(&s, 1000, 10);
	assert_int_equal(sampler_new(s.table, &sampler), 0);
	struct seat bob = stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	assert_string_equal(look(&s, sampler, 64), "0.0+bob");
	stage_pass(&s, TIMEOUT_MS + 1000);
	role_watchdog_begin();
	role_worker_begin();
	table_nominate(s.table, &s.actor, 0, (uint32_t)s.now.mono_ms);
	struct session *listed = stage_listed(&s, 0);
	assert_ptr_equal(listed, bob.session);
	table_heard(s.table, &s.actor, listed, (uint32_t)s.now.mono_ms);
	struct standstill still = {
		.is_set = true, .end_ms = (uint32_t)s.now.mono_ms, .gap_ms = 2000};
	assert_ptr_equal(stage_listed(&s, STAGE_WORKERS), listed);
	assert_int_equal(
		table_judge(s.table, &s.actor, listed, &still, s.now).kind, VERDICT_GRANTED);
	assert_string_equal(look(&s, sampler, 64), "0.0+bob");
	assert_int_equal(table_sessions(s.table, "bob", 3, s.now, &snapshot, &views, &n), 0);
	assert_int_equal(n, 1);
	assert_int_equal(views[0].last_seen_ms, STAGE_SEEN(STAGE_WALL_MS));
	assert_int_equal(views[0].worker, 0);
	assert_int_equal(views[0].slot, 0);
	free(views);
	stage_stamp(&s, bob);
	assert_string_equal(look(&s, sampler, 64), "0.0@3999");
	sampler_free(sampler);
	stage_end(&s);
}

/* Few at a time, over more than a chunk of stamps: each once. */
static void a_look_in_parts_misses_nothing(void **state)
{
	(void)state;
	enum { N = 5000 };
	struct stage s;
	struct sampler *sampler;
	char name[16];
	static struct seat seats[N];
	stage_begin(&s, 1000, 10);
	assert_int_equal(sampler_new(s.table, &sampler), 0);
	for (unsigned i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		seats[i] = stage_login(&s, 0, name, "d", KEEP, NULL);
	}
	for (unsigned round = 0; round < 2; round++) {
		static unsigned char met[N];
		uint32_t cursor = 0;
		unsigned total = 0;
		memset(met, 0, sizeof(met));
		role_store_begin();
		while (cursor != UINT32_MAX) {
			struct sample samples[7];
			size_t n;
			assert_int_equal(
				sampler_look(sampler, 0, s.now, &cursor, samples, 7, &n), 0);
			for (size_t i = 0; i < n; i++) {
				assert_int_equal(met[samples[i].slot]++, 0);
				assert_int_equal(samples[i].is_changed, round == 0);
				char user[USER_MAX];
				if (samples[i].is_changed)
					assert_true(
						sampler_who(sampler, 0, samples[i].slot, user) > 1);
			}
			total += (unsigned)n;
		}
		assert_int_equal(total, N);
		stage_pass(&s, 10);
		for (unsigned i = 0; i < N; i++)
			stage_stamp(&s, seats[i]);
	}
	sampler_free(sampler);
	stage_end(&s);
}

static void refused_memory(void **state)
{
	(void)state;
	struct stage s;
	stage_begin(&s, 1000, 10);
	stage_login(&s, 0, "bob", "phone", KEEP, NULL);
	for (unsigned i = 1;; i++) {
		struct sampler *sampler = NULL;
		alloc_fail_begin(i);
		int err = sampler_new(s.table, &sampler);
		if (!alloc_fail_end()) {
			assert_int_equal(err, 0);
			uint32_t cursor = 0;
			size_t n = 99;
			struct sample sample;
			role_store_begin();
			alloc_fail_begin(1);
			assert_int_equal(
				sampler_look(sampler, 0, s.now, &cursor, &sample, 1, &n), -ENOMEM);
			assert_true(alloc_fail_end());
			assert_true(cursor == 0 && n == 99);
			assert_string_equal(look(&s, sampler, 64), "0.0+bob");
			sampler_free(sampler);
			break;
		}
		assert_int_equal(err, -ENOMEM);
		assert_null(sampler);
	}
	sampler_free(NULL);
	stage_end(&s);
}

/* --- while others work --- */

enum { ROUNDS = 20000 };

struct race {
	struct stage *stage;
	_Atomic bool is_over;
};

static void *work(void *arg)
{
	struct race *race = arg;
	struct stage *s = race->stage;
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct seat seat = stage_login(s, 0, i % 2 ? "odd" : "even", "d", KEEP, NULL);
		stage_pass(s, 1);
		stage_stamp(s, seat);
		stage_leave(s, seat, REASON_CLOSED);
	}
	stage_login(s, 0, "last", "d", KEEP, NULL);
	atomic_store(&race->is_over, true);
	return NULL;
}

/* Whatever is missed meanwhile is seen in the end; TSan looks on. */
static void the_last_change_is_seen(void **state)
{
	(void)state;
	struct stage s;
	struct sampler *sampler;
	pthread_t thread;
	struct race race = {.stage = &s};
	char user[USER_MAX];
	bool is_over, is_last = false;
	stage_begin(&s, 1000, 10);
	assert_int_equal(sampler_new(s.table, &sampler), 0);
	assert_int_equal(pthread_create(&thread, NULL, work, &race), 0);
	role_store_begin();
	do {
		is_over = atomic_load(&race.is_over);
		uint32_t cursor = 0;
		struct sample samples[64];
		struct instant now = {.mono_ms = 1000, .wall_ms = STAGE_WALL_MS};
		size_t n;
		assert_int_equal(sampler_look(sampler, 0, now, &cursor, samples, 64, &n), 0);
		for (size_t i = 0; i < n; i++) {
			if (!samples[i].is_changed)
				continue;
			size_t len = sampler_who(sampler, 0, samples[i].slot, user);
			is_last = len == 4 && memcmp(user, "last", 4) == 0;
		}
	} while (!is_over);
	pthread_join(thread, NULL);
	assert_true(is_last);
	sampler_free(sampler);
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_moved_is_reported_once),
		cmocka_unit_test(a_slot_that_changed_hands_is_the_new_ones),
		cmocka_unit_test(a_grant_is_not_heard),
		cmocka_unit_test(a_look_in_parts_misses_nothing),
		cmocka_unit_test(refused_memory),
		cmocka_unit_test(the_last_change_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
