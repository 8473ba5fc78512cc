#include "app/service.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
	FEEDS = 3, /* in the time that the manager's watchdog has */
	/* The longest scan interval, a long scan, and time to be scheduled: workers are called stalled after a second, too. */
	SCAN_LATE_MS = 3000,
	STOP_SPARE_MS = 10000, /* beyond the drain: joining, closing, writing */
	US_A_MS = 1000,
};

void service_open(struct service *s)
{
	*s = (struct service){.telemetry = NULL};
	notify_open(&s->notify, getenv("NOTIFY_SOCKET"), getenv("WATCHDOG_USEC"),
		getenv("WATCHDOG_PID"));
	notify_send(&s->notify, "STATUS=starting");
}

void service_close(struct service *s)
{
	notify_close(&s->notify);
}

/* The line that `systemctl status` shows. */
static void send_with_status(const struct service *s, const char *words)
{
	struct table_counts counts = table_count(s->table);

	notify_send(&s->notify,
		"%sSTATUS=serving %" PRIu64 " sessions; %" PRIu64 " users are online", words,
		counts.sessions, counts.users_online);
}

void service_ready(struct service *s, const struct telemetry *telemetry, const struct table *table,
	uint64_t now_ms)
{
	s->telemetry = telemetry;
	s->table = table;
	s->scanned_ms = now_ms;
	if (notify_is_on(&s->notify))
		send_with_status(s, "READY=1\n");
}

uint64_t service_period_ms(const struct service *s)
{
	uint64_t period_ms = s->notify.watchdog_ms / FEEDS;

	return s->notify.watchdog_ms > 0 && period_ms == 0 ? 1 : period_ms;
}

const char *service_complaint(struct service *s, uint64_t now_ms)
{
	/* Relaxed, all of them: whoever makes no progress will be seen to next time. */
	uint64_t n_scans =
		atomic_load_explicit(&s->telemetry->watchdog.scans, memory_order_relaxed);

	if (n_scans != s->n_scans) {
		s->n_scans = n_scans;
		s->scanned_ms = now_ms;
	}
	if (now_ms - s->scanned_ms > SCAN_LATE_MS)
		return "the watchdog's thread stands still";
	for (unsigned i = 0; i < s->telemetry->n_workers; i++)
		if (atomic_load_explicit(&s->telemetry->workers[i].stalled, memory_order_relaxed))
			return "a worker is stalled";
	return NULL;
}

void service_pulse(struct service *s, uint64_t now_ms)
{
	const char *complaint = service_complaint(s, now_ms);

	if (complaint) {
		log_error("the service manager's watchdog is not fed", LOG_TEXT("why", complaint));
		notify_send(&s->notify, "STATUS=%s", complaint);
	} else {
		send_with_status(s, "WATCHDOG=1\n");
	}
}

void service_reloading(const struct service *s, uint64_t now_ns)
{
	notify_send(&s->notify,
		"RELOADING=1\nMONOTONIC_USEC=%" PRIu64
		"\nSTATUS=reading certificate and keys again",
		now_ns / 1000);
}

void service_reloaded(const struct service *s)
{
	if (notify_is_on(&s->notify))
		send_with_status(s, "READY=1\n");
}

void service_stopping(const struct service *s, uint64_t most_ms)
{
	uint64_t most_us = (most_ms + STOP_SPARE_MS) * US_A_MS;

	notify_send(
		&s->notify, "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=%" PRIu64, most_us);
	if (s->notify.watchdog_ms * US_A_MS < most_us && s->notify.watchdog_ms > 0)
		notify_send(&s->notify, "WATCHDOG_USEC=%" PRIu64 "\nWATCHDOG=1", most_us);
}
