/* A disk that fails when it is told to: SQLite's calls for files go through it.
 *
 * Threads  any; the knobs are atomic. */
#ifndef TESTS_FAULTY_DISK_H
#define TESTS_FAULTY_DISK_H

#include <stdatomic.h>
#include <stdbool.h>

struct faulty_disk {
	_Atomic int write_error, read_error, open_error; /* what SQLite is told; 0: it goes well */
	_Atomic long n_writes; /* since it was last set to 0 */
	_Atomic long fail_nth_write; /* this one, and those after it, with write_error; 0: all */
};

extern struct faulty_disk faulty_disk;

void faulty_disk_insert(void); /* from here on, for files opened then; whole */
void faulty_disk_mend(void);

#endif
