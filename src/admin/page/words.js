/* Numbers, times and what happened, in words. Pure: nothing here knows the page. */

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 1 });

/* 1,234 in full; from a hundred thousand on 123 k, 1.23 M: what fits into a tile. */
export function short(n) {
	if (n === null || n === undefined || Number.isNaN(n))
		return '–';
	const size = Math.abs(n);
	if (size >= 1e9)
		return `${(n / 1e9).toPrecision(3)} G`;
	if (size >= 1e6)
		return `${(n / 1e6).toPrecision(3)} M`;
	if (size >= 1e5)
		return `${(n / 1e3).toPrecision(3)} k`;
	return size < 10 && !Number.isInteger(n) ? tenth.format(n) : whole.format(n);
}

export function full(n) {
	return n === null || n === undefined ? '–' : whole.format(n);
}

export function bytes(n) {
	if (n === null || n === undefined)
		return '–';
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let unit = 0;
	while (n >= 1024 && unit < units.length - 1) {
		n /= 1024;
		unit++;
	}
	return `${n >= 100 || unit === 0 ? whole.format(n) : n.toPrecision(3)} ${units[unit]}`;
}

/* 0.4 ms, 12 ms, 30.1 s, 5 min 2 s, 3 h 10 min, 12 days 4 h. */
export function duration(ms) {
	if (ms === null || ms === undefined)
		return '–';
	if (ms < 10)
		return `${tenth.format(ms)} ms`;
	if (ms < 1000)
		return `${whole.format(ms)} ms`;
	if (ms < 100000)
		return `${tenth.format(ms / 1000)} s`;
	const s = Math.round(ms / 1000), min = Math.floor(s / 60), h = Math.floor(min / 60), d = Math.floor(h / 24);
	if (d > 0)
		return `${d} ${d === 1 ? 'day' : 'days'} ${h % 24} h`;
	if (h > 0)
		return `${h} h ${min % 60} min`;
	return `${min} min ${s % 60} s`;
}

const two = (n) => String(n).padStart(2, '0');

/* 10:31:04, of today; else with its date. The reader's own time zone. */
export function clock(ms, now = Date.now()) {
	const d = new Date(ms), today = new Date(now);
	const time = `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
	if (d.toDateString() === today.toDateString())
		return time;
	return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${time}`;
}

export function ago(ms, now) {
	const past = now - ms;
	return past < 1000 ? 'just now' : `${duration(Math.floor(past / 1000) * 1000)} ago`;
}

/* Why a session or a user changed: an end, and how it reads behind "offline since 10:31:04: ". */
export const REASONS = {
	login: 'logged in',
	update: 'set by its client',
	logout: 'said bye',
	closed: 'closed its connection (FIN)',
	reset: 'its connection was reset (RST)',
	timeout: 'fell silent',
	kicked: 'ended by an operator',
	expired: 'its token expired',
	slow: 'did not read what it was sent',
	violation: 'broke the protocol',
	unknown: 'never seen, or forgotten',
};

/* The ends of sessions, in the order in which they are stacked; from ordinary to alarming. */
export const ENDS = ['logout', 'closed', 'timeout', 'reset', 'kicked', 'expired', 'slow', 'violation'];
