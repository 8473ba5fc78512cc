/* GET /v1/live, read as it comes: Server-Sent Events over fetch(), because EventSource can't carry a token in a header.
 *
 * Tells by callbacks:  on.event(name, data), on.state(state, detail), on.unauthorized().
 * State is one of 'connecting', 'live', 'lost' (detail: milliseconds until the next try), 'unauthorized'. */

const TOKEN_KEY = 'presenced-token';
const RETRY_MIN_MS = 500, RETRY_MAX_MS = 8000;
/* A second's beat that stays away so long is a connection that only looks open. */
const SILENCE_MS = 15000;

export class Unauthorized extends Error {}

export class Refused extends Error {
	constructor(code, message) {
		super(message);
		this.code = code;
	}
}

let token = null;
try {
	token = sessionStorage.getItem(TOKEN_KEY);
} catch {
	/* No storage here: it is asked for with each load. */
}

export function hasToken() {
	return token !== null;
}

export function setToken(text) {
	token = text;
	try {
		if (text === null)
			sessionStorage.removeItem(TOKEN_KEY);
		else
			sessionStorage.setItem(TOKEN_KEY, text);
	} catch {
		/* As above. */
	}
}

async function ask(path, options = {}) {
	const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
	const reply = await fetch(path, { ...options, headers, cache: 'no-store', credentials: 'omit' });
	if (reply.status === 401)
		throw new Unauthorized();
	return reply;
}

/* One JSON document; an error's own message where there is one. */
export async function askJson(path) {
	const reply = await ask(path, { signal: AbortSignal.timeout(10000) });
	const body = await reply.json().catch(() => null);
	if (!reply.ok)
		throw new Refused(body?.error?.code, body?.error?.message ?? `the server answered ${reply.status}`);
	return body;
}

/* Cuts a stream of text into events: field lines, ended by an empty one. */
export class EventParser {
	constructor(tell) {
		this.tell = tell;
		this.rest = '';
		this.clear();
	}

	clear() {
		this.name = 'message';
		this.data = [];
	}

	feed(text) {
		const lines = (this.rest + text).split('\n');
		this.rest = lines.pop();
		for (const line of lines)
			this.line(line.endsWith('\r') ? line.slice(0, -1) : line);
	}

	line(line) {
		if (line === '') {
			if (this.data.length > 0)
				this.tell(this.name, this.data.join('\n'));
			this.clear();
			return;
		}
		const colon = line.indexOf(':');
		const field = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
		if (field === 'event')
			this.name = value;
		else if (field === 'data')
			this.data.push(value);
	}
}

export class Live {
	constructor(path, on) {
		this.path = path;
		this.on = on;
		this.retry_ms = RETRY_MIN_MS;
		this.timer = null;
		this.abort = null;
		this.watch = null;
	}

	start() {
		clearTimeout(this.timer);
		const before = this.abort;
		this.abort = new AbortController();
		before?.abort();
		this.run(this.abort);
	}

	async run(abort) {
		this.on.state('connecting');
		try {
			this.expect(abort);
			const reply = await ask(this.path, { signal: abort.signal });
			if (!reply.ok || !reply.body)
				throw new Error(`the server answered ${reply.status}`);
			await this.read(reply.body, abort);
		} catch (error) {
			if (error instanceof Unauthorized && this.abort === abort) {
				this.on.state('unauthorized');
				this.on.unauthorized();
				return;
			}
			/* Whatever else it was, it is tried again. */
		} finally {
			clearTimeout(this.watch);
		}
		if (this.abort === abort)
			this.again();
	}

	/* Something, before long. */
	expect(abort) {
		clearTimeout(this.watch);
		this.watch = setTimeout(() => abort.abort(), SILENCE_MS);
	}

	async read(body, abort) {
		const parser = new EventParser((name, data) => {
			this.retry_ms = RETRY_MIN_MS;
			this.on.event(name, JSON.parse(data));
		});
		const reader = body.pipeThrough(new TextDecoderStream()).getReader();
		for (;;) {
			const { value, done } = await reader.read();
			if (done)
				return;
			this.expect(abort);
			this.on.state('live');
			parser.feed(value);
		}
	}

	/* Spread at random: many pages come back to a server that was started anew. */
	again() {
		const wait = Math.round(this.retry_ms * (0.75 + Math.random() / 2));
		this.retry_ms = Math.min(this.retry_ms * 2, RETRY_MAX_MS);
		this.on.state('lost', wait);
		this.timer = setTimeout(() => this.start(), wait);
	}
}
