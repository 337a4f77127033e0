// Owns the talk with the server: a WebSocket of /events. Every message of ours has one answer.

export class Session {
  // handlers: ready(state), refused(line), partial(text), result(event), closed(line or null)
  constructor(token, handlers) {
    const address = new URL("events", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    if (token) address.searchParams.set("token", token);
    this.handlers = handlers;
    this.waiting = 0; // messages that are not answered
    this.idle = [];
    this.error = null;
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.opened = new Promise((resolve) => this.socket.addEventListener("open", resolve));
    this.socket.addEventListener("message", (message) => this.take(JSON.parse(message.data)));
    this.socket.addEventListener("close", () => {
      this.answered(true);
      handlers.closed(this.error);
    });
  }

  configure(config) {
    return this.send(JSON.stringify({config}));
  }

  // samples: Float32Array, -1 to 1
  hear(samples) {
    const whole = new Int16Array(samples.length);
    for (let i = 0; i < samples.length; i++) {
      whole[i] = Math.max(-32768, Math.min(32767, Math.round(samples[i] * 32768)));
    }
    return this.send(whole.buffer);
  }

  end() {
    return this.send('{"eof": 1}');
  }

  // Resolves where few messages wait, so that a file does not run ahead of the server.
  async drained(most) {
    while (this.waiting > most && this.socket.readyState === WebSocket.OPEN) {
      await new Promise((resolve) => this.idle.push(resolve));
    }
  }

  async send(message) {
    await this.opened;
    if (this.socket.readyState !== WebSocket.OPEN) return;
    this.waiting += 1;
    this.socket.send(message);
  }

  answered(all) {
    this.waiting = all ? 0 : this.waiting - 1;
    for (const resolve of this.idle.splice(0)) resolve();
  }

  take(answer) {
    this.answered(false);
    if (answer.error) {
      this.error = answer.error;
      this.handlers.refused(answer.error);
    }
    for (const event of answer.events ?? []) {
      if ("text" in event) this.handlers.result(event);
      else this.handlers.partial(event.partial);
    }
    if (answer.ready) {
      this.error = null;
      this.handlers.ready(answer.ready);
    }
  }
}
