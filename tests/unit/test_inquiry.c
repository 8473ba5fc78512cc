/* What the admin thread asks the workers: answers, those that don't come, and those that come too late. */
#include "presence/inquiry.h"

#include "support/failing_alloc.h"
#include "support/stage.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct address address_of(uint16_t port)
{
	struct address a;
	const char *why;

	assert_int_equal(address_parse("192.0.2.1:1", 11, &a, &why), 0);
	address_set_port(&a, port);
	return a;
}

/* The worker takes what it was asked, and answers with the port given; 0: it knows nothing. How many. */
static unsigned answer_all(struct stage *s, unsigned worker, uint16_t port)
{
	struct mailbox_link *next;
	unsigned n = 0;

	for (struct mailbox_link *link = mailbox_take_questions(&s->boxes[worker]); link;
		link = next, n++) {
		struct address a = address_of(port);
		next = link->next;
		inquiry_answer(inquiry_from_link(link), port ? &a : NULL);
	}
	return n;
}

static size_t list(struct stage *s, const char *user, struct session_view **views)
{
	struct snapshot look;
	size_t n;

	role_admin_begin();
	assert_int_equal(table_sessions(s->table, user, strlen(user), s->now, &look, views, &n), 0);
	return n;
}

static void answers_come_from_the_workers_of_the_sessions(void **state)
{
	struct session_view *views;
	struct inquiry *q;
	struct address a;
	struct stage s;

	(void)state;
	role_admin_begin();
	stage_begin(&s, 1000, 10);
	stage_login(&s, 0, "bob", "a", KEEP, NULL);
	stage_login(&s, 2, "bob", "b", KEEP, NULL);
	stage_login(&s, 2, "bob", "c", KEEP, NULL);
	size_t n = list(&s, "bob", &views);
	assert_int_equal(n, 3);
	mailbox_sleep(&s.boxes[0]); /* is to be woken; worker 2 is awake */
	assert_int_equal(inquiry_begin(s.table, &s.actor, views, n, &q), 0);
	assert_int_equal(s.actor.wake_workers, 1);
	assert_int_equal(answer_all(&s, 0, 10), 1);
	assert_int_equal(answer_all(&s, 1, 10), 0);
	assert_int_equal(answer_all(&s, 2, 12), 2);
	inquiry_wait(q, 60000);
	for (size_t i = 0; i < n; i++) {
		assert_true(inquiry_address(q, i, &a));
		assert_int_equal(address_port(&a), 10 + views[i].worker);
	}
	inquiry_end(q);
	free(views);
	stage_end(&s);
}

static void a_session_without_a_connection_is_not_asked_about(void **state)
{
	struct session_view *views;
	struct inquiry *q;
	struct address a;
	struct stage s;

	(void)state;
	role_admin_begin();
	stage_begin(&s, 1000, 10);
	struct seat seat = stage_login(&s, 0, "bob", "a", KEEP, NULL);
	role_worker_begin();
	assert_true(table_detach(s.table, &s.actor, seat.session, seat.id, (struct baggage){0}));
	assert_int_equal(list(&s, "bob", &views), 1);
	assert_int_equal(inquiry_begin(s.table, &s.actor, views, 1, &q), 0);
	assert_false(mailbox_has_questions(&s.boxes[0]));
	inquiry_wait(q, 60000); /* there is nothing to wait for */
	assert_false(inquiry_address(q, 0, &a));
	inquiry_end(q);
	inquiry_end(NULL);
	free(views);
	stage_end(&s);
}

static void who_does_not_answer_is_done_without_and_not_asked_again(void **state)
{
	struct session_view *views;
	struct inquiry *q, *later;
	struct address a;
	struct stage s;

	(void)state;
	role_admin_begin();
	stage_begin(&s, 1000, 10);
	stage_login(&s, 0, "bob", "a", KEEP, NULL);
	stage_login(&s, 1, "bob", "b", KEEP, NULL);
	size_t n = list(&s, "bob", &views);
	assert_int_equal(inquiry_begin(s.table, &s.actor, views, n, &q), 0);
	assert_int_equal(answer_all(&s, 1, 11), 1);
	inquiry_wait(q, 5);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(inquiry_address(q, i, &a), views[i].worker == 1);
	inquiry_end(q); /* what is still to be answered holds it */

	assert_int_equal(inquiry_begin(s.table, &s.actor, views, n, &later), 0);
	assert_int_equal(answer_all(&s, 1, 0), 1); /* asked, and knows nothing */
	inquiry_wait(later, 60000);
	for (size_t i = 0; i < n; i++)
		assert_false(inquiry_address(later, i, &a));
	inquiry_end(later);

	assert_int_equal(answer_all(&s, 0, 10), 1); /* too late: of the first alone, and frees it */
	free(views);
	stage_end(&s);
}

/* --- a worker that answers meanwhile --- */

struct busy {
	struct stage *stage;
	_Atomic bool is_over;
	unsigned n;
};

static void *worker_main(void *arg)
{
	struct busy *b = arg;

	while (!atomic_load(&b->is_over))
		b->n += answer_all(b->stage, 0, 10);
	return NULL;
}

static void answers_that_race_with_the_end_of_the_wait_harm_nobody(void **state)
{
	struct session_view *views;
	struct stage s;
	struct busy b = {.stage = &s};
	pthread_t worker;
	unsigned n_answered = 0;

	(void)state;
	role_admin_begin();
	stage_begin(&s, 1000, 10);
	stage_login(&s, 0, "bob", "a", KEEP, NULL);
	stage_login(&s, 0, "bob", "b", KEEP, NULL);
	size_t n = list(&s, "bob", &views);
	assert_int_equal(pthread_create(&worker, NULL, worker_main, &b), 0);
	for (unsigned i = 0; i < 5000; i++) {
		struct inquiry *q;
		struct address a;
		assert_int_equal(inquiry_begin(s.table, &s.actor, views, n, &q), 0);
		inquiry_wait(q, i % 2 ? 0 : 100);
		n_answered += inquiry_address(q, 0, &a);
		inquiry_end(q);
	}
	atomic_store(&b.is_over, true);
	pthread_join(worker, NULL);
	answer_all(&s, 0, 10);
	assert_true(n_answered > 0);
	free(views);
	stage_end(&s);
}

static void refused_memory_asks_nobody(void **state)
{
	struct session_view *views;
	struct inquiry *q = NULL;
	struct stage s;

	(void)state;
	role_admin_begin();
	stage_begin(&s, 1000, 10);
	stage_login(&s, 0, "bob", "a", KEEP, NULL);
	assert_int_equal(list(&s, "bob", &views), 1);
	alloc_fail_begin(1);
	int err = inquiry_begin(s.table, &s.actor, views, 1, &q);
	assert_true(alloc_fail_end());
	assert_int_equal(err, -ENOMEM);
	assert_null(q);
	assert_false(mailbox_has_questions(&s.boxes[0]));
	free(views);
	stage_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_come_from_the_workers_of_the_sessions),
		cmocka_unit_test(a_session_without_a_connection_is_not_asked_about),
		cmocka_unit_test(who_does_not_answer_is_done_without_and_not_asked_again),
		cmocka_unit_test(answers_that_race_with_the_end_of_the_wait_harm_nobody),
		cmocka_unit_test(refused_memory_asks_nobody),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
