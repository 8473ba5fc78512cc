/* Memory for the JSON of one message: taken in a few blocks, given back in one go.
 *
 * Why not plain malloc: jansson 2.14 does not look whether its lexer's buffer could grow. Where memory is
 * refused it goes on with a string that lacks bytes (another user's id, maybe), reads past the buffer, or
 * aborts. So no allocation may fail under its feet: one that is refused leaves the parse by longjmp. That is
 * safe because all that a parse holds is in this memory, and it has no lock and no other state. A watch of
 * 1,000 users also costs a handful of allocations instead of 3,000.
 *
 * Threads  any, each with a parse of its own. jansson's hooks are one pair a process: they are set before
 *          main(), and for whoever else uses jansson they do what the ones before did.
 * Memory   whole until message_memory_free(). Not for json_decref(): nothing in it is given back alone.
 * Errors   0 or negative errno. */
#ifndef WIRE_MESSAGE_MEMORY_H
#define WIRE_MESSAGE_MEMORY_H

#include <jansson.h>
#include <stddef.h>

struct message_memory;

/* Set the hooks, over those that are set now and that give the blocks. Done before main(); again only by a
 * test, before its threads, after it set hooks of its own. */
void message_memory_install(void);

/* Read JSON. '*ret_memory' is NULL where the hooks were taken away again: then json_decref() is due.
 * -EINVAL: not JSON, see 'error'; -ENOMEM. */
int message_memory_load(const char *text, size_t len, json_t **ret_root,
	struct message_memory **ret_memory, json_error_t *error);
void message_memory_free(struct message_memory *);

#endif
