// Usage: node node.js CLIENT URL USER FRIEND
// Each client as its own documentation has it; NODE_EXTRA_CA_CERTS says whom to trust.
'use strict';
const scenario = require('./scenario.js');
const [name, url, user, friend] = process.argv.slice(2);
const protocols = ['presence.v1'];

const open = {
	ws: () => new (require('ws'))(url, protocols),
	'faye-websocket': () => new (require('faye-websocket').Client)(url, protocols),
	websocket: () => new (require('websocket').w3cwebsocket)(url, protocols),
	undici: () => new (require('undici').WebSocket)(url, protocols),
};
// An empty message is lost in w3cwebsocket's own hands: it takes heartbeats by name.
const heartbeat = name === 'websocket' ? '{"type":"heartbeat"}' : '';
scenario(open[name](), user, friend, (said) => console.log(JSON.stringify(said)), heartbeat);
