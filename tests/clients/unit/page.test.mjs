// What a page's life does to its client: hidden, shown, frozen, left and come back to, copied into another tab.
import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import test, { afterEach, beforeEach } from 'node:test';

import { World, logIn, settle, welcome, word } from './world.mjs';

let page;

class Page {
	document = new EventTarget();
	window = new EventTarget();
	stored = new Map();

	constructor() {
		this.document.visibilityState = 'visible';
	}
	window_(type) {
		this.window.dispatchEvent(new Event(type));
	}
	show(state) {
		this.document.visibilityState = state;
		this.document.dispatchEvent(new Event('visibilitychange'));
	}
}

/* Locks as browsers have them, of all tabs of one origin. */
class Locks {
	held = new Map();
	async request(name, { signal }, use) {
		while (this.held.has(name)) {
			if (signal.aborted) throw Object.assign(new Error('aborted'), { name: 'AbortError' });
			await Promise.race([this.held.get(name), new Promise((resolve) => signal.addEventListener('abort', resolve))]);
		}
		const done = use({ name });
		this.held.set(name, done);
		await done;
		this.held.delete(name);
	}
}

const kept = {};
function put(name, value) {
	kept[name] ??= Object.getOwnPropertyDescriptor(globalThis, name) ?? null;
	Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}

beforeEach(() => {
	page = new Page();
	put('document', page.document);
	put('crypto', webcrypto); // which Node.js 18 hides
	put('addEventListener', (...a) => page.window.addEventListener(...a));
	put('removeEventListener', (...a) => page.window.removeEventListener(...a));
	put('sessionStorage', { getItem: (k) => page.stored.get(k) ?? null, setItem: (k, v) => page.stored.set(k, v) });
	put('navigator', { locks: new Locks() });
});

afterEach(() => {
	for (const client of World.clients.splice(0)) client.stop();
	for (const [name, value] of Object.entries(kept)) {
		if (value) Object.defineProperty(globalThis, name, value);
		else delete globalThis[name];
		delete kept[name];
	}
});

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function open(world) {
	for (let i = 0; i < 100 && !world.socket; i++) await wait(10);
	await world.socket.open();
	return world.socket.take()[0];
}

async function alice() {
	const world = new World(), client = world.client({ device: 'tab' }).start();
	client.watch('bob');
	const socket = await logIn(world, [word('bob', 'online')]);
	socket.beats();
	return { world, client, socket };
}

/* ---- the tab's device ---- */

for (const way of ['locks', 'a channel']) {
	const choose = () => way === 'a channel' && put('navigator', {});

	test(`a tab is one device over its reloads, by ${way}`, async () => {
		choose();
		const first = new World(), client = first.client().start();
		const { device } = await open(first);
		assert.match(device, /^[0-9a-f]{16}$/);
		assert.equal(page.stored.get('presence.device'), device);
		page.window_('pagehide');
		await settle();
		const second = new World(), again = second.client().start();
		assert.equal((await open(second)).device, device);
		await client.stop();
		await again.stop();
	});

	test(`a tab that is a copy becomes another device, by ${way}`, async () => {
		choose();
		const first = new World(), client = first.client().start(), { device } = await open(first);
		const copy = new World(), other = copy.client().start(), { device: its } = await open(copy);
		assert.match(its, /^[0-9a-f]{16}$/);
		assert.notEqual(its, device);
		assert.equal(page.stored.get('presence.device'), its);
		await client.stop();
		await other.stop();
	});
}

test("two copies that begin at the same moment don't take the same device", async () => {
	put('navigator', {});
	page.stored.set('presence.device', '0123456789abcdef');
	const worlds = [new World(), new World()], clients = worlds.map((world) => world.client().start());
	const devices = await Promise.all(worlds.map(async (world) => (await open(world)).device));
	assert.equal(new Set(devices).size, 2);
	for (const client of clients) await client.stop();
});

test('a page that may not store still has a device', async () => {
	put('sessionStorage', { getItem() { throw new Error('denied'); } });
	const world = new World(), client = world.client().start();
	assert.equal((await open(world)).device, undefined);
	await world.socket.say(welcome());
	await world.socket.end();
	await world.pass(2000);
	for (let i = 0; i < 50 && world.sockets.length < 2; i++) await wait(10);
	await world.socket.open();
	assert.equal(world.socket.take()[0].device, 'made up');
	await client.stop();
});

/* ---- hidden, shown, offline, online ---- */

test('a page that is looked at asks the server whether it is there', async () => {
	const { world, client, socket } = await alice();
	page.show('hidden');
	assert.equal(socket.beats(), 0);
	page.show('visible');
	assert.equal(socket.beats(), 1);
	await socket.say('');
	await world.pass(9000);
	assert.equal(client.link, 'up');
	await socket.say('');
	page.show('visible');
	await world.pass(5010); // no answer
	assert.equal(client.links.at(-1), 'waiting silence');
	assert.deepEqual(client.told, ['bob online online']); // which is no news about bob
});

test('news of the network brings the client back soon, but never before the server wants it', async () => {
	const { world, client, socket } = await alice();
	world.chance = 0.9;
	await socket.end();
	page.window_('online');
	await world.pass(890);
	assert.equal(world.sockets.length, 1);
	await world.pass(20);
	assert.equal(world.sockets.length, 2);
	await world.socket.open();
	await world.socket.say({ type: 'error', code: 'rate_limited', message: '', retry_ms: 5000 });
	page.window_('online');
	await world.pass(4990);
	assert.equal(world.sockets.length, 2);
	await world.pass(20);
	assert.equal(world.sockets.length, 3);
	await client.stop();
});

test('offline is a question, not a verdict', async () => {
	const { world, client, socket } = await alice();
	page.window_('offline');
	assert.equal(socket.beats(), 1);
	await socket.say('');
	await world.pass(6000);
	assert.equal(client.link, 'up');
});

/* ---- frozen, left, and come back to ---- */

for (const [goes, comes] of [['freeze', 'resume'], ['pagehide', 'pageshow']])
	test(`a page that ${goes}s leaves, and is back with ${comes}`, async () => {
		const { world, client, socket } = await alice();
		const target = goes === 'freeze' ? page.document : page.window;
		target.dispatchEvent(new Event(goes));
		assert.ok(socket.isClosed);
		assert.equal(world.nTimers, 0);
		await world.pass(1000_000);
		assert.equal(world.sockets.length, 1);
		assert.deepEqual(client.told, ['bob online online']); // it can't know
		target.dispatchEvent(new Event(comes));
		await world.pass(0);
		assert.equal(world.sockets.length, 2);
		await world.pass(500);
		await world.socket.open();
		await world.socket.say(welcome());
		await world.socket.say({ type: 'watching', id: world.socket.take().at(-1).id, presences: [word('bob', 'online', 7)] });
		await world.pass(1000);
		assert.deepEqual(client.told, ['bob online online']); // in time for no flicker
	});

test('a page that is back without its network doubts, a second later', async () => {
	const { world, client } = await alice();
	page.document.dispatchEvent(new Event('freeze'));
	await world.stall(1000_000);
	page.document.dispatchEvent(new Event('resume'));
	await world.pass(990);
	assert.deepEqual(client.told, ['bob online online']);
	await world.pass(20);
	assert.deepEqual(client.told, ['bob online online', 'bob unknown online']);
});

test('a client that was stopped listens to the page no more', async () => {
	const { world, client, socket } = await alice();
	client.stop();
	await socket.say({ type: 'bye', reason: 'logout' });
	page.window_('pageshow');
	page.window_('online');
	page.show('visible');
	page.document.dispatchEvent(new Event('freeze'));
	page.document.dispatchEvent(new Event('resume'));
	await world.pass(1000);
	assert.equal(world.sockets.length, 1);
	assert.deepEqual(client.links, ['connecting', 'up', 'stopped']);
});
