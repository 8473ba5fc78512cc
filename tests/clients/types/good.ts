import { Contact, Presence, PresenceError, VERSION, isFinal } from "presenced";
import type { Code, ContactEvent, Link, PresenceOptions, Self } from "presenced";

const options: PresenceOptions = {
	user: "alice",
	token: async () => "t",
	state: "away",
	status: null,
	heartbeatMs: 30_000,
	pings: false,
	WebSocket,
};

const opaque: PresenceOptions = { token: () => ({ token: "t", lifetimeMs: 60_000 }) };
void opaque;

const presence: Presence = new Presence(new URL("wss://example.org/"), options).start();
presence.watch("bob");
presence.watch(new Set(["carol"]));
presence.unwatch(["bob"]);
presence.addEventListener("contact", ({ contact, was }) => {
	const before: Contact | null = was;
	const words: string = `${contact.user} ${contact.truth} ${before?.state ?? "?"}`;
	console.log(words, contact.freshUntilMs! - contact.asOfMs!);
});
presence.addEventListener("link", function (event) {
	const link: Link = event.link;
	if (link === "stopped" && event.error !== null && isFinal(event.error)) this.start();
});
const listener = (event: ContactEvent): void => void event.contact.reason;
presence.addEventListener("contact", listener, { once: true });
presence.removeEventListener("contact", listener);
presence.update({ status: "tea" });
presence.retry();
const self: Self = presence.self;
const code: Code | null = presence.error;

async function follow(): Promise<void> {
	for await (const contact of presence) console.log(contact.lastSeenMs, VERSION, self.timeoutMs, code);
	try {
		const [dave] = await presence.query(["dave"]);
		console.log(dave.isReconnecting, presence.contact("dave")?.truth, presence.contacts.length);
	} catch (error) {
		if (error instanceof PresenceError) console.log(error.code, error.message);
	}
	await presence.stop();
}
void follow();
