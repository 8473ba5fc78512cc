#include "cli/when.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE, DAY = 24 * HOUR };

/* Rounded down, also before 1970. */
static time_t seconds_of(int64_t ms)
{
	return (time_t)(ms / SECOND - (ms % SECOND < 0));
}

static bool calendar(const struct style *style, int64_t at_ms, struct tm *ret)
{
	time_t at = seconds_of(at_ms);

	return style->is_utc ? gmtime_r(&at, ret) != NULL : localtime_r(&at, ret) != NULL;
}

static int milliseconds_of(int64_t at_ms)
{
	return (int)((at_ms % SECOND + SECOND) % SECOND);
}

static void append_date(struct buffer *b, const struct tm *tm)
{
	buffer_printf(b, "%04" PRId64 "-%02d-%02d", (int64_t)tm->tm_year + 1900, tm->tm_mon + 1,
		tm->tm_mday);
}

static void append_clock(struct buffer *b, const struct tm *tm)
{
	buffer_printf(b, "%02d:%02d:%02d", tm->tm_hour, tm->tm_min, tm->tm_sec);
}

static void append_iso(
	struct buffer *b, const struct style *style, int64_t at_ms, const struct tm *tm)
{
	long offset = tm->tm_gmtoff / 60;

	append_date(b, tm);
	buffer_append_string(b, "T");
	append_clock(b, tm);
	buffer_printf(b, ".%03d", milliseconds_of(at_ms));
	if (style->is_utc)
		buffer_append_string(b, "Z");
	else
		buffer_printf(b, "%c%02ld:%02ld", offset < 0 ? '-' : '+', labs(offset) / 60,
			labs(offset) % 60);
}

void when_append(struct buffer *b, const struct style *style, int64_t at_ms)
{
	struct tm at, now;

	if (!calendar(style, at_ms, &at)) {
		buffer_printf(b, "%" PRId64 " ms", at_ms); /* a year that no calendar has */
		return;
	}
	if (!style->is_terminal || style->is_utc) {
		append_iso(b, style, at_ms, &at);
		return;
	}
	if (!calendar(style, style->now_ms, &now) || now.tm_year != at.tm_year ||
		now.tm_yday != at.tm_yday) {
		append_date(b, &at);
		buffer_append_string(b, " ");
	}
	append_clock(b, &at);
}

void when_append_time(struct buffer *b, const struct style *style, int64_t at_ms)
{
	struct tm at;

	if (!calendar(style, at_ms, &at)) {
		buffer_printf(b, "%" PRId64 " ms", at_ms);
		return;
	}
	append_clock(b, &at);
	buffer_printf(b, ".%03d", milliseconds_of(at_ms));
}

void when_append_ago(struct buffer *b, int64_t ago_ms)
{
	if (ago_ms < SECOND) /* or ahead: two machines' clocks differ */
		buffer_append_string(b, "just now");
	else if (ago_ms < MINUTE)
		buffer_printf(b, "%d s ago", (int)(ago_ms / SECOND));
	else if (ago_ms < HOUR)
		buffer_printf(b, "%d min ago", (int)(ago_ms / MINUTE));
	else if (ago_ms < 2 * (int64_t)DAY)
		buffer_printf(b, "%d h ago", (int)(ago_ms / HOUR));
	else
		buffer_printf(b, "%" PRId64 " days ago", ago_ms / DAY);
}

void when_append_length(struct buffer *b, int64_t length_ms)
{
	int64_t tenths = length_ms / 100 + (length_ms % 100 >= 50);

	if (tenths == 10 * 60)
		length_ms = MINUTE; /* not 60.0 s */
	if (length_ms < SECOND)
		buffer_printf(b, "%" PRId64 " ms", length_ms);
	else if (length_ms < MINUTE && length_ms % SECOND == 0)
		buffer_printf(b, "%d s", (int)(length_ms / SECOND));
	else if (length_ms < MINUTE)
		buffer_printf(b, "%d.%d s", (int)(tenths / 10), (int)(tenths % 10));
	else if (length_ms < HOUR)
		buffer_printf(b, "%d min %d s", (int)(length_ms / MINUTE),
			(int)(length_ms % MINUTE / SECOND));
	else if (length_ms < DAY)
		buffer_printf(b, "%d h %d min", (int)(length_ms / HOUR),
			(int)(length_ms % HOUR / MINUTE));
	else
		buffer_printf(
			b, "%" PRId64 " d %d h", length_ms / DAY, (int)(length_ms % DAY / HOUR));
}

int when_parse_duration(const char *text, uint32_t *ret_ms)
{
	static const struct {
		const char *name;
		uint32_t ms;
	} units[] = {{"ms", 1}, {"s", SECOND}, {"m", MINUTE}, {"h", HOUR}};
	uint64_t value = 0;
	size_t n_digits = strspn(text, "0123456789");

	if (n_digits == 0)
		return -EINVAL;
	if (n_digits > 9)
		return -ERANGE;
	for (size_t i = 0; i < n_digits; i++)
		value = value * 10 + (uint64_t)(text[i] - '0');
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (strcmp(text + n_digits, units[i].name) != 0)
			continue;
		if (value * units[i].ms > DAY)
			return -ERANGE;
		*ret_ms = (uint32_t)(value * units[i].ms);
		return 0;
	}
	return -EINVAL;
}
