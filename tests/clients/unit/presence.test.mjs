// The client's rules, one by one, in a world without a network and without time of its own.
import assert from 'node:assert/strict';
import test from 'node:test';

import { Presence, PresenceError, isFinal } from '../../../src/client/js/presence.js';
import { World, logIn, settle, welcome, word } from './world.mjs';

function token(claims) {
	const part = (object) => Buffer.from(JSON.stringify(object)).toString('base64url');
	return `${part({ alg: "HS256" })}.${part(claims)}.sig`;
}

async function alice(options = {}, words = [word('bob', 'online')], fields = {}) {
	const world = new World(), client = world.client(options).start();
	client.watch(words.map(({ user }) => user));
	const socket = await logIn(world, words, fields);
	return { world, client, socket };
}

/* ---- options ---- */

test("what can't be is refused at once", () => {
	const { WebSocket } = new World();
	const make = (url, options) => () => new Presence(url, { WebSocket, ...options });
	assert.throws(make('http://x/', { user: 'a' }), TypeError);
	assert.throws(make('not a url', { user: 'a' }), TypeError);
	assert.throws(make('ws://x/', {}), TypeError);
	assert.throws(make('ws://x/', { user: '' }), RangeError);
	assert.throws(make('ws://x/', { user: 'ü'.repeat(65) }), RangeError);
	assert.throws(make('ws://x/', { user: 'a\nb' }), TypeError);
	assert.throws(make('ws://x/', { user: '\ud800' }), TypeError);
	assert.throws(make('ws://x/', { user: 'a', device: 'd'.repeat(65) }), RangeError);
	assert.throws(make('ws://x/', { user: 'a', state: 'offline' }), TypeError);
	assert.throws(make('ws://x/', { user: 'a', status: 's'.repeat(257) }), RangeError);
	for (const name of ['heartbeatMs', 'connectTimeoutMs', 'backoffFirstMs', 'backoffMaxMs'])
		for (const value of [0, -1, NaN, Infinity, 1.5, '5']) assert.throws(make('ws://x/', { user: 'a', [name]: value }), RangeError);
	assert.doesNotThrow(make('ws://x/', { user: 'ü'.repeat(64), status: '' }));
	assert.doesNotThrow(make('wss://x/', { token: 't' }));
});

test('a watch is all or none', () => {
	const client = new World().client();
	assert.throws(() => client.watch(['bob', '']), RangeError);
	assert.deepEqual(client.contacts, []);
	client.watch('bob');
	client.watch(new Set(['bob', 'carol']));
	assert.deepEqual(client.contacts.map((c) => [c.user, c.truth, c.state, c.asOfMs]),
		[['bob', 'unknown', null, null], ['carol', 'unknown', null, null]]);
	assert.equal(client.contact('dave'), undefined);
});

/* ---- login ---- */

test('the hello says what was given, and no more', async () => {
	const world = new World();
	world.client().start();
	await settle();
	assert.equal(world.socket.url, 'ws://server.test/');
	assert.equal(world.socket.protocol, 'presence.v1');
	await world.socket.open();
	assert.deepEqual(world.socket.take(), [{ type: 'hello', v: 1, user: 'alice' }]);

	world.client({ user: undefined, device: 'tab', token: 't', heartbeatMs: 1000, state: 'away', status: null, pings: false }).start();
	await settle();
	await world.socket.open();
	assert.deepEqual(world.socket.take(),
		[{ type: 'hello', v: 1, device: 'tab', token: 't', heartbeat_ms: 1000, state: 'away', status: null, pings: false }]);
});

test('the device that the server made up is kept', async () => {
	const { world, client, socket } = await alice();
	assert.equal(client.self.device, 'made up');
	await socket.end();
	await world.pass(4000);
	await world.socket.open();
	assert.equal(world.socket.take()[0].device, 'made up');
});

test('start() twice is once', async () => {
	const world = new World(), client = world.client();
	client.start().start();
	await settle();
	assert.equal(world.sockets.length, 1);
	assert.deepEqual(client.links, ['connecting']);
});

/* ---- heartbeats ---- */

test('the first heartbeat is at a random moment, the others in step', async () => {
	const { world, socket } = await alice();
	world.chance = 0;
	socket.beats();
	await world.pass(4990);
	assert.equal(socket.beats(), 0);
	await world.pass(20); // half of the heartbeat, as chance has it
	assert.equal(socket.beats(), 1);
	for (let i = 0; i < 3; i++) {
		await socket.say('');
		await world.pass(10000);
		assert.equal(socket.beats(), 1);
	}
});

test('own words are sent once, and with each hello', async () => {
	const { world, client, socket } = await alice({ state: 'away' });
	client.update({ status: 'tea' });
	client.update({});
	assert.deepEqual(socket.take(), [{ type: 'update', status: 'tea' }]);
	await socket.end();
	client.update({ state: 'busy' });
	await world.pass(4000);
	await world.socket.open();
	const { state, status } = world.socket.take()[0];
	assert.deepEqual([state, status], ['busy', 'tea']);
	assert.throws(() => client.update({ state: 'offline' }), TypeError);
});

test('own words that change during a login are not lost', async () => {
	const world = new World(), client = world.client({ state: 'away' }).start();
	await settle();
	await world.socket.open();
	client.update({ state: 'busy', status: 'tea' });
	client.update({ status: null });
	world.socket.take();
	await world.socket.say(welcome());
	assert.deepEqual(world.socket.take(), [{ type: 'update', state: 'busy', status: null }]);
	client.update({ state: 'busy' });
	assert.deepEqual(world.socket.take(), []);
});

/* ---- truth ---- */

test('a word holds for the timeout after the last byte, and then nobody knows', async () => {
	const { world, client, socket } = await alice();
	assert.deepEqual(client.told, ['bob online online']);
	await world.pass(20000);
	await socket.say('');
	const heardMs = world.wallMs;
	assert.deepEqual([client.contact('bob').asOfMs, client.contact('bob').freshUntilMs], [heardMs, heardMs + 30000]);
	await world.pass(29990);
	assert.deepEqual(client.told, ['bob online online']);
	assert.equal(client.link, 'up');
	await world.pass(20);
	assert.deepEqual(client.told, ['bob online online', 'bob unknown online']);
	assert.deepEqual(client.links, ['connecting', 'up', 'waiting silence']);
	assert.ok(socket.isClosed);
	assert.equal(client.contact('bob').asOfMs, heardMs);
});

test('a connection that is lost changes nothing, and one that is back in time neither', async () => {
	const { world, client, socket } = await alice();
	await world.pass(1000);
	await socket.end();
	assert.deepEqual(client.links.at(-1), 'waiting lost');
	await world.pass(3000);
	await logIn(world, [word('bob', 'online', 9)], { server: 'run 2' });
	await world.pass(100);
	assert.deepEqual(client.told, ['bob online online']);
	assert.equal(client.contact('bob').seq, 9);
});

test('the words of an old connection end with it, those of the new one go on', async () => {
	const { world, client, socket } = await alice({}, [word('bob', 'online'), word('carol', 'away')]);
	await socket.end();
	await world.pass(2000);
	await settle();
	await world.socket.open();
	await world.socket.say(welcome());
	const [, { id, users }] = world.socket.take();
	assert.deepEqual(users, ['bob', 'carol']);
	await world.socket.say({ type: 'watching', id, more: true, presences: [word('bob', 'online')] });
	while (world.monoMs < 32000) {
		await world.pass(5000);
		await world.socket.say('');
	}
	assert.deepEqual(client.told, ['bob online online', 'carol online away', 'carol unknown away']);
	await world.socket.say({ type: 'watching', id, presences: [word('carol', 'away')] });
	assert.deepEqual(client.told.slice(3), ['carol online away']);
});

test('only changes are told', async () => {
	const { client, socket } = await alice();
	await socket.say({ type: 'presence', ...word('bob', 'online', 2) });
	await socket.say({ type: 'presence', ...word('bob', 'online', 3, { status: 'tea' }) });
	await socket.say({ type: 'presence', ...word('bob', 'busy', 4, { status: 'tea' }) });
	await socket.say({ type: 'presence', ...word('bob', 'offline', 5, { reason: 'timeout' }) });
	await socket.say({ type: 'presence', ...word('bob', 'online', 4) }); // goes back: not in one run of a server
	await socket.say({ type: 'presence', ...word('mallory', 'online') });
	await socket.say({ type: 'a word of a later version' }, { type: '__proto__' }, 'null', '7');
	assert.deepEqual(client.told, ['bob online online', 'bob online online', 'bob online busy', 'bob offline offline']);
	assert.equal(client.contact('bob').reason, 'timeout');
});

test('what a change was before is told with it', async () => {
	const { client, socket } = await alice();
	const seen = [];
	client.addEventListener('contact', ({ contact, was }) => seen.push([was.state, contact.state]));
	await socket.say({ type: 'presence', ...word('bob', 'away', 2) });
	assert.deepEqual(seen, [['online', 'away']]);
});

/* ---- coming back ---- */

test('the window of the back-off doubles to its end, and begins anew after a heartbeat', async () => {
	const { world, client, socket } = await alice();
	const waits = [];
	client.addEventListener('link', ({ link, retryInMs }) => link === 'waiting' && waits.push(retryInMs));
	await socket.end();
	for (let i = 0; i < 5; i++) {
		await world.pass(waits.at(-1));
		await world.socket.end();
	}
	assert.deepEqual(waits, [2000, 4000, 8000, 15000, 15000, 15000]);
	assert.equal(client.links.at(-1), 'waiting connect');
	await world.pass(15000);
	await logIn(world);
	await world.socket.end(1006);
	assert.equal(waits.at(-1), 15000); // it did not last
	await world.pass(15000);
	await logIn(world);
	await world.socket.say('');
	await world.socket.end(1006);
	assert.equal(waits.at(-1), 2000);
});

test('what the server asks for is waited for', async () => {
	const { world, client, socket } = await alice();
	await socket.say({ type: 'bye', reason: 'shutdown', retry_ms: 7000 });
	assert.deepEqual(client.links.at(-1), 'waiting shutdown');
	client.retry();
	await world.pass(6990);
	assert.equal(world.sockets.length, 1);
	await world.pass(20);
	assert.equal(world.sockets.length, 2);
	await world.socket.open();
	await world.socket.say({ type: 'error', code: 'server_full', message: 'full', retry_ms: 60000 });
	await world.pass(60000);
	assert.equal(world.sockets.length, 2);
	await world.pass(4000); // and chance on top, for all are told the same
	assert.equal(world.sockets.length, 3);
});

test('an option that is undefined is as one that is absent', async () => {
	const world = new World(), waits = [];
	const client = world.client({ backoffFirstMs: undefined, backoffMaxMs: undefined, connectTimeoutMs: undefined });
	client.addEventListener('link', ({ link, retryInMs }) => link === 'waiting' && waits.push(retryInMs));
	client.start();
	await world.pass(10010);
	assert.deepEqual(waits, [2000]);
});

test('retry() comes back now', async () => {
	const { world, client, socket } = await alice();
	await socket.end();
	client.retry();
	await world.pass(0);
	assert.equal(world.sockets.length, 2);
	client.retry();
	await world.pass(0);
	assert.equal(world.sockets.length, 2);
});

test('an attempt has an end', async () => {
	const world = new World(), client = world.client().start();
	await world.pass(9990);
	assert.equal(client.link, 'connecting');
	await world.pass(20);
	assert.equal(client.links.at(-1), 'waiting connect_timeout');
	assert.ok(world.socket.isClosed);
	await world.pass(2000);
	await world.sockets[0].open(); // too late
	assert.deepEqual(world.sockets[0].sent, []);
	assert.equal(world.sockets.length, 2);
});

test('a constructor that throws is a failed attempt', async () => {
	const world = new World(), client = world.client();
	world.isBroken = true;
	client.start();
	await settle();
	assert.equal(client.links.at(-1), 'waiting connect');
	world.isBroken = false;
	await world.pass(2000);
	await logIn(world);
	assert.equal(client.link, 'up');
});

for (const [code, message] of [
	['replaced', { type: 'bye', reason: 'replaced' }],
	['kicked', { type: 'bye', reason: 'kicked' }],
	['auth_failed', { type: 'error', code: 'auth_failed', message: '' }],
	['auth_required', { type: 'error', code: 'auth_required', message: '' }],
	['version', { type: 'error', code: 'version', message: '' }],
	['rejected', { type: 'error', code: 'bad_message', message: 'user: is missing' }],
])
	test(`no coming back after ${code}`, async () => {
		const world = new World(), client = world.client().start();
		client.watch('bob');
		await settle();
		await world.socket.open();
		if (message.type === 'bye') {
			await world.socket.say(welcome());
			await world.socket.say({ type: 'watching', id: 1, presences: [word('bob', 'online')] });
		}
		await world.socket.say(message);
		await world.socket.end(1000);
		assert.equal(client.links.at(-1), `stopped ${code}`);
		assert.ok(isFinal(code) && client.error === code);
		client.retry();
		await world.pass(100000);
		assert.equal(world.sockets.length, 1);
		if (message.type === 'bye') assert.deepEqual(client.told, ['bob online online', 'bob unknown online']);
		client.start();
		await settle();
		assert.equal(world.sockets.length, 2);
	});

test('the close code speaks where the bye was lost', async () => {
	for (const [code, error] of [[4409, 'stopped replaced'], [4403, 'stopped kicked'], [4401, 'stopped auth_failed'],
		[4402, 'waiting expired'], [4408, 'waiting timed_out'], [1001, 'waiting shutdown'], [1000, 'waiting closed']]) {
		const { client, socket } = await alice();
		await socket.end(code);
		assert.equal(client.links.at(-1), error);
	}
});

test('stop() says bye, and waits for its answer', async () => {
	const { world, client, socket } = await alice();
	let isStopped = false;
	client.stop().then(() => (isStopped = true));
	assert.deepEqual(socket.take(), [{ type: 'bye' }]);
	await world.pass(500);
	assert.equal(isStopped, false);
	await socket.say({ type: 'bye', reason: 'logout' });
	assert.ok(isStopped);
	assert.deepEqual(client.links, ['connecting', 'up', 'stopped']);
	assert.equal(client.error, null);
	await client.stop();
	assert.deepEqual(client.links.length, 3);
});

test('stop() without an answer takes a second, and without a session none', async () => {
	const { world, client } = await alice();
	const stopped = client.stop();
	await world.pass(1000);
	await stopped;
	const other = world.client().start();
	await other.stop();
	assert.deepEqual(other.links, ['connecting', 'stopped']);
	await world.pass(100000);
	assert.equal(world.nTimers, 0);
});

/* ---- watches ---- */

test('long lists are asked for in parts that fit, one after the other', async () => {
	const world = new World(), client = world.client().start(), users = Array.from({ length: 2500 }, (_, i) => `user.${i}`);
	client.watch(users);
	await settle();
	await world.socket.open();
	await world.socket.say(welcome());
	const asked = [];
	for (let i = 0; i < 20 && asked.length < users.length; i++) {
		const all = world.socket.take().filter((m) => m.type === 'watch');
		assert.equal(all.length, 1);
		assert.ok(all[0].users.length <= 1000 && JSON.stringify(all[0]).length < 20000);
		asked.push(...all[0].users);
		await world.socket.say({ type: 'watching', id: all[0].id, presences: all[0].users.map((user) => word(user, 'offline')) });
	}
	assert.deepEqual(asked, users);
	assert.ok(client.contacts.every((c) => c.truth === 'offline'));
});

test('ids of the longest kind fit into 64 KiB', async () => {
	const world = new World(), client = world.client().start();
	client.watch(Array.from({ length: 1000 }, (_, i) => '€'.repeat(40) + String(i).padStart(4, '0')));
	await settle();
	await world.socket.open();
	await world.socket.say(welcome());
	for (const text of world.socket.sent) assert.ok(Buffer.byteLength(text) < 65536);
});

test('who is forbidden is found, and the others are watched', async () => {
	const world = new World(), client = world.client().start(), users = Array.from({ length: 40 }, (_, i) => `u${i}`);
	const forbidden = new Set(['u3', 'u4', 'u31']);
	client.watch(users);
	await settle();
	await world.socket.open();
	await world.socket.say(welcome());
	let n = 0;
	for (;;) {
		const watch = world.socket.take().find((m) => m.type === 'watch');
		if (!watch) break;
		n++;
		if (watch.users.some((user) => forbidden.has(user)))
			await world.socket.say({ type: 'error', code: 'forbidden', message: '', id: watch.id });
		else
			await world.socket.say({ type: 'watching', id: watch.id, presences: watch.users.map((user) => word(user, 'online')) });
		await world.pass(20);
	}
	assert.ok(n < 40, `${n} requests`);
	for (const contact of client.contacts)
		assert.deepEqual([contact.truth, contact.error], forbidden.has(contact.user) ? ['unknown', 'forbidden'] : ['online', null]);
	assert.equal(client.told.length, 40);
});

test('too many watches are told so, without a second try', async () => {
	const { client, socket } = await alice({}, []);
	client.watch(['x', 'y']);
	const [watch] = socket.take();
	await socket.say({ type: 'error', code: 'too_many_watches', message: '', id: watch.id });
	assert.deepEqual(client.contacts.map((c) => c.error), ['too_many_watches', 'too_many_watches']);
	assert.deepEqual(socket.take(), []);
});

test('unwatched is forgotten', async () => {
	const { client, socket } = await alice({}, [word('bob', 'online'), word('carol', 'online')]);
	client.unwatch(['bob', 'nobody']);
	assert.deepEqual(socket.take(), [{ type: 'unwatch', users: ['bob'] }]);
	await socket.say({ type: 'presence', ...word('bob', 'offline', 2) });
	assert.deepEqual(client.told, ['bob online online', 'carol online online']);
	assert.deepEqual(client.contacts.map((c) => c.user), ['carol']);
});

test('a line that is too long for the server is shorter the next time', async () => {
	const world = new World(), client = world.client().start();
	client.watch(Array.from({ length: 100 }, (_, i) => `u${i}`));
	const lengths = [];
	for (let i = 0; i < 10; i++) {
		await settle();
		const socket = world.socket;
		await socket.open();
		await socket.say(welcome());
		const watch = socket.take().find((m) => m.type === 'watch');
		lengths.push(watch.users.length);
		if (watch.users.length <= 50) break;
		await socket.say({ type: 'error', code: 'line_too_long', message: '' });
		client.retry();
		await world.pass(0);
	}
	assert.equal(lengths.at(-1), 32);
});

/* ---- resuming ---- */

test('a session that is resumed asks only for what it did not get', async () => {
	const { world, client, socket } = await alice({}, [word('bob', 'online'), word('carol', 'online')], { resume: 'secret' });
	await socket.end();
	client.watch('dave');
	client.unwatch('carol');
	await world.pass(2000);
	await world.socket.open();
	assert.equal(world.socket.take()[0].resume, 'secret');
	await world.socket.say(welcome({ resumed: true, resume: 'next' }),
		{ type: 'watching', presences: [word('bob', 'online'), word('carol', 'online')] });
	assert.deepEqual(world.socket.sent, ['', JSON.stringify({ type: 'unwatch', users: ['carol'] })]);
	world.socket.take();
	await world.socket.say('');
	assert.deepEqual(world.socket.take().map(({ type, users }) => [type, users]), [['watch', ['dave']]]);
	assert.deepEqual(client.told, ['bob online online', 'carol online online']);
});

test('resumed without its watches, it asks for all of them', async () => {
	const { world, socket } = await alice({}, [word('bob', 'online')], { resume: 'secret' });
	await socket.end();
	await world.pass(2000);
	await world.socket.open();
	world.socket.take();
	await world.socket.say(welcome({ resumed: true }));
	assert.deepEqual(world.socket.take(), []);
	await world.socket.say('');
	assert.deepEqual(world.socket.take()[0].users, ['bob']);
});

/* ---- queries ---- */

test('a query waits for a login, is asked again, and comes in parts', async () => {
	const world = new World(), client = world.client().start();
	const answer = client.query(['bob', 'carol']);
	await settle();
	await world.socket.open();
	await world.socket.say(welcome());
	const first = world.socket.take().find((m) => m.type === 'query');
	assert.deepEqual(first.users, ['bob', 'carol']);
	await world.socket.say({ type: 'presences', id: first.id, more: true, presences: [word('bob', 'online')] });
	await world.socket.end();
	await world.pass(2000);
	await world.socket.open();
	await world.socket.say(welcome());
	const again = world.socket.take().find((m) => m.type === 'query');
	await world.socket.say({ type: 'presences', id: again.id, more: true, presences: [word('bob', 'away')] },
		{ type: 'presences', id: again.id, presences: [word('carol', 'offline')] });
	assert.deepEqual((await answer).map((c) => [c.user, c.truth, c.state]), [['bob', 'online', 'away'], ['carol', 'offline', 'offline']]);
	assert.deepEqual(client.contacts, []);
});

test('a query that is too long for the server is told so, and not asked for ever', async () => {
	const { world, client, socket } = await alice({}, []);
	const long = assert.rejects(client.query(Array.from({ length: 900 }, (_, i) => `u${i}`)), (e) => e.code === 'protocol');
	const short = client.query(['bob']);
	await settle();
	await socket.say({ type: 'error', code: 'line_too_long', message: 'the line is over the limit' });
	await long;
	await world.pass(2000);
	await world.socket.open();
	await world.socket.say(welcome());
	const queries = world.socket.take().filter((m) => m.type === 'query');
	assert.deepEqual(queries.map((m) => m.users), [['bob']]);
	await world.socket.say({ type: 'presences', id: queries[0].id, presences: [word('bob', 'away')] });
	assert.equal((await short)[0].state, 'away');
});

test('a query may be forbidden, or stopped', async () => {
	const { client, socket } = await alice({}, []);
	const forbidden = assert.rejects(client.query('mallory'), (e) => e instanceof PresenceError && e.code === 'forbidden');
	await settle();
	await socket.say({ type: 'error', code: 'forbidden', message: 'no', id: socket.take()[0].id });
	await forbidden;
	const stopped = assert.rejects(client.query('bob'), (e) => e.code === 'stopped');
	await settle();
	client.stop();
	await socket.say({ type: 'bye', reason: 'logout' });
	await stopped;
});

/* ---- tokens ---- */

test('a token is asked for before each login', async () => {
	const world = new World();
	let give;
	const client = world.client({ token: () => new Promise((resolve) => (give = resolve)) }).start();
	await world.pass(100000);
	assert.deepEqual(client.links, ['waiting']);
	assert.equal(world.sockets.length, 0);
	give('first');
	await settle();
	await world.socket.open();
	assert.equal(world.socket.take()[0].token, 'first');
	await world.socket.say(welcome());
	await world.socket.end(4402);
	await world.pass(2000);
	give('second');
	await settle();
	await world.socket.open();
	assert.equal(world.socket.take()[0].token, 'second');
});

test('a token function that throws is asked again, one that has none ends it', async () => {
	const world = new World(), answers = [() => { throw new Error('no network'); }, () => null];
	const client = world.client({ token: async () => answers.shift()() }).start();
	await settle();
	assert.deepEqual(client.links, ['waiting', 'waiting token']);
	await world.pass(2000);
	assert.equal(client.links.at(-1), 'stopped token');
	assert.equal(world.sockets.length, 0);
});

test('a session is renewed when nine tenths of its token are over', async () => {
	const world = new World(), made = [];
	const fresh = () => {
		const now = Math.floor(world.wallMs / 1000);
		made.push(token({ sub: 'alice', exp: now + 100 }));
		return made.at(-1);
	};
	world.client({ token: fresh }).start();
	const socket = await logIn(world);
	for (let i = 0; i < 10; i++, await socket.say('')) await world.pass(8900);
	assert.equal(made.length, 1);
	await world.pass(1200);
	assert.equal(made.length, 2);
	assert.deepEqual(socket.take().filter((m) => m.type === 'update'), [{ type: 'update', token: made[1] }]);
});

test('whom a fresh token does not let it watch is not shown as known', async () => {
	const world = new World(), client = world.client({ token: () => ({ token: 't', lifetimeMs: 20000 }) }).start();
	client.watch(['bob', 'carol']);
	const socket = await logIn(world, [word('bob', 'online'), word('carol', 'online')]);
	await world.pass(18010);
	const [update, watch] = socket.take();
	assert.deepEqual([update.type, watch.users], ['update', ['bob', 'carol']]);
	await socket.say({ type: 'error', code: 'forbidden', message: '', id: watch.id });
	for (let i = 0; i < 2; i++) {
		await world.pass(20);
		const { id, users: [user] } = socket.take()[0];
		await socket.say(user === 'bob' ? { type: 'watching', id, presences: [word('bob', 'online')] }
			: { type: 'error', code: 'forbidden', message: '', id });
	}
	assert.deepEqual(client.contacts.map((c) => [c.truth, c.error]), [['online', null], ['unknown', 'forbidden']]);
	assert.deepEqual(client.told, ['bob online online', 'carol online online', 'carol unknown online']);
});

test('a clock that is wrong is no harm where a token says when it was made', async () => {
	const world = new World();
	let n = 0;
	world.client({ token: () => (n++, token({ exp: 1000, iat: 900 })) }).start(); // long over, as this clock has it
	const socket = await logIn(world);
	for (let i = 0; i < 8; i++, await socket.say('')) await world.pass(10000);
	assert.equal(n, 1);
	await world.pass(10100);
	assert.equal(n, 2);
});

test('how long a token is good for may be said beside it', async () => {
	const world = new World();
	let n = 0;
	world.client({ token: () => (n++, { token: 'opaque', lifetimeMs: 20000 }) }).start();
	const socket = await logIn(world);
	await world.pass(17990);
	await socket.say('');
	assert.equal(n, 1);
	await world.pass(20);
	assert.deepEqual(socket.take().filter((m) => m.type === 'update'), [{ type: 'update', token: 'opaque' }]);
});

test('a token that says nothing of its end is not renewed', async () => {
	const world = new World();
	let n = 0;
	world.client({ token: () => (n++, 'opaque') }).start();
	const socket = await logIn(world);
	for (let i = 0; i < 20; i++, await socket.say('')) await world.pass(10000);
	assert.equal(n, 1);
});

/* ---- time that is not as it should be ---- */

test('a throttled timer judges nobody before a hearing', async () => {
	const { world, client, socket } = await alice();
	for (let i = 0; i < 5; i++) {
		socket.beats();
		await world.stall(60000); // a hidden tab: its timers fire once a minute
		assert.equal(socket.beats(), 1);
		await world.pass(50);
		await socket.say('');
	}
	assert.deepEqual(client.told, ['bob online online']);
	assert.equal(client.link, 'up');
	await world.stall(60000); // and now the server is gone
	assert.equal(client.link, 'up');
	await world.stall(60000);
	assert.equal(client.link, 'waiting');
	assert.deepEqual(client.told.at(-1), 'bob unknown online');
});

test('after a hearing without a word there is a verdict, a second later', async () => {
	const { world, client } = await alice();
	await world.stall(45000);
	await world.pass(990);
	assert.equal(client.link, 'up');
	await world.pass(20);
	assert.deepEqual(client.links.at(-1), 'waiting silence');
});

test('a short timeout is no shorter of patience', async () => {
	const { world, client, socket } = await alice({}, [word('bob', 'online')], { heartbeat_ms: 300, timeout_ms: 900 });
	for (let i = 0; i < 5; i++) {
		await world.stall(1000); // a hidden tab: its timers fire once a second
		await world.pass(50);
		await socket.say('');
	}
	assert.deepEqual(client.told, ['bob online online']);
	await world.stall(1000);
	await world.pass(460);
	assert.equal(client.links.at(-1), 'waiting silence');
});

test('a machine that slept knows its words to be stale', async () => {
	const { world, client, socket } = await alice();
	await world.pass(2000);
	await socket.say('');
	world.sleep(3600_000);
	await world.pass(3000); // its next timer
	assert.equal(client.link, 'up');
	await world.pass(1010);
	assert.deepEqual(client.told.at(-1), 'bob unknown online');
	assert.deepEqual(client.links.at(-1), 'waiting silence');
	await world.pass(2000);
	await logIn(world, [word('bob', 'online')]);
	assert.deepEqual(client.told.at(-1), 'bob online online');
});

test('a wall clock that is put back changes nothing', async () => {
	const { world, client, socket } = await alice();
	world.wallMs -= 3600_000;
	for (let i = 0; i < 10; i++, await socket.say('')) await world.pass(9000);
	assert.deepEqual(client.links, ['connecting', 'up']);
	await world.pass(30010);
	assert.deepEqual(client.links.at(-1), 'waiting silence');
});

test('an answer on the way out of a stall is heard, whatever comes first', async () => {
	const { world, client, socket } = await alice();
	await world.stall(31000);
	await socket.say({ type: 'presence', ...word('bob', 'away', 2) });
	await world.pass(5000);
	assert.deepEqual(client.told, ['bob online online', 'bob online away']);
	assert.equal(client.link, 'up');
});

/* ---- the rest ---- */

test('what is no JSON ends the connection, not the client', async () => {
	const { client, socket } = await alice();
	await socket.say('{');
	assert.equal(client.links.at(-1), 'waiting protocol');
});

test('iteration gives the newest of each, and ends with the client', async () => {
	const { client, socket } = await alice({}, [word('bob', 'online'), word('carol', 'online')]);
	const seen = [];
	const all = (async () => {
		for await (const contact of client) {
			seen.push(`${contact.user} ${contact.state}`);
			await settle();
		}
		seen.push('end');
	})();
	await settle();
	await socket.say({ type: 'presence', ...word('bob', 'away', 2) }, { type: 'presence', ...word('carol', 'busy', 2) },
		{ type: 'presence', ...word('bob', 'busy', 3) });
	for (let i = 0; i < 5; i++) await settle();
	assert.deepEqual(seen, ['bob busy', 'carol busy']);
	client.stop();
	await socket.say({ type: 'bye', reason: 'logout' });
	await all;
	assert.equal(seen.at(-1), 'end');
});

test('a listener may do anything', async () => {
	const world = new World(), client = world.client();
	client.addEventListener('contact', () => client.stop());
	client.addEventListener('link', ({ link }) => link === 'up' && client.watch('carol'));
	client.watch('bob');
	client.start();
	await settle();
	await world.socket.open();
	await world.socket.say(welcome());
	const [, { id, users }] = world.socket.take();
	assert.deepEqual(users, ['bob']);
	await world.socket.say({ type: 'watching', id, presences: [word('bob', 'online')] });
	assert.deepEqual(world.socket.take().map(({ type, users }) => [type, users]), [['bye', undefined], ['watch', ['carol']]]);
	await world.pass(1000);
	assert.equal(client.link, 'stopped');
});
