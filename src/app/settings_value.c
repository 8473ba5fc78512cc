#include "app/settings_value.h"

#include "base/compiler.h"
#include "base/ensure.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct unit {
	const char *suffix;
	uint64_t factor;
};

/* Largest first: a value is shown in the first that divides it. */
static const struct unit duration_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
static const struct unit size_units[] = {
	{"GiB", 1ULL << 30}, {"MiB", 1ULL << 20}, {"KiB", 1ULL << 10}, {"", 1}};

#define LEVEL_WORD(name, word) [LOG_LEVEL_##name] = word,
static const char *const log_levels[LOG_LEVEL_N + 1] = {LOG_LEVELS(LEVEL_WORD)};
#undef LEVEL_WORD
static const char *const log_formats[LOG_FORMAT_N + 1] = {
	[LOG_FORMAT_LOGFMT] = "logfmt", [LOG_FORMAT_JSON] = "json"};

static const char *const watch_words[] = {
	[DEFAULT_WATCH_ALL] = "all", [DEFAULT_WATCH_NONE] = "none", NULL};

/* Each ended by NULL. */
static const char *const *const words[SETTING_WORDS_N] = {
	[SETTING_WORDS_LOG_LEVEL] = log_levels,
	[SETTING_WORDS_LOG_FORMAT] = log_formats,
	[SETTING_WORDS_WATCH] = watch_words,
};

static bool is_in_bounds(const struct setting_spec *spec, uint64_t value)
{
	return value >= spec->low && value <= spec->high;
}

/* Digits only (no sign, no space), as far as they go. */
static int parse_digits(const char *text, uint64_t *ret, const char **ret_end)
{
	uint64_t value = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, (uint64_t)(*at - '0'), &value))
			return -ERANGE;
	}
	if (at == text)
		return -EINVAL;
	*ret = value;
	*ret_end = at;
	return 0;
}

static int parse_with_unit(
	const char *text, const struct unit *units, size_t n_units, uint64_t *ret)
{
	uint64_t value;
	const char *suffix;
	int err = parse_digits(text, &value, &suffix);

	if (err < 0)
		return err;
	if (value == 0 && *suffix == '\0') {
		*ret = 0; /* of what, is all the same */
		return 0;
	}
	for (size_t i = 0; i < n_units; i++) {
		if (strcmp(suffix, units[i].suffix) != 0)
			continue;
		if (__builtin_mul_overflow(value, units[i].factor, &value))
			return -ERANGE;
		*ret = value;
		return 0;
	}
	return -EINVAL;
}

static int parse_number(const struct setting_spec *spec, const char *text, uint64_t *ret)
{
	static const struct unit no_unit = {"", 1};
	const struct unit *units = &no_unit;
	size_t n_units = 1;

	if (spec->type == SETTING_TYPE_DURATION) {
		units = duration_units;
		n_units = ARRAY_LEN(duration_units);
	} else if (spec->type == SETTING_TYPE_SIZE) {
		units = size_units;
		n_units = ARRAY_LEN(size_units);
	}
	return parse_with_unit(text, units, n_units, ret);
}

static int parse_bool(const char *text, bool *ret)
{
	bool is_true = strcmp(text, "true") == 0;

	if (!is_true && strcmp(text, "false") != 0)
		return -EINVAL;
	*ret = is_true;
	return 0;
}

static int parse_word(const struct setting_spec *spec, const char *text, unsigned *ret)
{
	for (unsigned i = 0; words[spec->low][i]; i++) {
		if (strcmp(text, words[spec->low][i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_text(const char *text, size_t len, char **ret)
{
	char *copy = strndup(text, len);

	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

/* --- lists --- */

static size_t count_items(const char *text)
{
	size_t n = 1;

	if (text[strspn(text, " \t")] == '\0')
		return 0;
	for (; *text; text++)
		n += *text == ',';
	return n;
}

/* The item at '*text', without the blanks around it; moves on behind its comma. */
static const char *next_item(const char **text, size_t *ret_len)
{
	const char *start = *text + strspn(*text, " \t");
	size_t whole = strcspn(start, ","), len = whole;

	while (len > 0 && (start[len - 1] == ' ' || start[len - 1] == '\t'))
		len--;
	*text = start + whole + (start[whole] == ',');
	*ret_len = len;
	return start;
}

static int parse_urls(const struct setting_spec *spec, const char *text, struct url_list *ret,
	const char **ret_why)
{
	struct url_list made = {.n = count_items(text)};

	if (!is_in_bounds(spec, made.n))
		return -EINVAL;
	made.items = calloc(made.n + 1, sizeof(*made.items)); /* + 1: none is no NULL */
	if (!made.items)
		return -ENOMEM;
	for (size_t i = 0; i < made.n; i++) {
		size_t len;
		const char *item = next_item(&text, &len);

		if (listen_url_parse(item, len, &made.items[i], ret_why) < 0) {
			free(made.items);
			return -EINVAL;
		}
	}
	*ret = made;
	return 0;
}

static void free_texts(struct text_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		free(list->items[i]);
	free(list->items);
}

static int parse_texts(const struct setting_spec *spec, const char *text, struct text_list *ret)
{
	struct text_list made = {.n = 0};
	size_t n = count_items(text);

	if (!is_in_bounds(spec, n))
		return -EINVAL;
	made.items = calloc(n + 1, sizeof(*made.items));
	if (!made.items)
		return -ENOMEM;
	while (made.n < n) {
		size_t len;
		const char *item = next_item(&text, &len);

		made.items[made.n] = len > 0 ? strndup(item, len) : NULL;
		if (!made.items[made.n]) {
			free_texts(&made);
			return len > 0 ? -ENOMEM : -EINVAL;
		}
		made.n++;
	}
	*ret = made;
	return 0;
}

/* --- secrets --- */

static int parse_secret(const struct setting_spec *spec, const char *text, size_t len, char **ret)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return -EINVAL;
	}
	if (!is_in_bounds(spec, len))
		return -EINVAL;
	return parse_text(text, len, ret);
}

/* At most 'size' bytes; what is longer is cut, and so comes out as longer than any secret may
 * be. */
static int read_file(const char *path, char *to, size_t size, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	size_t len = 0;
	ssize_t n = 1;

	if (fd < 0)
		return -errno;
	while (n != 0 && len < size && err == 0) {
		n = read(fd, to + len, size - len);
		if (n > 0)
			len += (size_t)n;
		else if (n < 0 && errno != EINTR)
			err = -errno;
	}
	close(fd);
	if (err == 0)
		*ret_len = len;
	return err;
}

int setting_parse_file(const struct setting_spec *spec, const char *path, char **field)
{
	char text[SETTING_SECRET_MAX +
		  3]; /* a line end, and one byte that shows that it is too long */
	size_t len = 0;
	int err = read_file(path, text, sizeof(text), &len);

	ensure(spec->type == SETTING_TYPE_SECRET && spec->high <= SETTING_SECRET_MAX);
	if (err < 0)
		return err;
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	err = parse_secret(spec, text, len, field);
	explicit_bzero(text, sizeof(text));
	return err;
}

/* --- all types --- */

int setting_parse(
	const struct setting_spec *spec, const char *text, void *field, const char **ret_why)
{
	uint64_t number;
	int err = 0;

	*ret_why = NULL;
	switch (spec->type) {
	case SETTING_TYPE_URLS:
		return parse_urls(spec, text, field, ret_why);
	case SETTING_TYPE_TEXTS:
		return parse_texts(spec, text, field);
	case SETTING_TYPE_SECRET:
		return parse_secret(spec, text, strlen(text), field);
	case SETTING_TYPE_ADDRESS:
		return address_parse(text, strlen(text), field, ret_why);
	case SETTING_TYPE_PATH:
	case SETTING_TYPE_TEXT:
		if (!is_in_bounds(spec, strlen(text)))
			return -EINVAL;
		return parse_text(text, strlen(text), field);
	case SETTING_TYPE_DURATION:
	case SETTING_TYPE_SIZE:
	case SETTING_TYPE_COUNT:
		err = parse_number(spec, text, &number);
		if (err < 0 || !is_in_bounds(spec, number))
			return -EINVAL;
		*(uint64_t *)field = number;
		return 0;
	case SETTING_TYPE_BOOL:
		err = parse_bool(text, field);
		break;
	case SETTING_TYPE_WORD:
		err = parse_word(spec, text, field);
		break;
	}
	return err < 0 ? -EINVAL : 0;
}

void setting_clear(enum setting_type type, void *field)
{
	char **text = field;

	switch (type) {
	case SETTING_TYPE_URLS:
		free(((struct url_list *)field)->items);
		*(struct url_list *)field = (struct url_list){.items = NULL};
		return;
	case SETTING_TYPE_TEXTS:
		free_texts(field);
		*(struct text_list *)field = (struct text_list){.items = NULL};
		return;
	case SETTING_TYPE_SECRET:
		if (*text)
			explicit_bzero(*text, strlen(*text));
		free(*text);
		*text = NULL;
		return;
	case SETTING_TYPE_PATH:
	case SETTING_TYPE_TEXT:
		free(*text);
		*text = NULL;
		return;
	case SETTING_TYPE_ADDRESS:
	case SETTING_TYPE_DURATION:
	case SETTING_TYPE_SIZE:
	case SETTING_TYPE_COUNT:
	case SETTING_TYPE_BOOL:
	case SETTING_TYPE_WORD:
		return; /* nothing allocated */
	}
}

/* --- and back to text --- */

static void format_with_unit(
	uint64_t value, const struct unit *units, size_t n_units, const char *zero, FILE *to)
{
	size_t i = 0;

	if (value == 0) {
		fputs(zero, to);
		return;
	}
	while (i < n_units - 1 && value % units[i].factor != 0)
		i++;
	fprintf(to, "%" PRIu64 "%s", value / units[i].factor, units[i].suffix);
}

static void print_number(enum setting_type type, uint64_t value, FILE *to)
{
	if (type == SETTING_TYPE_DURATION)
		format_with_unit(value, duration_units, ARRAY_LEN(duration_units), "0s", to);
	else if (type == SETTING_TYPE_SIZE)
		format_with_unit(value, size_units, ARRAY_LEN(size_units), "0", to);
	else
		fprintf(to, "%" PRIu64, value);
}

static void print_urls(const struct url_list *list, FILE *to)
{
	char text[ADDRESS_TEXT_MAX];

	for (size_t i = 0; i < list->n; i++) {
		listen_url_format(&list->items[i], text);
		fprintf(to, "%s%s", i > 0 ? "," : "", text);
	}
}

void setting_print(const struct setting_spec *spec, const void *field, FILE *to)
{
	const struct text_list *texts = field;
	const char *text = NULL;
	char address[ADDRESS_TEXT_MAX];

	switch (spec->type) {
	case SETTING_TYPE_URLS:
		print_urls(field, to);
		return;
	case SETTING_TYPE_ADDRESS:
		address_format(field, address);
		text = address;
		break;
	case SETTING_TYPE_TEXTS:
		for (size_t i = 0; i < texts->n; i++)
			fprintf(to, "%s%s", i > 0 ? "," : "", texts->items[i]);
		return;
	case SETTING_TYPE_PATH:
	case SETTING_TYPE_TEXT:
		text = *(char *const *)field;
		break;
	case SETTING_TYPE_SECRET:
		text = *(char *const *)field ? "***" : NULL;
		break;
	case SETTING_TYPE_DURATION:
	case SETTING_TYPE_SIZE:
	case SETTING_TYPE_COUNT:
		print_number(spec->type, *(const uint64_t *)field, to);
		return;
	case SETTING_TYPE_BOOL:
		text = *(const bool *)field ? "true" : "false";
		break;
	case SETTING_TYPE_WORD:
		text = words[spec->low][*(const unsigned *)field];
		break;
	}
	fputs(text ? text : "", to);
}

static void describe_number(
	const struct setting_spec *spec, const char *noun, const char *like, FILE *to)
{
	fprintf(to, "%s from ", noun);
	print_number(spec->type, spec->low, to);
	fputs(" to ", to);
	print_number(spec->type, spec->high, to);
	fputs(like, to);
}

static void describe_words(const char *const *list, FILE *to)
{
	for (size_t i = 0; list[i]; i++)
		fprintf(to, "%s%s", i == 0 ? "" : list[i + 1] ? ", " : " or ", list[i]);
}

void setting_describe(const struct setting_spec *spec, FILE *to)
{
	switch (spec->type) {
	case SETTING_TYPE_URLS:
		fprintf(to, "%" PRIu64 " to %" PRIu64 " URLs with commas between", spec->low,
			spec->high);
		return;
	case SETTING_TYPE_ADDRESS:
		fputs("host:port", to);
		return;
	case SETTING_TYPE_TEXTS:
		fprintf(to, "%" PRIu64 " to %" PRIu64 " items with commas between", spec->low,
			spec->high);
		return;
	case SETTING_TYPE_PATH:
		fputs("the path of a file", to);
		return;
	case SETTING_TYPE_TEXT:
		fprintf(to, "%" PRIu64 " to %" PRIu64 " bytes", spec->low, spec->high);
		return;
	case SETTING_TYPE_SECRET:
		fprintf(to, "%" PRIu64 " to %" PRIu64 " bytes without control characters",
			spec->low, spec->high);
		return;
	case SETTING_TYPE_DURATION:
		describe_number(spec, "a duration", ", such as 500ms, 30s or 5m", to);
		return;
	case SETTING_TYPE_SIZE:
		describe_number(spec, "a size", ", such as 4096, 64KiB or 1MiB", to);
		return;
	case SETTING_TYPE_COUNT:
		describe_number(spec, "a whole number", "", to);
		return;
	case SETTING_TYPE_BOOL:
		fputs("true or false", to);
		return;
	case SETTING_TYPE_WORD:
		describe_words(words[spec->low], to);
		return;
	}
}

void setting_print_escaped(const char *text, FILE *to)
{
	enum { MAX = 200 };

	for (size_t i = 0; text[i]; i++) {
		if (i == MAX) {
			fputs("...", to);
			return;
		}
		if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] > 0x7e)
			fprintf(to, "\\x%02x", (unsigned char)text[i]);
		else
			fputc(text[i], to);
	}
}
