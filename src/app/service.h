/* The server's life as the service manager sees it: ready, reading again, stopping, and the watchdog's food.
 *
 * WATCHDOG=1 is sent only while every worker and the watchdog's thread make progress: a server that hangs is then ended by
 * the manager, and started again.
 * Threads  main. Time told by the caller. Errors none: nobody need be listening. */
#ifndef APP_SERVICE_H
#define APP_SERVICE_H

#include "app/notify.h"
#include "base/telemetry.h"
#include "presence/table.h"

struct service {
	struct notify notify;
	const struct telemetry *telemetry;
	const struct table *table;
	uint64_t n_scans; /* of the watchdog, when it was looked at last */
	uint64_t scanned_ms; /* when that was seen to change */
};

/* By the environment. */
void service_open(struct service *);
void service_close(struct service *);

/* From here on the numbers are there to look at, and outlive this. */
void service_ready(
	struct service *, const struct telemetry *, const struct table *, uint64_t now_ms);
/* How often service_pulse() is to be called: a third of the time that the manager's watchdog has; 0: never. */
uint64_t service_period_ms(const struct service *);
void service_pulse(struct service *, uint64_t now_ms);
void service_reloading(const struct service *, uint64_t now_ns);
void service_reloaded(const struct service *);
/* The stop may take so long: until then the manager shall wait, its watchdog included. */
void service_stopping(const struct service *, uint64_t most_ms);

/* Why the watchdog is not fed; NULL: it is. */
const char *service_complaint(struct service *, uint64_t now_ms);

#endif
