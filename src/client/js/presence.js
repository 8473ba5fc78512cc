/* presence.js: be present on a presenced server, and know who else is. In browsers, and in Node.js with a WebSocket.
 *
 * One client keeps one session on one server: it connects, logs in, sends the heartbeats, notices when the server or
 * the way to it is gone, and comes back by itself. It is told what changes, and nothing else. presence.d.ts says what
 * each call does; the words are those of libpresence.
 *
 * Owns     a WebSocket, one timer, a table of contacts; in a page its listeners to the page's life, and the tab's
 *          device id (sessionStorage, and a lock on it, so that a duplicated tab gets its own).
 * Truth    Of a contact one of three: online, offline, unknown. A word of the server holds for the session's timeout
 *          after the last byte from it. Losing the connection alone changes nothing.
 * Time     One clock that never goes back, and that goes on while the machine sleeps. A timer that comes late
 *          (throttled tab, sleep, a busy page) judges nobody before there was a hearing: what waits is read first.
 * Traffic  One empty message a heartbeat. After a loss, back at a random moment within a window that doubles.
 * Size     One file, although it is a long one, so that a page needs nothing else and nothing to build it. */

/* At most; with short timeouts a quarter of one, and half of one, so that their verdicts are no later than others'. */
const LATE_MS = 1000; /* a timer that is later than this was held up */
const HEARING_MS = 1000; /* what may have come meanwhile has this long to be heard */
const SLEEP_MS = 2000; /* the wall clock this far ahead of the monotonic one: the machine slept */
const PROBE_MS = 5000; /* after news of the network the server has this long to answer */
const STOP_MS = 1000; /* a bye waits this long for its answer */
const CLAIM_MS = 200; /* a tab of the same device id has this long to say so */
const SPREAD_MS = 1000; /* of those who come back because the network did */
const REFUSED_PACE_MS = 10; /* a message, or 50 users of one, that narrow a refusal down: half the server's rate */
const TIMER_MAX_MS = 0x7fffffff;
const REQUEST_USERS_MAX = 1000;
const REQUEST_TEXT_MAX = 16000; /* UTF-16 units, of at most three bytes: under the server's 64 KiB */

const FINAL = new Set(['replaced', 'kicked', 'auth_failed', 'auth_required', 'version', 'rejected', 'token']);
/* The protocol's words, where ours are others. The close code speaks where the line before it was lost. */
const OF_BYE = { timeout: 'timed_out', violation: 'protocol', logout: 'closed' };
const OF_ERROR = { bad_json: 'protocol', bad_message: 'protocol', line_too_long: 'protocol', hello_required: 'protocol' };
const OF_CLOSE = { 1001: 'shutdown', 1006: 'lost', 1008: 'protocol', 1013: 'server_full', 4401: 'auth_failed',
	4402: 'expired', 4403: 'kicked', 4408: 'timed_out', 4409: 'replaced', 4411: 'slow' };
const STATES = ['online', 'away', 'busy', 'invisible'];

export const VERSION = '0.1.0';

/** @type {(code: string) => boolean} */
export const isFinal = (code) => FINAL.has(code);

export class PresenceError extends Error {
	constructor(code, message = code) {
		super(message);
		this.name = 'PresenceError';
		this.code = code;
	}
}

class PresenceEvent extends Event {
	constructor(type, fields) {
		super(type);
		Object.assign(this, fields);
	}
}

/* ---- what may be said ----------------------------------------------------------------------------- */

function checkText(name, text, min, max) {
	if (typeof text !== 'string' || /[\u0000-\u001f\u007f]|\p{Surrogate}/u.test(text))
		throw new TypeError(`${name} must be text without control characters`);
	const bytes = new TextEncoder().encode(text).length;
	if (bytes < min || bytes > max) throw new RangeError(`${name} must be ${min} to ${max} bytes of UTF-8`);
	return text;
}

const checkUsers = (users) => (typeof users === 'string' ? [users] : [...users]).map((user) => checkText('user', user, 1, 128));

/* A wait of none would be a client that hammers. */
function checkMs(options, name, otherwise) {
	const ms = options[name] ?? otherwise;
	if (ms !== undefined && !(Number.isInteger(ms) && ms > 0)) throw new RangeError(`${name} must be whole milliseconds, more than 0`);
	return ms;
}

function checkWords({ state, status }) {
	if (state !== undefined && !STATES.includes(state)) throw new TypeError(`state must be one of ${STATES.join(", ")}`);
	if (status != null) checkText('status', status, 0, 256);
	return { state, status };
}

/* The first of these that fit into one request. */
function requestful(users, most) {
	let n = 0;
	for (let length = 0; n < users.length && n < most; n++) {
		length += users[n].length * 2 + 3; /* quotes and backslashes count twice */
		if (n > 0 && length > REQUEST_TEXT_MAX) break;
	}
	return users.slice(0, n);
}

/* How long a token is good for, by what it says itself; 0: it does not say. A wrong clock here is no harm where the
 * token says when it was made. */
function lifetimeOf(token, wallMs) {
	try {
		const { exp, iat } = JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')));
		const said = [exp * 1000 - wallMs, (exp - iat) * 1000].filter((ms) => ms > 0);
		return said.length > 0 ? Math.min(...said) : 0;
	} catch {
		return 0;
	}
}

/* ---- the device of a tab -------------------------------------------------------------------------- */

/* Tabs of one user are devices of their own, and a reload is the same one again: the id is in sessionStorage. That is
 * copied where a tab is duplicated, so whoever uses an id holds a lock of its name, or answers on a channel. */

const makeId = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), (b) => b.toString(16).padStart(2, '0')).join('');

/* Resolves to what lets the id go again, or null: it is another tab's. */
function holdByLock(name) {
	return new Promise((resolve) => {
		const giveUp = new AbortController();
		const timer = setTimeout(() => giveUp.abort(), CLAIM_MS);
		const held = () => new Promise((release) => (clearTimeout(timer), resolve(release)));
		navigator.locks.request(name, { signal: giveUp.signal }, held)
			.catch((error) => resolve(error.name === 'AbortError' ? null : () => {}));
	});
}

function holdByChannel(name) {
	return new Promise((resolve) => {
		const channel = new BroadcastChannel(name), me = makeId();
		let isMine = false;
		const release = () => channel.close();
		const timer = setTimeout(() => ((isMine = true), resolve(release)), CLAIM_MS);
		channel.onmessage = ({ data: { asks, taken } }) => {
			if (asks && (isMine || me < asks)) channel.postMessage({ taken: asks });
			/* Of two that ask at the same moment one may not have heard the other: who heard it gives way. */
			else if (!isMine && (asks || taken === me)) (clearTimeout(timer), release(), resolve(null));
		};
		channel.postMessage({ asks: me });
	});
}

function hold(id) {
	const name = `presence.device.${id}`;
	if (globalThis.navigator?.locks) return holdByLock(name);
	if (globalThis.BroadcastChannel) return holdByChannel(name);
	return () => {};
}

/* Of Node.js, or of a page that may not store: no id, and the server makes one up. */
async function claimDevice() {
	let stored;
	try {
		stored = sessionStorage.getItem('presence.device') ?? makeId();
		let release = await hold(stored);
		if (!release) release = await hold((stored = makeId()));
		sessionStorage.setItem('presence.device', stored);
		return { device: stored, release: release ?? (() => {}) };
	} catch {
		return { device: stored, release: () => {} };
	}
}

/* ---- the client ----------------------------------------------------------------------------------- */

const SYSTEM = {
	mono: () => performance.now(),
	wall: () => Date.now(),
	random: () => Math.random(),
	setTimeout: (call, ms) => setTimeout(call, ms),
	clearTimeout: (timer) => clearTimeout(timer),
};

export class Presence extends EventTarget {
	#options;
	#system;
	#words; /* state and status, as others are to see them */
	#said = {}; /* and as the server was told in this connection */
	#contacts = new Map(); /* user → {user, word, server, era, isKnown, error, told} */
	#queries = new Map(); /* id → {users, found, resolve, reject} */
	#feeds = new Set(); /* async iterators */
	#link = 'stopped';
	#error = null; /* why the connection before this ended */
	#isPaused = false; /* the page is frozen, or in the back/forward cache */
	#self = { user: null, device: null, session: '', server: '', heartbeatMs: 0, timeoutMs: 0 };

	#socket = null;
	#attempt = 0; /* counts: what is late of an older one is known by it */
	#claim = null; /* on the tab's device id */
	#resume = null; /* the secret of the session before */
	#failures = 0;
	#notBeforeMs = 0; /* the server asked for it */
	#era = null; /* of the connection that is up: {heardMs, wallMs, timeoutMs}; words hold as long as it is fresh */
	#eras = new Set(); /* this one, and those of before whose words may hold still */
	#nextId = 1;
	#toWatch = []; /* asked for one after the other */
	#asked = null; /* {id, users}: the watch under way */
	#maxUsers = REQUEST_USERS_MAX; /* of one request; a server may take shorter ones only */
	#mostUsers = REQUEST_USERS_MAX; /* of the next, where one was refused */
	#isResuming = false; /* a snapshot of the restored watches is to come */
	#whenStopped = []; /* of stop() */

	/* One timer for all that has a time; Infinity: has none. */
	#due = { attempt: Infinity, retry: Infinity, beat: Infinity, probe: Infinity, renewal: Infinity, ask: Infinity,
		stop: Infinity };
	#timer = null;
	#timerDueMs = Infinity;
	#lastHeardMs = 0;
	#hearing = { of: -1, untilMs: 0 }; /* one a silence */
	#monoMs;
	#wallMs;
	#sleptMs = 0;

	constructor(url, options = {}) {
		super();
		const { protocol } = new URL(url);
		if (!/^wss?:$/.test(protocol)) throw new TypeError('the URL must be ws: or wss:');
		if (options.user == null && options.token == null) throw new TypeError('a user or a token is needed');
		if (options.user != null) checkText('user', options.user, 1, 128);
		if (options.device != null) checkText('device', options.device, 1, 64);
		this.#options = { ...options, url, WebSocket: options.WebSocket ?? globalThis.WebSocket,
			heartbeatMs: checkMs(options, 'heartbeatMs', undefined), connectTimeoutMs: checkMs(options, 'connectTimeoutMs', 10000),
			backoffFirstMs: checkMs(options, 'backoffFirstMs', 4000), backoffMaxMs: checkMs(options, 'backoffMaxMs', 30000) };
		if (!this.#options.WebSocket) throw new TypeError('there is no WebSocket here: give one as an option');
		this.#words = checkWords(options);
		this.#system = { ...SYSTEM, ...options.system };
		this.#monoMs = this.#system.mono();
		this.#wallMs = this.#system.wall();
	}

	/* ---- what the application asks for ---- */

	get link() { return this.#link; }
	get error() { return this.#error; }
	get self() { return { ...this.#self }; }
	get contacts() { return [...this.#contacts.values()].map((contact) => this.#view(contact)); }

	contact(user) {
		const contact = this.#contacts.get(user);
		return contact && this.#view(contact);
	}

	start() {
		if (this.#link !== 'stopped') return this;
		this.#error = null;
		this.#failures = 0;
		this.#isPaused = false;
		this.#listen(true);
		this.#connect();
		return this;
	}

	stop() {
		if (this.#link === 'stopped') return Promise.resolve();
		const stopped = new Promise((resolve) => this.#whenStopped.push(resolve));
		if (this.#link !== 'up') this.#end(null);
		else if (this.#due.stop === Infinity) {
			this.#send({ type: 'bye' });
			this.#set('stop', this.#now() + STOP_MS);
		}
		return stopped;
	}

	retry() {
		if (this.#due.retry < Infinity) this.#set('retry', Math.max(this.#now(), this.#notBeforeMs));
	}

	watch(users) {
		const fresh = [...new Set(checkUsers(users))].filter((user) => !this.#contacts.has(user));
		for (const user of fresh)
			this.#contacts.set(user, { user, word: null, server: '', era: null, isKnown: false, error: null, told: null });
		if (this.#link === 'up' && !this.#isResuming) this.#ask(fresh);
	}

	unwatch(users) {
		const gone = checkUsers(users).filter((user) => this.#contacts.delete(user));
		this.#toWatch = this.#toWatch.filter((user) => this.#contacts.has(user));
		if (this.#link === 'up') this.#sendUnwatch(gone);
	}

	async query(users) {
		const all = checkUsers(users), parts = [];
		for (let at = 0; at < all.length; at += parts.at(-1).length)
			parts.push(requestful(all.slice(at), this.#maxUsers));
		return (await Promise.all(parts.map((part) => this.#query(part)))).flat();
	}

	update(words) {
		const { state = this.#words.state, status = this.#words.status } = checkWords(words);
		this.#words = { state, status };
		if (this.#link === 'up') this.#sayWords();
	}

	/* Changes from now on, to the client's end. Who is slow is told the newest of each contact. */
	async *[Symbol.asyncIterator]() {
		const feed = { changed: new Map(), wake() {} };
		this.#feeds.add(feed);
		try {
			for (;;) {
				for (const [user, contact] of feed.changed) {
					feed.changed.delete(user);
					yield contact;
				}
				if (feed.changed.size > 0) continue;
				if (this.#link === 'stopped') return;
				await new Promise((wake) => (feed.wake = wake));
			}
		} finally {
			this.#feeds.delete(feed);
		}
	}

	/* ---- what it is told ---- */

	#view({ user, word, era, isKnown, error }) {
		return {
			user,
			truth: !isKnown ? 'unknown' : word.state === 'offline' ? 'offline' : 'online',
			state: word?.state ?? null,
			status: word?.status ?? null,
			reason: word?.reason ?? null,
			error,
			isReconnecting: word?.reconnecting === true,
			seq: word?.seq ?? null,
			atMs: word?.at_ms ?? null,
			lastSeenMs: word?.last_seen_ms ?? null,
			asOfMs: era ? era.wallMs : null,
			freshUntilMs: era ? era.wallMs + era.timeoutMs : null,
		};
	}

	/* Only what differs from what was told last is a change; what is not known yet is no news. */
	#tell(contact) {
		const now = this.#view(contact), was = contact.told;
		const before = was ?? { truth: 'unknown', state: null, status: null, error: null };
		if (['truth', 'state', 'status', 'error'].every((field) => now[field] === before[field])) return;
		contact.told = now;
		for (const feed of this.#feeds) {
			feed.changed.set(now.user, now);
			feed.wake();
		}
		this.dispatchEvent(new PresenceEvent('contact', { contact: now, was }));
	}

	#setLink(link, fields = {}) {
		this.#link = link;
		if (link === 'stopped') for (const feed of this.#feeds) feed.wake();
		this.dispatchEvent(new PresenceEvent('link', { link, error: this.#error, detail: '', retryInMs: null,
			isResumed: false, ...fields }));
	}

	/* ---- time ---- */

	#now() {
		const monoMs = this.#system.mono(), wallMs = this.#system.wall();
		const aheadMs = wallMs - this.#wallMs - (monoMs - this.#monoMs);
		if (aheadMs > SLEEP_MS) this.#sleptMs += aheadMs;
		this.#monoMs = monoMs;
		this.#wallMs = wallMs;
		return monoMs + this.#sleptMs;
	}

	#set(what, dueMs) {
		this.#due[what] = dueMs;
		this.#plan();
	}

	#nextDueMs() {
		const { attempt, probe, ...rest } = this.#due;
		const verdictMs = Math.min(attempt, probe, ...[...this.#eras].map((era) => era.heardMs + era.timeoutMs));
		return Math.min(...Object.values(rest), Math.max(verdictMs, this.#hearing.untilMs));
	}

	/* A timer that is set too early finds nothing to do, and plans again: bytes that come set none anew. */
	#plan() {
		const nextMs = this.#isPaused ? Infinity : this.#nextDueMs();
		if (nextMs >= this.#timerDueMs && this.#timer !== null && nextMs !== Infinity) return;
		if (this.#timer !== null) this.#system.clearTimeout(this.#timer);
		this.#timer = null;
		this.#timerDueMs = nextMs;
		if (nextMs === Infinity) return;
		const waitMs = Math.min(Math.max(Math.ceil(nextMs - this.#now()), 0), TIMER_MAX_MS);
		this.#timer = this.#system.setTimeout(() => this.#tick(), waitMs);
		if (this.#link === 'stopped') this.#timer?.unref?.(); /* nobody's process waits for it */
	}

	#tick() {
		const nowMs = this.#now(), isLate = nowMs - this.#timerDueMs > this.#part(LATE_MS, 4);
		this.#system.clearTimeout(this.#timer);
		this.#timer = null;
		this.#timerDueMs = Infinity;
		if (isLate && this.#hearing.of !== this.#lastHeardMs) this.#hear(nowMs);
		if (nowMs >= this.#hearing.untilMs) this.#judge(nowMs);
		if (nowMs >= this.#due.beat) this.#beat(nowMs);
		if (nowMs >= this.#due.ask) this.#askNext();
		if (nowMs >= this.#due.renewal) this.#renew();
		if (nowMs >= this.#due.retry) this.#connect();
		if (nowMs >= this.#due.stop) this.#end(null);
		this.#plan();
	}

	#part(mostMs, ofTimeout) { return Math.min(mostMs, (this.#self.timeoutMs || Infinity) / ofTimeout); }

	/* This runs later than it was to: the silence may be ours. What waits is read before anything is judged. */
	#hear(nowMs) {
		this.#hearing = { of: this.#lastHeardMs, untilMs: nowMs + this.#part(HEARING_MS, 2) };
		if (this.#link === 'up') this.#beat(nowMs);
	}

	#judge(nowMs) {
		for (const era of this.#eras) {
			if (nowMs < era.heardMs + era.timeoutMs) continue;
			this.#eras.delete(era);
			if (era === this.#era) this.#lose('silence');
			this.#doubt(era);
		}
		if (nowMs >= this.#due.probe) this.#lose('silence');
		if (nowMs >= this.#due.attempt) this.#lose('connect_timeout');
	}

	#doubt(era) {
		for (const contact of [...this.#contacts.values()]) {
			if (contact.era !== era || !contact.isKnown) continue;
			contact.isKnown = false;
			this.#tell(contact);
		}
	}

	#beat(nowMs) {
		this.#due.beat = nowMs + this.#self.heartbeatMs;
		this.#sendText('');
	}

	/* ---- a connection's life ---- */

	async #connect() {
		const attempt = ++this.#attempt, isCurrent = () => attempt === this.#attempt;
		const asks = typeof this.#options.token === 'function';
		this.#due.retry = Infinity;
		this.#setLink(asks ? 'waiting' : 'connecting');
		try {
			const token = await this.#token();
			if (!isCurrent()) return;
			if (token === null) return this.#end('token');
			if (asks) this.#setLink('connecting');
			if (isCurrent()) this.#set('attempt', this.#now() + this.#options.connectTimeoutMs);
			const device = await this.#device(isCurrent);
			if (isCurrent()) this.#open(device, token);
		} catch (error) {
			if (isCurrent()) this.#lose(error instanceof PresenceError ? error.code : 'connect', error.message);
		}
	}

	#open(device, token) {
		const { url, user, heartbeatMs, pings, WebSocket } = this.#options;
		const socket = new WebSocket(url, 'presence.v1');
		let isOpen = false;
		this.#socket = socket;
		socket.onopen = () => {
			isOpen = true;
			const { state, status } = (this.#said = this.#words);
			this.#send({ type: 'hello', v: 1, user, device, token, heartbeat_ms: heartbeatMs, state, status, pings,
				resume: this.#resume ?? undefined });
		};
		socket.onmessage = ({ data }) => socket === this.#socket && this.#take(String(data));
		socket.onerror = () => {}; /* the close that follows says all that there is to say */
		socket.onclose = ({ code, reason }) => {
			if (socket === this.#socket) this.#lose(isOpen ? (OF_CLOSE[code] ?? 'closed') : 'connect', reason);
		};
	}

	/* The one that was given; else the tab's, or the one that the server made up before. */
	async #device(isCurrent) {
		if (this.#options.device != null) return this.#options.device;
		if (!this.#claim && globalThis.document) {
			const claim = await claimDevice();
			if (!isCurrent() || this.#claim) claim.release();
			else this.#claim = claim;
		}
		return this.#claim?.device ?? this.#self.device ?? undefined;
	}

	/* Null: the application has none. */
	async #token() {
		const { token: source } = this.#options;
		if (typeof source !== 'function') return source ?? undefined;
		try {
			const given = (await source()) ?? null, token = given?.token ?? given;
			const lifetimeMs = given?.lifetimeMs ?? lifetimeOf(token, this.#system.wall());
			this.#set('renewal', lifetimeMs > 0 ? this.#now() + lifetimeMs * 0.9 : Infinity);
			return token;
		} catch (error) {
			throw new PresenceError('token', String(error?.message ?? error));
		}
	}

	/* Nine tenths of the token's life are over. Where none comes now, one is asked for again until it is over. */
	async #renew() {
		const attempt = this.#attempt;
		this.#set('renewal', Infinity);
		try {
			const token = await this.#token();
			if (token === null || attempt !== this.#attempt || this.#link !== 'up') return;
			this.#send({ type: 'update', token });
			/* Watches that the new one does not allow end without a word: who is watched still is asked. */
			this.#toWatch = [];
			this.#ask([...this.#contacts.keys()]);
		} catch {
			if (attempt === this.#attempt) this.#set('renewal', this.#now() + this.#jitterMs());
		}
	}

	#send(message) { this.#sendText(JSON.stringify(message)); }

	/* What is new of one's own words. */
	#sayWords() {
		const { state, status } = this.#words, said = this.#said;
		const words = { state: state === said.state ? undefined : state, status: status === said.status ? undefined : status };
		this.#said = this.#words;
		if (words.state !== undefined || words.status !== undefined) this.#send({ type: 'update', ...words });
	}

	#sendText(text) {
		try {
			this.#socket?.send(text);
		} catch {
			/* closing: its close tells */
		}
	}

	/* Lets the connection go; what the contacts are is as true as before. */
	#drop() {
		const socket = this.#socket;
		this.#socket = this.#era = this.#asked = null;
		this.#isResuming = false;
		this.#toWatch = [];
		for (const what in this.#due) this.#due[what] = Infinity;
		if (!socket) return;
		socket.onopen = socket.onmessage = socket.onclose = null;
		try {
			socket.close(1000);
		} catch {
			/* a WebSocket that can't be closed is gone */
		}
	}

	#jitterMs() {
		const { backoffFirstMs, backoffMaxMs } = this.#options;
		const windowMs = Math.min(backoffFirstMs * 2 ** this.#failures, Math.max(backoffFirstMs, backoffMaxMs));
		return this.#system.random() * windowMs;
	}

	/* The connection is over, and will be tried again; or, where that is of no use, not. */
	#lose(error, detail = '', retryMs = 0) {
		if (this.#due.stop < Infinity) return this.#end(null);
		if (isFinal(error) && error !== 'token') return this.#end(error, detail);
		this.#attempt++;
		this.#drop();
		const waitMs = retryMs + this.#jitterMs();
		this.#failures++;
		this.#error = error;
		this.#notBeforeMs = this.#now() + retryMs;
		this.#set('retry', this.#now() + waitMs);
		this.#setLink('waiting', { detail, retryInMs: waitMs });
	}

	#end(error, detail = '') {
		this.#attempt++;
		this.#drop();
		this.#listen(false);
		this.#claim?.release();
		this.#claim = this.#resume = null;
		this.#error = error;
		for (const { reject } of this.#queries.values()) reject(new PresenceError(error ?? 'stopped'));
		this.#queries.clear();
		this.#setLink('stopped', { detail });
		this.#plan(); /* what is known goes stale in its time */
		for (const resolve of this.#whenStopped.splice(0)) resolve();
	}

	/* ---- what the server says ---- */

	#take(text) {
		const socket = this.#socket;
		this.#lastHeardMs = this.#now();
		this.#due.probe = Infinity;
		if (this.#era) {
			this.#era.heardMs = this.#lastHeardMs;
			this.#era.wallMs = this.#system.wall();
		}
		for (const line of text.split('\n')) {
			let message = { type: 'heartbeat' };
			try {
				if (line !== '') message = JSON.parse(line);
			} catch (error) {
				return this.#lose('protocol', error.message);
			}
			if (Object.hasOwn(this.#takers, message?.type)) this.#takers[message.type](message);
			if (socket !== this.#socket) return; /* that was the end of it */
		}
	}

	#takers = {
		welcome: (m) => this.#welcome(m),
		heartbeat: () => {
			this.#failures = 0; /* it lasts: the next loss is a first one */
			if (this.#isResuming) this.#watchTheRest();
		},
		presence: (m) => this.#learn(m),
		watching: (m) => {
			m.presences.forEach((word) => this.#learn(word));
			if (m.id === undefined) this.#sendUnwatch(m.presences.map((word) => word.user).filter((user) => !this.#contacts.has(user)));
			if (m.more || m.id === undefined || m.id !== this.#asked?.id) return;
			this.#mostUsers = Math.min(this.#mostUsers * 2, this.#maxUsers);
			this.#askNext();
		},
		presences: (m) => {
			const query = this.#queries.get(m.id);
			if (!query) return;
			for (const word of m.presences) query.found.push(this.#view({ user: word.user, word, era: this.#era, isKnown: true, error: null }));
			if (m.more) return;
			this.#queries.delete(m.id);
			query.resolve(query.found);
		},
		bye: ({ reason, retry_ms }) => this.#lose(OF_BYE[reason] ?? reason, '', retry_ms),
		error: (m) => this.#refused(m),
	};

	#welcome(m) {
		const nowMs = this.#lastHeardMs, hadSecret = this.#resume !== null;
		this.#self = { user: m.user, device: m.device, session: m.session, server: m.server,
			heartbeatMs: m.heartbeat_ms, timeoutMs: m.timeout_ms };
		this.#resume = m.resume ?? null;
		this.#era = { heardMs: nowMs, wallMs: this.#system.wall(), timeoutMs: m.timeout_ms };
		this.#eras.add(this.#era);
		this.#due.attempt = Infinity;
		this.#due.beat = nowMs + this.#system.random() * m.heartbeat_ms;
		this.#isResuming = m.resumed && hadSecret;
		this.#link = 'up';
		/* The answer to a heartbeat comes behind the snapshot of the watches that were restored. */
		if (this.#isResuming) this.#beat(nowMs);
		else this.#watchTheRest();
		for (const [id, query] of this.#queries) this.#sendQuery(id, query);
		this.#sayWords();
		this.#plan();
		this.#setLink('up', { isResumed: m.resumed });
	}

	#watchTheRest() {
		this.#isResuming = false;
		this.#ask([...this.#contacts.values()].filter(({ era }) => era !== this.#era).map(({ user }) => user));
	}

	#learn(word) {
		const contact = this.#contacts.get(word.user);
		if (!contact || !this.#era || (contact.server === this.#self.server && word.seq < contact.word.seq)) return;
		Object.assign(contact, { word, server: this.#self.server, era: this.#era, isKnown: true, error: null });
		this.#tell(contact);
	}

	/* ---- requests ---- */

	#ask(users) {
		this.#toWatch.push(...users);
		if (!this.#asked && this.#due.ask === Infinity) this.#askNext();
	}

	#askNext() {
		const users = requestful(this.#toWatch, this.#mostUsers);
		this.#due.ask = Infinity;
		this.#asked = users.length > 0 ? { id: this.#nextId++, users } : null;
		if (!this.#asked) return;
		this.#toWatch.splice(0, users.length);
		this.#send({ type: 'watch', ...this.#asked });
	}

	#sendUnwatch(users) {
		for (let rest = users; rest.length > 0; ) {
			const part = requestful(rest, this.#maxUsers);
			this.#send({ type: 'unwatch', users: part });
			rest = rest.slice(part.length);
		}
	}

	#query(users) {
		return new Promise((resolve, reject) => {
			const id = this.#nextId++, query = { users, found: [], resolve, reject };
			this.#queries.set(id, query);
			if (this.#link === 'up') this.#sendQuery(id, query);
		});
	}

	#sendQuery(id, query) {
		query.found = [];
		this.#send({ type: 'query', id, users: query.users });
	}

	#refused({ code, message, id, retry_ms }) {
		if (id !== undefined && id === this.#asked?.id) return this.#refusedWatch(code);
		const query = this.#queries.get(id);
		if (query) {
			this.#queries.delete(id);
			return query.reject(new PresenceError(OF_ERROR[code] ?? code, message));
		}
		if (!this.#era && code === 'bad_message') return this.#end('rejected', message);
		if (code === 'line_too_long') this.#askForLess(message);
		if (!['bad_message', 'unknown_type', 'already_hello', 'forbidden', 'too_many_watches'].includes(code))
			this.#lose(OF_ERROR[code] ?? code, message, retry_ms);
	}

	/* A server with a shorter line than is usual. */
	#askForLess(message) {
		this.#mostUsers = this.#maxUsers = Math.ceil(this.#maxUsers / 2);
		for (const [id, { users, reject }] of this.#queries) {
			if (users.length <= this.#maxUsers) continue;
			this.#queries.delete(id);
			reject(new PresenceError('protocol', message));
		}
	}

	/* Nothing of a request is taken where one of its users is forbidden: which one, halves show. */
	#refusedWatch(code) {
		const { users } = this.#asked;
		this.#asked = null;
		if (users.length > 1 && code === 'forbidden') {
			this.#mostUsers = Math.ceil(users.length / 2);
			this.#toWatch.unshift(...users);
		} else {
			for (const contact of users.map((user) => this.#contacts.get(user)).filter(Boolean)) {
				Object.assign(contact, { error: code, isKnown: false, era: this.#era });
				this.#tell(contact);
			}
		}
		this.#set('ask', this.#now() + REFUSED_PACE_MS * (1 + users.length / 50));
	}

	/* ---- the life of a page ---- */

	#listen(isOn) {
		const { document, addEventListener, removeEventListener } = globalThis;
		if (!document) return;
		const change = isOn ? 'addEventListener' : 'removeEventListener';
		document[change]('visibilitychange', this.#pageEvent);
		document[change]('freeze', this.#pageEvent);
		document[change]('resume', this.#pageEvent);
		for (const type of ['online', 'offline', 'pageshow', 'pagehide'])
			(isOn ? addEventListener : removeEventListener).call(globalThis, type, this.#pageEvent);
	}

	/* A frozen page hears nothing and is not there: it leaves its session to the server, and takes it up again. */
	#pageEvent = ({ type }) => {
		if (type === 'freeze' || type === 'pagehide') this.#pause();
		else if (type === 'resume' || type === 'pageshow') this.#goOn();
		else if (type !== 'visibilitychange' || globalThis.document.visibilityState === 'visible') this.#wake();
	};

	#pause() {
		if (this.#isPaused) return;
		this.#isPaused = true;
		this.#lose('closed', 'the page is frozen');
		this.#claim?.release();
		this.#claim = null;
	}

	#goOn() {
		if (!this.#isPaused) return;
		this.#isPaused = false;
		this.#failures = 0;
		this.#hear(this.#now());
		this.retry();
	}

	/* Somebody looks, or the network has news: a connection has to show soon that it is alive, and who waits to come
	 * back does so soon, though not all of an office at once. */
	#wake() {
		const nowMs = this.#now();
		if (this.#isPaused) return;
		if (nowMs >= this.#timerDueMs) this.#tick(); /* timers stood still with the machine */
		if (this.#link === 'up') {
			this.#beat(nowMs);
			this.#set('probe', nowMs + PROBE_MS);
		} else if (this.#due.retry < Infinity) {
			const soonMs = nowMs + this.#system.random() * SPREAD_MS;
			this.#set('retry', Math.max(this.#notBeforeMs, Math.min(this.#due.retry, soonMs)));
		}
		this.#plan();
	}
}
