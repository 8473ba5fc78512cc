#include "auth/watchlist.h"

#include "base/terms.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct name {
	uint16_t at; /* of its bytes, after the names */
	uint16_t len;
};

/* Names first, then their bytes. Both parts are sorted, and no prefix begins another: so the only one that a user can
 * begin with is the last that does not come after it. */
struct watchlist {
	bool is_all;
	uint16_t n_exact, n_prefixes;
	struct name names[]; /* exact ones, then prefixes, then bytes */
};

/* While it is made: exact names grow from the front, prefixes from the back. */
struct making {
	struct watchlist *list;
	char *bytes;
	size_t n_bytes, n_names, n_exact, n_prefixes;
	bool is_all;
};

static bool is_id(const char *text, size_t len)
{
	if (len > USER_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		if (c < 0x20 || c == 0x7f)
			return false;
	}
	return true;
}

static int add(struct making *m, struct json_part part)
{
	char *at = m->bytes + m->n_bytes;
	size_t len;

	if (!json_is_string_part(part))
		return -EINVAL;
	len = json_part_decode(part, at);
	if (len == 0)
		return -EINVAL;
	bool is_prefix = at[len - 1] == '*';
	len -= is_prefix;
	if (!is_id(at, len))
		return -EINVAL;
	if (len == 0) {
		m->is_all = true;
		return 0;
	}
	struct name name = {(uint16_t)m->n_bytes, (uint16_t)len};
	if (is_prefix)
		m->list->names[m->n_names - ++m->n_prefixes] = name;
	else
		m->list->names[m->n_exact++] = name;
	m->n_bytes += len;
	return 0;
}

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_names(const void *a, const void *b, void *bytes)
{
	const struct name *x = a, *y = b;

	return compare((char *)bytes + x->at, x->len, (char *)bytes + y->at, y->len);
}

static bool begins_with(const char *text, size_t len, const char *prefix, size_t prefix_len)
{
	return len >= prefix_len && memcmp(text, prefix, prefix_len) == 0;
}

/* Prefixes that begin with another are not needed; sorted, it stands before them. */
static void finish_prefixes(struct making *m, struct name *prefixes)
{
	size_t kept = 0;

	qsort_r(prefixes, m->n_prefixes, sizeof(*prefixes), compare_names, m->bytes);
	for (size_t i = 0; i < m->n_prefixes; i++) {
		const struct name *last = kept > 0 ? &prefixes[kept - 1] : NULL;

		if (last && begins_with(m->bytes + prefixes[i].at, prefixes[i].len,
				    m->bytes + last->at, last->len))
			continue;
		prefixes[kept++] = prefixes[i];
	}
	m->n_prefixes = kept;
}

/* Brings the parts together, and gives back what is not needed. */
static struct watchlist *finish(struct making *m)
{
	struct watchlist *list = m->list;
	struct name *prefixes = &list->names[m->n_names - m->n_prefixes];

	if (m->is_all)
		m->n_exact = m->n_prefixes = m->n_bytes = 0;
	qsort_r(list->names, m->n_exact, sizeof(list->names[0]), compare_names, m->bytes);
	finish_prefixes(m, prefixes);
	memmove(&list->names[m->n_exact], prefixes, m->n_prefixes * sizeof(*prefixes));
	char *bytes = (char *)&list->names[m->n_exact + m->n_prefixes];
	memmove(bytes, m->bytes, m->n_bytes);
	list->is_all = m->is_all;
	list->n_exact = (uint16_t)m->n_exact;
	list->n_prefixes = (uint16_t)m->n_prefixes;
	struct watchlist *smaller = realloc(list, (size_t)(bytes + m->n_bytes - (char *)list));
	return smaller ? smaller : list;
}

/* Strings take the bytes they have in the claim at most. */
static bool measure(struct json_part claim, size_t *ret_n)
{
	struct json_part part;
	size_t n = 0;

	if (claim.len > UINT16_MAX)
		return false;
	if (json_is_string_part(claim)) {
		*ret_n = 1;
		return true;
	}
	if (!json_is_array_part(claim))
		return false;
	for (struct json_walk walk = json_walk_begin(claim); json_walk_element(&walk, &part);)
		n++;
	*ret_n = n;
	return true;
}

int watchlist_new(struct json_part claim, struct watchlist **ret)
{
	struct making m = {0};
	struct json_part part;
	int err = 0;

	if (!measure(claim, &m.n_names))
		return -EINVAL;
	m.list = malloc(sizeof(*m.list) + m.n_names * sizeof(m.list->names[0]) + claim.len);
	if (!m.list)
		return -ENOMEM;
	m.bytes = (char *)&m.list->names[m.n_names];
	if (json_is_string_part(claim)) {
		err = add(&m, claim);
	} else {
		for (struct json_walk walk = json_walk_begin(claim);
			!err && json_walk_element(&walk, &part);)
			err = add(&m, part);
	}
	if (err) {
		free(m.list);
		return err;
	}
	*ret = finish(&m);
	return 0;
}

void watchlist_free(struct watchlist *list)
{
	free(list);
}

/* How many of the names come before the text or are it. */
static size_t count_up_to(
	const struct name *names, size_t n, const char *bytes, const char *text, size_t len)
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;
		const struct name *name = &names[middle];

		if (compare(bytes + name->at, name->len, text, len) <= 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

bool watchlist_allows(const struct watchlist *list, bool is_open, const char *self, size_t self_len,
	const char *user, size_t user_len)
{
	if (self_len == user_len && memcmp(self, user, user_len) == 0)
		return true;
	if (!list)
		return is_open;
	if (list->is_all)
		return true;
	const struct name *prefixes = &list->names[list->n_exact];
	const char *bytes = (const char *)&prefixes[list->n_prefixes];
	size_t n = count_up_to(list->names, list->n_exact, bytes, user, user_len);
	if (n > 0 && list->names[n - 1].len == user_len &&
		memcmp(bytes + list->names[n - 1].at, user, user_len) == 0)
		return true;
	n = count_up_to(prefixes, list->n_prefixes, bytes, user, user_len);
	return n > 0 &&
	       begins_with(user, user_len, bytes + prefixes[n - 1].at, prefixes[n - 1].len);
}
