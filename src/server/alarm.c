#include "server/alarm.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

int alarm_set(struct alarms *a, struct alarm alarm)
{
	if (a->n == a->capacity) {
		size_t capacity = a->capacity ? a->capacity * 2 : 16;
		struct alarm *heap = realloc(a->heap, capacity * sizeof(*heap));
		if (!heap)
			return -ENOMEM;
		a->heap = heap;
		a->capacity = capacity;
	}
	size_t at = a->n++;
	while (at > 0 && a->heap[(at - 1) / 2].due_ms > alarm.due_ms) {
		a->heap[at] = a->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	a->heap[at] = alarm;
	return 0;
}

/* The last one sinks from the top, which is free. */
static void sink(struct alarms *a, struct alarm alarm)
{
	size_t at = 0;
	for (;;) {
		size_t child = 2 * at + 1;
		if (child >= a->n)
			break;
		if (child + 1 < a->n && a->heap[child + 1].due_ms < a->heap[child].due_ms)
			child++;
		if (a->heap[child].due_ms >= alarm.due_ms)
			break;
		a->heap[at] = a->heap[child];
		at = child;
	}
	a->heap[at] = alarm;
}

bool alarm_take(struct alarms *a, uint64_t now_ms, struct alarm *ret)
{
	if (a->n == 0 || a->heap[0].due_ms > now_ms)
		return false;
	*ret = a->heap[0];
	a->n--;
	if (a->n > 0)
		sink(a, a->heap[a->n]);
	return true;
}

uint64_t alarm_next_ms(const struct alarms *a)
{
	return a->n > 0 ? a->heap[0].due_ms : UINT64_MAX;
}

void alarm_destroy(struct alarms *a)
{
	free(a->heap);
	*a = (struct alarms){.heap = NULL};
}
