#include "presence/watch.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include "base/hash.h"
#include "base/terms.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* The table's part: any hash of the name will do, also one that many share. */
static uint64_t hash_of(const char *user)
{
	return hash_bytes(user, strlen(user), 1) & 0xf;
}

static struct watch_index *index_new(uint32_t max_held)
{
	struct watch_index *x = NULL;
	assert_int_equal(watch_index_new(max_held, &x), 0);
	return x;
}

static struct watch *find(const struct watch_index *x, const struct watcher *c, const char *user)
{
	return watch_find(x, c, user, strlen(user), hash_of(user));
}

static struct watch *add(struct watch_index *x, struct watcher *c, const char *user)
{
	struct watch *w = NULL;
	assert_null(find(x, c, user));
	assert_int_equal(watch_add(x, c, user, strlen(user), hash_of(user), &w), 0);
	assert_ptr_equal(find(x, c, user), w);
	return w;
}

static bool remove_watch(struct watch_index *x, struct watch *w)
{
	char user[USER_MAX];
	size_t len;
	return watch_remove(x, w, user, &len);
}

static struct event *event_of(const char *user, uint64_t seq)
{
	struct event_spares spares = {.small = NULL};
	struct snapshot s = {.is_known = true, .seq = seq};
	event_spares_fill(&spares);
	struct event *e = event_make(&spares, user, strlen(user), hash_of(user), &s, NULL);
	event_spares_free(&spares);
	return e;
}

static bool news(struct watch_index *x, const char *user, uint64_t seq)
{
	return watch_news(x, event_of(user, seq));
}

static void spread_all(struct watch_index *x)
{
	while (watch_has_news(x))
		assert_true(watch_spread(x, 3) > 0);
}

/* All that the watcher is to be told, told: "user:seq" in its order; '*' after it where the table has to be read. */
static const char *tell(struct watch_index *x, struct watcher *c)
{
	static char text[512];
	char *at = text;
	struct watch *w;
	while ((w = watch_next_dirty(x, c))) {
		struct watched *u = w->watched;
		assert_true(u->seq > w->told);
		assert_true(!u->event || u->event->seq == u->seq);
		at += sprintf(at, "%s%.*s:%llu%s", at > text ? " " : "", (int)u->user_len, u->user,
			(unsigned long long)u->seq, u->event ? "" : "*");
		watch_set_told(x, w, u->seq);
	}
	*at = '\0';
	return text;
}

static void watches_come_and_go(void **state)
{
	(void)state;
	struct watch_index *x = index_new(10);
	struct watcher a = {.n_watches = 0}, b = {.n_watches = 0};
	char user[USER_MAX], name[16];
	size_t len = 0;
	assert_null(watch_any(&a));
	struct watch *bob = add(x, &a, "bob");
	add(x, &b, "bob");
	add(x, &a, "carol");
	assert_null(find(x, &b, "carol"));
	assert_null(find(x, &b, "bo"));
	assert_true(a.n_watches == 2 && b.n_watches == 1 && watch_count(x) == 3);
	assert_false(watch_remove(x, bob, user, &len)); /* b watches it still */
	assert_null(find(x, &a, "bob"));
	assert_true(watch_remove(x, find(x, &b, "bob"), user, &len));
	assert_int_equal(len, 3);
	assert_memory_equal(user, "bob", 3);
	assert_true(watch_remove(x, watch_any(&a), user, &len));
	assert_memory_equal(user, "carol", 5);
	assert_true(a.n_watches == 0 && b.n_watches == 0 && watch_count(x) == 0 && !watch_any(&a));

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		add(x, i % 3 ? &a : &b, name);
	}
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "u%u", i);
		assert_non_null(find(x, i % 3 ? &a : &b, name));
		assert_null(find(x, i % 3 ? &b : &a, name));
	}
	watch_index_free(x);
}

static void only_the_newest_is_told(void **state)
{
	(void)state;
	struct watch_index *x = index_new(10);
	struct watcher a = {.n_watches = 0};
	add(x, &a, "bob");
	add(x, &a, "carol");
	assert_false(watch_has_news(x) || watch_has_flush(x));
	assert_true(news(x, "bob", 5));
	assert_true(news(x, "carol", 6));
	assert_true(news(x, "bob", 7));
	assert_false(news(x, "bob", 6)); /* older than what is known */
	assert_false(news(x, "bob", 7));
	assert_false(news(x, "dave", 8)); /* nobody watches */
	assert_int_equal(watch_held(x), 2);
	spread_all(x);
	assert_ptr_equal(watch_next_flush(x), &a);
	assert_string_equal(tell(x, &a), "bob:7 carol:6");
	assert_int_equal(watch_held(x), 0);
	assert_false(watch_has_flush(x));
	assert_null(watch_next_dirty(x, &a));
	watch_index_free(x);
}

static void what_is_told_never_goes_back(void **state)
{
	(void)state;
	struct watch_index *x = index_new(10);
	struct watcher a = {.n_watches = 0}, b = {.n_watches = 0};
	struct watch *w = add(x, &a, "bob");
	watch_set_told(x, w, 9); /* a snapshot whose counter was 9 */
	assert_true(news(x, "bob", 8)); /* an event of before that, still on its way */
	spread_all(x);
	assert_null(watch_next_flush(x));
	assert_int_equal(watch_held(x), 0);
	watch_set_told(x, w, 3);
	assert_int_equal(w->told, 9);

	/* Dirty, and then told of by a snapshot before it was written. */
	assert_true(news(x, "bob", 10));
	spread_all(x);
	watch_set_told(x, w, 12);
	assert_string_equal(tell(x, &a), "");
	assert_int_equal(watch_held(x), 0);
	/* A later watch of the same user has its own. */
	assert_true(news(x, "bob", 13));
	struct watch *late = add(x, &b, "bob");
	watch_set_told(x, late, 13);
	spread_all(x);
	assert_string_equal(tell(x, &a), "bob:13");
	assert_string_equal(tell(x, &b), "");
	/* While it is written newer news come: it is told these, too. */
	assert_true(news(x, "bob", 14));
	spread_all(x);
	assert_ptr_equal(watch_next_dirty(x, &a), w);
	assert_true(news(x, "bob", 15));
	watch_set_told(x, w, 14);
	assert_string_equal(tell(x, &a), "bob:15");
	watch_index_free(x);
}

enum { CROWD = 20 };

/* In a crowd of watchers of one user, watches are added and removed in the middle of a spread. */
static void a_spread_passes_nobody_over(void **state)
{
	(void)state;
	for (unsigned removed = 0; removed < CROWD; removed++) {
		for (size_t before = 0; before <= CROWD; before++) {
			struct watch_index *x = index_new(10);
			struct watcher crowd[CROWD] = {{.n_watches = 0}}, late = {.n_watches = 0};
			for (unsigned i = 0; i < CROWD; i++)
				add(x, &crowd[i], "bob");
			news(x, "bob", 5);
			assert_int_equal(watch_spread(x, before), before);
			remove_watch(x, find(x, &crowd[removed], "bob"));
			watch_set_told(x, add(x, &late, "bob"), 5);
			watch_spread(x, 2);
			remove_watch(x, find(x, &crowd[(removed + 7) % CROWD], "bob"));
			spread_all(x);
			for (unsigned i = 0; i < CROWD; i++) {
				bool is_gone = i == removed || i == (removed + 7) % CROWD;
				assert_string_equal(tell(x, &crowd[i]), is_gone ? "" : "bob:5");
			}
			assert_string_equal(tell(x, &late), "");
			assert_int_equal(watch_held(x), 0);
			watch_index_free(x);
		}
	}
}

static void news_in_the_middle_of_a_spread_reach_all(void **state)
{
	(void)state;
	for (size_t slice = 1; slice < CROWD + 2; slice++) {
		struct watch_index *x = index_new(10);
		struct watcher crowd[CROWD] = {{.n_watches = 0}};
		for (unsigned i = 0; i < CROWD; i++)
			add(x, &crowd[i], "bob");
		for (uint64_t seq = 1; seq <= 5; seq++) {
			assert_true(news(x, "bob", seq));
			watch_spread(x, slice);
			for (struct watcher *c; seq < 5 && (c = watch_next_flush(x));)
				tell(x, c); /* some hear of what is old by the next round */
		}
		spread_all(x);
		for (unsigned i = 0; i < CROWD; i++)
			assert_string_equal(tell(x, &crowd[i]), "bob:5");
		assert_int_equal(watch_held(x), 0);
		watch_index_free(x);
	}
}

/* Fixed: one whose news came faster than they were spread kept all others waiting for ever. */
static void who_always_has_news_holds_nobody_up(void **state)
{
	(void)state;
	struct watch_index *x = index_new(10);
	struct watcher crowd[CROWD] = {{.n_watches = 0}}, a = {.n_watches = 0};
	for (unsigned i = 0; i < CROWD; i++)
		add(x, &crowd[i], "star");
	add(x, &a, "bob");
	news(x, "star", 1);
	news(x, "bob", 2);
	unsigned n_turns = 0;
	for (uint64_t seq = 3; !a.is_flushing; seq++) {
		news(x, "star", seq);
		watch_spread(x, 4);
		assert_true(++n_turns <= 2);
	}
	assert_string_equal(tell(x, &a), "bob:2");
	watch_index_free(x);
}

static void a_resync_goes_round_once(void **state)
{
	(void)state;
	struct watch_index *x = index_new(10);
	struct watcher a = {.n_watches = 0};
	assert_null(watch_resync_next(x));
	watch_resync_begin(x); /* of nobody */
	assert_false(watch_is_resyncing(x));
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	for (unsigned i = 0; i < 5; i++)
		watch_set_told(x, add(x, &a, names[i]), 1);
	for (unsigned round = 0; round < 3; round++) {
		unsigned seen = 0;
		struct watched *u;
		watch_resync_begin(x);
		while ((u = watch_resync_next(x)))
			seen |= 1U << (u->user[0] - 'a');
		assert_int_equal(seen, 0x1f);
		assert_false(watch_is_resyncing(x));
	}
	/* Begun again in the middle: all once more. */
	watch_resync_begin(x);
	watch_resync_next(x);
	watch_resync_next(x);
	watch_resync_begin(x);
	unsigned n = 0;
	for (struct watched *u; (u = watch_resync_next(x)); n++)
		watch_news_seq(x, u, u->user[0] == 'c' ? 4 : 1);
	assert_int_equal(n, 5);
	spread_all(x);
	assert_string_equal(tell(x, &a), "c:4*"); /* no event: the table is read for it */
	watch_index_free(x);
}

/* Users come and go between the slices: those who stay are all read. */
static void a_resync_passes_nobody_over(void **state)
{
	(void)state;
	enum { N = 12 };
	for (unsigned removed = 0; removed < N; removed++) {
		for (unsigned before = 0; before <= N; before++) {
			struct watch_index *x = index_new(10);
			struct watcher a = {.n_watches = 0};
			char name[2] = "?";
			for (unsigned i = 0; i < N; i++) {
				name[0] = (char)('a' + i);
				add(x, &a, name);
			}
			unsigned seen = 0;
			struct watched *u;
			watch_resync_begin(x);
			for (unsigned i = 0; i < before && (u = watch_resync_next(x)); i++)
				seen |= 1U << (u->user[0] - 'a');
			name[0] = (char)('a' + removed);
			remove_watch(x, find(x, &a, name));
			add(x, &a, "z");
			while ((u = watch_resync_next(x)))
				seen |= 1U << (u->user[0] - 'a');
			unsigned all = (1U << N) - 1;
			assert_int_equal(seen & all & ~(1U << removed), all & ~(1U << removed));
			watch_index_free(x);
		}
	}
}

static void resync_and_late_events_agree(void **state)
{
	(void)state;
	struct watch_index *x = index_new(10);
	struct watcher a = {.n_watches = 0};
	add(x, &a, "bob");
	news(x, "bob", 3);
	watch_resync_begin(x);
	watch_news_seq(x, watch_resync_next(x), 6); /* the event of 3 is old now */
	assert_int_equal(watch_held(x), 0);
	assert_false(news(x, "bob", 5));
	spread_all(x);
	assert_string_equal(tell(x, &a), "bob:6*");
	watch_resync_begin(x);
	watch_news_seq(x, watch_resync_next(x), 6);
	assert_false(watch_has_news(x));
	assert_true(news(x, "bob", 8));
	spread_all(x);
	assert_string_equal(tell(x, &a), "bob:8");
	watch_index_free(x);
}

/* Fixed: an event past the limit was let go of before its number was read. */
static void past_the_limit_only_the_number_is_held(void **state)
{
	(void)state;
	struct watch_index *x = index_new(2);
	struct watcher a = {.n_watches = 0};
	add(x, &a, "a");
	add(x, &a, "b");
	add(x, &a, "c");
	assert_true(news(x, "a", 1));
	assert_true(news(x, "b", 2));
	assert_true(news(x, "c", 3));
	assert_int_equal(watch_held(x), 2);
	assert_true(news(x, "a", 4)); /* in place of its own */
	assert_int_equal(watch_held(x), 2);
	spread_all(x);
	assert_string_equal(tell(x, &a), "a:4 b:2 c:3*");
	assert_int_equal(watch_held(x), 0);
	assert_true(news(x, "c", 5)); /* room again */
	assert_int_equal(watch_held(x), 1);
	remove_watch(x, find(x, &a, "c"));
	assert_int_equal(watch_held(x), 0);
	watch_index_free(x);
}

static void an_event_is_held_while_somebody_is_to_be_told(void **state)
{
	(void)state;
	struct watch_index *x = index_new(2);
	struct watcher a = {.n_watches = 0}, b = {.n_watches = 0};
	add(x, &a, "bob");
	struct watch *of_b = add(x, &b, "bob");
	struct event *e = event_of("bob", 4);
	event_ref(e);
	assert_true(watch_news(x, e));
	assert_int_equal(atomic_load(&e->n_refs), 2);
	spread_all(x);
	assert_string_equal(tell(x, &a), "bob:4");
	assert_int_equal(watch_held(x), 1);
	assert_false(remove_watch(x, of_b)); /* the last who was to be told is gone */
	assert_int_equal(watch_held(x), 0);
	assert_int_equal(atomic_load(&e->n_refs), 1);
	event_unref(e);
	watch_index_free(x);
}

static void the_flush_list_has_each_watcher_once(void **state)
{
	(void)state;
	struct watch_index *x = index_new(10);
	struct watcher c[4] = {{.n_watches = 0}};
	for (unsigned i = 0; i < 4; i++) {
		add(x, &c[i], "bob");
		add(x, &c[i], "carol");
	}
	news(x, "bob", 1);
	news(x, "carol", 2);
	spread_all(x);
	watch_want_flush(x, &c[1]); /* is in it already */
	watch_forget_flush(x, &c[2]);
	watch_forget_flush(x, &c[2]);
	assert_ptr_equal(watch_next_flush(x), &c[0]);
	assert_false(c[0].is_flushing);
	watch_want_flush(x, &c[0]); /* not done: again, at the end */
	assert_ptr_equal(watch_next_flush(x), &c[1]);
	assert_string_equal(tell(x, &c[1]), "bob:1 carol:2");
	watch_want_flush(x, &c[1]); /* nothing to tell */
	assert_ptr_equal(watch_next_flush(x), &c[3]);
	assert_ptr_equal(watch_next_flush(x), &c[0]);
	assert_null(watch_next_flush(x));
	assert_false(watch_has_flush(x));
	/* News for one who was taken out put it back. */
	news(x, "bob", 3);
	spread_all(x);
	for (unsigned i = 0; i < 4; i++)
		assert_ptr_equal(watch_next_flush(x), &c[i]);
	assert_string_equal(tell(x, &c[2]), "bob:3 carol:2");
	/* With its last dirty watch a watcher leaves the list. */
	watch_want_flush(x, &c[3]);
	assert_true(c[3].is_flushing);
	remove_watch(x, find(x, &c[3], "bob"));
	assert_true(c[3].is_flushing);
	remove_watch(x, find(x, &c[3], "carol"));
	assert_false(c[3].is_flushing);
	watch_index_free(x);
}

static void refused_memory_leaves_it_as_it_was(void **state)
{
	(void)state;
	long n = 1;
	for (;; n++) {
		struct watch_index *x = NULL;
		alloc_fail_begin(n);
		int err = watch_index_new(10, &x);
		bool refused = alloc_fail_end();
		assert_int_equal(err, refused ? -ENOMEM : 0);
		assert_int_equal(x == NULL, refused);
		watch_index_free(x);
		if (!refused)
			break;
	}
	assert_int_equal(n, 4);
	struct watch_index *x = index_new(10);
	struct watcher a = {.n_watches = 0};
	unsigned n_refused = 0;
	for (unsigned i = 0; i < 200; i++) { /* the maps grow meanwhile */
		char name[16];
		size_t len = (size_t)snprintf(name, sizeof(name), "u%u", i);
		for (n = 1;; n++) {
			struct watch *w = NULL;
			alloc_fail_begin(n);
			int err = watch_add(x, &a, name, len, hash_of(name), &w);
			alloc_fail_end();
			assert_int_equal(watch_count(x), err ? i : i + 1);
			assert_int_equal(a.n_watches, watch_count(x));
			if (!err)
				break;
			assert_int_equal(err, -ENOMEM);
			assert_null(w);
			assert_null(find(x, &a, name));
			n_refused++;
		}
	}
	assert_int_equal(n_refused, 400); /* the watch, and the watched */
	watch_index_free(x);
}

/* Fixed: freeing it looked for each watch from the first bucket on. */
static void a_large_index_is_freed_at_once(void **state)
{
	(void)state;
	enum { MANY = 200000 };
	struct watch_index *x = index_new(10);
	struct watcher a = {.n_watches = 0};
	for (unsigned i = 0; i < MANY; i++) {
		char name[16];
		struct watch *w;
		size_t len = (size_t)snprintf(name, sizeof(name), "u%u", i);
		assert_int_equal(watch_add(x, &a, name, len, hash_mix(i), &w), 0);
	}
	watch_index_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(watches_come_and_go),
		cmocka_unit_test(only_the_newest_is_told),
		cmocka_unit_test(what_is_told_never_goes_back),
		cmocka_unit_test(a_spread_passes_nobody_over),
		cmocka_unit_test(news_in_the_middle_of_a_spread_reach_all),
		cmocka_unit_test(who_always_has_news_holds_nobody_up),
		cmocka_unit_test(a_resync_goes_round_once),
		cmocka_unit_test(a_resync_passes_nobody_over),
		cmocka_unit_test(resync_and_late_events_agree),
		cmocka_unit_test(past_the_limit_only_the_number_is_held),
		cmocka_unit_test(an_event_is_held_while_somebody_is_to_be_told),
		cmocka_unit_test(the_flush_list_has_each_watcher_once),
		cmocka_unit_test(refused_memory_leaves_it_as_it_was),
		cmocka_unit_test(a_large_index_is_freed_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
