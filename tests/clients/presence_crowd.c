/* Many clients of the library in one process and one epoll loop, for tests of what a server's restart does to it.
 *
 *     presence_crowd URL N [BACKOFF_MAX_MS]
 *
 * Client i is user "c<i>" and watches the next one. On standard input: "mark\n" begins a count, "report\n" says what
 * was counted since, "stop\n" ends it. On standard output, a JSON line each: {"up":N} whenever all of them are, and
 * reports. */
#include "presence.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { SLOT_MS = 100, SLOTS_MAX = 3000, EVENTS_MAX = 512 };

struct member {
	struct presence *p;
	uint64_t deadline;
	size_t place; /* in the heap */
	bool is_up;
};

static struct member *members;
static size_t n_members, n_up;
static uint32_t backoff_max_ms; /* 0: the library's */
static struct member **heap; /* by deadline */
static int epoll_fd;

static struct {
	uint64_t marked_at;
	unsigned attempts[SLOTS_MAX];
	unsigned n_attempts, n_lost, n_unknown;
	uint64_t all_up_at, cpu_ms;
} count;

/* --- deadlines: a binary heap --- */

static void place(struct member *m, size_t at)
{
	heap[at] = m;
	m->place = at;
}

static void sift(struct member *m)
{
	size_t at = m->place;

	while (at > 0 && m->deadline < heap[(at - 1) / 2]->deadline) {
		place(heap[(at - 1) / 2], at);
		at = (at - 1) / 2;
	}
	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < n_members && heap[child + 1]->deadline < heap[child]->deadline)
			child++;
		if (child >= n_members || heap[child]->deadline >= m->deadline)
			break;
		place(heap[child], at);
		at = child;
	}
	place(m, at);
}

static void ask_deadline(struct member *m)
{
	uint64_t deadline = presence_deadline(m->p);

	if (deadline == m->deadline)
		return;
	m->deadline = deadline;
	sift(m);
}

/* --- what the library tells --- */

static void on_socket(struct presence *p, int fd, unsigned want, void *arg)
{
	struct epoll_event event = {.events = (want & PRESENCE_READABLE ? EPOLLIN : 0u) |
					      (want & PRESENCE_WRITABLE ? EPOLLOUT : 0u),
		.data.ptr = arg};

	(void)p;
	if (want == 0)
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
	else if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT)
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void on_link(struct presence *p, const struct presence_link_event *event, void *arg)
{
	struct member *m = arg;
	uint64_t now = presence_now();

	(void)p;
	if (event->link == PRESENCE_LINK_CONNECTING) {
		uint64_t slot = (now - count.marked_at) / SLOT_MS;
		count.attempts[slot < SLOTS_MAX ? slot : SLOTS_MAX - 1]++;
		count.n_attempts++;
	}
	if (m->is_up && event->link != PRESENCE_LINK_UP)
		count.n_lost++;
	n_up -= m->is_up ? 1 : 0;
	m->is_up = event->link == PRESENCE_LINK_UP;
	n_up += m->is_up ? 1 : 0;
	if (m->is_up && n_up == n_members) {
		count.all_up_at = now;
		printf("{\"up\":%zu}\n", n_up);
		fflush(stdout);
	}
}

static void on_contact(struct presence *p, const struct presence_contact *c, void *arg)
{
	(void)p, (void)arg;
	count.n_unknown += c->truth == PRESENCE_UNKNOWN;
}

/* --- commands --- */

static uint64_t cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void report(void)
{
	unsigned peak = 0;

	for (size_t i = 0; i < SLOTS_MAX; i++)
		peak = count.attempts[i] > peak ? count.attempts[i] : peak;
	printf("{\"attempts\":%u,\"peak\":%u,\"lost\":%u,\"unknown\":%u,\"up\":%zu,\"all_up_ms\":%lld,\"cpu_ms\":%llu}\n",
		count.n_attempts, peak, count.n_lost, count.n_unknown, n_up,
		(long long)(count.all_up_at - count.marked_at),
		(unsigned long long)(cpu_ms() - count.cpu_ms));
	fflush(stdout);
}

/* False at the end. */
static bool obey(void)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin) || strcmp(line, "stop\n") == 0)
		return false;
	if (strcmp(line, "mark\n") == 0) {
		memset(&count, 0, sizeof(count));
		count.marked_at = presence_now();
		count.cpu_ms = cpu_ms();
		printf("{\"marked\":true}\n");
		fflush(stdout);
	} else {
		report();
	}
	return true;
}

/* --- the loop --- */

static void run(void)
{
	struct epoll_event events[EVENTS_MAX];
	bool goes_on = true;

	while (goes_on) {
		uint64_t now = presence_now(), next = heap[0]->deadline;
		int wait = next <= now ? 0 : next - now < 60000 ? (int)(next - now) + 1 : 60000;
		int n = epoll_wait(epoll_fd, events, EVENTS_MAX, wait);

		for (int i = 0; i < n; i++) {
			struct member *m = events[i].data.ptr;
			uint32_t had = events[i].events;

			if (!m) {
				goes_on = obey();
				continue;
			}
			presence_ready(
				m->p, (had & ~(uint32_t)EPOLLOUT ? PRESENCE_READABLE : 0u) |
					      (had & ~(uint32_t)EPOLLIN ? PRESENCE_WRITABLE : 0u));
			ask_deadline(m);
		}
		now = presence_now();
		while (heap[0]->deadline <= now) {
			presence_ready(heap[0]->p, 0);
			ask_deadline(heap[0]);
		}
	}
}

static void begin(const char *url, size_t i)
{
	struct member *m = &members[i];
	char user[32], next[32];
	struct presence_options options = {.size = sizeof(options),
		.url = url,
		.user = user,
		.backoff_max_ms = backoff_max_ms,
		.arg = m,
		.on_link = on_link,
		.on_contact = on_contact,
		.on_socket = on_socket};

	snprintf(user, sizeof(user), "c%zu", i);
	snprintf(next, sizeof(next), "c%zu", (i + 1) % n_members);
	if (presence_new(&options, &m->p) != PRESENCE_OK ||
		presence_watch(m->p, (const char *const[]){next}, 1) != PRESENCE_OK) {
		fprintf(stderr, "no client %zu\n", i);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	if (argc < 3 || (n_members = strtoul(argv[2], NULL, 10)) == 0)
		return 64;
	backoff_max_ms = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 0;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	members = calloc(n_members, sizeof(*members));
	heap = calloc(n_members, sizeof(struct member *));
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!members || !heap || epoll_fd < 0)
		return 1;
	setvbuf(stdin, NULL, _IONBF, 0);
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &(struct epoll_event){.events = EPOLLIN});
	count.marked_at = presence_now();
	for (size_t i = 0; i < n_members; i++) {
		members[i].deadline = UINT64_MAX;
		place(&members[i], i);
		begin(argv[1], i);
	}
	for (size_t i = 0; i < n_members; i++) {
		presence_start(members[i].p);
		ask_deadline(&members[i]);
	}
	run();
	for (size_t i = 0; i < n_members; i++)
		presence_free(members[i].p);
	free(members);
	free(heap);
	close(epoll_fd);
	return 0;
}
