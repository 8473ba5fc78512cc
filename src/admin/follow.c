#include "admin/follow.h"

#include "admin/live.h"
#include "admin/stream.h"
#include "base/clock.h"

#include <assert.h>
#include <stdlib.h>

static_assert((int)STREAM_ROOM >= (int)LIVE_ROOM, "a stream has room for what is told at a time");

static size_t fill(struct admin *a, void *state, char *to, size_t room)
{
	return live_fill(a->live, state, to, room);
}

static void free_follower(struct admin *a, void *state)
{
	(void)a;
	free(state);
}

struct answer follow_answer(struct admin *a, const struct request *r)
{
	static const struct stream_kind kind = {
		.wakes = STREAM_ON_SECOND, .fill = fill, .free = free_follower};
	struct live_follower *follower = calloc(1, sizeof(*follower));

	if (!follower) {
		counter_add(a->actor.counters, COUNTER_out_of_memory, 1);
		return answer_error(ANSWER_ERROR_OUT_OF_MEMORY);
	}
	return stream_answer(a, r, &kind, follower);
}

void follow_sample(struct admin *a)
{
	struct stats_view view = admin_view(a);

	live_take(a->live, &view, clock_instant().wall_ms);
}
