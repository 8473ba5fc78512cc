/* Reading messages: nanoseconds each, by kind, without a socket. */
#include "base/buffer.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "figure.h"
#include "options.h"
#include "wire/message.h"
#include "wire/ndjson.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t for_ms = 300;

struct sample {
	const char *name;
	const char *line;
};

static const struct sample samples[] = {
	{"empty", ""},
	{"heartbeat", "{\"type\":\"heartbeat\"}"},
	{"heartbeat_spaced", "{ \"type\": \"heartbeat\" }"},
	{"heartbeat_id", "{\"type\":\"heartbeat\",\"id\":17}"},
	{"hello",
		"{\"type\":\"hello\",\"v\":1,\"user\":\"u000000000000001\",\"device\":\"phone\"}"},
	{"update", "{\"type\":\"update\",\"state\":\"away\",\"status\":\"at lunch\"}"},
	{"watch", "{\"type\":\"watch\",\"id\":1,\"users\":[\"u000000000000001\"]}"},
};

/* One line and its end, as a worker takes it: find the line, then read it. 0 where that went wrong. */
static size_t read_one(const char *data, size_t len)
{
	struct message message;
	size_t line_len, used;
	enum wire_error error;

	if (!ndjson_next(data, len, 0, &line_len, &used))
		return 0;
	error = message_parse(data, line_len, &message);
	message_free(&message);
	return error == WIRE_OK ? used : 0;
}

static int measure(const char *name, const char *data, size_t len)
{
	enum { AT_ONCE = 1000 };
	uint64_t start_ns = clock_mono_ns(), end_ns = start_ns + for_ms * 1000000,
		 now_ns = start_ns, n = 0;

	while (now_ns < end_ns) {
		for (int i = 0; i < AT_ONCE; i++) {
			if (read_one(data, len) != len) {
				fprintf(stderr, "bench_parse: %s is not understood\n", name);
				return 1;
			}
		}
		n += AT_ONCE;
		now_ns = clock_mono_ns();
	}
	figure_of("parse", "\"message\":\"%s\",\"bytes\":%zu", name, len);
	figure_print("ns_per_message", (double)(now_ns - start_ns) / (double)n, "ns");
	return 0;
}

/* The worst of usual size: a request for as many users as one may hold. */
static int measure_large(void)
{
	struct buffer text = {0};
	int failed;

	buffer_append_string(&text, "{\"type\":\"watch\",\"id\":1,\"users\":[");
	for (unsigned i = 0; i < REQUEST_USERS_MAX; i++)
		buffer_printf(&text, "%s\"u%015u\"", i ? "," : "", i);
	buffer_append_string(&text, "]}\n");
	failed = text.failed || measure("watch_max", text.data, text.len);
	buffer_free(&text);
	return failed;
}

int main(int argc, char **argv)
{
	const struct option_spec own[] = {{.name = "for-ms", .number = &for_ms}, {.name = NULL}};
	char line[256];
	int failed = 0;

	options_read_own(argc, argv, own);
	json_object_seed(1); /* the same hashes in every run */
	for (size_t i = 0; i < ARRAY_LEN(samples) && !failed; i++) {
		int len = snprintf(line, sizeof(line), "%s\n", samples[i].line);

		failed = measure(samples[i].name, line, (size_t)len);
	}
	return failed || measure_large();
}
