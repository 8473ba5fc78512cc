/* The last quarter of an hour, a sample a second: columns of numbers, the newest at the end. */

import { ENDS } from './words.js';

const KEPT = 900;

/* What a sample counts since the one before it, as the server names it; shown by the second. */
const COUNTED = ['heartbeats', 'events', 'events_delivered', 'logins', 'accepted', 'refused', 'mistakes', 'standstills',
	'out_of_memory', 'mailbox_full', ...ENDS.map((reason) => `ended_${reason}`)];
const MEASURED = ['sessions', 'users_online', 'connections', 'watches', 'rss_bytes', 'lateness_p99_ms', 'lateness_max_ms'];

export class Samples {
	constructor() {
		this.clear();
	}

	clear() {
		this.uptime = [];
		this.at = []; /* seconds of Unix time, by the server's clock as it is now */
		this.took = [];
		this.columns = Object.fromEntries([...COUNTED, ...MEASURED].map((name) => [name, []]));
		this.loads = []; /* one column a worker, in per cent */
		this.shift_ms = 0;
	}

	get length() {
		return this.at.length;
	}

	/* A row of the history, as the stream's first event names its columns. */
	push_row(columns, row) {
		this.push(Object.fromEntries(columns.map((name, i) => [name, row[i]])));
	}

	push(sample) {
		this.place(sample);
		this.took.push(sample.took_ms);
		for (const name of COUNTED)
			this.columns[name].push(sample.took_ms > 0 ? sample[name] * 1000 / sample.took_ms : 0);
		for (const name of MEASURED)
			this.columns[name].push(sample[name] ?? null);
		sample.loads_permille.forEach((load, i) => {
			this.loads[i] ??= Array(this.length - 1).fill(null);
			this.loads[i].push(load / 10);
		});
		if (this.length > KEPT)
			this.shift();
	}

	/* By the time since the start, which never jumps; shown by the clock of the wall as it goes now. */
	place({ uptime_ms: uptime, at_ms: at }) {
		const shift = at - uptime;
		this.uptime.push(uptime);
		if (Math.abs(shift - this.shift_ms) > 500) {
			this.shift_ms = shift;
			this.at = this.uptime.map((ms) => (ms + shift) / 1000);
		} else {
			this.at.push((uptime + this.shift_ms) / 1000);
		}
	}

	shift() {
		for (const column of [this.uptime, this.at, this.took, ...Object.values(this.columns), ...this.loads])
			column.shift();
	}

	last(name) {
		return this.columns[name].at(-1) ?? null;
	}

	/* The index of the first sample of the last so many seconds. */
	since(seconds) {
		const from = this.at.at(-1) - seconds;
		let i = this.length;
		while (i > 0 && this.at[i - 1] > from)
			i--;
		return i;
	}

	/* How many there were of what is counted, in the last so many seconds. */
	total(name, seconds) {
		let sum = 0;
		for (let i = this.since(seconds); i < this.length; i++)
			sum += this.columns[name][i] * this.took[i] / 1000;
		return Math.round(sum);
	}

	/* The highest of what is measured; null where there was none. */
	highest(name, seconds) {
		let most = null;
		for (let i = this.since(seconds); i < this.length; i++) {
			const value = this.columns[name][i];
			if (value !== null && (most === null || value > most))
				most = value;
		}
		return most;
	}

	/* The ends of sessions in steps of so many seconds: the steps' middles, and a column of totals a reason. The steps
	 * lie where they lay before, so that a bar does not change but by being filled. */
	ends(step) {
		const first = Math.floor((this.at[0] ?? 0) / step), last = Math.floor((this.at.at(-1) ?? -1) / step);
		const n = Math.max(0, last - first + 1);
		const middles = Array.from({ length: n }, (_, i) => (first + i + 0.5) * step);
		const totals = ENDS.map(() => Array(n).fill(0));
		for (let i = 0; i < this.length; i++)
			ENDS.forEach((reason, k) => {
				totals[k][Math.floor(this.at[i] / step) - first] += this.columns[`ended_${reason}`][i] * this.took[i] / 1000;
			});
		return { middles, totals };
	}
}
