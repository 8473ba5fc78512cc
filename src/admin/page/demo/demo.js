/* A contact list over presence.js, and a cable to pull: what a watcher is told, what one knows oneself. */

import { clock, duration, REASONS } from '/page/words.js';
import { Cable } from '/demo/cable.js';
import { Presence } from '/demo/presence.js';

const PEOPLE = ['alice', 'bob', 'carol', 'dave'];
const FACES = { alice: '#0b6b5d', bob: '#c2570c', carol: '#3d5fc4', dave: '#8d3b8f' };
const STATES = { online: 'Online', away: 'Away', busy: 'Busy', offline: 'Offline', unknown: 'Unknown' };
const HEARTBEAT_MS = 2000;
const LOG_MAX = 200;

const $ = (id) => document.getElementById(id);
const cable = new Cable();
let presence = null;

function element(name, className, text = '') {
	const made = document.createElement(name);
	made.className = className;
	made.textContent = text;
	return made;
}

/* Whole seconds, as long ago as it is. */
const age = (ms) => duration(Math.max(0, Math.round(ms / 1000)) * 1000);

/* ---- contacts -------------------------------------------------------------------------------------- */

const rows = new Map();

function addRow(user) {
	const row = element('li', ''), words = element('div', ''), line = element('p', '');
	const parts = { row, what: element('span', 'what'), words: element('span', 'words'), note: element('small', '') };
	const face = element('span', 'face', user[0]);
	face.setAttribute('aria-hidden', 'true');
	face.style.setProperty('--face', FACES[user]);
	row.dataset.user = user;
	line.append(element('b', '', user), ' ', parts.what, ' ', parts.words);
	words.append(line, parts.note);
	row.append(face, words);
	$('contacts').append(row);
	rows.set(user, parts);
}

function noteOf(c, nowMs) {
	if (c.error)
		return c.error === 'forbidden' ? 'The server does not tell you about this user' : 'Over the limit of watched users';
	if (c.truth === 'unknown')
		return c.state === null ? 'Nothing heard yet' : `Was ${c.state}, as of ${age(nowMs - c.asOfMs)} ago`;
	if (c.truth === 'online')
		return `${REASONS[c.reason] ?? c.reason}, ${clock(c.atMs, nowMs)}`;
	if (c.lastSeenMs === null)
		return 'Not seen yet';
	return `${REASONS[c.reason] ?? c.reason} (${c.reason}) – last heard ${age(nowMs - c.lastSeenMs)} ago`;
}

function showContact(c, nowMs) {
	const { row, what, words, note } = rows.get(c.user), state = c.truth === 'unknown' ? 'unknown' : c.state;
	row.dataset.state = state;
	what.textContent = STATES[state];
	words.textContent = c.status ? `“${c.status}”` : '';
	note.textContent = noteOf(c, nowMs);
}

function showAll() {
	const nowMs = Date.now();
	for (const contact of presence.contacts)
		showContact(contact, nowMs);
	showFreshness(nowMs);
}

/* ---- the cable ------------------------------------------------------------------------------------- */

function showFreshness(nowMs) {
	const { timeoutMs } = presence.self, heardMs = Math.max(...presence.contacts.map((c) => c.asOfMs ?? 0));
	if (heardMs === 0)
		return;
	const leftMs = Math.max(0, heardMs + timeoutMs - nowMs);
	$('heard').textContent = `Server last heard ${duration(Math.max(0, Math.round((nowMs - heardMs) / 100) * 100))} ago`;
	$('left').textContent = leftMs > 0 ? `good for another ${duration(Math.round(leftMs / 100) * 100)}` : 'what was known is stale';
	$('fresh').style.setProperty('--part', leftMs / timeoutMs);
	$('fresh').closest('.fresh').classList.toggle('is-stale', leftMs === 0);
}

function saysOf({ sends, hears }) {
	const timeout = age(presence.self.timeoutMs || 3 * HEARTBEAT_MS), beat = age(presence.self.heartbeatMs || HEARTBEAT_MS);
	if (sends && hears)
		return `A heartbeat of one byte goes out every ${beat}, and each is answered. Who is silent for ${timeout} is gone.`;
	if (!sends && !hears)
		return `Nothing gets through, and nobody was told: the TCP connection looks as it did. In ${timeout} the server tells the ` +
			'others that you are offline (timeout), and this tab knows no more what they are.';
	if (hears)
		return `The server hears nothing of you: after ${timeout} the others see you offline (timeout). What it does not hear it does ` +
			'not answer, so this tab is as much in the dark.';
	return `Your heartbeats arrive, and the others see you online. But no answer comes: after ${timeout} this tab knows that it ` +
		'knows nothing, and lets the connection go.';
}

function showCable() {
	const isOut = !cable.sends && !cable.hears;
	document.querySelector('.wire.out').classList.toggle('is-cut', !cable.sends);
	document.querySelector('.wire.in').classList.toggle('is-cut', !cable.hears);
	$('pull').textContent = cable.sends && cable.hears ? 'Pull the cable' : 'Plug it in again';
	$('pull').classList.toggle('is-out', !cable.sends || !cable.hears);
	$('mute').setAttribute('aria-pressed', String(!cable.sends && !isOut));
	$('deaf').setAttribute('aria-pressed', String(!cable.hears && !isOut));
	$('says').textContent = saysOf(cable);
}

function setCable(sends, hears, words) {
	say(words);
	cable.set({ sends, hears });
	showCable();
}

/* A dot that runs along the wire for what gets through. */
function runDot(selector) {
	const wire = document.querySelector(selector);
	wire.classList.remove('is-beating');
	void wire.offsetWidth;
	wire.classList.add('is-beating');
}

/* ---- what happened --------------------------------------------------------------------------------- */

function say(text) {
	const line = element('li', ''), time = element('time', '', clock(Date.now()));
	line.append(time, element('span', '', text));
	$('log').prepend(line);
	while ($('log').children.length > LOG_MAX)
		$('log').lastChild.remove();
}

function onContact({ contact }) {
	const { user, truth, state, status, reason } = contact;
	showAll();
	if (contact.error)
		say(`${user}: ${contact.error}`);
	else if (truth === 'unknown')
		say(`${user} is unknown: nothing was heard from the server for ${age(presence.self.timeoutMs)}`);
	else
		say(`${user} is ${state} (${reason})${status ? `: “${status}”` : ''}`);
}

const LINKS = {
	connecting: ['wait', 'Connecting'],
	up: ['live', 'Connected'],
	waiting: ['warn', 'Trying again'],
	stopped: ['bad', 'Stopped'],
};

function onLink({ link, error, retryInMs, isResumed }) {
	const [state, text] = LINKS[link];
	$('link').dataset.state = state;
	$('link-text').textContent = error && link !== 'up' ? `${text}: ${error}` : text;
	$('again').hidden = link !== 'stopped';
	if (link === 'up') {
		$('me-name').textContent = presence.self.user;
		$('me-device').textContent = `This tab is device ${presence.self.device}`;
		say(isResumed ? 'Connected, and the session goes on' : 'Connected');
		showCable();
	} else if (link === 'waiting') {
		say(`Connection lost (${error})${retryInMs === null ? '' : `, next try in ${duration(Math.round(retryInMs / 100) * 100)}`}`);
	} else if (link === 'stopped') {
		say(`Stopped${error ? `: ${error}` : ''}`);
	}
}

/* ---- start ----------------------------------------------------------------------------------------- */

/* Whom a token is of, as it says itself. */
function subjectOf(token) {
	try {
		return JSON.parse(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'))).sub;
	} catch {
		return '?';
	}
}

function introduce(me) {
	const others = PEOPLE.filter((name) => name !== me);
	document.title = `${me} – presenced`;
	$('me-name').textContent = me;
	$('me-face').textContent = me[0];
	$('me-face').style.setProperty('--face', FACES[me] ?? '#3a4a58');
	for (const name of others.slice(0, 3)) {
		const link = element('a', 'button', `as ${name}`);
		Object.assign(link, { href: `/demo?as=${name}`, target: `presenced-demo-${name}` });
		$('tabs').append(link);
	}
	others.forEach(addRow);
	return others;
}

function begin(url, token) {
	const me = token ? subjectOf(token) : new URLSearchParams(location.search).get('as') || PEOPLE[0];
	/* Pings would keep a page alive whose cable is pulled here: its browser would answer them. */
	presence = new Presence(url, { user: token ? undefined : me, token, heartbeatMs: HEARTBEAT_MS, pings: false,
		backoffFirstMs: 1000, backoffMaxMs: 4000, connectTimeoutMs: 5000, WebSocket: cable.WebSocket });
	presence.addEventListener('contact', onContact);
	presence.addEventListener('link', onLink);
	presence.watch(introduce(me));
	$('tabs').hidden = token !== undefined; /* each with a token of its own */
	$('stage').hidden = false;
	showAll();
	showCable();
	presence.start();
	setInterval(showAll, 100);
	window.presence = presence; /* for the console */
}

function setUp(why, ...lines) {
	$('setup').hidden = false;
	$('setup-why').textContent = why;
	$('setup-how').textContent = lines.join('\n');
	$('link').hidden = true;
}

async function start() {
	const { websocket, is_origin_allowed, asks_token } = await (await fetch('/demo/config.json')).json();
	if (websocket === null)
		return setUp('A page reaches the server by WebSocket, and this server listens for none. Start it with:',
			`PRESENCED_LISTEN=tcp://127.0.0.1:7400,ws://127.0.0.1:7401 \\`, `PRESENCED_ALLOWED_ORIGINS=${location.origin} presenced`);
	if (!is_origin_allowed)
		return setUp('This server takes WebSockets, but not from this page: its origin has to be among those allowed.',
			`PRESENCED_ALLOWED_ORIGINS=${location.origin}`);
	/* A listener on every address is at the one that this page came from. */
	const url = websocket.replace('//*:', `//${location.hostname}:`);
	if (!asks_token)
		return begin(url);
	$('token-form').hidden = false;
	$('token-form').addEventListener('submit', (event) => {
		event.preventDefault();
		$('token-form').hidden = true;
		begin(url, $('token').value);
	});
}

function nameTheme() {
	const { choice } = window.presencedTheme;
	$('theme').textContent = { auto: 'Auto', light: 'Light', dark: 'Dark' }[choice];
	$('theme').setAttribute('aria-label', `Theme: ${choice === 'auto' ? 'as the system' : choice}`);
}

$('states').addEventListener('change', (event) => presence.update({ state: event.target.value }));
$('status-form').addEventListener('submit', (event) => {
	event.preventDefault();
	presence.update({ status: $('status').value || null });
});
$('pull').addEventListener('click', () =>
	cable.sends && cable.hears ? setCable(false, false, 'You pull the cable') : setCable(true, true, 'The cable is back'));
$('mute').addEventListener('click', () => setCable(!cable.sends, true, cable.sends ? 'Nothing you send gets out' : 'The cable is back'));
$('deaf').addEventListener('click', () => setCable(true, !cable.hears, cable.hears ? 'Nothing reaches you' : 'The cable is back'));
$('again').addEventListener('click', () => presence.start());
$('theme').addEventListener('click', () => window.presencedTheme.next());
document.addEventListener('theme', nameTheme);
cable.addEventListener('out', () => runDot('.wire.out'));
cable.addEventListener('in', () => runDot('.wire.in'));
nameTheme();
start();
