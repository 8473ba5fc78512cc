/* Looking for a user: its state, its sessions, its history, kept fresh while it is shown. */

import { element } from './charts.js';
import { headline, knowledge } from './history.js';
import { Unauthorized, askJson } from './live.js';
import { REASONS, ago, clock, duration, full } from './words.js';

const FRESH_MS = 1000;
const MATCHES_MAX = 12, PAGES_MAX = 20;

const path_of = (user) => `/v1/users/${encodeURIComponent(user)}`;

/* Of a server that keeps none it is empty. */
async function history_of(user) {
	try {
		return await askJson(`${path_of(user)}/history`);
	} catch (error) {
		if (error.code === 'no_history')
			return { history: [] };
		throw error;
	}
}

function state(word) {
	return element('span', { class: 'state', 'data-state': word, text: word });
}

function sum(user, now) {
	if (user.reason === 'unknown' && user.sessions.length === 0)
		return element('p', { class: 'sum', text: 'Never seen here, or forgotten.' });
	const line = element('p', { class: 'sum' }, state(user.state));
	if (user.reconnecting)
		line.append(' (reconnecting)');
	if (user.at_ms !== null)
		line.append(` since ${clock(user.at_ms, now)}: ${REASONS[user.reason] ?? user.reason}. `);
	if (user.state === 'offline' && user.last_seen_ms !== null)
		line.append(`Last heard ${ago(user.last_seen_ms, now)}, at ${clock(user.last_seen_ms, now)}.`);
	if (user.status !== null)
		line.append(element('br'), `“${user.status}”`);
	return line;
}

function session(s, now) {
	const silent = now - s.last_seen_ms;
	const head = element('p', {}, element('b', { class: 'id', text: s.device }), ' ', state(s.state));
	const where = `${s.transport}${s.address ? `, ${s.address}` : ''}, since ${clock(s.since_ms, now)}`;
	const heard = s.reconnecting ? 'gone, and may still come back' :
		`heard ${ago(s.last_seen_ms, now)}${silent > s.timeout_ms / 2 ? `: expires at ${duration(s.timeout_ms)}` : ` (timeout ${duration(s.timeout_ms)})`}`;
	return element('li', {}, head,
		element('p', { class: 'hint', text: where }), element('p', { class: 'hint', text: heard }),
		...(s.status === null ? [] : [element('p', { class: 'hint', text: `“${s.status}”` })]),
		element('p', { class: 'hint' }, 'session ', element('span', { class: 'id', text: s.session })));
}

function change(entry, is_newest, now) {
	const made = element('li', { 'data-state': entry.state },
		element('p', {}, element('b', { text: headline(entry, is_newest, now) })));
	const known = knowledge(entry, now);
	if (known.length > 0)
		made.append(element('p', { class: 'hint', text: known.join(' ') }));
	const of = [entry.device && `device ${entry.device}`, entry.session && `session ${entry.session}`, `seq ${entry.seq}`];
	made.append(element('p', { class: 'hint id', text: of.filter(Boolean).join(', ') }));
	return made;
}

export class UserView {
	constructor(root, on_unauthorized) {
		this.root = root;
		this.on_unauthorized = on_unauthorized;
		this.asked = null;
		this.timer = null;
		this.skew_ms = 0; /* the server's clock against the reader's */
	}

	show(user) {
		this.asked = user;
		this.root.replaceChildren(element('p', { class: 'hint', text: 'Looking …' }));
		this.refresh();
	}

	async refresh() {
		const { asked } = this;
		clearTimeout(this.timer);
		if (asked === null)
			return;
		try {
			if (!document.hidden)
				await this.load(asked);
		} catch (error) {
			if (this.asked !== asked)
				return;
			if (error instanceof Unauthorized) {
				this.on_unauthorized();
				return;
			}
			this.fail(error);
		}
		if (this.asked === asked)
			this.timer = setTimeout(() => this.refresh(), FRESH_MS);
	}

	fail(error) {
		this.root.replaceChildren(element('p', { class: 'notice', 'data-level': 'bad', role: 'alert' },
			element('b', { text: 'No answer' }), element('span', { text: error.message })));
	}

	async load(asked) {
		const [user, history] = await Promise.all([askJson(path_of(asked)), history_of(asked)]);
		if (this.asked !== asked)
			return;
		const now = Date.now() + this.skew_ms;
		const is_nobody = user.reason === 'unknown' && user.sessions.length === 0 && history.history.length === 0;
		const text = JSON.stringify([user, history, Math.floor(now / 1000)]);
		if (text === this.text && this.root.firstChild?.dataset?.user === asked)
			return;
		this.text = text;
		this.draw(user, history.history, now);
		if (is_nobody && this.matched !== asked) {
			this.matched = asked;
			this.match(asked);
		}
	}

	draw(user, history, now) {
		const matches = this.matches_of === user.user ? this.root.querySelector('.found') : null;
		const card = element('div', { class: 'card person', 'data-user': user.user },
			element('h3', { class: 'id', text: user.user }), sum(user, now));
		if (user.sessions.length > 0)
			card.append(element('h4', { text: `Sessions: ${full(user.sessions.length)}` }),
				element('ul', { class: 'sessions' }, ...user.sessions.map((s) => session(s, now))));
		if (history.length > 0)
			card.append(element('h4', { text: 'Last changes' }),
				element('ol', { class: 'history' }, ...history.map((entry, i) => change(entry, i === 0, now))));
		else if (user.reason !== 'unknown')
			card.append(element('p', { class: 'hint', text: 'No changes are kept of this user.' }));
		if (matches)
			card.append(matches);
		this.root.replaceChildren(card);
	}

	/* Users whose ids begin so: at most as many pages of the list as can be had in a moment. */
	async match(prefix) {
		const found = [];
		let cursor = '';
		for (let page = 0; page < PAGES_MAX && cursor !== null && found.length < MATCHES_MAX; page++) {
			const from = cursor ? `&cursor=${encodeURIComponent(cursor)}` : '';
			const reply = await askJson(`/v1/users?limit=${MATCHES_MAX}&prefix=${encodeURIComponent(prefix)}${from}`).catch(() => null);
			if (reply === null || this.asked !== prefix)
				return;
			found.push(...reply.presences.map((presence) => presence.user));
			cursor = reply.cursor;
		}
		const card = this.root.querySelector('.person');
		if (found.length === 0 || !card)
			return;
		this.matches_of = prefix;
		card.append(element('div', { class: 'found' }, element('h4', { text: 'Users that begin so' }),
			element('ul', { class: 'matches' }, ...found.slice(0, MATCHES_MAX).map((user) =>
				element('li', {}, element('a', { class: 'button id', href: `#user=${encodeURIComponent(user)}`, text: user }))))));
	}
}
