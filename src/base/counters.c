#include "base/counters.h"

#include "base/ensure.h"

#define COUNTER_NAME(name, help) [COUNTER_##name] = #name,
#define COUNTER_HELP(name, help) [COUNTER_##name] = help,

static const char *const names[COUNTER_N] = {COUNTERS(COUNTER_NAME)};
static const char *const helps[COUNTER_N] = {COUNTERS(COUNTER_HELP)};

const char *counter_name(enum counter which)
{
	ensure(which < COUNTER_N);
	return names[which];
}

const char *counter_help(enum counter which)
{
	ensure(which < COUNTER_N);
	return helps[which];
}
