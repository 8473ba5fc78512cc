/* Alarms: when connections are to be looked at although nothing comes from them (a ping is due, a token expires, a
 * message has been open for long, a welcome has waited for long).
 *
 * A binary heap by time. An alarm is for a connection's number and generation: of one that is gone it is dropped when its
 * time comes, which is why nobody sets one further ahead than ALARM_MAX_MS, and looks again then.
 * Threads  the owning worker's only. Memory 16 bytes an alarm. Time told by the caller. */
#ifndef SERVER_ALARM_H
#define SERVER_ALARM_H

#include <stddef.h>
#include <stdint.h>

enum { ALARM_MAX_MS = 60 * 1000 };

/* What for. A connection has at most one alarm of each kind; who rings it sets the next. */
enum alarm_kind { ALARM_PING, ALARM_EXPIRY, ALARM_OPEN_MESSAGE, ALARM_ARRIVAL, ALARM_N };

struct alarm {
	uint64_t due_ms : 56, kind : 8;
	uint32_t fd, generation;
};

struct alarms {
	struct alarm *heap;
	size_t n, capacity;
};

/* -ENOMEM */
int alarm_set(struct alarms *, struct alarm);
/* The first that is due at 'now_ms', taken out; false: none. */
_Bool alarm_take(struct alarms *, uint64_t now_ms, struct alarm *ret);
/* When the first is due; UINT64_MAX: there is none. */
uint64_t alarm_next_ms(const struct alarms *);
void alarm_destroy(struct alarms *);

#endif
