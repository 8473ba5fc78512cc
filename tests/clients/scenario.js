// What each client does, with the W3C interface that all of them have: log in, watch, be told, beat, close.
// Runs in a page and in Node.js alike. 'say' is given each thing that happens, as an object.
'use strict';

function scenario(socket, user, friend, say, heartbeat = '') {
	const send = (message) => socket.send(JSON.stringify(message));
	const on = {
		welcome: () => send({ type: 'watch', id: 1, users: [friend] }),
		presence: (m) => (m.state === 'offline' ? send({ type: 'bye' }) : socket.send(heartbeat)),
	};
	socket.onopen = () => {
		say({ open: socket.protocol });
		send({ type: 'hello', v: 1, user: user, device: 'tab' });
	};
	socket.onmessage = (event) => {
		for (const line of event.data.split('\n')) {
			const message = line === '' ? { type: 'heartbeat' } : JSON.parse(line);
			say(message);
			if (on[message.type]) on[message.type](message);
		}
	};
	socket.onerror = () => say({ error: true });
	socket.onclose = (event) => say({ closed: event.code });
}

if (typeof module !== 'undefined') module.exports = scenario;
