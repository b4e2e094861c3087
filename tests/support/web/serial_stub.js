// A stand-in for navigator.serial: its ports are those of the test's server (tests/support/web/site_serial.py).
// It behaves as Chromium's does: which errors, which streams are renewed, which events bubble.

{
  const url = (path) => new URL(`__serial/${path}`, document.baseURI).href;
  const lost = () => new DOMException("The device has been lost.", "NetworkError");

  async function post(path, body = "", name = "NetworkError") {
    const answer = await (await fetch(url(path), { method: "POST", body })).json();
    if (answer?.error) throw new DOMException(answer.error, name);
    return answer;
  }

  class StubPort extends EventTarget {
    #info;
    #open = false;
    #readable = null;
    #writable = null;
    #source = null; // the controller of #readable
    #sink = null; // the controller of #writable
    #stop = null; // ends the request for what the board sends

    constructor(name, info) {
      super();
      this.name = name;
      this.connected = true;
      this.#info = info;
    }

    getInfo() {
      return { ...this.#info };
    }

    async open(options) {
      if (!options?.baudRate) throw new TypeError("required member baudRate is undefined");
      if (this.#open) throw new DOMException("The port is already open.", "InvalidStateError");
      if (!this.connected) throw new DOMException("Failed to open serial port.", "NetworkError");
      if (StubPort.busy) throw new DOMException("Failed to open serial port.", "NetworkError");
      await post(`${this.name}/open`, JSON.stringify(options));
      this.#stop = new AbortController();
      const { signal } = this.#stop;
      const answer = await fetch(url(this.name), { signal });
      this.#open = true;
      this.#receive(answer.body.getReader(), signal);
    }

    async #receive(reader, signal) {
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) break;
          void this.readable; // what comes before anybody reads is kept
          this.#source.enqueue(value);
        }
      } catch {
        // closed by the page, or the server is gone
      }
      if (!signal.aborted) this.lose();
    }

    get readable() {
      if (this.#open && !this.#readable)
        this.#readable = new ReadableStream({
          type: "bytes",
          start: (controller) => void (this.#source = controller),
          cancel: () => void (this.#readable = null),
        });
      return this.#readable;
    }

    get writable() {
      if (this.#open && !this.#writable)
        this.#writable = new WritableStream({
          start: (controller) => void (this.#sink = controller),
          write: async (chunk) => {
            if (!(chunk instanceof Uint8Array || chunk instanceof ArrayBuffer))
              throw new TypeError("parameter 1 is not of type 'BufferSource'");
            await post(this.name, new Uint8Array(chunk));
          },
          close: () => void (this.#writable = null),
          abort: () => void (this.#writable = null),
        });
      return this.#writable;
    }

    async setSignals(signals) {
      if (!this.#open) throw new DOMException("The port is closed.", "InvalidStateError");
      await post(`${this.name}/signals`, JSON.stringify(signals));
    }

    async getSignals() {
      return { clearToSend: false, dataCarrierDetect: false, dataSetReady: false, ringIndicator: false };
    }

    async close() {
      if (!this.#open) throw new DOMException("The port is already closed.", "InvalidStateError");
      if (this.#readable) await this.#readable.cancel(); // TypeError while it is locked
      if (this.#writable) await this.#writable.abort();
      this.#open = false;
      this.#readable = this.#writable = null;
      this.#stop.abort();
      await post(`${this.name}/close`).catch(() => {});
    }

    async forget() {
      if (this.#open) await this.close();
    }

    /** Interrupt reading: the page finds a new `readable`. */
    fail(kind) {
      if (!this.#readable) return;
      this.#source.error(new DOMException(`A ${kind} occurred.`, kind));
      this.#readable = null;
    }

    /** The device is gone: as in Chromium, the port is closed after that. */
    lose() {
      if (!this.connected) return;
      this.connected = false;
      if (this.#open) {
        this.#open = false;
        this.#stop.abort();
        if (this.#readable) this.#source.error(lost());
        if (this.#writable) this.#sink.error(lost());
        this.#readable = this.#writable = null;
      }
      tell("disconnect", this);
    }
  }

  class StubSerial extends EventTarget {
    #ports = new Map(); // name: the port that is plugged in

    constructor() {
      super();
      this.#listen();
    }

    #port({ name, info }) {
      const known = this.#ports.get(name);
      if (known?.connected) return known;
      this.#ports.set(name, new StubPort(name, info));
      return this.#ports.get(name);
    }

    async getPorts() {
      return (await (await fetch(url(""))).json()).map((about) => this.#port(about));
    }

    async requestPort() {
      if (!navigator.userActivation.isActive)
        throw new DOMException("Must be handling a user gesture to show a permission request.", "SecurityError");
      return this.#port(await post("request", "", "NotFoundError"));
    }

    async #listen() {
      try {
        const reader = (await fetch(url("events"))).body.pipeThrough(new TextDecoderStream()).getReader();
        for (let rest = ""; ; ) {
          const { done, value } = await reader.read();
          if (done) return;
          const lines = (rest + value).split("\n");
          rest = lines.pop();
          for (const line of lines) this.#hear(JSON.parse(line));
        }
      } catch {
        // the test is over
      }
    }

    #hear({ event, ...about }) {
      if (event === "connect") tell(event, this.#port(about));
      else if (event === "disconnect") this.#ports.get(about.name)?.lose();
      else this.#ports.get(about.name)?.fail(event);
    }
  }

  /** Dispatch an event at a port, from which it bubbles to navigator.serial. */
  function tell(kind, port) {
    port.dispatchEvent(new Event(kind));
    const event = new Event(kind);
    Object.defineProperty(event, "target", { value: port });
    serial.dispatchEvent(event);
  }

  const serial = new StubSerial();
  Object.defineProperty(navigator, "serial", { value: serial, configurable: true });
  globalThis.StubPort = StubPort; // StubPort.busy: another program has every port
}
