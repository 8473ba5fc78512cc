/* Standard output and standard error.
 *
 * Whole lines go out as they are made, so that a pipe's reader has them at once. SIGPIPE is ignored: a reader that
 * has gone is an error of the write, and no failure: it had enough. Threads one. */
#ifndef CLI_CONSOLE_H
#define CLI_CONSOLE_H

#include "cli/exits.h"
#include "cli/when.h"

/* Of standard output: whether it is a terminal, and whether NO_COLOR (https://no-color.org) and TERM allow colours. */
struct style console_style(bool is_utc);

/* Writes all of it, and clears it. 0; -EPIPE where the reader is gone, -ENOMEM where it is not whole, or what
 * write(2) says. */
int console_write(struct buffer *);

/* What a command ends with after console_write() said so: DONE also where the reader is gone. Complains of the rest. */
enum exit_code console_exit(int err);

/* True once standard output is a pipe or socket that nobody reads any more. */
bool console_reader_is_gone(void);

/* One line to standard error. What comes from elsewhere is made safe before. */
void console_complain(const char *format, ...) FORMAT_PRINTF(1, 2);
void console_complain_of(const struct buffer *text);

#endif
