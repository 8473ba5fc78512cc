#include "base/log.h"

#include "base/clock.h"
#include "base/ensure.h"
#include "base/json_text.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LOG_WORD(name, word) [LOG_LEVEL_##name] = word,
static const char *const level_words[LOG_LEVEL_N] = {LOG_LEVELS(LOG_WORD)};

/* The rate of a call site. Its bucket is one number, the moment at which it would be full again: each line
 * moves it on by LINE_NS, and it may lie at most BURST lines ahead of the present. */
enum { BURST = 20 };
#define LINE_NS UINT64_C(100000000)

enum {
	VALUE_MAX = 512, /* of one value, its quotes aside: so that one can't push out the rest */
	TAIL_MAX = 48, /* kept free for `,"dropped":N}` and the newline */
	ESCAPE_MAX = 6 /* of one character: \u00XX */
};
static_assert(sizeof(",\"dropped\":}\n") + JSON_U64_MAX <= TAIL_MAX, "the tail fits");

/* relaxed, all: each is a single value that stands for itself, and configuration comes before the threads */
static _Atomic enum log_level config_level = LOG_LEVEL_INFO;
static _Atomic enum log_format config_format = LOG_FORMAT_LOGFMT;
static _Atomic int config_fd = 2;
static _Atomic uint64_t total_dropped;

/* A line being made, in a fixed room. What does not fit is left out, never written past the end. */
struct line {
	enum log_format format;
	size_t len;
	char text[LOG_LINE_MAX];
};

void log_configure(enum log_level level, enum log_format format)
{
	ensure(level < LOG_LEVEL_N && format < LOG_FORMAT_N);
	atomic_store_explicit(&config_level, level, memory_order_relaxed);
	atomic_store_explicit(&config_format, format, memory_order_relaxed);
}

void log_redirect(int fd)
{
	atomic_store_explicit(&config_fd, fd, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&total_dropped, memory_order_relaxed);
}

_Bool log_enabled(enum log_level level)
{
	return level >= atomic_load_explicit(&config_level, memory_order_relaxed);
}

/* Whether the site may write a line now; counts it as dropped if not. */
static bool site_allows(struct log_site *site, uint64_t now_ns)
{
	/* relaxed: the number guards nothing but itself */
	uint64_t full_at = atomic_load_explicit(&site->allowance, memory_order_relaxed);
	uint64_t next;

	do {
		uint64_t from = full_at > now_ns ? full_at : now_ns;
		next = from + LINE_NS;
		if (next - now_ns > BURST * LINE_NS) {
			atomic_fetch_add_explicit(&site->dropped, 1, memory_order_relaxed);
			atomic_fetch_add_explicit(&total_dropped, 1, memory_order_relaxed);
			return false;
		}
	} while (!atomic_compare_exchange_weak_explicit(
		&site->allowance, &full_at, next, memory_order_relaxed, memory_order_relaxed));
	return true;
}

/* The room left before the tail. */
static size_t line_room(const struct line *line)
{
	return LOG_LINE_MAX - TAIL_MAX - line->len;
}

/* Only where the caller made sure of the room, which may then be the tail's. */
static void line_put(struct line *line, const char *text, size_t len)
{
	ensure(len <= LOG_LINE_MAX - line->len);
	memcpy(line->text + line->len, text, len);
	line->len += len;
}

static void line_put_char(struct line *line, char c)
{
	line_put(line, &c, 1);
}

/* Of the well-formed UTF-8 character at 'text' (RFC 3629), or 0 where there is none. */
static size_t utf8_len(const unsigned char *text, size_t len)
{
	unsigned char c = text[0];
	size_t n = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

	if (n == 0 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	/* overlong, surrogates, past U+10FFFF */
	if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] >= 0xa0) ||
		(c == 0xf0 && text[1] < 0x90) || (c == 0xf4 && text[1] >= 0x90))
		return 0;
	return n;
}

/* One character as it is written between quotes; returns its length in 'to', and in '*ret_took' how many
 * bytes of the text it stands for. */
static size_t escape(const struct line *line, const unsigned char *text, size_t len,
	char to[ESCAPE_MAX + 1], size_t *ret_took)
{
	size_t n = utf8_len(text, len);

	*ret_took = n > 0 ? n : 1;
	if (n == 0) /* to JSON the backslash of \xNN is a character of the text */
		return (size_t)snprintf(to, ESCAPE_MAX + 1,
			line->format == LOG_FORMAT_JSON ? "\\\\x%02x" : "\\x%02x", text[0]);
	if (n == 2 && text[0] == 0xc2 && text[1] < 0xa0) /* C1 controls: terminals act on them */
		return (size_t)snprintf(to, ESCAPE_MAX + 1, "\\u%04x", text[1]);
	if (n > 1) {
		memcpy(to, text, n);
		return n;
	}
	/* json_put_string() without the quotes that it puts around */
	char quoted[JSON_STRING_MAX(1)];
	size_t escaped = (size_t)(json_put_string(quoted, (const char *)text, 1) - quoted) - 2;
	memcpy(to, quoted + 1, escaped);
	return escaped;
}

static bool needs_quotes(const char *text, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len((const unsigned char *)text + i, len - i);
		unsigned char c = (unsigned char)text[i];
		if (n == 0 || c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f ||
			c == 0xc2)
			return true;
		i += n;
	}
	return len == 0;
}

/* A value that is cut ends in "..."; its room, quotes included, is there: see line_put_field(). */
static void line_put_string(struct line *line, const char *text, size_t len)
{
	static const char cut[] = "...";
	size_t room = line_room(line) - 2;
	if (room > VALUE_MAX)
		room = VALUE_MAX;
	bool quoted = line->format == LOG_FORMAT_JSON || len > room || needs_quotes(text, len);
	size_t start = line->len + (quoted ? 1 : 0);
	size_t fits = start; /* the last end of a character after which the cut's mark still fits */

	if (quoted)
		line_put_char(line, '"');
	while (len > 0) {
		char to[ESCAPE_MAX + 1];
		size_t took;
		size_t n = escape(line, (const unsigned char *)text, len, to, &took);
		if (line->len - start + n > room) {
			line->len = fits;
			line_put(line, cut, sizeof(cut) - 1);
			break;
		}
		line_put(line, to, n);
		if (line->len - start + sizeof(cut) - 1 <= room)
			fits = line->len;
		text += took;
		len -= took;
	}
	if (quoted)
		line_put_char(line, '"');
}

static void line_put_key(struct line *line, const char *key)
{
	if (line->format == LOG_FORMAT_JSON) {
		line_put_char(line, line->len == 0 ? '{' : ',');
		line_put_char(line, '"');
		line_put(line, key, strlen(key));
		line_put(line, "\":", 2);
	} else {
		if (line->len > 0)
			line_put_char(line, ' ');
		line_put(line, key, strlen(key));
		line_put_char(line, '=');
	}
}

static void line_put_errno(struct line *line, int number)
{
	/* Our own functions return it negative, the C library has it positive. */
	int e = number < 0 ? -number : number;
	const char *name = strerrorname_np(e);
	const char *text = strerrordesc_np(e);
	char both[128];

	int n = name && text ? snprintf(both, sizeof(both), "%s (%s)", text, name)
			     : snprintf(both, sizeof(both), "error %d", number);
	line_put_string(line, both, (size_t)n < sizeof(both) ? (size_t)n : sizeof(both) - 1);
}

static void line_put_value(struct line *line, const struct log_field *field)
{
	char digits[JSON_U64_MAX + 1];
	const char *word = field->number ? "true" : "false";

	switch (field->type) {
	case LOG_TYPE_STRING:
		if (!field->text)
			line_put_string(line, "", 0);
		else
			line_put_string(line, field->text,
				field->len == (size_t)-1 ? strlen(field->text) : field->len);
		return;
	case LOG_TYPE_U64:
		line_put(line, digits, (size_t)(json_put_u64(digits, field->number) - digits));
		return;
	case LOG_TYPE_I64:
		line_put(line, digits,
			(size_t)(json_put_i64(digits, (int64_t)field->number) - digits));
		return;
	case LOG_TYPE_BOOL:
		line_put(line, word, strlen(word));
		return;
	case LOG_TYPE_ERRNO:
		line_put_errno(line, (int)(int64_t)field->number);
		return;
	}
}

/* A field for whose key and a short value there is no room is left out. */
static void line_put_field(struct line *line, const struct log_field *field)
{
	size_t least = strlen(field->key) + strlen(",\"\":") + JSON_U64_MAX + 1 + 2;

	if (line_room(line) < least)
		return;
	line_put_key(line, field->key);
	line_put_value(line, field);
}

/* RFC 3339 in UTC. By hand, since gmtime_r() takes a lock of the whole process; the days are turned into a
 * date by Howard Hinnant's civil_from_days(), whose years begin in March. */
static size_t timestamp_format(uint64_t wall_ms, char *to, size_t size)
{
	uint64_t s = wall_ms / 1000;
	uint64_t days = s / 86400 + 719468; /* from 0000-03-01 */
	uint64_t era = days / 146097;
	uint64_t day_of_era = days % 146097;
	uint64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	uint64_t day_of_year =
		day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	uint64_t month_from_march = (5 * day_of_year + 2) / 153;
	uint64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;

	int n = snprintf(to, size, "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
		(unsigned)(year_of_era + era * 400 + (month <= 2)), (unsigned)month,
		(unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
		(unsigned)(s / 3600 % 24), (unsigned)(s / 60 % 60), (unsigned)(s % 60),
		(unsigned)(wall_ms % 1000));
	return (size_t)n < size ? (size_t)n : size - 1;
}

/* A line that can't be written is lost; whole lines stay whole, as each is one write(2). */
static void line_write(const struct line *line)
{
	int saved = errno;
	int fd = atomic_load_explicit(&config_fd, memory_order_relaxed);
	ssize_t n;

	do
		n = write(fd, line->text, line->len);
	while (n < 0 && errno == EINTR);
	errno = saved;
}

void log_write(enum log_level level, struct log_site *site, const char *message,
	const struct log_field *fields)
{
	ensure(level < LOG_LEVEL_N);
	if (site && !site_allows(site, clock_mono_ns()))
		return;

	struct line line; /* not cleared: only what is put is read */
	line.format = atomic_load_explicit(&config_format, memory_order_relaxed);
	line.len = 0;

	char ts[64];
	size_t ts_len = timestamp_format(clock_instant().wall_ms, ts, sizeof(ts));
	line_put_field(&line, &LOG_STR("ts", ts, ts_len));
	line_put_field(&line, &LOG_TEXT("level", level_words[level]));
	line_put_key(&line, "msg");
	line_put_string(&line, message, strlen(message));
	for (const struct log_field *f = fields; f->key; f++)
		line_put_field(&line, f);

	uint64_t dropped =
		site ? atomic_exchange_explicit(&site->dropped, 0, memory_order_relaxed) : 0;
	if (dropped > 0) {
		line_put_key(&line, "dropped");
		line_put_value(&line, &LOG_U64("dropped", dropped));
	}
	if (line.format == LOG_FORMAT_JSON)
		line_put_char(&line, '}');
	line_put_char(&line, '\n');
	line_write(&line);
}
