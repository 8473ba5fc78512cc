/* Arguments and exit codes; all else is app/. */
#include "app/app.h"
#include "app/probe.h"
#include "app/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

/* X(OPTION, "--option", help) */
#define OPTIONS(X)                                                                                 \
	X(HELP, "--help", "this text")                                                             \
	X(VERSION, "--version", "the version")                                                     \
	X(CHECK_CONFIG, "--check-config", "read the settings, say ok or what is wrong with them")  \
	X(PRINT_CONFIG, "--print-config", "show each setting, and where it is from")               \
	X(HEALTH, "--health", "ask a running server, at a URL or PRESENCED_ADMIN_LISTEN")

#define OPTION_ENUM(name, text, help) OPTION_##name,
enum option { OPTION_NONE, OPTIONS(OPTION_ENUM) OPTION_DOCUMENT, OPTION_WRONG };

static const char document_option[] =
	"--print-settings="; /* for those who package: not in the help */

static void print_help(void)
{
#define OPTION_HELP(name, text, help) printf("  %-16s  %s\n", text, help);
	puts("Usage: presenced [option]\n"
	     "       presenced --health [http://host:port/path]\n"
	     "\n"
	     "The presence server: who is online, told to those who watch.\n");
	OPTIONS(OPTION_HELP)
	puts("\n"
	     "Settings, from the environment, with their defaults. Durations: 500ms, 30s, 5m;\n"
	     "sizes: 64KiB, 1MiB; a secret may come as NAME_FILE, the file that holds it.\n");
	settings_print_help(stdout);
	puts("\n"
	     "Exit codes: 0 stopped as told; 1 not healthy (--health); 64 usage; 69 address in\n"
	     "use or not to be had; 77 permission; 78 configuration.");
}

static enum option find_option(int argc, char **argv, enum settings_document *ret_document)
{
#define OPTION_FIND(name, text, help)                                                              \
	if (strcmp(argv[1], text) == 0)                                                            \
		return OPTION_##name;
	size_t len = sizeof(document_option) - 1;

	if (argc <= 1)
		return OPTION_NONE;
	if (argc == 3 && strcmp(argv[1], "--health") == 0)
		return OPTION_HEALTH;
	if (argc > 2)
		return OPTION_WRONG;
	OPTIONS(OPTION_FIND)
	if (strncmp(argv[1], document_option, len) == 0 &&
		settings_document_parse(argv[1] + len, ret_document))
		return OPTION_DOCUMENT;
	return OPTION_WRONG;
}

static int complain_of_usage(int argc, char **argv)
{
	fputs("presenced: ", stderr);
	if (argc > 2) {
		fputs("expected one option at most, and a URL after --health", stderr);
	} else {
		fputs("no such option: ", stderr);
		setting_print_escaped(argv[1], stderr);
	}
	fputs("; presenced --help lists them\n", stderr);
	return EX_USAGE;
}

static int run_with_settings(enum option option)
{
	struct settings settings;
	int err = settings_load(environ, stderr, &settings), code = EXIT_SUCCESS;

	if (err < 0)
		return err == -ENOMEM ? EX_UNAVAILABLE : EX_CONFIG;
	if (option == OPTION_CHECK_CONFIG) {
		puts("ok");
	} else if (option == OPTION_PRINT_CONFIG) {
		settings_print_config(&settings, stdout);
	} else {
		settings_apply_log(&settings);
		code = app_run(&settings);
	}
	settings_free(&settings);
	return code;
}

static int complain_of_probe(const char *of, const char *why, int code)
{
	fputs("presenced: --health: ", stderr);
	setting_print_escaped(of, stderr);
	fprintf(stderr, ": expected %s\n", why);
	return code;
}

/* Where the settings say that the admin HTTP is. They are all read, as the server would: one that is wrong is told. */
static int probe_by_settings(struct probe *ret)
{
	struct settings settings;
	const char *why;
	int err = settings_load(environ, stderr, &settings);

	if (err < 0)
		return err == -ENOMEM ? EX_UNAVAILABLE : EX_CONFIG;
	err = probe_of_setting(&settings.admin_listen, ret, &why);
	settings_free(&settings);
	return err < 0 ? complain_of_probe("PRESENCED_ADMIN_LISTEN", why, EX_CONFIG) : EXIT_SUCCESS;
}

/* Container engines take 1 for unhealthy. */
static int ask_health(const char *url)
{
	enum { TIMEOUT_MS = 3000 };
	struct probe probe;
	const char *why;
	unsigned status;
	int err;

	if (!url) {
		int code = probe_by_settings(&probe);
		if (code != EXIT_SUCCESS)
			return code;
	} else if (probe_parse(url, &probe, &why) < 0) {
		return complain_of_probe(url, why, EX_USAGE);
	}
	err = probe_run(&probe, TIMEOUT_MS, &status);
	if (err == 0)
		puts("ok");
	else if (status > 0)
		fprintf(stderr, "presenced: %s answers %u\n", probe.path, status);
	else
		fprintf(stderr, "presenced: no answer to %s: %s\n", probe.path, strerror(-err));
	return err ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	enum settings_document document;
	enum option option = find_option(argc, argv, &document);

	switch (option) {
	case OPTION_HELP:
		print_help();
		return EXIT_SUCCESS;
	case OPTION_VERSION:
		puts("presenced " PRESENCED_VERSION);
		return EXIT_SUCCESS;
	case OPTION_DOCUMENT:
		settings_print_document(document, stdout);
		return EXIT_SUCCESS;
	case OPTION_HEALTH:
		return ask_health(argc == 3 ? argv[2] : NULL);
	case OPTION_NONE:
	case OPTION_CHECK_CONFIG:
	case OPTION_PRINT_CONFIG:
		return run_with_settings(option);
	case OPTION_WRONG:
		break;
	}
	return complain_of_usage(argc, argv);
}
