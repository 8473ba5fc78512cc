import { Presence } from "presenced";

const presence = new Presence("ws://x/", { user: "alice" });
new Presence("ws://x/"); // error: options
new Presence("ws://x/", { usr: "alice" }); // error: a name that is none
presence.update({ state: "offline" }); // error: one is not offline
presence.watch(7); // error: no id
presence.link = "up"; // error: readonly
presence.addEventListener("contact", ({ link }) => link); // error: of another event
if (presence.contact("bob").truth === "online") presence.stop(); // error: may be undefined
