/* GET /metrics: the numbers of /stats as Prometheus reads them (text format 0.0.4).
 *
 * Every counter of base/counters.h is presenced_<name>_total; gauges; histograms. No label is a user: what can
 * be asked for grows with the workers, not with who is online.
 * Pure: reads the telemetry only. Threads any. Memory the buffer's. */
#ifndef ADMIN_METRICS_H
#define ADMIN_METRICS_H

#include "admin/stats.h"
#include "base/buffer.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

void metrics_put(struct buffer *, const struct stats_view *);

#endif
