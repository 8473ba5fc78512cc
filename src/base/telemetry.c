#include "base/telemetry.h"

#include "base/ensure.h"
#include "base/hash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define READINESS_WORD(name, word) [READINESS_##name] = word,
static const char *const readiness_words[READINESS_N] = {READINESS(READINESS_WORD)};

const char *readiness_word(enum readiness readiness)
{
	ensure(readiness < READINESS_N);
	return readiness_words[readiness];
}

const char *store_fault_words(int fault)
{
	switch (fault) {
	case 0:
		return "none";
	case EBUSY:
		return "locked by another process";
	case ENOSPC:
	case EDQUOT:
		return "disk full";
	case EROFS:
		return "read-only";
	case EACCES:
	case EPERM:
		return "permission denied";
	case ENOENT:
	case ENOTDIR:
	case EISDIR:
		return "no such file or folder";
	case EUCLEAN:
		return "damaged";
	case EPROTONOSUPPORT:
		return "made by a newer version";
	case EMEDIUMTYPE:
		return "not a store of presenced";
	case ESTALE:
		return "taken by another server";
	case ENOMEM:
		return "out of memory";
	default:
		return "input/output error";
	}
}

static void server_id_make(char to[33])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bits[16];

	random_fill(bits, sizeof(bits));
	for (size_t i = 0; i < sizeof(bits); i++) {
		to[2 * i] = digits[bits[i] >> 4];
		to[2 * i + 1] = digits[bits[i] & 15];
	}
	to[32] = '\0';
}

struct telemetry *telemetry_new(unsigned n_workers, uint64_t now_mono_ms)
{
	ensure(n_workers > 0 && n_workers <= WORKERS_MAX);

	/* Every part is a multiple of a cache line long, as aligned_alloc() asks of the sum. */
	size_t size = sizeof(struct telemetry) + n_workers * sizeof(struct worker_telemetry);
	struct telemetry *t = aligned_alloc(CACHE_LINE, size);
	if (!t)
		return NULL;
	memset(t, 0, size);

	t->n_workers = n_workers;
	t->started_mono_ms = now_mono_ms;
	atomic_init(&t->readiness, READINESS_STARTING);
	server_id_make(t->server_id);
	return t;
}

void telemetry_free(struct telemetry *t)
{
	free(t);
}

uint64_t telemetry_counter(const struct telemetry *t, enum counter which)
{
	uint64_t sum = counter_read(&t->admin, which) + counter_read(&t->feed, which) +
		       counter_read(&t->watchdog.counters, which) +
		       counter_read(&t->store.counters, which);

	for (unsigned i = 0; i < t->n_workers; i++)
		sum += counter_read(&t->workers[i].counters, which);
	return sum;
}
