/* An admin server on a table and a telemetry of its own, and a client of it: for the tests of admin/.
 *
 * Whatever can't be done, or is not done in time, fails the test that asked for it. */
#ifndef TESTS_ADMIN_FIXTURE_H
#define TESTS_ADMIN_FIXTURE_H

#include "admin/http.h"
#include "presence/mailbox.h"
#include "support/cmocka_all.h"

#include <jansson.h>
#include <stdbool.h>

enum { ADMIN_N_WORKERS = 2, REPLY_MAX = 256 * 1024 };

struct admin_fixture {
	struct telemetry *telemetry;
	struct table *table;
	struct mailbox mailboxes[ADMIN_N_WORKERS], watchdog;
	struct mailbox *pointers[ADMIN_N_WORKERS];
	struct feed *feed; /* of 1,024 events and 4 transitions; its thread runs */
	struct admin_params params;
	struct admin *admin;
	struct address at;
};

/* cmocka's: *state is the fixture; its server is not started yet, so that a test can change the params. */
int admin_setup(void **state);
int admin_teardown(void **state);
void admin_begin(struct admin_fixture *);

struct reply {
	char text[REPLY_MAX];
	size_t len;
	unsigned status;
	const char *body; /* in text */
	size_t body_len;
};

int client_dial(const struct admin_fixture *);
void client_say(int fd, const char *text);
/* Whether there is something to read, or the end of it, within a time. */
bool client_is_readable(int fd, int timeout_ms);
/* Waits for the peer's end; what comes before that is dropped. */
void client_await_end(int fd);
/* One reply: its head, and as much body as that says, of which a HEAD has none. */
void client_hear(int fd, bool has_body, struct reply *ret);
/* One request on a connection of its own; 'headers' are whole lines, with their line ends. */
void client_get(const struct admin_fixture *, const char *method, const char *path,
	const char *headers, struct reply *ret);
unsigned client_status(const struct admin_fixture *, const char *path, const char *headers);

/* The value of a header, good until the next call; NULL where there is none. */
const char *reply_header(const struct reply *, const char *name);
json_t *reply_json(const struct reply *);
void reply_assert_error(const struct reply *, unsigned status, const char *code);

#endif
