#include "server/connection.h"

#include "base/ensure.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int connections_init(struct connections *cs, uint32_t n_descriptors)
{
	uint32_t n_chunks = (n_descriptors + CONNECTIONS_CHUNK - 1) / CONNECTIONS_CHUNK;
	struct connection **chunks = calloc(n_chunks, sizeof(*chunks));
	if (!chunks)
		return -ENOMEM;
	cs->chunks = chunks;
	cs->n_chunks = n_chunks;
	return 0;
}

void connections_destroy(struct connections *cs)
{
	for (uint32_t i = 0; i < cs->n_chunks; i++)
		free(cs->chunks[i]);
	free(cs->chunks);
	*cs = (struct connections){.chunks = NULL};
}

static struct connection *chunk_new(void)
{
	struct connection *chunk = aligned_alloc(CACHE_LINE, CONNECTIONS_CHUNK * sizeof(*chunk));
	if (chunk)
		memset(chunk, 0, CONNECTIONS_CHUNK * sizeof(*chunk));
	return chunk;
}

int connections_open(
	struct connections *cs, int fd, enum transport transport, struct connection **ret)
{
	uint32_t index = (uint32_t)fd / CONNECTIONS_CHUNK;
	if (index >= cs->n_chunks)
		return -EMFILE;
	if (!cs->chunks[index])
		cs->chunks[index] = chunk_new();
	if (!cs->chunks[index])
		return -ENOMEM;
	struct connection *c = &cs->chunks[index][(uint32_t)fd % CONNECTIONS_CHUNK];
	ensure(c->phase == PHASE_FREE);
	uint32_t generation = c->generation + 1;
	*c = (struct connection){.fd = fd, .generation = generation, .phase = PHASE_HELLO};
	c->transport = (uint8_t)transport;
	*ret = c;
	return 0;
}

struct connection *connections_at(const struct connections *cs, uint32_t fd)
{
	struct connection *chunk =
		fd / CONNECTIONS_CHUNK < cs->n_chunks ? cs->chunks[fd / CONNECTIONS_CHUNK] : NULL;
	struct connection *c = chunk ? &chunk[fd % CONNECTIONS_CHUNK] : NULL;
	return c && c->phase != PHASE_FREE ? c : NULL;
}

void connections_close(struct connection *c)
{
	input_free(c);
	debug_check(!c->output && !c->is_ready && !c->side);
	c->phase = PHASE_FREE;
}

struct side *connection_side(struct connection *c)
{
	if (!c->side)
		c->side = calloc(1, sizeof(*c->side));
	return c->side;
}

/* --- timers --- */

void timed_list_init(struct timed_list *l)
{
	*l = (struct timed_list){.first = CONNECTION_NONE, .last = CONNECTION_NONE};
}

void timed_list_append(struct timed_list *l, const struct connections *cs, struct connection *c,
	uint32_t deadline_ms)
{
	c->u.timed.deadline_ms = deadline_ms;
	c->u.timed.n_bytes = 0;
	c->u.timed.prev = l->last;
	c->u.timed.next = CONNECTION_NONE;
	if (l->last == CONNECTION_NONE)
		l->first = (uint32_t)c->fd;
	else
		connections_at(cs, l->last)->u.timed.next = (uint32_t)c->fd;
	l->last = (uint32_t)c->fd;
	l->n++;
}

void timed_list_remove(struct timed_list *l, const struct connections *cs, struct connection *c)
{
	uint32_t prev = c->u.timed.prev, next = c->u.timed.next;
	if (prev == CONNECTION_NONE)
		l->first = next;
	else
		connections_at(cs, prev)->u.timed.next = next;
	if (next == CONNECTION_NONE)
		l->last = prev;
	else
		connections_at(cs, next)->u.timed.prev = prev;
	l->n--;
}

/* --- input --- */

int input_append(struct connection *c, const char *bytes, size_t len, bool is_exact)
{
	uint32_t used = c->input ? c->input->len : 0;
	if (!c->input || c->input->capacity - used < len) {
		size_t capacity = used + len;
		if (!is_exact && used > 0)
			capacity +=
				capacity / 2; /* bytes may come one by one: linear all the same */
		struct input *in = realloc(c->input, sizeof(*in) + capacity);
		if (!in)
			return -ENOMEM;
		in->capacity = (uint32_t)capacity;
		in->len = used;
		c->input = in;
	}
	memcpy(c->input->bytes + used, bytes, len);
	c->input->len = used + (uint32_t)len;
	return 0;
}

void input_free(struct connection *c)
{
	free(c->input);
	c->input = NULL;
}
