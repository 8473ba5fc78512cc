/* Figures, one JSON object a line on standard output:
 * {"bench":"flood","server":"presenced","figure":"cpu_us_per_heartbeat","mode":"ping","n":100,"value":1.23,"unit":"us"}
 *
 * Threads  one. What a figure was measured of (server, mode, n ...) is said once, by figure_of(). */
#ifndef BENCH_FIGURE_H
#define BENCH_FIGURE_H

#include "base/compiler.h"
#include "base/histogram.h"

/* From now on figures are of this bench; 'details' is JSON members to stand between its name and the value
 * ("\"mode\":\"ping\",\"n\":100"), from a printf format. */
void figure_of(const char *bench, const char *format, ...) FORMAT_PRINTF(2, 3);

void figure_print(const char *figure, double value, const char *unit);

/* Two figures: PREFIX_p50_UNIT and PREFIX_p99_UNIT, of nanoseconds brought to the unit, "us" or "ms". */
void figure_print_quantiles(const char *prefix, const struct histogram *ns, const char *unit);

#endif
