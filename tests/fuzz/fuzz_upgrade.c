/* The head of an upgrade: the same answer however the bytes come in pieces, what is accepted is what the
 * answer needs, and every answer is a head and a body of the length it says. The first byte seeds the sizes
 * of the pieces. */
#include "fuzz.h"

#include "wire/upgrade.h"

#include <stdio.h>
#include <string.h>

static void check_inside(struct slice s, const char *head, size_t len)
{
	PROPERTY(s.text == NULL || (s.text >= head && s.text + s.len <= head + len));
}

static void check_accepted(const struct upgrade *u, const char *head, size_t len)
{
	struct buffer CLEANUP(buffer_free) b = {0};

	PROPERTY(u->used <= len && u->used <= UPGRADE_HEAD_MAX && u->used > 4);
	PROPERTY(memcmp(head + u->used - 4, "\r\n\r\n", 4) == 0);
	check_inside(u->path, head, u->used);
	check_inside(u->host, head, u->used);
	check_inside(u->origin, head, u->used);
	check_inside(u->key, head, u->used);
	PROPERTY(u->key.len == 24 && u->host.len > 0 && u->path.len > 0);
	PROPERTY(memmem(head, u->used, "GET ", 4) != NULL);
	PROPERTY(upgrade_origin_allowed(u->origin, NULL, 0) == (u->origin.text == NULL));
	upgrade_put_accept(&b, u);
	PROPERTY(!b.failed && memcmp(b.data + b.len - 4, "\r\n\r\n", 4) == 0);
	PROPERTY((memmem(b.data, b.len, UPGRADE_SUBPROTOCOL, strlen(UPGRADE_SUBPROTOCOL)) !=
			 NULL) == u->has_subprotocol);
}

static void check_refused(const struct upgrade *u)
{
	struct buffer CLEANUP(buffer_free) b = {0};
	size_t said = 0;

	PROPERTY(u->status == 400 || u->status == 405 || u->status == 426 || u->status == 431 ||
		 u->status == 505);
	upgrade_put_refusal(&b, u->status, u->why);
	buffer_append(&b, "", 1);
	PROPERTY(!b.failed);
	const char *body = strstr(b.data, "\r\n\r\n");
	const char *length = strstr(b.data, "Content-Length: ");
	PROPERTY(body != NULL && length != NULL &&
		 sscanf(length, "Content-Length: %zu", &said) == 1);
	PROPERTY(strlen(body + 4) == said);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum upgrade_what what = UPGRADE_MORE;
	struct upgrade whole, u = {0};

	if (size < 2)
		return 0;
	uint32_t noise = data[0] + 1u;
	const char *head = (const char *)data + 1;
	size--;
	enum upgrade_what all = upgrade_parse(head, size, 0, &whole);
	if (all == UPGRADE_COMPLETE)
		check_accepted(&whole, head, size);
	if (all == UPGRADE_REFUSED)
		check_refused(&whole);

	for (size_t searched = 0, n = 0; what == UPGRADE_MORE && n < size; searched = n) {
		noise = noise * 1664525 + 1013904223;
		n += (noise >> 16) % (1u << (noise >> 29)) + 1;
		n = n < size ? n : size;
		what = upgrade_parse(head, n, searched, &u);
	}
	/* What is wrong in a line may be told when the line is complete, and not before. */
	if (what == UPGRADE_MORE && all == UPGRADE_REFUSED)
		return 0;
	PROPERTY(what == all && u.used == whole.used && u.status == whole.status);
	return 0;
}
