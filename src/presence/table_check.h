/* The session table, looked over whole: whether everything in it agrees with everything else.
 *
 * Threads  none other may use the table meanwhile: that is for the caller to see to. For tests.
 * Locks    each stripe's in turn.
 * Memory   none. Time: that of a walk over all of it. */
#ifndef PRESENCE_TABLE_CHECK_H
#define PRESENCE_TABLE_CHECK_H

struct table;

/* NULL, or a static text that says what is broken first. */
const char *table_check(struct table *);

#endif
