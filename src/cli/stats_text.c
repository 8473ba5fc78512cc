#include "cli/stats_text.h"

#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { COLUMNS = 79, ITEM_MAX = 160 };

/* ---- pieces -------------------------------------------------------------------------------------- */

/* 1,234,567 */
static const char *grouped(int64_t value, char to[32])
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRId64, value);
	size_t n = 0;

	for (int i = 0; i < len; i++) {
		to[n++] = digits[i];
		if ((len - i) % 3 == 1 && i + 1 < len && digits[i] != '-')
			to[n++] = ',';
	}
	to[n] = '\0';
	return to;
}

static bool number_of(const json_t *object, const char *key, int64_t *ret)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value))
		return false;
	*ret = json_integer_value(value);
	return true;
}

static double real_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

/* A paragraph: its title, and items behind it, wrapped. */
struct paragraph {
	struct buffer *to;
	const char *title; /* NULL once it is written */
	size_t line_start;
};

static void paragraph_add(struct paragraph *p, const char *item)
{
	struct buffer *b = p->to;

	if (p->title) {
		buffer_printf(b, "%-10s", p->title);
		p->line_start = b->len - 10;
		p->title = NULL;
	} else if (b->len - p->line_start + strlen(item) + 3 > COLUMNS) {
		buffer_append_string(b, ",\n          ");
		p->line_start = b->len - 10;
	} else {
		buffer_append_string(b, ", ");
	}
	buffer_append_string(b, item);
}

static void paragraph_end(struct paragraph *p)
{
	if (!p->title)
		buffer_append_string(p->to, "\n");
}

/* ---- the screen ---------------------------------------------------------------------------------- */

struct view {
	const json_t *stats, *before;
	uint64_t elapsed_ms;
	const struct style *style;
};

/* "logins 120 (12/s)", where the counter is there. */
static void add_counter(
	struct paragraph *p, const struct view *v, const char *name, const char *label)
{
	char item[ITEM_MAX], number[32], rate[32];
	int64_t now, before;

	if (!number_of(json_object_get(v->stats, "counters"), name, &now))
		return;
	if (number_of(json_object_get(v->before, "counters"), name, &before) && v->elapsed_ms > 0 &&
		now >= before)
		snprintf(item, sizeof(item), "%.60s %s (%s/s)", label, grouped(now, number),
			grouped((now - before) * 1000 / (int64_t)v->elapsed_ms, rate));
	else
		snprintf(item, sizeof(item), "%.60s %s", label, grouped(now, number));
	paragraph_add(p, item);
}

static void append_head(struct buffer *b, const struct view *v)
{
	static const char *const numbers[] = {"sessions", "connections", "users_online", "watches"};
	const char *version = json_string_value(json_object_get(v->stats, "version"));
	const char *server = json_string_value(json_object_get(v->stats, "server"));
	struct paragraph p = {.to = b, .title = "now"};
	char item[ITEM_MAX], number[32];
	int64_t value;

	buffer_append_string(b, "presenced ");
	text_append_safe(b, version ? version : "?", version ? strlen(version) : 1);
	buffer_append_string(b, ", start ");
	text_append_safe(b, server ? server : "?", server ? strlen(server) : 1);
	if (number_of(v->stats, "uptime_ms", &value)) {
		buffer_append_string(b, ", up ");
		when_append_length(b, value);
	}
	buffer_append_string(b, "\n\n");
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		if (!number_of(v->stats, numbers[i], &value))
			continue;
		snprintf(item, sizeof(item), "%s %s", numbers[i], grouped(value, number));
		paragraph_add(&p, item);
	}
	paragraph_end(&p);
}

static void append_traffic(struct buffer *b, const struct view *v)
{
	static const char *const names[] = {"heartbeats", "messages_in", "logins", "takeovers",
		"updates", "queries", "events", "events_delivered"};
	struct paragraph p = {.to = b, .title = "traffic"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		add_counter(&p, v, names[i], names[i]);
	paragraph_end(&p);
}

/* Those that begin so and are not 0. */
static void add_counters(
	struct paragraph *p, const struct view *v, const char *prefix, bool is_prefix_shown)
{
	json_t *counters = json_object_get(v->stats, "counters"), *value;
	size_t len = strlen(prefix);
	const char *name;

	json_object_foreach(counters, name, value)
	{
		bool is_plain =
			strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == strlen(name);
		if (strncmp(name, prefix, len) == 0 && json_integer_value(value) != 0 && is_plain)
			add_counter(p, v, name, is_prefix_shown ? name : name + len);
	}
}

static void append_ends_and_trouble(struct buffer *b, const struct view *v)
{
	static const char *const troubles[] = {"accept_errors", "refused_", "proxy_malformed",
		"tls_failed", "tls_misplaced", "origin_refused", "upgrade_refused", "bad_frames",
		"token_failed", "login_rate_limited", "message_rate_limited", "error_",
		"hello_timeouts", "mailbox_full", "mistakes", "out_of_memory"};
	struct paragraph ends = {.to = b, .title = "ends"}, trouble = {.to = b, .title = "trouble"};

	add_counters(&ends, v, "ended_", false);
	paragraph_end(&ends);
	for (size_t i = 0; i < ARRAY_LEN(troubles); i++)
		add_counters(&trouble, v, troubles[i], true);
	paragraph_end(&trouble);
}

static void append_watchdog(struct buffer *b, const struct view *v)
{
	const json_t *w = json_object_get(v->stats, "watchdog");
	const json_t *late = json_object_get(w, "lateness_ms"),
		     *scan = json_object_get(w, "scan_us");
	struct paragraph p = {.to = b, .title = "watchdog"};
	static const char *const names[] = {"expired", "mistakes", "stalls", "scans"};
	char item[ITEM_MAX], number[32];
	int64_t value;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!number_of(w, names[i], &value))
			continue;
		snprintf(item, sizeof(item), "%s %s", names[i], grouped(value, number));
		paragraph_add(&p, item);
	}
	if (late) {
		snprintf(item, sizeof(item), "late p50 %.0f p99 %.0f max %.0f ms",
			real_of(late, "p50"), real_of(late, "p99"), real_of(late, "max"));
		paragraph_add(&p, item);
	}
	if (scan) {
		snprintf(item, sizeof(item), "a scan p50 %.0f max %.0f us", real_of(scan, "p50"),
			real_of(scan, "max"));
		paragraph_add(&p, item);
	}
	paragraph_end(&p);
}

static void append_memory(struct buffer *b, const struct view *v)
{
	static const struct {
		const char *name, *label;
		bool is_bytes;
	} rows[] = {{"rss_bytes", "process", true}, {"table_bytes", "table", true},
		{"users_known", "users known", false}, {"users_remembered", "remembered", false}};
	const json_t *memory = json_object_get(v->stats, "memory");
	struct paragraph p = {.to = b, .title = "memory"};
	char item[ITEM_MAX], number[32];
	int64_t value;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!number_of(memory, rows[i].name, &value))
			continue;
		if (rows[i].is_bytes)
			snprintf(item, sizeof(item), "%s %.1f MiB", rows[i].label,
				(double)value / (1 << 20));
		else
			snprintf(
				item, sizeof(item), "%s %s", rows[i].label, grouped(value, number));
		paragraph_add(&p, item);
	}
	paragraph_end(&p);
}

static void append_cell(struct buffer *b, const json_t *worker, const char *name, int width)
{
	char number[32];
	int64_t value;

	buffer_printf(
		b, "%*s", width, number_of(worker, name, &value) ? grouped(value, number) : "-");
}

static void append_workers(struct buffer *b, const struct view *v)
{
	const json_t *workers = json_object_get(v->stats, "workers"), *worker;
	size_t i;

	if (json_array_size(workers) == 0)
		return;
	buffer_append_string(
		b, "\nworker  sessions  connections    watches  mailbox  loop p50/p99/max ms\n");
	json_array_foreach(workers, i, worker)
	{
		const json_t *loop = json_object_get(worker, "loop_ms");
		bool is_stalled = json_is_true(json_object_get(worker, "stalled"));
		buffer_printf(b, "%6zu", i);
		append_cell(b, worker, "sessions", 10);
		append_cell(b, worker, "connections", 13);
		append_cell(b, worker, "watches", 11);
		append_cell(b, worker, "mailbox_depth", 9);
		buffer_printf(b, "  %.1f/%.1f/%.1f", real_of(loop, "p50"), real_of(loop, "p99"),
			real_of(loop, "max"));
		if (is_stalled)
			buffer_append_string(
				b, v->style->has_colour ? "  \033[31mSTALLED\033[0m" : "  STALLED");
		buffer_append_string(b, "\n");
	}
}

void stats_append_text(struct buffer *b, const struct style *style, const json_t *stats,
	const json_t *before, uint64_t elapsed_ms)
{
	const struct view v = {
		.stats = stats, .before = before, .elapsed_ms = elapsed_ms, .style = style};

	append_head(b, &v);
	append_traffic(b, &v);
	append_ends_and_trouble(b, &v);
	append_watchdog(b, &v);
	append_memory(b, &v);
	append_workers(b, &v);
}
