/* Refused allocations, for tests: the n-th allocation that our own code asks for returns NULL.
 *
 *   for (long n = 1; alloc_fail_begin(n), result = thing_new(), alloc_fail_end(); n++)
 *       assert_null(result);          // the sweep: until no allocation is left to be refused
 *
 * Threads  each thread has its own count: what others allocate is not touched.
 * Reach    the calls from the library under test and from the test (ld --wrap); not those inside libc,
 *          jansson or cmocka. */
#ifndef TESTS_FAILING_ALLOC_H
#define TESTS_FAILING_ALLOC_H

#include <stdbool.h>

void alloc_fail_begin(long nth); /* 1 is the next one */
bool alloc_fail_end(void); /* refuses no more; whether it did since alloc_fail_begin() */

#endif
