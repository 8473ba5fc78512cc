#include "app/settings.h"

#include "app/cpus.h"
#include "app/settings_check.h"
#include "base/ensure.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define PREFIX "PRESENCED_"

#define SPEC(kind, field, NAME, text, least, most, words)                                          \
	[SETTING_##NAME] = {.type = SETTING_TYPE_##kind,                                           \
		.name = PREFIX #NAME,                                                              \
		.fallback = (text),                                                                \
		.low = (least),                                                                    \
		.high = (most),                                                                    \
		.offset = offsetof(struct settings, field),                                        \
		.help = (words)},
const struct setting_spec setting_specs[SETTING_N] = {SETTINGS(SPEC)};
#undef SPEC

/* A reading of the environment under way. */
struct loading {
	struct settings settings;
	const char *values[SETTING_N]; /* of NAME, in the environment; NULL where it isn't there */
	const char *paths[SETTING_N]; /* of NAME_FILE */
	bool good[SETTING_N];
	struct complaints complaints;
};

static void *field_of(struct settings *s, enum setting which)
{
	return (char *)s + setting_specs[which].offset;
}

/* --- names --- */

static const char *skip(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);

	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* What follows PORT_ in "PORT_<n>_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?". */
static bool is_injected_port(const char *at)
{
	static const char *const protocols[] = {"TCP", "UDP", "SCTP"};
	static const char *const ends[] = {"", "_PROTO", "_PORT", "_ADDR"};
	size_t n_digits = strspn(at, "0123456789");

	if (n_digits == 0 || at[n_digits] != '_')
		return false;
	at += n_digits + 1;
	for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
		const char *end = skip(at, protocols[i]);

		for (size_t j = 0; end && j < ARRAY_LEN(ends); j++) {
			if (strcmp(end, ends[j]) == 0)
				return true;
		}
	}
	return false;
}

static bool is_injected_ending(const char *at)
{
	const char *rest = skip(at, "SERVICE_PORT");

	if (strcmp(at, "SERVICE_HOST") == 0 || strcmp(at, "PORT") == 0)
		return true;
	if (rest && (rest[0] == '\0' || (rest[0] == '_' && rest[1] != '\0')))
		return true;
	rest = skip(at, "PORT_");
	return rest && is_injected_port(rest);
}

/* Whether Kubernetes injects it for a service called presenced, or presenced-something:
 * PRESENCED_(..._)? and SERVICE_HOST, SERVICE_PORT(_...)?, PORT or
 * PORT_<n>_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))? */
static bool is_injected(const char *name)
{
	for (const char *at = name + strlen(PREFIX); at; at = strchr(at, '_')) {
		at += *at == '_';
		if (is_injected_ending(at))
			return true;
	}
	return false;
}

enum { NAME_LEN_MAX = 64 }; /* of ours; of an unknown one this much is compared */

/* How many letters to insert, drop or change to come from one to the other. */
static unsigned distance(const char *ours, const char *theirs)
{
	unsigned row[NAME_LEN_MAX + 1];
	size_t n = strlen(ours);

	ensure(n <= NAME_LEN_MAX);
	for (unsigned i = 0; i <= n; i++)
		row[i] = i;
	for (unsigned j = 0; theirs[j] && j < NAME_LEN_MAX; j++) {
		unsigned diagonal = row[0];

		row[0] = j + 1;
		for (size_t i = 1; i <= n; i++) {
			unsigned best = diagonal + (ours[i - 1] != theirs[j]);

			diagonal = row[i];
			if (row[i] + 1 < best)
				best = row[i] + 1;
			if (row[i - 1] + 1 < best)
				best = row[i - 1] + 1;
			row[i] = best;
		}
	}
	return row[n];
}

static const char *nearest_name(const char *unknown)
{
	unsigned best = 0, least = UINT32_MAX;

	for (unsigned i = 0; i < SETTING_N; i++) {
		unsigned d = distance(setting_specs[i].name, unknown);
		const char *rest = skip(unknown, setting_specs[i].name);

		if (rest && strcmp(rest, "_FILE") == 0)
			return setting_specs[i].name; /* of what is no secret */
		if (d < least) {
			least = d;
			best = i;
		}
	}
	return setting_specs[best].name;
}

/* --- the environment --- */

/* Where the value of 'name' belongs: a place in loading's values or paths; NULL where it is none
 * of ours. */
static const char **find_place(struct loading *l, const char *name)
{
	for (unsigned i = 0; i < SETTING_N; i++) {
		const char *rest = skip(name, setting_specs[i].name);

		if (rest && *rest == '\0')
			return &l->values[i];
		if (rest && strcmp(rest, "_FILE") == 0 &&
			setting_specs[i].type == SETTING_TYPE_SECRET)
			return &l->paths[i];
	}
	return NULL;
}

static void take_variable(struct loading *l, const char *variable)
{
	const char *equals = strchr(variable, '=');
	char name[256]; /* a longer one is none of ours, cut or not */
	const char **place;

	if (!equals || !skip(variable, PREFIX))
		return;
	snprintf(name, sizeof(name), "%.*s", (int)(equals - variable), variable);
	place = find_place(l, name);
	if (place && *place)
		complain(&l->complaints, name, "", NULL, "expected once in the environment");
	else if (place)
		*place = equals + 1;
	else if (is_injected(name))
		l->settings.n_injected++;
	else
		complain(&l->complaints, name, "", NULL, "no such setting; the nearest is %s",
			nearest_name(name));
}

/* --- values --- */

static void complain_of_value(
	struct loading *l, const struct setting_spec *spec, const char *text, const char *why)
{
	bool is_secret = spec->type == SETTING_TYPE_SECRET;
	struct complaints *c = &l->complaints;

	if (why) {
		complain(c, spec->name, "", text, "%s", why);
		return;
	}
	c->n++;
	fprintf(c->to, "presenced: %s=", spec->name);
	setting_print_escaped(is_secret && *text ? "***" : text, c->to);
	fputs(": expected ", c->to);
	setting_describe(spec, c->to);
	fputc('\n', c->to);
}

static int load_value(struct loading *l, enum setting which, const char *text)
{
	const struct setting_spec *spec = &setting_specs[which];
	const char *why;
	int err = setting_parse(spec, text, field_of(&l->settings, which), &why);

	if (err == -EINVAL)
		complain_of_value(l, spec, text, why);
	return err;
}

static int load_file(struct loading *l, enum setting which)
{
	const struct setting_spec *spec = &setting_specs[which];
	struct complaints *c = &l->complaints;
	const char *path = l->paths[which];
	int err = setting_parse_file(spec, path, field_of(&l->settings, which));

	if (err == -EINVAL) {
		c->n++;
		fprintf(c->to, "presenced: %s_FILE=", spec->name);
		setting_print_escaped(path, c->to);
		fputs(": expected in it ", c->to);
		setting_describe(spec, c->to);
		fputc('\n', c->to);
	} else if (err < 0 && err != -ENOMEM) {
		complain(c, spec->name, "_FILE", path, "expected a file that can be read: %s",
			strerror(-err));
	}
	return err;
}

static void load_workers_default(struct settings *s)
{
	const struct setting_spec *spec = &setting_specs[SETTING_WORKERS];
	uint64_t cpus = cpus_usable(&cpus_system_paths);

	s->workers = cpus < spec->high ? cpus : spec->high;
}

bool settings_have_tokens(const struct settings *s)
{
	return s->jwt_secret || s->jwt_jwks_file;
}

static void load_watch_default(struct settings *s)
{
	if (s->origins[SETTING_DEFAULT_WATCH] == SETTING_ORIGIN_DEFAULT)
		s->default_watch = settings_have_tokens(s) ? DEFAULT_WATCH_NONE : DEFAULT_WATCH_ALL;
}

/* -ENOMEM, or 0: other errors have been told, and leave the setting not good. */
static int load_one(struct loading *l, enum setting which)
{
	const struct setting_spec *spec = &setting_specs[which];
	enum setting_origin *origin = &l->settings.origins[which];
	int err = 0;

	if (l->values[which] && l->paths[which]) {
		complain(&l->complaints, spec->name, "_FILE", l->paths[which],
			"expected either this or %s, not both", spec->name);
		return 0;
	}
	if (l->paths[which]) {
		*origin = SETTING_ORIGIN_FILE;
		err = load_file(l, which);
	} else if (l->values[which]) {
		*origin = SETTING_ORIGIN_ENVIRONMENT;
		err = load_value(l, which, l->values[which]);
	} else {
		*origin = SETTING_ORIGIN_DEFAULT;
		if (which == SETTING_WORKERS)
			load_workers_default(&l->settings);
		else if (spec->fallback)
			err = load_value(l, which, spec->fallback);
	}
	l->good[which] = err == 0;
	return err == -ENOMEM ? err : 0;
}

int settings_load(char *const environ[], FILE *err_to, struct settings *ret)
{
	struct loading l = {.complaints = {.to = err_to}};
	int err = 0;

	for (char *const *variable = environ; *variable; variable++)
		take_variable(&l, *variable);
	for (unsigned i = 0; i < SETTING_N && err == 0; i++)
		err = load_one(&l, i);
	load_watch_default(&l.settings);
	if (err == 0)
		settings_check(&l.settings, l.good, &l.complaints);
	if (err == -ENOMEM)
		fputs("presenced: out of memory while reading the settings\n", err_to);
	else if (l.complaints.n > 0)
		err = -EINVAL;
	if (err < 0) {
		settings_free(&l.settings);
		return err;
	}
	*ret = l.settings;
	return 0;
}

void settings_free(struct settings *s)
{
	for (unsigned i = 0; i < SETTING_N; i++)
		setting_clear(setting_specs[i].type, field_of(s, i));
}

void settings_apply_log(const struct settings *s)
{
	log_configure((enum log_level)s->log_level, (enum log_format)s->log_format);
	if (s->n_injected > 0)
		log_info("ignored variables that Kubernetes injects for a service called presenced",
			LOG_U64("variables", s->n_injected));
}
