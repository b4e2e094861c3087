// A board's serial port: open it, read it, write to it, and come back to it after it was unplugged.

export const BAUD = 115200; // MicroPython's, and the boot ROM's
const BUFFER = 65536; // bytes that the browser keeps while the page is busy
const RETRY = 1000; // ms between two looks for a port that is gone

/** What opening a port can end with, in words that say what to do; thrown as an Error. */
export class PortError extends Error {}

/**
 * A port that stays chosen. Events: "data" (detail: Uint8Array) and "state", whose detail is one of
 * "closed", "open", "gone" (unplugged: it is awaited) and "interrupted" (bytes were lost, reading goes on).
 */
export class SerialLine extends EventTarget {
  constructor() {
    super();
    /** @type {SerialPort | null} */
    this.port = null;
    /** @type {"closed" | "open" | "gone"} */
    this.state = "closed";
    /** @type {ReadableStreamDefaultReader<Uint8Array> | null} */
    this.reader = null;
    /** @type {Promise<void>} */
    this.reading = Promise.resolve();
    this.visit = 0; // counts what was opened and closed: who waited for an earlier port gives up
    this.wake = () => {};
    this.last = Promise.resolve(); // to open or close: one after the other
    navigator.serial.addEventListener("connect", () => this.wake());
  }

  /** Let the person choose a port, and open it. Call this in the handler of a click. */
  async choose() {
    let port;
    try {
      port = await navigator.serial.requestPort();
    } catch (error) {
      throw explained(error);
    }
    await this.open(port);
  }

  /**
   * Open a port; another one is closed first.
   * @param {SerialPort} port
   */
  open(port) {
    return this.inTurn(async () => {
      await this.end();
      try {
        await open(port);
      } catch (error) {
        throw explained(error);
      }
      this.begin(port);
    });
  }

  /** Close the port, if one is open, and wait for none. */
  close() {
    return this.inTurn(() => this.end());
  }

  /**
   * Leave a port to who asks for it: close it, and wait for none, which could be this one.
   * @param {SerialPort} port
   */
  release(port) {
    return this.inTurn(async () => {
      if (this.port === port || this.state === "gone") await this.end();
    });
  }

  /**
   * Do something after all that was asked for before.
   * @param {() => Promise<void>} action
   */
  inTurn(action) {
    const done = this.last.then(action);
    this.last = done.catch(() => {});
    return done;
  }

  async end() {
    this.visit++;
    this.wake();
    const { port } = this;
    this.port = null;
    if (port && this.state === "open") {
      await this.reader?.cancel().catch(() => {});
      await this.reading;
      await quietly(port);
    }
    if (port) this.tell("closed");
  }

  /**
   * Send bytes. Throws PortError if that is not possible.
   * @param {Uint8Array} bytes
   */
  async write(bytes) {
    const stream = this.port?.writable;
    if (!stream) throw new PortError("The board is not connected.");
    const writer = stream.getWriter();
    try {
      await writer.write(bytes);
    } catch {
      throw new PortError("The board is gone: plug it in again.");
    } finally {
      writer.releaseLock();
    }
  }

  /** @param {SerialPort} port */
  begin(port) {
    this.port = port;
    this.tell("open");
    this.reading = this.read(port, this.visit);
  }

  /**
   * Read until the port is closed or gone.
   * @param {SerialPort} port
   * @param {number} visit
   */
  async read(port, visit) {
    while (port.readable && visit === this.visit) {
      const reader = port.readable.getReader();
      this.reader = reader;
      try {
        for (;;) {
          const { value, done } = await reader.read();
          if (done) break;
          this.dispatchEvent(new CustomEvent("data", { detail: value }));
        }
      } catch {
        // A break or a wrong bit, as at a reset: the port has a new stream. If it has none, it is gone.
        if (port.readable) this.dispatchEvent(new CustomEvent("state", { detail: "interrupted" }));
      } finally {
        reader.releaseLock();
        this.reader = null;
      }
    }
    if (visit !== this.visit) return;
    this.tell("gone");
    this.comeBack(port, visit);
  }

  /**
   * Wait for the port, or one of the same kind in its place, and open it.
   * @param {SerialPort} lost
   * @param {number} visit
   */
  async comeBack(lost, visit) {
    await lost.close().catch(() => {});
    while (visit === this.visit) {
      const port = await find(lost);
      if (port) {
        await this.inTurn(async () => {
          if (visit === this.visit && (await open(port).then(() => true, () => false))) this.begin(port);
        });
      }
      if (visit !== this.visit || this.state === "open") return;
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, RETRY);
        this.wake = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
      });
    }
  }

  /** @param {"closed" | "open" | "gone"} state */
  tell(state) {
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }
}

/** @param {SerialPort} port one that is open already may have another speed: it is closed first */
async function open(port) {
  if (port.readable) await port.close();
  await port.open({ baudRate: BAUD, bufferSize: BUFFER });
}

/**
 * Close a port without resetting the board: RTS, which drives EN, is switched off first.
 * @param {SerialPort} port
 */
async function quietly(port) {
  try {
    await port.setSignals({ requestToSend: false });
    await port.setSignals({ dataTerminalReady: false });
  } catch {
    // a port without these lines, or one that is gone
  }
  await port.close().catch(() => {});
}

/**
 * Return the port that was lost, or one of the same kind of USB chip, if it is plugged in.
 * @param {SerialPort} lost
 */
async function find(lost) {
  const ports = await navigator.serial.getPorts().catch(() => []);
  const kind = JSON.stringify(lost.getInfo());
  return ports.find((port) => port === lost) ?? ports.find((port) => JSON.stringify(port.getInfo()) === kind);
}

/** @param {unknown} error */
function explained(error) {
  const { name, message } = error instanceof Error ? error : { name: "", message: String(error) };
  if (name === "NotFoundError") return new PortError("No port was chosen.");
  if (name === "SecurityError") return new PortError(`The browser does not allow it: ${message}`);
  if (name === "NetworkError" || name === "InvalidStateError") {
    const linux = /Linux/.test(navigator.userAgent) ? ", or you are not in the group dialout" : "";
    return new PortError(
      "The port cannot be opened: another program or another tab uses it (a serial monitor, an IDE)" +
        `${linux}. Close that, then connect again.`,
    );
  }
  return new PortError(`The port cannot be opened: ${message}`);
}
