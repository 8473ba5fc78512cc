/* Preloaded into a server: what no test can bring about from outside.
 *
 *   MEDDLE_SUSPEND=file   CLOCK_BOOTTIME is ahead by the 64-bit number of nanoseconds that the file begins with, as after a
 *                         suspend of the machine; a test writes it while the server runs.
 *   MEDDLE_REFUSE=bytes   malloc(3) of exactly so many bytes is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void *__libc_malloc(size_t bytes);

static _Atomic uint64_t none;
static _Atomic uint64_t *suspended_ns = &none;
static size_t refused_bytes;

__attribute__((constructor)) static void look_around(void)
{
	const char *path = getenv("MEDDLE_SUSPEND"), *refuse = getenv("MEDDLE_REFUSE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

	refused_bytes = refuse ? strtoul(refuse, NULL, 10) : 0;
	if (fd < 0)
		return;
	void *page = mmap(NULL, sizeof(*suspended_ns), PROT_READ, MAP_SHARED, fd, 0);
	if (page != MAP_FAILED)
		suspended_ns = page;
	close(fd);
}

/* The system call itself: what the C library would do is under the name that this has. */
int clock_gettime(clockid_t which, struct timespec *ret)
{
	long result = syscall(SYS_clock_gettime, which, ret);

	if (result == 0 && which == CLOCK_BOOTTIME) {
		uint64_t ns = (uint64_t)ret->tv_nsec + atomic_load(suspended_ns);
		ret->tv_sec += (time_t)(ns / 1000000000);
		ret->tv_nsec = (long)(ns % 1000000000);
	}
	return (int)result;
}

void *malloc(size_t bytes)
{
	if (refused_bytes > 0 && bytes == refused_bytes) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_malloc(bytes);
}
