#include "app/activation.h"

#include "app/settings.h"
#include "base/ensure.h"
#include "base/log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Port 0 is one that the kernel is still to choose: nothing is bound to it. */
static bool is_same_address(const struct address *setting, const char *bound)
{
	char text[ADDRESS_TEXT_MAX];

	if (setting->u.any.sa_family != AF_UNIX && address_port(setting) == 0)
		return false;
	address_format(setting, text);
	return strcmp(text, bound) == 0;
}

/* Where the number of the listener goes; NULL: it is nobody's. */
static int *place_of(const struct settings *s, struct activation *a, const char *bound)
{
	for (size_t i = 0; i < s->listen.n; i++)
		if (is_same_address(&s->listen.items[i].address, bound))
			return &a->listen[i];
	return is_same_address(&s->admin_listen, bound) ? &a->admin : NULL;
}

int activation_match(
	const struct settings *s, const struct inherited *all, size_t n, struct activation *ret)
{
	struct activation a = {.admin = -1, .n = n};

	ensure(s->listen.n <= ACTIVATION_LISTEN_MAX);
	for (size_t i = 0; i < ACTIVATION_LISTEN_MAX; i++)
		a.listen[i] = -1;
	for (size_t i = 0; i < n; i++) {
		char bound[ADDRESS_TEXT_MAX];
		address_format(&all[i].bound, bound);
		int *place = place_of(s, &a, bound);
		if (!place || *place >= 0) {
			log_error(place ? "two inherited sockets for one address"
					: "an inherited socket is neither of PRESENCED_LISTEN nor "
					  "PRESENCED_ADMIN_LISTEN",
				LOG_TEXT("address", bound), LOG_TEXT("name", all[i].name));
			return -EBADMSG;
		}
		*place = all[i].fd;
	}
	*ret = a;
	return 0;
}

int activation_find(const struct settings *s, struct activation *ret)
{
	struct inherited all[INHERITED_MAX];
	size_t n;
	int err = inherited_list(
		getenv("LISTEN_PID"), getenv("LISTEN_FDS"), getenv("LISTEN_FDNAMES"), all, &n);

	if (err == -EINVAL) {
		log_error("LISTEN_PID and LISTEN_FDS: expected numbers");
		return -EBADMSG;
	}
	if (err < 0) {
		log_error("an inherited descriptor is no listening stream socket",
			LOG_U64("descriptor", INHERITED_FIRST + n), LOG_ERRNO(-err));
		return -EBADMSG;
	}
	return activation_match(s, all, n, ret);
}
