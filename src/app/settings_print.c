#include "app/settings.h"

#include <string.h>

static const char *const origin_words[SETTING_ORIGIN_N] = {
	[SETTING_ORIGIN_DEFAULT] = "default",
	[SETTING_ORIGIN_ENVIRONMENT] = "environment",
	[SETTING_ORIGIN_FILE] = "file",
};

#define DOCUMENT_WORD(name, word, help) [SETTINGS_DOCUMENT_##name] = word,
static const char *const document_words[SETTINGS_DOCUMENT_N] = {SETTINGS_DOCUMENTS(DOCUMENT_WORD)};
#undef DOCUMENT_WORD

/* The help, with 'between' in place of its line break. */
static void print_help_text(const char *help, const char *between, FILE *to)
{
	size_t first = strcspn(help, "\n");

	fprintf(to, "%.*s", (int)first, help);
	if (help[first] == '\n')
		fprintf(to, "%s%s", between, help + first + 1);
}

void settings_print_help(FILE *to)
{
	for (unsigned i = 0; i < SETTING_N; i++) {
		const struct setting_spec *spec = &setting_specs[i];

		fprintf(to, "  %s", spec->name);
		if (spec->fallback)
			fprintf(to, "=%s", spec->fallback);
		fputs("\n      ", to);
		print_help_text(spec->help, "\n      ", to);
		fputc('\n', to);
	}
}

void settings_print_config(const struct settings *s, FILE *to)
{
	for (unsigned i = 0; i < SETTING_N; i++) {
		const struct setting_spec *spec = &setting_specs[i];

		fprintf(to, "%s=", spec->name);
		setting_print(spec, (const char *)s + spec->offset, to);
		fprintf(to, "  # %s\n", origin_words[s->origins[i]]);
	}
}

bool settings_document_parse(const char *word, enum settings_document *ret)
{
	for (unsigned i = 0; i < SETTINGS_DOCUMENT_N; i++) {
		if (strcmp(word, document_words[i]) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static void print_markdown(FILE *to)
{
	fputs("| name | default | value | what |\n|---|---|---|---|\n", to);
	for (unsigned i = 0; i < SETTING_N; i++) {
		const struct setting_spec *spec = &setting_specs[i];

		fprintf(to, "| `%s` | ", spec->name);
		if (spec->fallback)
			fprintf(to, "`%s` | ", spec->fallback);
		else
			fputs("– | ", to);
		setting_describe(spec, to);
		if (spec->type == SETTING_TYPE_SECRET)
			fprintf(to, "; or `%s_FILE`, a file that holds it", spec->name);
		fputs(" | ", to);
		print_help_text(spec->help, " ", to);
		fputs(" |\n", to);
	}
}

static void print_env(FILE *to)
{
	for (unsigned i = 0; i < SETTING_N; i++) {
		const struct setting_spec *spec = &setting_specs[i];

		fputs(i > 0 ? "\n# " : "# ", to);
		print_help_text(spec->help, "\n# ", to);
		fputs("\n# (", to);
		setting_describe(spec, to);
		fprintf(to, ")\n#%s=%s\n", spec->name, spec->fallback ? spec->fallback : "");
	}
}

/* mdoc(7) takes a '.' or a single quote that begins a line as its own, and every backslash. */
static void print_man_text(const char *text, FILE *to)
{
	for (bool begins = true; *text; begins = *text++ == '\n') {
		if (begins && (*text == '.' || *text == '\''))
			fputs("\\&", to);
		fputs(*text == '\\' ? "\\e" : (char[2]){*text, '\0'}, to);
	}
}

static void print_man(FILE *to)
{
	for (unsigned i = 0; i < SETTING_N; i++) {
		const struct setting_spec *spec = &setting_specs[i];

		fprintf(to, ".It Ev %s\n", spec->name);
		print_man_text(spec->help, to);
		fputs("\n(", to);
		setting_describe(spec, to);
		if (spec->type == SETTING_TYPE_SECRET)
			fprintf(to, ";\nor %s_FILE, a file that holds it", spec->name);
		if (spec->fallback) {
			fputs(";\ndefault ", to);
			print_man_text(spec->fallback, to);
		}
		fputs(")\n", to);
	}
}

void settings_print_document(enum settings_document which, FILE *to)
{
	switch (which) {
	case SETTINGS_DOCUMENT_MARKDOWN:
		print_markdown(to);
		return;
	case SETTINGS_DOCUMENT_ENV:
		print_env(to);
		return;
	case SETTINGS_DOCUMENT_MAN:
		print_man(to);
		return;
	case SETTINGS_DOCUMENT_N:
		return;
	}
}
