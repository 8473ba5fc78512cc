/* What an operator should be told without looking for it. Pure: a list of {level, title, text}, the worst first. */

import { duration, full } from './words.js';

const NEAR = 0.8, AT = 0.95;
const RECENT_S = 60;

function share(value, limit) {
	return limit > 0 ? value / limit : 0;
}

/* Of what is used of something: 'good', 'warn' or 'bad'. */
export function level(used) {
	return used >= AT ? 'bad' : used >= NEAR ? 'warn' : 'good';
}

/* The limits that fill up: what of them is used. Also the meters beside the workers are made of these. */
export function limits(sample, about) {
	const most = (name) => Math.max(0, ...sample.workers.map((worker) => worker[name]));
	const l = about.limits;
	return [
		{ title: 'Connections', value: sample.connections, limit: l.max_connections, name: 'PRESENCED_MAX_CONNECTIONS',
			then: 'New connections are refused at the limit.' },
		{ title: 'Descriptors', value: most('descriptors'), limit: l.descriptors, name: 'of the fullest worker: open files',
			then: 'New connections are refused at the limit.' },
		{ title: 'Watches', value: sample.watches, limit: l.max_watches_total, name: 'PRESENCED_MAX_WATCHES_TOTAL',
			then: 'Requests to watch are refused at the limit.' },
		{ title: 'Mailbox', value: most('mailbox_depth'), limit: l.mailbox_events, name: 'of the fullest worker: events that wait',
			then: 'A full mailbox makes the worker read again all it watches: nothing is lost, but it costs.' },
	];
}

function of_limits(sample, about, say) {
	for (const { title, value, limit, name, then } of limits(sample, about)) {
		const used = share(value, limit);
		if (used >= NEAR)
			say(level(used), `${title} near the limit`,
				`${full(value)} of ${full(limit)} (${name}). ${then}`);
	}
}

function of_workers(sample, say) {
	sample.workers.forEach((worker, i) => {
		if (worker.stalled)
			say('bad', `Worker ${i} is stalled`,
				`It has owed an answer for more than a second; its ${full(worker.sessions)} sessions wait, and none of them is expired meanwhile.`);
		else if (worker.load_permille >= 900)
			say('warn', `Worker ${i} is busy`, `${Math.round(worker.load_permille / 10)} % of the last second; heartbeats wait behind its turns.`);
	});
}

function of_last_minute(samples, about, say) {
	const count = (name) => samples.total(name, RECENT_S);
	const late = samples.highest('lateness_p99_ms', RECENT_S);
	const promised = 2 * about.scan_interval_ms;
	if (count('out_of_memory') > 0)
		say('bad', 'Out of memory', `${full(count('out_of_memory'))} allocations were refused in the last minute.`);
	if (count('standstills') > 0)
		say('warn', 'The machine stood still', `${full(count('standstills'))} times in the last minute the server did not run when it should have: a paused machine, or too small a share of CPU. Every session was given that much more time.`);
	if (late !== null && late > promised)
		say('warn', 'Verdicts are late', `In the last minute up to ${duration(late)} past the timeout (p99 of a second); ${duration(promised)} are promised.`);
	if (count('refused') > 0)
		say('warn', 'Connections are refused', `${full(count('refused'))} in the last minute: the counters refused_* of /stats say at which limit.`);
	if (count('mistakes') > 0)
		say('warn', 'Expired too early', `${full(count('mistakes'))} sessions in the last minute whose bytes came after all: their timeout is short for that network.`);
	if (count('mailbox_full') > 0)
		say('warn', 'A mailbox was full', `${full(count('mailbox_full'))} events in the last minute; the worker reads again all it watches.`);
}

const LEVELS = { bad: 0, warn: 1 };

export function notices(sample, samples, about) {
	const all = [];
	const say = (level, title, text) => all.push({ level, title, text });
	if (sample.not_ready !== null && !sample.workers.some((worker) => worker.stalled))
		say('bad', 'Not ready for traffic', `/readyz is 503: ${sample.not_ready}.`);
	if (sample.degraded)
		say('bad', 'The store is not written', `${sample.degraded}. Presence goes on; what changes now would be lost with a restart.`);
	of_workers(sample, say);
	of_limits(sample, about, say);
	of_last_minute(samples, about, say);
	return all.sort((a, b) => LEVELS[a.level] - LEVELS[b.level]);
}
