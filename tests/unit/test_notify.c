/* What the service manager is told, in its own protocol, and when its watchdog is fed. */
#include "app/notify.h"
#include "app/service.h"

#include "support/stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A manager that listens, at a path or an abstract name. */
struct manager {
	int fd;
	char name[108];
};

static void manager_begin(struct manager *m, bool is_abstract)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	static unsigned n;
	int len = snprintf(m->name, sizeof(m->name), "%spresenced-test-%d-%u",
		is_abstract ? "@" : "/tmp/", (int)getpid(), n++);

	memcpy(at.sun_path, m->name, (size_t)len);
	if (is_abstract)
		at.sun_path[0] = '\0';
	m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	socklen_t at_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len);
	assert_int_equal(bind(m->fd, (struct sockaddr *)&at, at_len), 0);
}

static void manager_end(struct manager *m)
{
	close(m->fd);
	if (m->name[0] == '/')
		unlink(m->name);
}

/* The next datagram, "" for none. */
static const char *manager_told(struct manager *m)
{
	static char text[1024];
	ssize_t n = recv(m->fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	return text;
}

static void datagrams_reach_paths_and_abstract_names(void **state)
{
	(void)state;
	for (int is_abstract = 0; is_abstract < 2; is_abstract++) {
		struct manager m;
		struct notify n;
		manager_begin(&m, is_abstract);
		notify_open(&n, m.name, NULL, NULL);
		assert_true(notify_is_on(&n));
		assert_int_equal(n.watchdog_ms, 0);
		notify_send(&n, "READY=%d\nSTATUS=%s", 1, "here");
		assert_string_equal(manager_told(&m), "READY=1\nSTATUS=here");
		assert_string_equal(manager_told(&m), "");
		notify_close(&n);
		notify_send(&n, "READY=1");
		assert_string_equal(manager_told(&m), "");
		manager_end(&m);
	}
}

static void without_a_manager_nothing_is_said(void **state)
{
	static const char *const of_no_use[] = {"", "relative", "vsock:2:1234", "@", "/"};
	char longer[200];
	struct notify n;

	(void)state;
	notify_open(&n, NULL, "1000000", NULL);
	assert_false(notify_is_on(&n));
	assert_int_equal(n.watchdog_ms, 0);
	for (size_t i = 0; i < sizeof(of_no_use) / sizeof(of_no_use[0]); i++) {
		notify_open(&n, of_no_use[i], NULL, NULL);
		assert_false(notify_is_on(&n));
	}
	memset(longer, 'x', sizeof(longer));
	longer[0] = '/';
	longer[108] = '\0'; /* one more than there is room for with its NUL */
	notify_open(&n, longer, NULL, NULL);
	assert_false(notify_is_on(&n));
	notify_send(&n, "READY=1");
	/* Nobody is there: it goes nowhere. */
	notify_open(&n, "/tmp/presenced-test-nobody", NULL, NULL);
	assert_true(notify_is_on(&n));
	notify_send(&n, "READY=1");
	notify_close(&n);
}

static void a_watchdog_is_fed_that_is_for_this_process(void **state)
{
	const struct {
		const char *usec, *pid;
		uint64_t watchdog_ms;
	} cases[] = {
		{NULL, NULL, 0},
		{"15000000", NULL, 15000},
		{"15000000", "own", 15000},
		{"15000000", "1", 0},
		{"15000000", "", 0},
		{"0", NULL, 0},
		{"soon", NULL, 0},
		{"99999999999999999999999", NULL, 0},
	};
	struct manager m;
	char own[16];

	(void)state;
	snprintf(own, sizeof(own), "%d", (int)getpid());
	manager_begin(&m, true);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *pid = cases[i].pid;
		struct notify n;
		notify_open(&n, m.name, cases[i].usec, pid && strcmp(pid, "own") == 0 ? own : pid);
		assert_int_equal(n.watchdog_ms, cases[i].watchdog_ms);
		notify_close(&n);
	}
	manager_end(&m);
}

/* --- the server's life --- */

struct life {
	struct manager manager;
	struct stage stage;
	struct telemetry *telemetry;
	struct service service;
};

static int life_begin(void **state)
{
	static struct life l;

	manager_begin(&l.manager, true);
	stage_begin(&l.stage, 1000, 10);
	l.telemetry = telemetry_new(2, 0);
	setenv("NOTIFY_SOCKET", l.manager.name, 1);
	setenv("WATCHDOG_USEC", "9000000", 1);
	unsetenv("WATCHDOG_PID");
	service_open(&l.service);
	assert_string_equal(manager_told(&l.manager), "STATUS=starting");
	service_ready(&l.service, l.telemetry, l.stage.table, 1000);
	*state = &l;
	return l.telemetry ? 0 : -1;
}

static int life_end(void **state)
{
	struct life *l = *state;

	service_close(&l->service);
	telemetry_free(l->telemetry);
	stage_end(&l->stage);
	manager_end(&l->manager);
	return 0;
}

#define STATUS_EMPTY "STATUS=serving 0 sessions; 0 users are online"

static void it_is_told_of_each_change(void **state)
{
	struct life *l = *state;

	assert_string_equal(manager_told(&l->manager), "READY=1\n" STATUS_EMPTY);
	service_reloading(&l->service, UINT64_C(1234567890));
	assert_string_equal(manager_told(&l->manager),
		"RELOADING=1\nMONOTONIC_USEC=1234567\nSTATUS=reading certificate and keys again");
	service_reloaded(&l->service);
	assert_string_equal(manager_told(&l->manager), "READY=1\n" STATUS_EMPTY);
	service_stopping(&l->service, 20000);
	assert_string_equal(manager_told(&l->manager),
		"STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=30000000");
	assert_string_equal(manager_told(&l->manager), "WATCHDOG_USEC=30000000\nWATCHDOG=1");
	assert_string_equal(manager_told(&l->manager), "");
}

static void scan(struct life *l)
{
	atomic_fetch_add(&l->telemetry->watchdog.scans, 1);
}

static void its_watchdog_is_fed_while_all_make_progress(void **state)
{
	struct life *l = *state;

	manager_told(&l->manager);
	assert_int_equal(service_period_ms(&l->service), 3000);
	scan(l);
	service_pulse(&l->service, 4000);
	assert_string_equal(manager_told(&l->manager), "WATCHDOG=1\n" STATUS_EMPTY);
	/* No scan since, but not for long. */
	service_pulse(&l->service, 7000);
	assert_string_equal(manager_told(&l->manager), "WATCHDOG=1\n" STATUS_EMPTY);
	service_pulse(&l->service, 7001);
	assert_string_equal(manager_told(&l->manager), "STATUS=the watchdog's thread stands still");
	scan(l);
	service_pulse(&l->service, 10000);
	assert_string_equal(manager_told(&l->manager), "WATCHDOG=1\n" STATUS_EMPTY);

	atomic_store(&l->telemetry->workers[1].stalled, true);
	scan(l);
	service_pulse(&l->service, 13000);
	assert_string_equal(manager_told(&l->manager), "STATUS=a worker is stalled");
	atomic_store(&l->telemetry->workers[1].stalled, false);
	scan(l);
	service_pulse(&l->service, 16000);
	assert_string_equal(manager_told(&l->manager), "WATCHDOG=1\n" STATUS_EMPTY);
}

static void its_status_counts_who_is_there(void **state)
{
	struct life *l = *state;

	manager_told(&l->manager);
	stage_login(&l->stage, 0, "bob", "a", KEEP, NULL);
	stage_login(&l->stage, 1, "bob", "b", KEEP, NULL);
	scan(l);
	service_pulse(&l->service, 2000);
	assert_string_equal(manager_told(&l->manager),
		"WATCHDOG=1\nSTATUS=serving 2 sessions; 1 users are online");
}

static void a_short_watchdog_is_fed_in_time_all_the_same(void **state)
{
	struct service s = {.notify = {.watchdog_ms = 2}};

	(void)state;
	assert_int_equal(service_period_ms(&s), 1);
	s.notify.watchdog_ms = 0;
	assert_int_equal(service_period_ms(&s), 0);
}

int main(void)
{
#define LIFE_TEST(name) cmocka_unit_test_setup_teardown(name, life_begin, life_end)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(datagrams_reach_paths_and_abstract_names),
		cmocka_unit_test(without_a_manager_nothing_is_said),
		cmocka_unit_test(a_watchdog_is_fed_that_is_for_this_process),
		LIFE_TEST(it_is_told_of_each_change),
		LIFE_TEST(its_watchdog_is_fed_while_all_make_progress),
		LIFE_TEST(its_status_counts_who_is_there),
		cmocka_unit_test(a_short_watchdog_is_fed_in_time_all_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
