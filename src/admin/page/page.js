/* The page: what the stream tells goes into samples, and from there into tiles, charts, workers and warnings. */

import { Charts, Spark, element } from './charts.js';
import { level, limits, notices } from './health.js';
import { Live, hasToken, setToken } from './live.js';
import { Samples } from './samples.js';
import { UserView } from './user.js';
import { bytes, duration, full, short } from './words.js';

const STALE_MS = 4000;
const $ = (id) => document.getElementById(id);

const samples = new Samples();
const charts = new Charts($('charts'));
let about = null, sample = null;
let link = { state: 'connecting', until: 0 };
let heard_at = 0;

/* ---- tiles --------------------------------------------------------------------------------------- */

const rate = (name) => () => short(samples.last(name));
const column = (name) => () => samples.columns[name];
const summed = (names) => () => samples.at.map((_, i) => names.reduce((n, name) => n + samples.columns[name][i], 0));
const ENDED = ['ended_logout', 'ended_closed', 'ended_timeout', 'ended_reset', 'ended_kicked', 'ended_expired', 'ended_slow',
	'ended_violation'];

function lateness() {
	const worst = samples.highest('lateness_p99_ms', 60);
	return worst === null ? ['–', ''] : duration(worst).split(' ');
}

const TILES = [
	{ title: 'Sessions', value: () => [full(sample.sessions), ''], spark: column('sessions'),
		note: () => `${full(sample.connections)} connections` },
	{ title: 'Users online', value: () => [full(sample.users_online), ''], spark: column('users_online'),
		note: () => `${full(sample.states.busy)} busy, ${full(sample.states.away)} away` },
	{ title: 'Heartbeats', value: () => [rate('heartbeats')(), '/s'], spark: column('heartbeats'),
		note: () => `${full(samples.total('heartbeats', 60))} a minute` },
	{ title: 'Events', value: () => [rate('events')(), '/s'], spark: column('events'),
		note: () => `${short(samples.last('events_delivered'))}/s told` },
	{ title: 'Lateness, p99', value: lateness, spark: column('lateness_p99_ms'),
		note: () => (samples.highest('lateness_p99_ms', 60) === null ? 'nobody fell silent' :
			`${duration(2 * about.scan_interval_ms)} promised`) },
	{ title: 'Ends', value: () => [full(ENDED.reduce((n, name) => n + samples.total(name, 60), 0)), '/min'], spark: summed(ENDED),
		note: () => `${full(samples.total('ended_timeout', 60))} fell silent` },
].map((tile) => {
	const value = element('span', { text: '–' }), unit = element('span', { class: 'unit' });
	const note = element('p', { class: 'note' }), spark = element('div', { class: 'spark', 'aria-hidden': 'true' });
	$('tiles').append(element('article', { class: 'tile' }, element('h3', { text: tile.title }),
		element('p', { class: 'value' }, value, unit), note, spark));
	return { ...tile, parts: { value, unit, note }, line: new Spark(spark, tile.spark) };
});

function draw_tiles() {
	for (const tile of TILES) {
		const [value, unit] = tile.value();
		tile.parts.value.textContent = value;
		tile.parts.unit.textContent = unit ?? '';
		tile.parts.note.textContent = tile.note();
		tile.line.draw(samples, charts.shown(samples));
	}
}

/* ---- workers and limits -------------------------------------------------------------------------- */

function meter(share, text) {
	const fill = element('span', { class: 'fill', 'data-level': level(share) });
	fill.style.transform = `scaleX(${Math.min(1, share)})`;
	return element('div', { class: 'meter' }, element('span', { class: 'track', 'aria-hidden': 'true' }, fill), element('span', { text }));
}

function number(word, value, of) {
	const cell = element('td', { class: 'n', 'data-word': word, text: value });
	if (of)
		cell.append(element('small', { text: ` / ${short(of)}` }));
	return cell;
}

function worker_row(worker, i) {
	const name = element('th', { scope: 'row', text: `${i}` });
	if (worker.stalled)
		name.append(element('span', { class: 'tag bad', text: 'stalled' }));
	const load = element('td', { class: 'load' }, meter(worker.load_permille / 1000, `${short(worker.load_permille / 10)} %`));
	return element('tr', {}, name, load,
		number('sessions', full(worker.sessions)), number('connections', full(worker.connections)),
		number('watches', short(worker.watches)),
		number('turn p99', worker.turn_p99_us === null ? '–' : duration(worker.turn_p99_us / 1000)),
		number('mailbox', full(worker.mailbox_depth), about.limits.mailbox_events),
		number('descriptors', full(worker.descriptors), about.limits.descriptors));
}

function draw_workers() {
	const root = $('workers');
	if (root.rows.length !== sample.workers.length || root.querySelector('.empty'))
		root.replaceChildren(...sample.workers.map(worker_row));
	else
		sample.workers.forEach((worker, i) => update_row(root.rows[i], worker_row(worker, i)));
}

/* The bar is kept, so that it moves; the rest is put in place of what was there. */
function update_row(row, made) {
	const bar = row.querySelector('.fill'), text = row.querySelector('.meter span:last-child');
	bar.style.transform = made.querySelector('.fill').style.transform;
	bar.dataset.level = made.querySelector('.fill').dataset.level;
	text.textContent = made.querySelector('.meter span:last-child').textContent;
	[...made.cells].forEach((cell, i) => {
		if (!cell.classList.contains('load') && cell.textContent !== row.cells[i].textContent)
			row.cells[i].replaceChildren(...cell.childNodes);
	});
}

function draw_limits() {
	$('limits').replaceChildren(...limits(sample, about).map(({ title, value, limit, name }) => element('li', {},
		element('p', {}, title, element('small', { text: limit > 0 ? `${full(value)} of ${full(limit)}` : `${full(value)}, no limit` })),
		limit > 0 ? meter(value / limit, `${short(100 * value / limit)} %`) : '', element('p', { class: 'hint', text: name }))),
	element('li', {}, element('p', {}, 'Memory', element('small', { text: bytes(sample.rss_bytes) }))));
}

/* ---- warnings and the state of the page ----------------------------------------------------------- */

function is_stale() {
	return link.state === 'live' && heard_at > 0 && performance.now() - heard_at > STALE_MS;
}

function link_notice() {
	const silent = Math.floor((performance.now() - heard_at) / 1000);
	if (is_stale())
		return [{ level: 'bad', title: `No data for ${silent} s`, text: 'The connection looks open, but the server says nothing: what is shown is old.' }];
	if (link.state === 'lost') {
		const left = Math.max(0, Math.ceil((link.until - performance.now()) / 1000));
		return [{ level: 'bad', title: 'No connection to the server',
			text: `${heard_at > 0 ? `What is shown is ${silent} s old. ` : ''}Trying again${left > 0 ? ` in ${left} s` : ' now'}.` }];
	}
	return [];
}

let said = '';

function draw_notices() {
	const all = link_notice();
	if (sample && all.length === 0)
		all.push(...notices(sample, samples, about));
	draw_state(all);
	document.body.classList.toggle('is-stale', is_stale() || link.state === 'lost' || link.state === 'unauthorized');
	const text = JSON.stringify(all);
	if (text === said)
		return;
	said = text;
	$('notices').replaceChildren(...all.map(({ level, title, text: words }) =>
		element('p', { class: 'notice', 'data-level': level }, element('b', { text: title }), element('span', { text: words }))));
}

function draw_state(all) {
	const [state, words] = state_of(all);
	$('state').dataset.state = state;
	if ($('state-text').textContent === words)
		return;
	$('state-text').textContent = words;
	document.title = state === 'live' || state === 'wait' ? 'presenced' : `${words} – presenced`;
}

function state_of(all) {
	if (link.state === 'unauthorized')
		return ['warn', 'Token needed'];
	if (link.state === 'lost')
		return ['bad', 'Not connected'];
	if (is_stale())
		return ['bad', 'No data'];
	if (!sample)
		return ['wait', 'Connecting'];
	if (all.some((notice) => notice.level === 'bad'))
		return ['bad', all.length === 1 ? '1 warning' : `${all.length} warnings`];
	if (all.length > 0)
		return ['warn', all.length === 1 ? '1 warning' : `${all.length} warnings`];
	return ['live', 'All well'];
}

/* ---- the stream ---------------------------------------------------------------------------------- */

let is_due = false;

function draw_soon() {
	if (is_due || document.hidden)
		return;
	is_due = true;
	requestAnimationFrame(() => {
		is_due = false;
		draw();
	});
}

function draw() {
	if (!sample || samples.length === 0)
		return;
	draw_tiles();
	charts.draw(samples, about);
	draw_workers();
	draw_limits();
	draw_notices();
	$('about').textContent = `${about.version}, up ${duration(sample.uptime_ms)}`;
	document.documentElement.dataset.samples = String(samples.length);
}

const on_event = {
	about(data) {
		if (about && (about.workers !== data.workers || about.server !== data.server))
			charts.forget();
		about = data;
		samples.clear();
	},
	/* What was before the first sample; also what was missed between two. */
	history(data) {
		data.samples.forEach((row) => samples.push_row(about.columns, row));
	},
	sample(data) {
		sample = data;
		samples.push(data);
		user.skew_ms = data.at_ms - Date.now();
		draw_soon();
	},
};

const live = new Live('/v1/live', {
	event(name, data) {
		heard_at = performance.now();
		on_event[name]?.(data);
	},
	state(state, wait) {
		link = { state: state === 'connecting' && link.state === 'lost' ? 'lost' : state, until: performance.now() + (wait ?? 0) };
		draw_notices();
	},
	unauthorized: () => ask_token(),
});

/* ---- the token ----------------------------------------------------------------------------------- */

function ask_token() {
	if (hasToken())
		$('ask-why').textContent = 'The server did not take this token. Another one?';
	setToken(null);
	$('token').value = '';
	$('forget').hidden = true;
	if (!$('ask').open)
		$('ask').showModal();
}

$('ask').addEventListener('cancel', (event) => event.preventDefault());
$('ask-form').addEventListener('submit', (event) => {
	event.preventDefault();
	setToken($('token').value);
	$('token').value = '';
	$('ask').close();
	$('forget').hidden = false;
	live.start();
	user.refresh();
});
$('forget').addEventListener('click', () => {
	setToken(null);
	location.reload();
});
$('forget').hidden = !hasToken();

/* ---- the user ------------------------------------------------------------------------------------ */

const user = new UserView($('user'), ask_token);

/* The user asked for is in the fragment: a link to it can be kept, and no server's log has it. */
function follow_fragment() {
	const found = /^#user=(.+)$/.exec(location.hash);
	if (!found)
		return;
	let who;
	try {
		who = decodeURIComponent(found[1]);
	} catch {
		return;
	}
	$('who').value = who;
	$('find').scrollIntoView();
	user.show(who);
}

$('search').addEventListener('submit', (event) => {
	event.preventDefault();
	const hash = `#user=${encodeURIComponent($('who').value)}`;
	if (location.hash === hash)
		user.show($('who').value);
	else
		location.hash = hash;
});
addEventListener('hashchange', follow_fragment);

function find() {
	$('find').scrollIntoView();
	$('who').focus({ preventScroll: true });
	$('who').select();
}

document.querySelector('.find-link').addEventListener('click', (event) => {
	event.preventDefault();
	find();
});
addEventListener('keydown', (event) => {
	const is_typing = event.target.matches?.('input, textarea, dialog *');
	if (event.key !== '/' || is_typing || event.ctrlKey || event.metaKey || event.altKey)
		return;
	event.preventDefault();
	find();
});

/* ---- the view ------------------------------------------------------------------------------------ */

$('range').addEventListener('change', (event) => {
	charts.range = Number(event.target.value);
	draw();
});

function name_theme() {
	const { choice } = window.presencedTheme;
	$('theme').textContent = { auto: 'Auto', light: 'Light', dark: 'Dark' }[choice];
	$('theme').setAttribute('aria-label', `Theme: ${choice === 'auto' ? 'as the system' : choice}`);
}

$('theme').addEventListener('click', () => window.presencedTheme.next());
document.addEventListener('theme', () => {
	name_theme();
	charts.forget();
	TILES.forEach((tile) => tile.line.build());
	draw();
});
name_theme();

new ResizeObserver(() => TILES.forEach((tile) => tile.line.resize())).observe($('tiles'));
document.addEventListener('visibilitychange', () => draw_soon());
setInterval(() => document.hidden || draw_notices(), 1000);
setInterval(() => document.hidden || charts.describe(), 10000);

live.start();
follow_fragment();
