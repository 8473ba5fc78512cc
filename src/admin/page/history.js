/* The history of a user in sentences: what changed, when, why, and what the server knew. Pure. */

import { REASONS, clock, duration } from './words.js';

/* Of a session that fell silent: what the kernel had of its connection as it was given up. */
const SOCKETS = {
	open: 'the socket still looked open: only the silence told',
	none: 'its connection was lost before, by an error that says nothing of the peer, and nobody came back in time',
};

const capital = (text) => text[0].toUpperCase() + text.slice(1);

/* "Offline since 10:31:04: no byte for 30.1 s (timeout 30 s)" of the newest, "10:20:11 online: logged in" of others. */
export function headline(entry, is_newest, now) {
	const when = clock(entry.at_ms, now);
	return `${is_newest ? `${capital(entry.state)} since ${when}` : `${when} ${entry.state}`}: ${because(entry)}`;
}

function because({ reason, state, at_ms: at, evidence }) {
	const heard = evidence?.last_byte_ms;
	if (reason === 'timeout' && heard && evidence.timeout_ms)
		return `no byte for ${duration(at - heard)} (timeout ${duration(evidence.timeout_ms)})`;
	const why = REASONS[reason] ?? reason;
	return state !== 'offline' && ENDED.has(reason) ? `of one of its devices: ${why}` : why;
}

/* Ends that leave the user in another state: one of several devices went. */
const ENDED = new Set(['logout', 'closed', 'reset', 'timeout', 'kicked', 'expired', 'slow', 'violation']);

/* What the server knew of it, sentence by sentence. */
export function knowledge({ reason, evidence }, now) {
	if (!evidence || !ENDED.has(reason))
		return [];
	const said = [];
	if (evidence.last_byte_ms)
		said.push(`last heard at ${clock(evidence.last_byte_ms, now)}`);
	if (reason === 'timeout')
		said.push(...of_silence(evidence, now));
	return said.map((sentence) => `${capital(sentence)}.`);
}

function of_silence(e, now) {
	const said = [];
	if (SOCKETS[e.socket])
		said.push(SOCKETS[e.socket]);
	if (e.nominated_ms)
		said.push(`suspected at ${clock(e.nominated_ms, now)}${e.heard_ms ? `, its socket read once more at ${clock(e.heard_ms, now)}: nothing there` : ''}`);
	if (e.granted_ms)
		said.push(`the server had stood still, and gave it ${duration(e.granted_ms)} more`);
	if (Number.isFinite(e.late_ms))
		said.push(`told ${duration(e.late_ms)} past the timeout`);
	return said;
}
