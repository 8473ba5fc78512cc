/* A cable that can be pulled: WebSockets whose bytes stop while their TCP connections stay.
 *
 * As with a real one nobody is told. What is sent meanwhile waits at its end, as a kernel would send it again, and goes
 * out when the cable is back; a connection begun meanwhile is one that nobody answers. Events 'out' and 'in' tell of what
 * gets through. */

export class Cable extends EventTarget {
	#ends = new Set();
	#sends = true;
	#hears = true;

	get sends() { return this.#sends; }
	get hears() { return this.#hears; }

	/* Both ways, or one of them. */
	set({ sends, hears }) {
		this.#sends = sends;
		this.#hears = hears;
		for (const end of [...this.#ends])
			end.flow();
	}

	/* What the client is given in place of WebSocket. */
	get WebSocket() {
		const cable = this, ends = this.#ends;
		return class {
			#socket = null;
			#out = [];
			#in = [];

			constructor(url, protocol) {
				ends.add(this);
				this.#out.push(() => this.#open(url, protocol));
				this.flow();
			}

			#open(url, protocol) {
				this.#socket = new WebSocket(url, protocol);
				for (const type of ['open', 'message', 'error', 'close'])
					this.#socket[`on${type}`] = (event) => {
						this.#in.push(() => {
							cable.dispatchEvent(new Event('in'));
							this[`on${type}`]?.(event);
						});
						this.flow();
					};
			}

			send(text) {
				this.#later(() => {
					this.#socket.send(text);
					cable.dispatchEvent(new Event('out'));
				});
			}

			close(code) {
				ends.delete(this);
				if (this.#socket && cable.sends)
					return this.#socket.close(code);
				/* Nobody hears of it, until the cable is back. */
				this.#out = this.#socket ? [() => this.#socket.close(code)] : [];
				this.#in = [];
				if (this.#out.length > 0)
					ends.add(this);
			}

			#later(act) {
				this.#out.push(act);
				this.flow();
			}

			flow() {
				while (cable.sends && this.#out.length > 0)
					this.#out.shift()();
				while (cable.hears && this.#in.length > 0)
					this.#in.shift()();
				if (this.#socket?.readyState === WebSocket.CLOSED && this.#in.length === 0)
					ends.delete(this);
			}
		};
	}
}
