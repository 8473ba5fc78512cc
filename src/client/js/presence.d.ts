/* Types of presence.js. The words are those of libpresence; "Ms" are milliseconds: those of durations, and of Unix
 * time, as Date.now() has it, in atMs, lastSeenMs (the server's clock), asOfMs and freshUntilMs (this machine's). */

export declare const VERSION: string;

/** What is known of a contact. */
export type Truth = "online" | "offline" | "unknown";

/** What a user is, over all of its devices. */
export type State = "online" | "away" | "busy" | "offline";

/** What a user wants to be. An invisible one looks offline to the others. */
export type OwnState = "online" | "away" | "busy" | "invisible";

/** Why a contact is in its state. A server of a later version may have more. */
export type Reason =
	| "login" | "update" | "logout" | "closed" | "reset" | "timeout" | "kicked" | "expired" | "slow" | "violation"
	| "unknown";

/** Why a connection ended, or a request failed. After those of FinalCode the client does not come back by itself. */
export type Code =
	| "closed" | "lost" | "silence" | "connect" | "connect_timeout" | "protocol" | "shutdown" | "slow" | "expired"
	| "timed_out" | "server_full" | "rate_limited" | "forbidden" | "too_many_watches" | "stopped" | FinalCode;
export type FinalCode =
	| "replaced" | "kicked" | "auth_failed" | "auth_required" | "version" | "rejected"
	/** The token function gave none. Where it threw, the client waits and asks again. */
	| "token";

/** The client's way to the server: "waiting" is for the time to come back, or for a token. */
export type Link = "stopped" | "waiting" | "connecting" | "up";

export declare function isFinal(code: Code): boolean;

export interface Contact {
	readonly user: string;
	readonly truth: Truth;
	/** As the server said last, also while the truth is unknown. Null: it never did. */
	readonly state: State | null;
	readonly status: string | null;
	readonly reason: Reason | null;
	/** "forbidden" or "too_many_watches": the server does not tell of this user. Asked again with each login. */
	readonly error: Code | null;
	/** The last snapshot said that its session had ended, and may yet come back. */
	readonly isReconnecting: boolean;
	/** Grows with each event of the user, in one run of the server. */
	readonly seq: number | null;
	/** Since when it is so. */
	readonly atMs: number | null;
	/** When the user was last heard. */
	readonly lastSeenMs: number | null;
	/** When the server last confirmed the word: with each byte from it. */
	readonly asOfMs: number | null;
	/** Until when it holds, where nothing else is heard; then it is unknown. */
	readonly freshUntilMs: number | null;
}

export interface Self {
	readonly user: string | null;
	readonly device: string | null;
	/** This login; "" before the first. */
	readonly session: string;
	/** This run of the server. */
	readonly server: string;
	readonly heartbeatMs: number;
	/** Silence for this long ends the session, and makes contacts unknown. */
	readonly timeoutMs: number;
}

export interface Words {
	state?: OwnState;
	/** At most 256 bytes of UTF-8; null takes it away. */
	status?: string | null;
}

/** A token function is called before each login, and when nine tenths of the last token's life are over, so that the
 * session goes on. How long that is a JWT says itself ("exp"); of others it may be said beside it. It may take its time,
 * and give up by throwing: it is asked again. */
export type TokenSource = string | (() => Token | null | Promise<Token | null>);
export type Token = string | { token: string; lifetimeMs: number };

export interface PresenceOptions extends Words {
	/** 1 to 128 bytes of UTF-8. Not needed with a token. */
	user?: string;
	/** One login a device: a second one replaces the first. By default each tab is one, over reloads; elsewhere the
	 * server makes one up, and it is kept. */
	device?: string;
	token?: TokenSource;
	/** Wished for; the server has bounds. By default what the server gives. */
	heartbeatMs?: number;
	/** False: the server does not ping the browser where the page is silent, so that a page that hangs is offline. Then
	 * heartbeatMs should be 30,000 or more: browsers let the timers of hidden tabs fire once a minute. */
	pings?: boolean;
	/** From the beginning of an attempt to its welcome; 10,000 by default. */
	connectTimeoutMs?: number;
	/** Back after a random part of this, 4,000 by default; doubled with each failure up to backoffMaxMs, 30,000. */
	backoffFirstMs?: number;
	backoffMaxMs?: number;
	/** What makes connections where there is no global WebSocket, as that of the package "ws". */
	WebSocket?: new (url: string, protocol: string) => object;
	/** For tests: clocks, timers and chance. */
	system?: Partial<System>;
}

export interface System {
	/** Milliseconds that never go back. */
	mono(): number;
	/** Unix time in milliseconds. */
	wall(): number;
	/** From 0 to less than 1. */
	random(): number;
	setTimeout(call: () => void, ms: number): unknown;
	clearTimeout(timer: any): void;
}

/** A contact is not what it was: its truth, state, status or error changed. */
export interface ContactEvent extends Event {
	readonly contact: Contact;
	/** As it was told last; null: never. */
	readonly was: Contact | null;
}

export interface LinkEvent extends Event {
	readonly link: Link;
	/** Why the connection before this ended; null: there was none, or it was asked for. */
	readonly error: Code | null;
	/** More for people; may be "". */
	readonly detail: string;
	/** Of "waiting": until the next attempt; null: until there is a token. */
	readonly retryInMs: number | null;
	/** Of "up": the server continued the session of before. */
	readonly isResumed: boolean;
}

export interface PresenceEvents {
	contact: ContactEvent;
	link: LinkEvent;
}

export declare class PresenceError extends Error {
	readonly code: Code;
}

/** One client of one server. It is an EventTarget, and can be iterated: each change of a contact, the newest of each for
 * who is slow, until it is stopped. */
export declare class Presence extends EventTarget {
	/** "ws://host:port/" or "wss://host:port/". Throws a TypeError or RangeError where an option can't be. */
	constructor(url: string | URL, options: PresenceOptions);

	readonly link: Link;
	/** Why the last connection ended. */
	readonly error: Code | null;
	readonly self: Self;
	/** All who are watched, in the order of watching. */
	readonly contacts: Contact[];
	/** What is known of a watched user now. */
	contact(user: string): Contact | undefined;

	/** Begins to connect. The first attempt comes at once. */
	start(): this;
	/** Says bye, so that watchers read "logout"; resolves when the server has answered, after a second at most. */
	stop(): Promise<void>;
	/** Comes back now, for the user who presses "retry"; what the server asked for is waited for still. */
	retry(): void;

	/** Watches them from now on and over all reconnects; each is a contact at once, its truth unknown until the server's
	 * word. All or none: throws where one can't be a user. */
	watch(users: string | Iterable<string>): void;
	unwatch(users: string | Iterable<string>): void;
	/** One look, in the order asked. Waits for a login, and is asked again where the connection was lost before the
	 * reply. Rejects with a PresenceError: "forbidden", "stopped", or a final one. */
	query(users: string | Iterable<string>): Promise<Contact[]>;
	/** What others are to see from now on, over all reconnects; what is absent stays. */
	update(words: Words): void;

	addEventListener<K extends keyof PresenceEvents>(
		type: K, listener: (this: Presence, event: PresenceEvents[K]) => void, options?: boolean | AddEventListenerOptions): void;
	addEventListener(
		type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
	removeEventListener<K extends keyof PresenceEvents>(
		type: K, listener: (this: Presence, event: PresenceEvents[K]) => void, options?: boolean | EventListenerOptions): void;
	removeEventListener(
		type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;

	[Symbol.asyncIterator](): AsyncGenerator<Contact, void, void>;
}
