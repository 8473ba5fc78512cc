// The client program around presence.js, as tests/support/scenario.py describes it. Usage: node presence_client.mjs
// The package "ws" is where NODE_PATH says; with an argument, "global", the WebSocket is Node's own.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

import { Presence } from '../../src/client/js/presence.js';

const isGlobal = process.argv[2] === 'global';
const WebSocket = isGlobal ? globalThis.WebSocket : createRequire(import.meta.url)('ws');

const say = (said, fields = {}) =>
	process.stdout.write(JSON.stringify({ said, at: Number(process.hrtime.bigint()) / 1e9, ...fields }) + '\n');

const contact = (c) => ({
	user: c.user, truth: c.truth, state: c.state, status: c.status, reason: c.reason, error: c.error,
	age_ms: c.asOfMs && Date.now() - c.asOfMs, fresh_ms: c.freshUntilMs && c.freshUntilMs - Date.now(),
});

let presence = null;
let token; // the last that was handed over, until it is taken
let whenToken = null;

function askToken() {
	say('token_wanted');
	if (token === undefined) return new Promise((resolve) => (whenToken = resolve));
	const given = token;
	token = undefined;
	return given;
}

function onLink({ link, error, retryInMs, isResumed }) {
	const self = presence.self;
	const of = {
		waiting: () => ({ retry_in_ms: retryInMs }),
		up: () => ({ user: self.user, device: self.device, session: self.session, server: self.server,
			heartbeat_ms: self.heartbeatMs, timeout_ms: self.timeoutMs, resumed: isResumed }),
	};
	say('link', { link, error, ...of[link]?.() });
}

const commands = {
	connect(c) {
		const ca = c.ca_file && readFileSync(c.ca_file);
		class Trusting extends WebSocket {
			constructor(url, protocol) {
				super(url, protocol, { ca });
			}
		}
		presence = new Presence(c.url, { user: c.user, device: c.device, state: c.state, status: c.status,
			token: c.asks_token ? askToken : c.token, heartbeatMs: c.heartbeat_ms, connectTimeoutMs: c.connect_timeout_ms,
			backoffFirstMs: c.backoff_first_ms, backoffMaxMs: c.backoff_max_ms, ...(isGlobal ? {} : { WebSocket: Trusting }) });
		presence.addEventListener('contact', (event) => say('contact', contact(event.contact)));
		presence.addEventListener('link', onLink);
		presence.start();
	},
	watch: ({ users }) => presence.watch(users),
	unwatch: ({ users }) => presence.unwatch(users),
	query: ({ users }) =>
		presence.query(users).then(
			(contacts) => say('answer', { error: null, contacts: contacts.map(contact) }),
			(error) => say('answer', { error: error.code, contacts: [] })),
	update: ({ state, status }) => presence.update({ state, status }),
	token(c) {
		const resolve = whenToken;
		whenToken = null;
		const given = c.lifetime_ms === undefined ? c.token : { token: c.token, lifetimeMs: c.lifetime_ms };
		if (resolve) resolve(given);
		else token = given;
	},
	look: ({ user }) => say('look', contact(presence.contact(user))),
	retry: () => presence.retry(),
	stop: () => presence.stop(),
};

say('ready');
createInterface({ input: process.stdin })
	.on('line', (line) => {
		const command = JSON.parse(line);
		commands[command.do](command);
	})
	.on('close', () => process.exit(0));
