#include "presence/watch_pack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t count_bytes(const struct watch_list *l)
{
	uint64_t n = 0;
	for (const struct watch *w = l->first; w; w = w->in_next)
		n += 1 + w->watched->user_len;
	return n;
}

static void put_names(struct watch_pack *p, const struct watch_list *l)
{
	for (const struct watch *w = l->first; w; w = w->in_next) {
		p->names[p->len] = (char)w->watched->user_len;
		memcpy(p->names + p->len + 1, w->watched->user, w->watched->user_len);
		p->len += 1 + (uint32_t)w->watched->user_len;
		p->n++;
	}
}

static uint32_t count_names(const struct watch_pack *p)
{
	uint32_t n = 0;
	for (uint32_t at = p->at; at < p->len; at += 1 + (unsigned char)p->names[at])
		n++;
	return n;
}

int watch_pack_new(const struct watcher *c, const struct watch_pack *more, struct watch_pack **ret)
{
	uint64_t n_more = more ? more->len - more->at : 0, n_bytes = n_more;
	if (c)
		n_bytes += count_bytes(&c->clean) + count_bytes(&c->dirty);
	if (n_bytes == 0) {
		*ret = NULL;
		return 0;
	}
	struct watch_pack *p = n_bytes <= UINT32_MAX ? malloc(sizeof(*p) + n_bytes) : NULL;
	if (!p)
		return -ENOMEM;
	*p = (struct watch_pack){.n = 0};
	if (c) {
		put_names(p, &c->clean);
		put_names(p, &c->dirty);
	}
	if (n_more > 0) {
		memcpy(p->names + p->len, more->names + more->at, n_more);
		p->len += (uint32_t)n_more;
		p->n += count_names(more);
	}
	*ret = p;
	return 0;
}

bool watch_pack_has_next(const struct watch_pack *p)
{
	return p && p->at < p->len;
}

bool watch_pack_next(struct watch_pack *p, const char **ret_user, size_t *ret_len)
{
	if (!watch_pack_has_next(p))
		return false;
	*ret_user = p->names + p->at + 1;
	*ret_len = (unsigned char)p->names[p->at];
	p->at += 1 + (uint32_t)*ret_len;
	return true;
}
