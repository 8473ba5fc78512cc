/* A PROXY header: the same answer however many bytes have come, and never a byte more used than there is. */
#include "fuzz.h"

#include "wire/proxy.h"

#include <string.h>

static void check(const struct proxy_header *h, size_t size)
{
	char text[ADDRESS_TEXT_MAX];

	PROPERTY(h->used > 0 && h->used <= size && h->used <= PROXY_HEADER_MAX && h->why == NULL);
	if (!h->has_address)
		return;
	PROPERTY(h->from.len >= sizeof(sa_family_t) && h->from.len <= sizeof(h->from.u));
	address_format(&h->from, text);
	PROPERTY(text[0] != '\0' && strlen(text) < ADDRESS_TEXT_MAX);
	address_is_loopback(&h->from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header whole, h = {0};
	enum proxy_what all = proxy_parse((const char *)data, size, &whole);
	enum proxy_what what = PROXY_MORE;

	if (all == PROXY_COMPLETE)
		check(&whole, size);
	PROPERTY((all == PROXY_MALFORMED) == (whole.why != NULL));
	PROPERTY(all != PROXY_MORE || size < PROXY_HEADER_MAX);
	for (size_t n = 0; what == PROXY_MORE && n <= size; n++) {
		what = proxy_parse((const char *)data, n, &h);
		PROPERTY(what != PROXY_COMPLETE || n == h.used);
	}
	PROPERTY(what == all && h.used == whole.used && h.has_address == whole.has_address);
	PROPERTY(memcmp(&h.from, &whole.from, sizeof(h.from)) == 0);
	return 0;
}
