/* What the command line says, the same for all benches that need a server.
 *
 *   --connect tcp://127.0.0.1:7400   the server, IPv4; or tls://
 *   --pid N                          its process, for CPU and memory
 *   --server NAME                    what to call it in the figures
 *   --dialect NAME                   what it speaks
 *   --limit-s N                      the bench kills itself after that
 *   --KEY VALUE                      what the bench itself takes: numbers, and words
 *
 * Threads  one, at start. Errors: said on stderr, exit code 64. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "dialect.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One option of the bench's own: number, or (number == NULL) word. */
struct option_spec {
	const char *name; /* without the dashes; NULL ends the list */
	uint64_t *number;
	const char **word;
};

struct options {
	struct sockaddr_in server;
	bool is_tls; /* a tls:// URL */
	pid_t pid; /* 0 where not given */
	const char *server_name;
	const struct dialect *dialect;
};

/* Also raises the descriptor limit to the hard one, sets the limit of time, and ignores SIGPIPE. */
void options_read(int argc, char **argv, const struct option_spec *own, struct options *ret);

/* Like options_read, for benches without a server. */
void options_read_own(int argc, char **argv, const struct option_spec *own);

#endif
