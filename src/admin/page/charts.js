/* The charts, by uPlot: sparklines in the tiles, and one card a chart with a legend that follows the cursor. */

/* global uPlot */

import { ENDS, clock, duration, short } from './words.js';

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = '11px system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
/* Seconds a bar of the ends, by the seconds shown: so that there are some sixty of them. */
const step_of = (range) => (range > 600 ? 15 : range > 240 ? 5 : 2);
const RANGE_MIN = 120;
const LINES_MAX = 6; /* workers that get a line each; of more the extremes and the middle are shown */

export function element(tag, attributes = {}, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (name === 'text')
			made.textContent = value;
		else if (value !== null && value !== undefined)
			made.setAttribute(name, value);
	}
	made.append(...children);
	return made;
}

/* ---- the parts of a plot ------------------------------------------------------------------------- */

function line(colour, options = {}) {
	return { stroke: css(colour), width: 1.6, points: { show: false }, ...options };
}

function dots(colour, size) {
	return { stroke: css(colour), width: 0, paths: () => null, points: { show: true, size, fill: css(colour), width: 1 } };
}

function axes(format, x_format) {
	const common = { stroke: css('--muted'), font: FONT, grid: { stroke: css('--grid'), width: 1 }, ticks: { show: false } };
	return [
		{ ...common, grid: { show: false }, size: 24, space: 70, values: (_, ticks) => ticks.map(x_format) },
		{ ...common, size: 48, space: 34, values: (_, ticks) => ticks.map((n) => (n === null ? '' : format(n))) },
	];
}

/* From zero, with some air above; a chart without anything keeps a scale of its own. */
function from_zero(least) {
	return (_, _min, max) => [0, Math.max(least, (max ?? 0) * 1.08)];
}

const minute = (seconds) => clock(seconds * 1000, seconds * 1000).slice(0, 5);
const second = (seconds) => clock(seconds * 1000, seconds * 1000);

/* ---- sparklines ---------------------------------------------------------------------------------- */

export class Spark {
	constructor(root, values) {
		this.root = root;
		this.values = values; /* (samples) => a column */
		this.plot = null;
	}

	build() {
		this.plot?.destroy();
		const colour = css('--c1');
		this.plot = new uPlot({
			width: this.root.clientWidth, height: this.root.clientHeight,
			padding: [2, 0, 0, 0],
			cursor: { show: false }, legend: { show: false }, axes: [{ show: false }, { show: false }],
			scales: { x: { time: false }, y: { range: from_zero(1) } },
			series: [{}, { stroke: colour, width: 1.4, fill: `${colour}22`, points: { show: false }, spanGaps: true }],
		}, [[], []], this.root);
	}

	draw(samples, range) {
		if (this.plot === null)
			this.build();
		const now = samples.at.at(-1) ?? 0;
		this.plot.batch(() => {
			this.plot.setData([samples.at, this.values(samples)], false);
			this.plot.setScale('x', { min: now - range, max: now });
		});
	}

	resize() {
		this.plot?.setSize({ width: this.root.clientWidth, height: this.root.clientHeight });
	}
}

/* ---- charts -------------------------------------------------------------------------------------- */

/* What there is to show. 'series' are {label, colour, dash, dots}; 'data' their columns behind that of the times. */

function lines_of(names) {
	return (samples) => [samples.at, ...names.map((name) => samples.columns[name])];
}

/* The loads of few workers as they are; of many the busiest, the middle and the idlest. */
function loads(samples) {
	if (samples.loads.length <= LINES_MAX)
		return [samples.at, ...samples.loads];
	const rows = samples.at.map((_, i) => samples.loads.map((column) => column[i]).sort((a, b) => a - b));
	return [samples.at, ...[(row) => row.at(-1), (row) => row[row.length >> 1], (row) => row[0]].map((pick) => rows.map(pick))];
}

function load_series(about) {
	const n = about.workers;
	if (n > LINES_MAX)
		return ['busiest', 'middle', 'idlest'].map((label, i) => ({ label, colour: `--c${i + 1}` }));
	return Array.from({ length: n }, (_, i) => ({
		label: `worker ${i}`, colour: `--c${i + 1}`, dash: [null, [6, 3], [2, 2]][i % 3] }));
}

const CHARTS = [
	{
		title: 'Sessions and users', least: 4, format: short, data: lines_of(['sessions', 'users_online']),
		series: () => [{ label: 'sessions', colour: '--c1' }, { label: 'users online', colour: '--c2', dash: [6, 3] }],
	}, {
		title: 'Heartbeats', unit: 'a second', least: 4, format: short, data: lines_of(['heartbeats']),
		series: () => [{ label: 'answered', colour: '--c1' }],
	}, {
		title: 'Events and logins', unit: 'a second', least: 4, format: short,
		data: lines_of(['events', 'events_delivered', 'logins']),
		series: () => [{ label: 'events made', colour: '--c1' }, { label: 'told to watchers', colour: '--c2', dash: [6, 3] },
			{ label: 'logins', colour: '--c3', dash: [2, 2] }],
	}, {
		title: 'Ends of sessions', unit: 'by reason', least: 4, format: short, is_stacked: true,
		series: () => ENDS.map((reason) => ({ label: reason, colour: `--${reason}`, is_box: true })),
	}, {
		title: 'Lateness', unit: 'of verdicts, past the timeout', least: 100, format: duration, none: 'Nobody fell silent.',
		data: (samples, about) => [samples.at, samples.columns.lateness_max_ms, samples.columns.lateness_p99_ms,
			samples.at.map(() => 2 * about.scan_interval_ms)],
		series: () => [{ label: 'max', colour: '--c2', dots: 6, is_box: true },
			{ label: 'p99', colour: '--c1', dots: 4, is_box: true },
			{ label: 'promised', colour: '--c7', dash: [4, 4] }],
		is_empty: (samples, range) => samples.highest('lateness_max_ms', range) === null,
	}, {
		title: 'Worker load', unit: 'time not spent waiting', least: 10, format: (n) => `${short(n)} %`, data: loads,
		series: load_series,
	},
];

/* Each column on top of those before it, and the topmost first: so each bar hides all but its own top of the one
 * behind it. */
function stack({ middles, totals }) {
	const sums = [];
	totals.forEach((column, k) => sums.push(column.map((n, i) => n + (k > 0 ? sums[k - 1][i] : 0))));
	return [middles, ...sums.reverse()];
}

class Chart {
	constructor(root, what) {
		this.what = what;
		this.plot = null;
		this.legend = element('ul', { class: 'legend' });
		this.none = element('p', { class: 'none', text: what.none ?? '', hidden: '' });
		this.box = element('div', { class: 'plot', tabindex: '0', role: 'img', 'aria-label': what.title }, this.none);
		this.box.addEventListener('keydown', (event) => this.key(event));
		this.box.addEventListener('blur', () => this.plot?.setCursor({ left: -10, top: -10 }));
		const title = element('h3', { text: what.title }, this.unit = element('small', { text: what.unit ?? '' }));
		root.append(element('figure', { class: 'chart' }, title, this.legend, this.box));
	}

	build(about) {
		this.plot?.destroy();
		const { what } = this;
		this.series = what.series(about);
		this.values = this.series.map(() => element('b', { text: '–' }));
		this.legend.replaceChildren(...this.series.map((s, i) => element('li', {}, this.key_of(s), s.label, this.values[i])));
		this.legend.append(this.when = element('li', { text: '' }));
		const series = this.series.map((s) => {
			if (what.is_stacked)
				return { stroke: css('--card'), width: 0.5, fill: css(s.colour), points: { show: false },
					paths: uPlot.paths.bars({ size: [0.86, 60], align: 0 }) };
			return s.dots ? dots(s.colour, s.dots) : line(s.colour, { dash: s.dash ?? undefined });
		});
		this.plot = new uPlot({
			width: this.box.clientWidth, height: this.box.clientHeight, padding: [6, 18, 0, 0],
			legend: { show: false },
			cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { show: !what.is_stacked && !what.none, size: 6 },
				sync: what.is_stacked ? undefined : { key: 'time' } },
			axes: axes(what.format, (s) => (s % 60 === 0 ? minute(s) : second(s))),
			scales: { x: { time: true }, y: { range: from_zero(what.least) } },
			series: [{}, ...(what.is_stacked ? series.reverse() : series)],
			hooks: { setCursor: [() => this.tell()] },
		}, [[], ...series.map(() => [])], this.box);
	}

	/* The key beside a word: the line as it is drawn, or a box. */
	key_of(s) {
		const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
		const mark = document.createElementNS(svg.namespaceURI, s.is_box ? 'rect' : 'line');
		const put = (to, attributes) => Object.entries(attributes).forEach(([k, v]) => to.setAttribute(k, v));
		put(svg, { class: 'key', viewBox: '0 0 16 11', 'aria-hidden': 'true' });
		if (s.is_box)
			put(mark, { x: 2, y: 0, width: 11, height: 11, rx: 2, fill: css(s.colour) });
		else
			put(mark, { x1: 0, y1: 6, x2: 16, y2: 6, stroke: css(s.colour), 'stroke-width': 2.5,
				'stroke-dasharray': s.dash ? s.dash.join(' ') : 'none' });
		svg.append(mark);
		return svg;
	}

	draw(samples, range, about) {
		const now = samples.at.at(-1);
		if (this.plot === null)
			this.build(about);
		let min = now - range, max = now;
		if (this.what.is_stacked) {
			const step = step_of(range);
			this.unit.textContent = `by reason, ${step} s a bar`;
			const ends = samples.ends(step);
			this.numbers = [ends.middles, ...ends.totals];
			this.drawn = stack(ends);
			max = (Math.floor(now / step) + 1) * step;
			min = max - range - step;
		} else {
			this.numbers = this.drawn = this.what.data(samples, about);
		}
		this.totals = this.what.is_stacked ? ENDS.map((reason) => samples.total(`ended_${reason}`, range)) : null;
		this.none.hidden = !this.what.is_empty?.(samples, range);
		this.plot.batch(() => {
			this.plot.setData(this.drawn, false);
			this.plot.setScale('x', { min, max });
		});
		this.tell();
	}

	/* The legend says the numbers under the cursor; without one the newest, or of the ends all that are shown. */
	tell() {
		if (!this.numbers)
			return;
		const at = this.plot.cursor.idx;
		const is_pointed = at !== null && at !== undefined && this.plot.cursor.left >= 0;
		this.series.forEach((_, i) => {
			const column = this.numbers[i + 1];
			const value = is_pointed ? column[at] : this.totals ? this.totals[i] : this.latest(column);
			this.values[i].textContent = value === null || value === undefined ? '–' : this.what.format(value);
		});
		this.when.textContent = is_pointed ? `at ${second(this.numbers[0][at])}` : '';
	}

	/* Of what is not there each second, the last there was. */
	latest(column) {
		if (!this.what.none)
			return column.at(-1);
		return column.findLast((n) => n !== null);
	}

	describe() {
		const words = this.series.map((s, i) => `${s.label} ${this.values[i].textContent}`);
		const of = [this.what.title, this.unit.textContent].filter(Boolean).join(', ');
		this.box.setAttribute('aria-label', `${of}: ${words.join(', ')}`);
	}

	/* The arrows move the cursor from sample to sample, as a pointer would. */
	key(event) {
		const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
		if (!step || !this.numbers || this.numbers[0].length === 0)
			return;
		event.preventDefault();
		const last = this.numbers[0].length - 1;
		const from = this.plot.cursor.left >= 0 ? this.plot.cursor.idx ?? last : last + 1;
		const at = Math.min(last, Math.max(0, from + step));
		this.plot.setCursor({ left: this.plot.valToPos(this.numbers[0][at], 'x'), top: 10 });
	}

	resize() {
		this.plot?.setSize({ width: this.box.clientWidth, height: this.box.clientHeight });
	}
}

export class Charts {
	constructor(root) {
		this.range = 900;
		this.all = CHARTS.map((what) => new Chart(root, what));
		const observer = new ResizeObserver(() => this.all.forEach((chart) => chart.resize()));
		this.all.forEach((chart) => observer.observe(chart.box));
	}

	/* The seconds shown: as chosen, and of a server that was just started not much more than there is. */
	shown(samples) {
		const there = samples.at.at(-1) - samples.at[0];
		return Math.min(this.range, Math.max(RANGE_MIN, Math.ceil(there / 60) * 60));
	}

	draw(samples, about) {
		const range = this.shown(samples);
		this.all.forEach((chart) => chart.draw(samples, range, about));
	}

	describe() {
		this.all.forEach((chart) => chart.numbers && chart.describe());
	}

	/* Other colours, or other workers: drawn anew. */
	forget() {
		this.all.forEach((chart) => {
			chart.plot?.destroy();
			chart.plot = null;
		});
	}
}
