#include "figure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DETAILS_MAX = 512, NAME_MAX_LEN = 64 };

static const char *bench_name = "";
static char bench_details[DETAILS_MAX];

void figure_of(const char *bench, const char *format, ...)
{
	va_list args;

	bench_name = bench;
	va_start(args, format);
	vsnprintf(bench_details, sizeof(bench_details), format, args);
	va_end(args);
}

void figure_print(const char *figure, double value, const char *unit)
{
	printf("{\"bench\":\"%s\",\"figure\":\"%s\"%s%s,\"value\":%.6g,\"unit\":\"%s\"}\n",
		bench_name, figure, *bench_details ? "," : "", bench_details, value, unit);
	fflush(stdout);
}

void figure_print_quantiles(const char *prefix, const struct histogram *ns, const char *unit)
{
	double divisor = strcmp(unit, "ms") == 0 ? 1e6 : 1e3;
	char name[NAME_MAX_LEN];

	snprintf(name, sizeof(name), "%s_p50_%s", prefix, unit);
	figure_print(name, (double)histogram_quantile(ns, 0.5) / divisor, unit);
	snprintf(name, sizeof(name), "%s_p99_%s", prefix, unit);
	figure_print(name, (double)histogram_quantile(ns, 0.99) / divisor, unit);
}
