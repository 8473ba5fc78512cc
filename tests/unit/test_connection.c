#include "server/connection.h"

#include "base/compiler.h"
#include "support/cmocka_all.h"
#include "support/failing_alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { N_DESCRIPTORS = 3 * CONNECTIONS_CHUNK - 10 };

static int make_connections(void **state)
{
	struct connections *cs = malloc(sizeof(*cs));

	if (!cs || connections_init(cs, N_DESCRIPTORS) != 0)
		return -1;
	*state = cs;
	return 0;
}

static int destroy_connections(void **state)
{
	connections_destroy(*state);
	free(*state);
	return 0;
}

static struct connection *open_one(struct connections *cs, int fd)
{
	struct connection *c;

	assert_int_equal(connections_open(cs, fd, TRANSPORT_TCP, &c), 0);
	return c;
}

/* --- records by descriptor --- */

static void a_record_is_found_by_its_descriptor(void **state)
{
	struct connections *cs = *state;
	static const int fds[] = {
		0, 1, CONNECTIONS_CHUNK - 1, CONNECTIONS_CHUNK, N_DESCRIPTORS - 1};
	struct connection *opened[ARRAY_LEN(fds)];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		assert_null(connections_at(cs, (uint32_t)fds[i]));
		assert_int_equal(connections_open(cs, fds[i], TRANSPORT_WSS, &opened[i]), 0);
		assert_int_equal(opened[i]->fd, fds[i]);
		assert_int_equal(opened[i]->phase, PHASE_HELLO);
		assert_int_equal(opened[i]->transport, TRANSPORT_WSS);
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) /* others did not move it */
		assert_ptr_equal(connections_at(cs, (uint32_t)fds[i]), opened[i]);
	assert_null(connections_at(cs, 2));
	assert_null(connections_at(cs, CONNECTIONS_CHUNK + 1));
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		connections_close(opened[i]);
		assert_null(connections_at(cs, (uint32_t)fds[i]));
	}
}

static void descriptors_beyond_those_there_can_be_are_refused(void **state)
{
	struct connections *cs = *state;
	struct connection *c = NULL;

	assert_int_equal(connections_open(cs, 3 * CONNECTIONS_CHUNK, TRANSPORT_TCP, &c), -EMFILE);
	assert_null(c);
	assert_null(connections_at(cs, 3 * CONNECTIONS_CHUNK));
	assert_null(connections_at(cs, CONNECTION_NONE));
}

/* Events of the poller that are late must not reach who has the number now. */
static void a_number_used_again_has_another_generation_and_nothing_of_before(void **state)
{
	struct connections *cs = *state;
	struct connection *c = open_one(cs, 9);
	uint32_t before = c->generation;

	c->is_broken = c->has_hangup = c->was_pinged = true;
	c->stage = STAGE_LINES;
	c->timeout_ms = 5;
	assert_int_equal(input_append(c, "rest", 4, false), 0);
	connections_close(c);
	for (uint32_t i = 1; i < 5; i++) {
		c = open_one(cs, 9);
		assert_int_equal(c->generation, before + i);
		assert_false(c->is_broken || c->has_hangup || c->was_pinged);
		assert_int_equal(c->stage, STAGE_PROXY);
		assert_int_equal(c->timeout_ms, 0);
		assert_true(!c->input && !c->output && !c->side);
		connections_close(c);
	}
	c = open_one(cs, 10); /* its neighbour's is its own */
	assert_int_equal(c->generation, 1);
	connections_close(c);
}

/* --- timers --- */

static void check_list(
	const struct timed_list *l, const struct connections *cs, const int *fds, size_t n)
{
	uint32_t at = l->first, prev = CONNECTION_NONE;

	assert_int_equal(l->n, n);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(at, fds[i]);
		const struct connection *c = connections_at(cs, at);
		assert_int_equal(c->u.timed.prev, prev);
		prev = at;
		at = c->u.timed.next;
	}
	assert_int_equal(at, CONNECTION_NONE);
	assert_int_equal(l->last, prev);
}

static void a_timed_list_is_first_in_first_out(void **state)
{
	struct connections *cs = *state;
	static const int fds[] = {7, 3, 300, 4};
	struct timed_list l;

	timed_list_init(&l);
	check_list(&l, cs, NULL, 0);
	for (uint32_t i = 0; i < ARRAY_LEN(fds); i++) {
		struct connection *c = open_one(cs, fds[i]);
		c->u.timed.n_bytes = 99;
		timed_list_append(&l, cs, c, UINT32_MAX - 1 + i); /* the clock may wrap */
		assert_int_equal(c->u.timed.deadline_ms, UINT32_MAX - 1 + i);
		assert_int_equal(c->u.timed.n_bytes, 0);
		check_list(&l, cs, fds, i + 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		timed_list_remove(&l, cs, connections_at(cs, (uint32_t)fds[i]));
		check_list(&l, cs, fds + i + 1, ARRAY_LEN(fds) - i - 1);
	}
}

/* Each order in which four can leave, and come back. */
static void whoever_leaves_a_timed_list_the_others_stay_in_order(void **state)
{
	struct connections *cs = *state;
	static const int fds[] = {2, 600, 5, 4};
	enum { N = ARRAY_LEN(fds) };

	for (size_t i = 0; i < N; i++)
		open_one(cs, fds[i]);
	for (unsigned leaves = 0; leaves < 1u << N; leaves++) {
		struct timed_list l;
		int left[2 * N];
		size_t n_left = 0;

		timed_list_init(&l);
		for (size_t i = 0; i < N; i++)
			timed_list_append(&l, cs, connections_at(cs, (uint32_t)fds[i]), 1);
		for (size_t i = N; i-- > 0;) {
			if (leaves & 1u << i)
				timed_list_remove(&l, cs, connections_at(cs, (uint32_t)fds[i]));
		}
		for (size_t i = 0; i < N; i++) {
			if (!(leaves & 1u << i))
				left[n_left++] = fds[i];
		}
		check_list(&l, cs, left, n_left);
		for (size_t i = 0; i < N; i++) {
			if (!(leaves & 1u << i))
				continue;
			timed_list_append(&l, cs, connections_at(cs, (uint32_t)fds[i]), 2);
			left[n_left++] = fds[i];
		}
		check_list(&l, cs, left, N);
	}
}

/* --- input --- */

static void input_is_kept_in_the_order_it_came(void **state)
{
	struct connections *cs = *state;

	for (int is_exact = 0; is_exact < 2; is_exact++) {
		struct connection *c = open_one(cs, 1);
		char expected[2000];

		for (size_t i = 0; i < sizeof(expected); i++) {
			expected[i] = (char)(i * 31);
			assert_int_equal(input_append(c, &expected[i], 1, is_exact), 0);
			assert_int_equal(c->input->len, i + 1);
			assert_true(c->input->capacity >= c->input->len);
			if (is_exact)
				assert_int_equal(c->input->capacity, c->input->len);
		}
		assert_memory_equal(c->input->bytes, expected, sizeof(expected));
		input_free(c);
		assert_null(c->input);
		input_free(c);
		connections_close(c);
	}
}

/* A part of a line keeps what it is; and byte by byte it costs no more copies than twice its length. */
static void input_grows_by_halves_after_its_first_piece(void **state)
{
	struct connections *cs = *state;
	struct connection *c = open_one(cs, 1);
	uint32_t n_growths = 0, capacity;

	assert_int_equal(input_append(c, "0123456789", 10, false), 0);
	assert_int_equal(c->input->capacity, 10);
	capacity = 10;
	for (int i = 0; i < 60000; i++) {
		assert_int_equal(input_append(c, "x", 1, false), 0);
		n_growths += c->input->capacity != capacity;
		capacity = c->input->capacity;
		assert_true(capacity <= c->input->len + c->input->len / 2 + 1);
	}
	assert_true(n_growths < 30);
	connections_close(c);
}

/* --- what is beside the record --- */

static void a_side_is_made_once(void **state)
{
	struct connections *cs = *state;
	struct connection *c = open_one(cs, 1);

	assert_null(connection_watching(c));
	struct side *side = connection_side(c);
	assert_non_null(side);
	assert_ptr_equal(connection_side(c), side);
	assert_null(connection_watching(c));
	assert_true(
		!side->tls && !side->websocket && !side->pass && !side->peer && !side->has_rate);
	free(side);
	c->side = NULL;
	connections_close(c);
}

/* --- memory --- */

static void a_refused_allocation_changes_nothing(void **state)
{
	struct connections *cs = *state, refused = {.n_chunks = 77};
	struct connection *c = NULL;

	alloc_fail_begin(1);
	assert_int_equal(connections_init(&refused, 10), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(refused.n_chunks, 77);

	alloc_fail_begin(1);
	assert_int_equal(connections_open(cs, 5, TRANSPORT_TCP, &c), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_null(c);
	assert_null(connections_at(cs, 5));
	c = open_one(cs, 5); /* now it is granted, and with it all of its chunk */
	alloc_fail_begin(1);
	connections_close(open_one(cs, 6));
	assert_false(alloc_fail_end());

	alloc_fail_begin(1);
	assert_null(connection_side(c));
	assert_true(alloc_fail_end());
	alloc_fail_begin(1);
	assert_int_equal(input_append(c, "a", 1, false), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_null(c->input);
	assert_int_equal(input_append(c, "abc", 3, true), 0);
	alloc_fail_begin(1);
	assert_int_equal(input_append(c, "d", 1, true), -ENOMEM);
	assert_true(alloc_fail_end());
	assert_int_equal(c->input->len, 3);
	assert_memory_equal(c->input->bytes, "abc", 3);
	connections_close(c);
}

int main(void)
{
#define CONNECTIONS_TEST(name)                                                                     \
	cmocka_unit_test_setup_teardown(name, make_connections, destroy_connections)
	const struct CMUnitTest tests[] = {
		CONNECTIONS_TEST(a_record_is_found_by_its_descriptor),
		CONNECTIONS_TEST(descriptors_beyond_those_there_can_be_are_refused),
		CONNECTIONS_TEST(a_number_used_again_has_another_generation_and_nothing_of_before),
		CONNECTIONS_TEST(a_timed_list_is_first_in_first_out),
		CONNECTIONS_TEST(whoever_leaves_a_timed_list_the_others_stay_in_order),
		CONNECTIONS_TEST(input_is_kept_in_the_order_it_came),
		CONNECTIONS_TEST(input_grows_by_halves_after_its_first_piece),
		CONNECTIONS_TEST(a_side_is_made_once),
		CONNECTIONS_TEST(a_refused_allocation_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
