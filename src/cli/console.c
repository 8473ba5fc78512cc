#include "cli/console.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct style console_style(bool is_utc)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool is_terminal = isatty(STDOUT_FILENO) == 1;

	return (struct style){
		.is_terminal = is_terminal,
		.has_colour = is_terminal && (!no_color || !no_color[0]) &&
			      (!term || strcmp(term, "dumb") != 0),
		.is_utc = is_utc,
		.now_ms = (int64_t)clock_instant().wall_ms,
	};
}

int console_write(struct buffer *b)
{
	size_t done = 0;
	int err = b->failed ? -ENOMEM : 0;

	while (err == 0 && done < b->len) {
		ssize_t n = write(STDOUT_FILENO, b->data + done, b->len - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno ==
			 EAGAIN) /* the terminal was left non-blocking by another program */
			poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, -1);
		else if (errno != EINTR)
			err = -errno;
	}
	buffer_clear(b);
	return err;
}

enum exit_code console_exit(int err)
{
	if (err == 0 || err == -EPIPE)
		return EXIT_CODE_DONE;
	if (err == -ENOMEM) {
		console_complain("out of memory");
		return EXIT_CODE_OS;
	}
	console_complain("standard output: %s", strerror(-err));
	return EXIT_CODE_IO;
}

bool console_reader_is_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP)) != 0;
}

void console_complain(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("presencectl: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

void console_complain_of(const struct buffer *text)
{
	console_complain("%.*s", (int)text->len, text->failed || !text->data ? "" : text->data);
}
