#include "presence/mailbox.h"

#include "base/ensure.h"

#include <errno.h>
#include <stdlib.h>

int mailbox_init(struct mailbox *m, uint64_t capacity)
{
	/* In a ring of one cell, filled in this round and free in the next would be the same turn. */
	ensure((capacity & (capacity - 1)) == 0 && capacity != 1);
	m->cells = NULL;
	if (capacity > 0) {
		m->cells = calloc(capacity, sizeof(*m->cells));
		if (!m->cells)
			return -ENOMEM;
	}
	for (uint64_t i = 0; i < capacity; i++)
		atomic_init(&m->cells[i].turn, i);
	m->mask = capacity - 1;
	atomic_init(&m->tail, 0);
	atomic_init(&m->links, NULL);
	atomic_init(&m->questions, NULL);
	atomic_init(&m->needs_resync, false);
	atomic_init(&m->is_asleep, false);
	m->head = 0;
	return 0;
}

void mailbox_destroy(struct mailbox *m)
{
	if (m->cells) {
		struct event *e;
		while ((e = mailbox_take(m)))
			event_unref(e);
	}
	free(m->cells);
	m->cells = NULL;
}

/* The producer's half of Dekker's pattern; its publication, just before, was sequentially consistent. */
static bool must_wake(struct mailbox *m)
{
	return atomic_load(&m->is_asleep) && atomic_exchange(&m->is_asleep, false);
}

bool mailbox_post(struct mailbox *m, struct event *e, bool *ret_wake)
{
	/* Relaxed: the cell's turn, acquired below, says whether the position is ours to fill. */
	uint64_t position = atomic_load_explicit(&m->tail, memory_order_relaxed);
	struct mailbox_cell *cell;
	for (;;) {
		cell = &m->cells[position & m->mask];
		/* Acquire: pairs with the owner's release in mailbox_take, which emptied the cell. */
		uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_acquire);
		if (turn == position) {
			if (atomic_compare_exchange_weak_explicit(&m->tail, &position, position + 1,
				    memory_order_relaxed, memory_order_relaxed))
				break;
		} else if ((int64_t)(turn - position) < 0) {
			if (mailbox_raise_resync(m))
				*ret_wake = true;
			return false;
		} else {
			position = atomic_load_explicit(&m->tail, memory_order_relaxed);
		}
	}
	cell->event = event_ref(e);
	/* Sequentially consistent, as must_wake() needs it; it is also the release of the cell. */
	atomic_exchange(&cell->turn, position + 1);
	if (must_wake(m))
		*ret_wake = true;
	return true;
}

static void push(_Atomic(struct mailbox_link *) *stack, struct mailbox_link *link)
{
	struct mailbox_link *top = atomic_load_explicit(stack, memory_order_relaxed);
	do
		link->next = top;
	while (!atomic_compare_exchange_weak(stack, &top, link));
}

bool mailbox_push(struct mailbox *m, struct mailbox_link *link)
{
	push(&m->links, link);
	return must_wake(m);
}

void mailbox_leave(struct mailbox *m, struct mailbox_link *link)
{
	push(&m->links, link);
}

bool mailbox_remind(struct mailbox *m)
{
	return atomic_load(&m->links) && must_wake(m);
}

bool mailbox_ask(struct mailbox *m, struct mailbox_link *link)
{
	push(&m->questions, link);
	return must_wake(m);
}

bool mailbox_raise_resync(struct mailbox *m)
{
	atomic_exchange(&m->needs_resync, true);
	return must_wake(m);
}

struct event *mailbox_take(struct mailbox *m)
{
	if (!m->cells)
		return NULL;
	struct mailbox_cell *cell = &m->cells[m->head & m->mask];
	/* Acquire: pairs with the exchange that filled the cell. */
	if (atomic_load_explicit(&cell->turn, memory_order_acquire) != m->head + 1)
		return NULL;
	struct event *e = cell->event;
	/* Release: the cell was read before a producer of the next round sees it free. */
	atomic_store_explicit(&cell->turn, m->head + m->mask + 1, memory_order_release);
	m->head++;
	return e;
}

static struct mailbox_link *take_all(_Atomic(struct mailbox_link *) *stack)
{
	if (!atomic_load_explicit(stack, memory_order_relaxed))
		return NULL;
	/* Acquire: pairs with the pushes. All at once, so that no link can be popped and pushed under us. */
	struct mailbox_link *link = atomic_exchange(stack, NULL);
	struct mailbox_link *oldest = NULL;
	while (link) {
		struct mailbox_link *next = link->next;
		link->next = oldest;
		oldest = link;
		link = next;
	}
	return oldest;
}

struct mailbox_link *mailbox_take_links(struct mailbox *m)
{
	return take_all(&m->links);
}

struct mailbox_link *mailbox_take_questions(struct mailbox *m)
{
	return take_all(&m->questions);
}

bool mailbox_take_resync(struct mailbox *m)
{
	return atomic_load_explicit(&m->needs_resync, memory_order_relaxed) &&
	       atomic_exchange(&m->needs_resync, false);
}

uint64_t mailbox_posted(const struct mailbox *m)
{
	return atomic_load_explicit(&m->tail, memory_order_relaxed);
}

uint64_t mailbox_depth(const struct mailbox *m)
{
	return atomic_load_explicit(&m->tail, memory_order_relaxed) - m->head;
}

bool mailbox_has_links(const struct mailbox *m)
{
	return atomic_load_explicit(&m->links, memory_order_relaxed);
}

bool mailbox_has_questions(const struct mailbox *m)
{
	return atomic_load_explicit(&m->questions, memory_order_relaxed);
}

bool mailbox_sleep(struct mailbox *m)
{
	atomic_exchange(&m->is_asleep, true);
	if (!mailbox_has_mail(m))
		return true;
	mailbox_wake(m);
	return false;
}

void mailbox_wake(struct mailbox *m)
{
	atomic_exchange(&m->is_asleep, false);
}
