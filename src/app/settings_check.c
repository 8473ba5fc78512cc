#include "app/settings_check.h"

#include "auth/algorithm.h"
#include "auth/networks.h"
#include "wire/upgrade.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

static const bool transport_is_encrypted[TRANSPORT_N] = {
	[TRANSPORT_TLS] = true,
	[TRANSPORT_WSS] = true,
};

/* Stamps are 32-bit milliseconds in serial arithmetic: half of that range, and half again to
 * spare. */
enum { TIMEOUT_LIMIT_MS = 1 << 30 };

void complain(struct complaints *c, const char *name, const char *suffix, const char *value,
	const char *format, ...)
{
	va_list args;

	c->n++;
	fputs("presenced: ", c->to);
	setting_print_escaped(name, c->to);
	fputs(suffix, c->to);
	if (value) {
		fputc('=', c->to);
		setting_print_escaped(value, c->to);
	}
	fputs(": ", c->to);
	va_start(args, format);
	vfprintf(c->to, format, args);
	va_end(args);
	fputc('\n', c->to);
}

/* "NAME=value", and whether nobody asked for it. */
static void print_setting(const struct settings *s, enum setting which, FILE *to)
{
	const struct setting_spec *spec = &setting_specs[which];

	fprintf(to, "%s=", spec->name);
	setting_print(spec, (const char *)s + spec->offset, to);
	if (s->origins[which] == SETTING_ORIGIN_DEFAULT)
		fputs(" (default)", to);
}

/* What relates two settings: "presenced: A=1: <relation> B=2". */
static void complain_pair(const struct settings *s, enum setting a, const char *relation,
	enum setting b, struct complaints *c)
{
	c->n++;
	fputs("presenced: ", c->to);
	print_setting(s, a, c->to);
	fprintf(c->to, ": expected %s ", relation);
	print_setting(s, b, c->to);
	fputc('\n', c->to);
}

static void check_heartbeats(const struct settings *s, const bool *good, struct complaints *c)
{
	bool has_min = good[SETTING_HEARTBEAT_MIN], has_max = good[SETTING_HEARTBEAT_MAX];

	if (has_min && has_max && s->heartbeat_min_ms > s->heartbeat_max_ms)
		complain_pair(s, SETTING_HEARTBEAT_MIN, "no more than", SETTING_HEARTBEAT_MAX, c);
	if (good[SETTING_HEARTBEAT] && has_min && s->heartbeat_ms < s->heartbeat_min_ms)
		complain_pair(s, SETTING_HEARTBEAT, "no less than", SETTING_HEARTBEAT_MIN, c);
	if (good[SETTING_HEARTBEAT] && has_max && s->heartbeat_ms > s->heartbeat_max_ms)
		complain_pair(s, SETTING_HEARTBEAT, "no more than", SETTING_HEARTBEAT_MAX, c);
	if (has_max && good[SETTING_MISSED_BEATS] &&
		s->heartbeat_max_ms * s->missed_beats >= TIMEOUT_LIMIT_MS)
		complain_pair(s, SETTING_HEARTBEAT_MAX,
			"a timeout of less than 298h (2^30 ms) together with", SETTING_MISSED_BEATS,
			c);
}

static void check_listen_url(const struct settings *s, const struct listen_url *url,
	const bool *good, struct complaints *c)
{
	const char *name = setting_specs[SETTING_LISTEN].name;
	bool is_encrypted = transport_is_encrypted[url->transport];
	char text[ADDRESS_TEXT_MAX];

	listen_url_format(url, text);
	/* Of one without the other check_tls() tells. */
	if (is_encrypted && good[SETTING_TLS_CERT] && good[SETTING_TLS_KEY] && !s->tls_cert &&
		!s->tls_key)
		complain(c, name, "", text, "expected %s and %s with it",
			setting_specs[SETTING_TLS_CERT].name, setting_specs[SETTING_TLS_KEY].name);
	if (address_is_loopback(&url->address))
		return;
	/* Behind a proxy plain text is meant; whoever else comes is refused when it comes. */
	if (!is_encrypted && good[SETTING_ALLOW_PLAINTEXT] && !s->allow_plaintext &&
		good[SETTING_PROXY_TRUSTED] && s->proxy_trusted.n == 0)
		complain(c, name, "", text,
			"neither loopback nor encrypted: expected %s=true or %s with it",
			setting_specs[SETTING_ALLOW_PLAINTEXT].name,
			setting_specs[SETTING_PROXY_TRUSTED].name);
	if (good[SETTING_ALLOW_ANONYMOUS] && !s->allow_anonymous && good[SETTING_JWT_SECRET] &&
		good[SETTING_JWT_JWKS_FILE] && !settings_have_tokens(s))
		complain(c, name, "", text,
			"not loopback, and no tokens are asked for: expected %s=true with it",
			setting_specs[SETTING_ALLOW_ANONYMOUS].name);
}

/* Port 0 is another one each time. */
static bool is_same_address(const struct address *a, const struct address *b)
{
	char a_text[ADDRESS_TEXT_MAX], b_text[ADDRESS_TEXT_MAX];

	if (a->u.any.sa_family != AF_UNIX && address_port(a) == 0)
		return false;
	address_format(a, a_text);
	address_format(b, b_text);
	return strcmp(a_text, b_text) == 0;
}

static void check_listen(const struct settings *s, const bool *good, struct complaints *c)
{
	const struct url_list *list = &s->listen;
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < list->n; i++) {
		check_listen_url(s, &list->items[i], good, c);
		listen_url_format(&list->items[i], text);
		for (size_t j = 0; j < i; j++) {
			if (is_same_address(&list->items[i].address, &list->items[j].address)) {
				complain(c, setting_specs[SETTING_LISTEN].name, "", text,
					"expected each address once");
				break;
			}
		}
	}
}

static void check_admin(const struct settings *s, const bool *good, struct complaints *c)
{
	const char *name = setting_specs[SETTING_ADMIN_LISTEN].name;
	char text[ADDRESS_TEXT_MAX];

	if (!good[SETTING_ADMIN_LISTEN])
		return;
	address_format(&s->admin_listen, text);
	if (!address_is_loopback(&s->admin_listen) && good[SETTING_ADMIN_TOKEN] && !s->admin_token)
		complain(c, name, "", text, "not loopback: expected %s or %s_FILE with it",
			setting_specs[SETTING_ADMIN_TOKEN].name,
			setting_specs[SETTING_ADMIN_TOKEN].name);
	for (size_t i = 0; i < s->listen.n; i++) {
		if (is_same_address(&s->admin_listen, &s->listen.items[i].address))
			complain(c, name, "", text, "expected another address than those of %s",
				setting_specs[SETTING_LISTEN].name);
	}
}

/* Half of what TLS needs is a slip, whatever the listeners are. */
static void check_tls(const struct settings *s, const bool *good, struct complaints *c)
{
	enum setting given = s->tls_cert ? SETTING_TLS_CERT : SETTING_TLS_KEY;
	enum setting missing = s->tls_cert ? SETTING_TLS_KEY : SETTING_TLS_CERT;

	if (good[SETTING_TLS_CERT] && good[SETTING_TLS_KEY] && !s->tls_cert != !s->tls_key)
		complain(c, setting_specs[given].name, "", s->tls_cert ? s->tls_cert : s->tls_key,
			"expected %s with it", setting_specs[missing].name);
}

static void check_tokens(const struct settings *s, const bool *good, struct complaints *c)
{
	static const enum setting needs_keys[] = {
		SETTING_JWT_ALGORITHMS, SETTING_JWT_ISSUER, SETTING_JWT_AUDIENCE};

	if (settings_have_tokens(s) || !good[SETTING_JWT_SECRET] || !good[SETTING_JWT_JWKS_FILE])
		return;
	for (size_t i = 0; i < ARRAY_LEN(needs_keys); i++)
		if (good[needs_keys[i]] && s->origins[needs_keys[i]] != SETTING_ORIGIN_DEFAULT)
			complain(c, setting_specs[needs_keys[i]].name, "", NULL,
				"expected %s or %s with it", setting_specs[SETTING_JWT_SECRET].name,
				setting_specs[SETTING_JWT_JWKS_FILE].name);
}

static void check_lists(const struct settings *s, struct complaints *c)
{
	struct network network;
	const char *why;

	for (size_t i = 0; i < s->proxy_trusted.n; i++) {
		const char *text = s->proxy_trusted.items[i];
		if (network_parse(text, strlen(text), &network, &why) < 0)
			complain(c, setting_specs[SETTING_PROXY_TRUSTED].name, "", text,
				"expected %s", why);
	}
	for (size_t i = 0; i < s->allowed_origins.n; i++) {
		const char *text = s->allowed_origins.items[i];
		if (!upgrade_origin_is_valid(text))
			complain(c, setting_specs[SETTING_ALLOWED_ORIGINS].name, "", text,
				"expected scheme://host, scheme://host:port, null or *");
	}
	for (size_t i = 0; i < s->jwt_algorithms.n; i++) {
		const char *text = s->jwt_algorithms.items[i];
		if (algorithm_parse(text, strlen(text)) == ALGORITHM_N)
			complain(c, setting_specs[SETTING_JWT_ALGORITHMS].name, "", text,
				"expected algorithms of RFC 7518, such as RS256");
	}
}

void settings_check(const struct settings *s, const bool good[SETTING_N], struct complaints *c)
{
	check_heartbeats(s, good, c);
	check_listen(s, good, c);
	check_admin(s, good, c);
	check_tls(s, good, c);
	check_tokens(s, good, c);
	check_lists(s, c);
}
