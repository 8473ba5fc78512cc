#include "presence/inquiry.h"

#include "presence/table_private.h"

#include <errno.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct inquiry {
	/* atomic: asker, workers -> all */
	_Atomic uint32_t n_refs, n_open;
	/* semaphore: who gave the last answer -> asker */
	sem_t done;
	/* const once asked */
	size_t n;
	struct inquiry_entry entries[];
};

static void unref(struct inquiry *q)
{
	/* Release, and acquire for the last one: all uses happen before the free. */
	if (atomic_fetch_sub_explicit(&q->n_refs, 1, memory_order_acq_rel) != 1)
		return;
	sem_destroy(&q->done);
	free(q);
}

int inquiry_begin(struct table *t, struct actor *a, const struct session_view *views, size_t n,
	struct inquiry **ret)
{
	struct inquiry *q = calloc(1, sizeof(*q) + n * sizeof(q->entries[0]));
	uint64_t busy = 0;

	if (!q)
		return -ENOMEM;
	q->n = n;
	sem_init(&q->done, 0, 0);
	/* One more than there are to answer: the asker's own, which nobody waits for before all are asked. */
	atomic_init(&q->n_refs, 1);
	atomic_init(&q->n_open, 1);
	for (unsigned i = 0; i < t->params.n_workers; i++)
		if (mailbox_has_questions(t->params.mailboxes[i]))
			busy |= UINT64_C(1) << i;
	for (size_t i = 0; i < n; i++) {
		struct inquiry_entry *e = &q->entries[i];
		uint64_t worker = UINT64_C(1) << views[i].worker;
		e->inquiry = q;
		e->session_id = views[i].id;
		e->connection = views[i].connection;
		if (e->connection == CONNECTION_NONE || (busy & worker))
			continue;
		/* Relaxed: the push publishes them. */
		atomic_fetch_add_explicit(&q->n_refs, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&q->n_open, 1, memory_order_relaxed);
		if (mailbox_ask(t->params.mailboxes[views[i].worker], &e->link))
			a->wake_workers |= worker;
	}
	*ret = q;
	return 0;
}

/* The last one says so. Sequentially consistent: each answer's writes happen before the post. */
static void close_one(struct inquiry *q)
{
	if (atomic_fetch_sub(&q->n_open, 1) == 1)
		sem_post(&q->done);
}

void inquiry_wait(struct inquiry *q, unsigned timeout_ms)
{
	struct timespec end;

	close_one(q);
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	end.tv_sec += (time_t)(timeout_ms / 1000) + end.tv_nsec / 1000000000;
	end.tv_nsec %= 1000000000;
	while (sem_clockwait(&q->done, CLOCK_MONOTONIC, &end) != 0 && errno == EINTR)
		continue;
}

bool inquiry_address(const struct inquiry *q, size_t i, struct address *ret)
{
	const struct inquiry_entry *e = &q->entries[i];

	/* Acquire: pairs with the release in inquiry_answer(). */
	if (!atomic_load_explicit(&e->is_answered, memory_order_acquire) || e->address.len == 0)
		return false;
	*ret = e->address;
	return true;
}

void inquiry_end(struct inquiry *q)
{
	if (q)
		unref(q);
}

struct inquiry_entry *inquiry_from_link(struct mailbox_link *link)
{
	return (struct inquiry_entry *)(void *)((char *)link -
						offsetof(struct inquiry_entry, link));
}

void inquiry_answer(struct inquiry_entry *e, const struct address *address)
{
	struct inquiry *q = e->inquiry;

	if (address)
		e->address = *address;
	atomic_store_explicit(&e->is_answered, true, memory_order_release);
	close_one(q);
	unref(q);
}
