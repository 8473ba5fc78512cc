// A world for a client under test: a clock that stands still until it is told to go on, timers on it, and a server that
// is the test.
import { Presence } from '../../../src/client/js/presence.js';

/** Lets everything that is ready run: promises that wait for nothing but each other. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

class Socket {
	constructor(world, url, protocol) {
		Object.assign(this, { world, url, protocol, sent: [], isClosed: false });
		if (world.isBroken) throw new Error('no such network');
		world.sockets.push(this);
	}
	send(text) {
		this.sent.push(text);
	}
	close() {
		this.isClosed = true;
	}
	/* The server's part */
	async open() {
		this.onopen?.({});
		await settle();
	}
	async say(...messages) {
		this.onmessage?.({ data: messages.map((m) => (typeof m === 'string' ? m : JSON.stringify(m))).join('\n') });
		await settle();
	}
	async end(code = 1006, reason = '') {
		this.onclose?.({ code, reason });
		await settle();
	}
	/** What was sent since the last look, heartbeats left out; as objects. */
	take() {
		return this.sent.splice(0).filter((text) => text !== '').map((text) => JSON.parse(text));
	}
	beats() {
		return this.sent.splice(0).filter((text) => text === '').length;
	}
}

export class World {
	monoMs = 1000;
	wallMs = 1_700_000_000_000;
	chance = 0.5;
	isBroken = false;
	sockets = [];
	#timers = new Map();
	#nextTimer = 1;

	constructor() {
		const world = this;
		this.WebSocket = class extends Socket {
			constructor(url, protocol) {
				super(world, url, protocol);
			}
		};
		this.system = {
			mono: () => this.monoMs,
			wall: () => this.wallMs,
			random: () => this.chance,
			setTimeout: (call, ms) => {
				this.#timers.set(this.#nextTimer, { call, dueMs: this.monoMs + ms });
				return this.#nextTimer++;
			},
			clearTimeout: (timer) => this.#timers.delete(timer),
		};
	}

	get socket() {
		return this.sockets.at(-1);
	}
	get nTimers() {
		return this.#timers.size;
	}

	static clients = [];

	client(options = {}) {
		const client = new Presence('ws://server.test/', {
			user: 'alice', WebSocket: this.WebSocket, system: this.system, backoffFirstMs: 4000, backoffMaxMs: 30000, ...options });
		World.clients.push(client);
		client.told = [];
		client.links = [];
		client.addEventListener('contact', ({ contact }) => client.told.push(`${contact.user} ${contact.truth} ${contact.state}`));
		client.addEventListener('link', (event) => client.links.push(event.error ? `${event.link} ${event.error}` : event.link));
		return client;
	}

	/** Time goes on, and timers fire when they are due. */
	async pass(ms) {
		const endMs = this.monoMs + ms;
		for (;;) {
			await settle();
			const due = [...this.#timers].filter(([, t]) => t.dueMs <= endMs).sort((a, b) => a[1].dueMs - b[1].dueMs)[0];
			if (!due) break;
			this.#go(due[1].dueMs);
			this.#timers.delete(due[0]);
			due[1].call();
		}
		this.#go(endMs);
		await settle();
	}

	/** Time goes on, and no timer fires before its end: a throttled tab, or a page that is busy. */
	async stall(ms) {
		this.#go(this.monoMs + ms);
		await this.pass(0);
	}

	/** The machine sleeps: the wall clock goes on, the other one and all timers don't. */
	sleep(ms) {
		this.wallMs += ms;
	}

	#go(monoMs) {
		const byMs = Math.max(0, monoMs - this.monoMs);
		this.monoMs += byMs;
		this.wallMs += byMs;
	}
}

export const welcome = (fields = {}) => ({ type: 'welcome', v: 1, user: 'alice', device: 'made up', session: 's1', server: 'run 1',
	heartbeat_ms: 10000, timeout_ms: 30000, now_ms: 5, resumed: false, ...fields });

export const word = (user, state, seq = 1, fields = {}) => ({ user, state, reason: 'login', seq, at_ms: 1, last_seen_ms: 2,
	status: null, ...fields });

/** Logs a started client in, and answers its first watch with these words. Gives the socket. */
export async function logIn(world, words = [], fields = {}) {
	await settle();
	const socket = world.socket;
	await socket.open();
	await socket.say(welcome(fields));
	const watch = socket.take().find((m) => m.type === 'watch');
	if (watch) await socket.say({ type: 'watching', id: watch.id, presences: words });
	return socket;
}
