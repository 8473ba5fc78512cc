/* Broken invariants, for tests: whether a call aborts. */
#ifndef TESTS_DIES_H
#define TESTS_DIES_H

#include <stdbool.h>

/* Runs 'call' in a child, whose stderr is dropped; true if it ended by SIGABRT. */
bool dies(void (*call)(void *), void *argument);

#endif
