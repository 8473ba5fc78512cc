#include "options.h"

#include "base/compiler.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EXIT_USAGE = 64, LIMIT_S = 300 };

NORETURN static void usage(const char *program, const char *option, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program, option, why);
	exit(EXIT_USAGE);
}

static bool read_number(const char *text, uint64_t *ret)
{
	char *end;

	errno = 0;
	*ret = strtoull(text, &end, 10);
	return !errno && end != text && !*end && *text != '-';
}

static bool read_url(const char *text, struct options *o)
{
	char host[INET_ADDRSTRLEN];
	unsigned port;

	o->server = (struct sockaddr_in){.sin_family = AF_INET};
	o->is_tls = strncmp(text, "tls://", 6) == 0;
	if (!o->is_tls && strncmp(text, "tcp://", 6) != 0)
		return false;
	if (sscanf(text + 6, "%15[0-9.]:%5u", host, &port) != 2 || !port || port > UINT16_MAX)
		return false;
	o->server.sin_port = htons((uint16_t)port);
	return inet_pton(AF_INET, host, &o->server.sin_addr) == 1;
}

static bool read_own(const struct option_spec *own, const char *name, const char *value)
{
	for (; own->name; own++) {
		if (strcmp(own->name, name) != 0)
			continue;
		if (own->number)
			return read_number(value, own->number);
		*own->word = value;
		return true;
	}
	return false;
}

static bool read_common(struct options *o, const char *name, const char *value)
{
	uint64_t number;

	if (!strcmp(name, "connect"))
		return read_url(value, o);
	if (!strcmp(name, "server")) {
		o->server_name = value;
		return true;
	}
	if (!strcmp(name, "dialect")) {
		o->dialect = dialect_find(value);
		return o->dialect != NULL;
	}
	if (!read_number(value, &number))
		return false;
	if (!strcmp(name, "pid"))
		o->pid = (pid_t)number;
	else if (!strcmp(name, "limit-s"))
		alarm((unsigned)number);
	else
		return false;
	return true;
}

static void read_all(int argc, char **argv, const struct option_spec *own, struct options *o)
{
	alarm(LIMIT_S);
	for (int i = 1; i < argc; i += 2) {
		if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc)
			usage(argv[0], argv[i], "expected --name value");
		if (!read_own(own, argv[i] + 2, argv[i + 1]) &&
			!read_common(o, argv[i] + 2, argv[i + 1]))
			usage(argv[0], argv[i], "not known here, or its value is not understood");
	}
}

void options_read_own(int argc, char **argv, const struct option_spec *own)
{
	struct options unused = {0};

	read_all(argc, argv, own, &unused);
}

void options_read(int argc, char **argv, const struct option_spec *own, struct options *ret)
{
	struct rlimit limit;

	*ret = (struct options){.server_name = "presenced", .dialect = &dialect_presence};
	read_all(argc, argv, own, ret);
	if (!ret->server.sin_port)
		usage(argv[0], "--connect", "needed: tcp://ADDRESS:PORT");
	if (!ret->pid)
		usage(argv[0], "--pid", "needed: the server's process");
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit); /* up to the hard limit it can't fail */
	}
	signal(SIGPIPE, SIG_IGN);
}
