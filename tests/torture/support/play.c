#include "play.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

struct torture torture;
struct table *table;
_Atomic uint64_t now_ms;
_Atomic uint64_t last_ids[N_USERS];

struct instant instant_now(void)
{
	uint64_t mono = atomic_load(&now_ms);
	return (struct instant){.mono_ms = mono, .wall_ms = mono - MONO_START + WALL_START};
}

static char names[N_USERS][NAME_MAX_LEN];

void users_init(void)
{
	for (unsigned user = 0; user < N_USERS; user++) {
		size_t len;
		unsigned n = 0;
		do
			len = (size_t)snprintf(names[user], NAME_MAX_LEN, "user%02u-%u", user, n++);
		while (table_hash(table, names[user], len) % 512 >= N_STRIPES_USED);
	}
}

size_t user_name(char *to, unsigned user)
{
	size_t len = strlen(names[user]);
	memcpy(to, names[user], len + 1);
	return len;
}

/* --- a worker's mail --- */

static void close_connection(struct worker *me, struct connection *c)
{
	me->past[me->n_past % N_PAST].session = c->session;
	me->past[me->n_past++ % N_PAST].id = c->id;
	c->session = NULL;
	c->is_waiting = false;
	c->generation++;
}

/* --- baggage: in place of names the session's id, so that it shows whose it is --- */

static struct baggage pack(uint64_t id)
{
	struct baggage b = {.watches = malloc(sizeof(*b.watches) + sizeof(id))};
	CHECK(b.watches);
	*b.watches = (struct watch_pack){.len = sizeof(id)};
	memcpy(b.watches->names, &id, sizeof(id));
	return b;
}

static void unpack(struct baggage b, uint64_t id)
{
	/* Nobody packed it where the connection before waited for it itself, in vain. */
	CHECK(!b.is_lost);
	CHECK(!b.watches || memcmp(b.watches->names, &id, sizeof(id)) == 0);
	free(b.watches);
}

/* Before the record of a session that was ended elsewhere is given back. */
static void deliver(struct worker *me, struct session *s) REQUIRES(role_worker)
{
	uint64_t owed = session_id(s) == 0 ? table_owes_baggage(s) : 0;
	if (owed)
		table_deliver_baggage(table, &me->actor, s, owed, pack(owed));
}

static void claim(struct worker *me, struct connection *c, bool is_last_call) REQUIRES(role_worker)
{
	struct baggage b;
	switch (table_claim_baggage(table, c->session, c->id, is_last_call, &b)) {
	case CLAIM_THERE:
		unpack(b, c->id);
		me->n_late++;
		c->is_waiting = false;
		return;
	case CLAIM_GIVEN_UP:
		CHECK(is_last_call);
		me->n_given_up++;
		c->is_waiting = false;
		return;
	case CLAIM_LATE:
		CHECK(!is_last_call);
		return;
	case CLAIM_STALE:
		CHECK(session_id(c->session) != c->id);
		return;
	}
}

static struct connection *connection_of(struct worker *me, uint32_t number)
{
	if (number == CONNECTION_NONE)
		return NULL;
	struct connection *c = &me->connections[number >> 16];
	return c->session && c->generation == (number & 0xffff) ? c : NULL;
}

static void store_stamp(struct connection *c)
{
	c->deadline = (uint32_t)atomic_load(&now_ms) + c->timeout_ms;
	atomic_store_explicit(c->stamp, c->deadline, memory_order_relaxed);
}

static void hear(struct worker *me, struct session *s, struct connection *c) REQUIRES(role_worker)
{
	if (!c) {
		CHECK(session_connection(s) == CONNECTION_NONE);
		table_heard(table, &me->actor, s, (uint32_t)atomic_load(&now_ms));
	} else if (c->is_waiting) {
		store_stamp(c);
		if (table_acquit(s)) {
			claim(me, c, false);
			return;
		}
		deliver(me, s);
		close_connection(me, c);
		table_release(table, s, true);
	} else if (!c->is_silent && rng_one_in(&me->rng, 4)) {
		/* Nothing yet; the bytes come before the verdict. */
		c->is_heard = true;
		store_stamp(c);
		table_heard(table, &me->actor, s, (uint32_t)atomic_load(&now_ms));
	} else if (!c->is_silent) {
		c->is_heard = false;
		store_stamp(c);
		me->n_acquitted++;
		if (!table_acquit(s)) {
			deliver(me, s);
			close_connection(me, c);
			table_release(table, s, true);
		}
	} else if (rng_one_in(&me->rng, 4)) {
		enum loss loss = table_lose(
			table, &me->actor, s, c->id, REASON_CLOSED, pack(c->id), instant_now());
		deliver(me, s);
		close_connection(me, c);
		if (loss != LOSS_KEPT || !table_acquit(s))
			table_release(table, s, true);
	} else {
		table_heard(table, &me->actor, s, (uint32_t)atomic_load(&now_ms));
	}
}

/* A verdict has put it in its grace. False where it is to be treated as ended. */
static bool part(struct worker *me, struct session *s, struct connection *c) REQUIRES(role_worker)
{
	uint64_t id = session_id(s);
	if (id != 0 && !c)
		return table_acquit(s);
	switch (id != 0 ? table_part(table, s, id) : PARTING_ENDED) {
	case PARTING_ENDED:
		return false;
	case PARTING_ALIVE:
		me->n_revived++;
		return true;
	case PARTING_CLOSE:
		break;
	}
	CHECK(c->is_silent || c->is_heard);
	CHECK(!c->is_waiting);
	/* Or it spoke since, and made by chance the very deadline that the grace has. */
	CHECK((int32_t)(c->deadline - (uint32_t)atomic_load(&now_ms)) <= 0 ||
		c->deadline == atomic_load_explicit(c->stamp, memory_order_relaxed));
	table_deliver_baggage(table, &me->actor, s, id, pack(id));
	close_connection(me, c);
	return true;
}

static void take_links(struct worker *me) REQUIRES(role_worker)
{
	struct mailbox_link *next;
	for (struct mailbox_link *l = mailbox_take_links(&me->mailbox); l; l = next) {
		next = l->next;
		struct session *s = session_from_link(l);
		struct connection *c = connection_of(me, session_connection(s));
		CHECK(!c || c->session == s);
		uint64_t id = session_id(s);
		if (session_is_parting(s)) {
			if (part(me, s, c))
				continue;
		} else if (id != 0) {
			CHECK(!c || c->id == id);
			hear(me, s, c);
			continue;
		}
		CHECK(c || table_owes_baggage(s) == 0);
		deliver(me, s);
		enum reason reason = session_end_reason(s);
		CHECK(reason == REASON_REPLACED || reason == REASON_TIMEOUT || !c);
		if (reason == REASON_TIMEOUT) {
			me->n_expired++;
			CHECK(!c || c->is_silent || c->is_heard);
			CHECK(!c || (int32_t)(c->deadline - (uint32_t)atomic_load(&now_ms)) <= 0);
		}
		if (c)
			close_connection(me, c);
		table_release(table, s, true);
	}
}

static void take_events(struct worker *me, unsigned n)
{
	struct event *e;
	for (; n > 0 && (e = mailbox_take(&me->mailbox)); n--) {
		me->n_taken++;
		watch_news(me->watches, e);
	}
	if (mailbox_take_resync(&me->mailbox)) {
		me->n_resyncs++;
		watch_resync_begin(me->watches);
	}
}

static void read_again(struct worker *me, unsigned n)
{
	struct watched *u;
	for (; n > 0 && (u = watch_resync_next(me->watches)); n--) {
		struct snapshot s;
		table_look(table, u->user, u->user_len, instant_now(), &s);
		/* The number of one never seen is no event's. */
		if (s.is_known)
			watch_news_seq(me->watches, u, s.seq);
	}
}

static void turn(struct worker *me) REQUIRES(role_worker)
{
	take_links(me);
	take_events(me, rng_below(&me->rng, 2 * RING));
	read_again(me, rng_below(&me->rng, 12));
	watch_spread(me->watches, rng_below(&me->rng, rng_one_in(&me->rng, 2) ? 4 : 64));
	for (unsigned n = rng_below(&me->rng, 4); n > 0; n--)
		flush_one(me, 1 + rng_below(&me->rng, 8));
}

/* --- what a worker does --- */

static void log_in(struct worker *me, struct connection *c, const char *user, size_t len)
	REQUIRES(role_worker)
{
	static const enum state states[] = {STATE_ONLINE, STATE_AWAY, STATE_BUSY, STATE_INVISIBLE};
	char device[16], status[8];
	struct login in = {.worker = me->index,
		.connection = (uint32_t)(c - me->connections) << 16 | c->generation,
		.user = user,
		.user_len = len,
		.has_state = rng_one_in(&me->rng, 2),
		.has_status = rng_one_in(&me->rng, 2),
		.state = states[rng_below(&me->rng, ARRAY_LEN(states))],
		.timeout_ms = 10 + rng_below(&me->rng, 60),
		.now = instant_now()};
	if (!rng_one_in(&me->rng, 4)) {
		in.device = device;
		in.device_len = (size_t)sprintf(device, "device%u", rng_below(&me->rng, N_DEVICES));
	}
	if (in.has_status && !rng_one_in(&me->rng, 4)) {
		in.status = status;
		in.status_len = (size_t)sprintf(status, "s%u", rng_below(&me->rng, 10));
	}
	in.stamp_ms = (uint32_t)in.now.mono_ms;
	char secret[RESUME_TEXT_MAX];
	_Atomic uint64_t *last_id = c < me->connections + N_CONNECTIONS ? &last_ids[c->user] : NULL;
	if (last_id && rng_one_in(&me->rng, 4) &&
		table_resume_text(table, atomic_load(last_id), secret)) {
		in.resume = secret;
		in.resume_len = strlen(secret);
	}
	struct login_result out;
	CHECK(table_login(table, &me->actor, &in, &out) == 0);
	CHECK(!out.is_resumed || out.is_takeover);
	CHECK(!out.has_secret || out.is_resumed);
	if (last_id && rng_one_in(&me->rng, 2))
		atomic_store(last_id, out.id);
	if (out.has_secret && !out.is_baggage_late) {
		unpack(out.baggage, out.id);
		me->n_at_once++;
	}
	c->is_waiting = out.is_baggage_late;
	c->session = out.session;
	c->id = out.id;
	c->stamp = out.stamp;
	c->timeout_ms = in.timeout_ms;
	c->deadline = in.stamp_ms + in.timeout_ms;
	c->is_silent = rng_one_in(&me->rng, 3);
	c->is_heard = false;
	/* A takeover may have kept an invisible device's state: only what was said is known. */
	c->is_visible = in.has_state ? in.state != STATE_INVISIBLE : !out.is_takeover;
}

static struct connection *pick(struct worker *me, bool is_live)
{
	for (unsigned tries = 0; tries < 8; tries++) {
		struct connection *c = &me->connections[rng_below(&me->rng, N_CONNECTIONS)];
		if ((c->session != NULL) == is_live)
			return c;
	}
	return NULL;
}

static void do_login(struct worker *me) REQUIRES(role_worker)
{
	struct connection *c = pick(me, false);
	if (!c)
		return;
	char name[NAME_MAX_LEN];
	c->user = (uint8_t)rng_below(&me->rng, N_USERS);
	log_in(me, c, name, user_name(name, c->user));
}

/* The connection's end: the session with it, or, where somebody else ended that before, the record now or
 * when it comes by the list. */
void worker_end(struct worker *me, struct connection *c, enum reason reason)
{
	struct session *s = c->session;
	bool is_loss = reason == REASON_CLOSED || reason == REASON_RESET;
	enum loss loss = LOSS_STALE;
	if (is_loss)
		loss = table_lose(table, &me->actor, s, c->id, reason, pack(c->id), instant_now());
	else if (table_end(table, &me->actor, s, c->id, reason, instant_now()))
		loss = LOSS_ENDED;
	if (loss == LOSS_KEPT) {
		close_connection(me, c);
	} else if (loss == LOSS_ENDED || rng_one_in(&me->rng, 2)) {
		deliver(me, s);
		close_connection(me, c);
		table_release(table, s, false);
	}
}

static void do_end(struct worker *me) REQUIRES(role_worker)
{
	struct connection *c = pick(me, true);
	if (c)
		worker_end(me, c, REASON_LOGOUT + (enum reason)rng_below(&me->rng, 3));
}

static void do_detach(struct worker *me) REQUIRES(role_worker)
{
	struct connection *c = pick(me, true);
	if (!c)
		return;
	struct session *s = c->session;
	if (!table_detach(table, &me->actor, s, c->id, pack(c->id)))
		deliver(me, s);
	close_connection(me, c);
}

static void do_update(struct worker *me) REQUIRES(role_worker)
{
	struct connection *c = pick(me, true);
	if (!c)
		return;
	char status[8];
	struct update in = {.has_state = true, .state = STATE_AWAY + rng_below(&me->rng, 4)};
	in.has_status = rng_one_in(&me->rng, 2);
	in.status = status;
	in.status_len = (size_t)sprintf(status, "u%u", rng_below(&me->rng, 10));
	struct snapshot now;
	int err = table_update(table, &me->actor, c->session, c->id, &in, instant_now(), &now);
	CHECK(err == 0 || (err == -ESTALE && session_id(c->session) != c->id));
	if (err)
		return;
	CHECK(now.state == in.state);
	c->is_visible = in.state != STATE_INVISIBLE;
}

static void do_stamp(struct worker *me)
{
	struct connection *c = pick(me, true);
	/* Not one that may be before the judge: its end would have to be told from its new stamp. In a grace that undoes it. */
	if (c && (table_has_grace(table) || (!c->is_silent && !c->is_heard)))
		store_stamp(c);
}

/* Who has a live visible session is not offline, whatever other ends are on their way. */
static void do_look(struct worker *me)
{
	struct connection *c = pick(me, true);
	if (!c || !c->is_visible)
		return;
	char name[NAME_MAX_LEN];
	struct snapshot s;
	table_look(table, name, user_name(name, c->user), instant_now(), &s);
	CHECK(s.state != STATE_OFFLINE || session_id(c->session) != c->id);
}

/* What was ended long ago stays ended, though its record may have another session by now. */
static void do_stale(struct worker *me) REQUIRES(role_worker)
{
	unsigned at = rng_below(&me->rng, N_PAST);
	struct session *s = me->past[at].session;
	if (!s || session_id(s) == me->past[at].id) /* detached, not ended */
		return;
	CHECK(!table_end(table, &me->actor, s, me->past[at].id, REASON_TIMEOUT, instant_now()));
	struct update in = {.has_state = true, .state = STATE_BUSY};
	struct snapshot out;
	CHECK(table_update(table, &me->actor, s, me->past[at].id, &in, instant_now(), &out) ==
		-ESTALE);
}

/* What is waited for is waited for no longer. */
static void do_give_up(struct worker *me) REQUIRES(role_worker)
{
	for (unsigned i = 0; i < N_CONNECTIONS; i++) {
		struct connection *c = &me->connections[i];
		if (c->session && c->is_waiting && rng_one_in(&me->rng, 4))
			claim(me, c, true);
	}
}

static void end_watch(struct worker *me, struct watch *w) REQUIRES(role_worker)
{
	char name[USER_MAX];
	size_t len;
	if (watch_remove(me->watches, w, name, &len))
		table_unwatch(table, &me->actor, me->index, name, len);
}

static void do_watch(struct worker *me) REQUIRES(role_worker)
{
	struct teller *t = &me->tellers[rng_below(&me->rng, N_WATCHERS)];
	unsigned user = rng_below(&me->rng, rng_one_in(&me->rng, 4) ? N_USERS : N_POPULAR);
	char name[NAME_MAX_LEN];
	size_t len = user_name(name, user);
	uint64_t hash = table_hash(table, name, len);
	struct watch *w = watch_find(me->watches, &t->watcher, name, len, hash);
	if (w || t->watcher.n_watches >= WATCHES_MAX) {
		end_watch(me, w ? w : watch_any(&t->watcher));
		return;
	}
	struct snapshot s;
	CHECK(watch_add(me->watches, &t->watcher, name, len, hash, &w) == 0);
	CHECK(table_watch(table, &me->actor, me->index, name, len, instant_now(), &s) == 0);
	struct word word = word_of_snapshot(&s);
	hear_word(t, user, &word, true);
	watch_set_told(me->watches, w, s.counter);
}

void worker_close_watcher(struct worker *me, struct teller *t)
{
	struct watch *w;
	while ((w = watch_any(&t->watcher)))
		end_watch(me, w);
	CHECK(t->watcher.n_watches == 0 && !t->watcher.is_flushing);
}

static void do_one(struct worker *me) REQUIRES(role_worker)
{
	uint32_t what = rng_below(&me->rng, 100);
	if (what < 28)
		do_login(me);
	else if (what < 50)
		do_end(me);
	else if (what < 55)
		do_detach(me);
	else if (what < 65)
		do_update(me);
	else if (what < 72)
		do_stamp(me);
	else if (what < 80)
		do_look(me);
	else if (what < 84)
		do_stale(me);
	else if (what < 99)
		do_watch(me);
	else if (rng_one_in(&me->rng, 4))
		do_give_up(me);
	else if (rng_one_in(&me->rng, 8))
		worker_close_watcher(me, &me->tellers[rng_below(&me->rng, N_WATCHERS)]);
}

/* Many sessions at once, so that chunks and buckets are added under the others' eyes; then all of them end. */
static void flood(struct worker *me) REQUIRES(role_worker)
{
	char name[32];
	for (unsigned i = N_CONNECTIONS; i < N_CONNECTIONS + N_FLOOD; i++) {
		log_in(me, &me->connections[i], name,
			(size_t)sprintf(name, "flood%u-%u", me->index, i));
		if (i % 16 == 0)
			turn(me);
	}
	for (unsigned i = N_CONNECTIONS; i < N_CONNECTIONS + N_FLOOD; i++) {
		if (me->connections[i].session)
			worker_end(me, &me->connections[i], REASON_CLOSED);
		if (i % 16 == 0)
			turn(me);
	}
}

void *worker_run(void *argument)
{
	role_worker_begin();
	struct worker *me = argument;
	for (; me->n_ops < me->n_until; me->n_ops++) {
		do_one(me);
		if (rng_one_in(&me->rng, 8))
			turn(me);
		if (rng_one_in(&me->rng, 16))
			sched_yield(); /* fewer processors than threads: or else each runs for long alone */
		if (me->n_ops == torture.n_ops / N_WORKERS / 2)
			flood(me);
		if (me->n_ops % 256 == 0 && torture_is_late(&torture))
			break;
	}
	return NULL;
}

void worker_rest(struct worker *me)
{
	do {
		take_links(me);
		take_events(me, UINT32_MAX);
		read_again(me, UINT32_MAX);
		watch_spread(me->watches, SIZE_MAX);
		while (watch_has_flush(me->watches))
			flush_one(me, UINT32_MAX);
	} while (watch_has_news(me->watches) || watch_is_resyncing(me->watches));
}
