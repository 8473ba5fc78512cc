/* Packs of names: all that a watcher watches, clean and dirty, and what another pack still holds. */

#include "presence/watch_pack.h"

#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add(struct watch_index *x, struct watcher *c, const char *user)
{
	struct watch *w;
	assert_int_equal(watch_add(x, c, user, strlen(user), 1000 + strlen(user), &w), 0);
}

static void expect(struct watch_pack *p, const char *user)
{
	const char *text;
	size_t len;
	assert_true(watch_pack_has_next(p));
	assert_true(watch_pack_next(p, &text, &len));
	assert_int_equal(len, strlen(user));
	assert_memory_equal(text, user, len);
}

static void expect_end(struct watch_pack *p)
{
	const char *text;
	size_t len;
	assert_false(watch_pack_has_next(p));
	assert_false(watch_pack_next(p, &text, &len));
}

static void nobody_is_no_pack(void **state)
{
	(void)state;
	struct watcher c = {.n_watches = 0};
	struct watch_pack *p = (struct watch_pack *)(void *)&c;
	assert_int_equal(watch_pack_new(NULL, NULL, &p), 0);
	assert_null(p);
	p = (struct watch_pack *)(void *)&c;
	assert_int_equal(watch_pack_new(&c, NULL, &p), 0);
	assert_null(p);
	expect_end(NULL);
}

static void all_are_in_it_and_what_is_left_of_another(void **state)
{
	(void)state;
	char longest[USER_MAX + 1] = {0};
	memset(longest, 'x', USER_MAX);
	struct watch_index *x;
	struct watcher c = {.n_watches = 0}, d = {.n_watches = 0};
	assert_int_equal(watch_index_new(10, &x), 0);
	add(x, &c, "bob");
	add(x, &c, longest);
	add(x, &c, "a");
	add(x, &d, "another's");

	/* Bob's is dirty: it comes last. */
	struct watched *u = watch_find(x, &c, "bob", 3, 1003)->watched;
	watch_news_seq(x, u, 5);
	watch_spread(x, 100);
	assert_non_null(c.dirty.first);
	struct watch_pack *p, *more;
	assert_int_equal(watch_pack_new(&c, NULL, &p), 0);
	assert_int_equal(p->n, 3);
	expect(p, longest);
	more = p;
	assert_int_equal(watch_pack_new(&d, more, &p), 0);
	assert_int_equal(p->n, 3);
	expect(p, "another's");
	expect(p, "a");
	expect(p, "bob");
	expect_end(p);
	expect(more, "a"); /* which is as it was */
	expect(more, "bob");
	free(p);
	assert_int_equal(watch_pack_new(NULL, more, &p), 0); /* spent */
	assert_null(p);
	free(more);
	watch_index_free(x);
}

static void refused_memory_is_told(void **state)
{
	(void)state;
	struct watch_index *x;
	struct watcher c = {.n_watches = 0};
	assert_int_equal(watch_index_new(10, &x), 0);
	add(x, &c, "bob");
	struct watch_pack *p = NULL;
	alloc_fail_begin(1);
	assert_int_equal(watch_pack_new(&c, NULL, &p), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_null(p);
	watch_index_free(x);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_is_no_pack),
		cmocka_unit_test(all_are_in_it_and_what_is_left_of_another),
		cmocka_unit_test(refused_memory_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
