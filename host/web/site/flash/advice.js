// What went wrong with a board, and what to do about it, in words.

import { grouped } from "../../common/text.js";

/** @typedef {import("./image.js").Manifest} Manifest
 * @typedef {{title: string, steps: string[]}} Advice */

const CABLE =
  "Use another USB cable: many carry power and no data. Connect the board to the computer itself, " +
  "without a hub.";
const PRESS = "press the button again";

/** Return the operating system that the browser runs on.
 * @returns {"linux"|"mac"|"windows"|""} */
export function system() {
  const { userAgentData } = /** @type {any} */ (navigator);
  const name = String(userAgentData?.platform || navigator.userAgent);
  if (/win/i.test(name)) return "windows";
  if (/mac/i.test(name)) return "mac";
  return /linux|x11|cros|chrome ?os/i.test(name) ? "linux" : "";
}

/** Return what to do about a failure.
 * @param {string} kind of FlashFailure, or "cancelled"
 * @param {string} detail
 * @param {Manifest|null} manifest of the image that was to be written
 * @param {string} on operating system
 * @returns {Advice} */
export function advice(kind, detail, manifest, on) {
  const chip = manifest?.builds[0].chipFamily ?? "ESP32";
  switch (kind) {
    case "cancelled":
      return {
        title: "No port was chosen.",
        steps: [
          "If the list had no port for the board, go through “No port is listed?” on this page.",
          `Otherwise ${PRESS}.`,
        ],
      };
    case "port":
      return {
        title: "The port cannot be opened.",
        steps: [
          "Close what else uses the board: a serial monitor, Thonny, the Arduino IDE, another tab.",
          ...(on === "linux" ? [LINUX] : []),
          `Unplug the board, plug it in again, and ${PRESS}.`,
        ],
      };
    case "connect":
      return {
        title: `No ${chip} answers at this port.`,
        steps: [
          `Hold the button BOOT of the board, ${PRESS}, and let go once writing begins.`,
          "If that does not help: hold BOOT, press EN (or RST) briefly, let go of BOOT, and try again.",
          "Look whether this is the board's port: unplug it and see which one goes from the list.",
          CABLE,
        ],
      };
    case "chip":
      return {
        title: `This board has the chip ${detail}; the image is for ${chip}. Nothing was written.`,
        steps: ["Choose the image for this board, if the list has one; whoever builds this site can add it."],
      };
    case "small":
      return {
        title:
          `The flash of this board is too small: it must have ${megabytes(manifest)} MB. ` +
          "Nothing was written.",
        steps: ["Use a board with more flash."],
      };
    case "unplugged":
      return {
        title: "The board was unplugged before everything was written.",
        steps: [
          `Plug it in again, and ${PRESS}. The board starts once it is written whole.`,
          CABLE,
        ],
      };
    default:
      return {
        title: `Writing failed: ${detail.replace(/\s+/g, " ").replace(/\.$/, "")}.`,
        steps: [
          `Plug the board in again, and ${PRESS}. The board starts once it is written whole.`,
          CABLE,
        ],
      };
  }
}

/** @param {Manifest|null} manifest
 * @returns {string} */
function megabytes(manifest) {
  return grouped((manifest?.size ?? 0) >> 20);
}

const LINUX =
  "On Linux your user must be in the group that may use serial ports: sudo usermod -a -G dialout $USER " +
  "(on Arch: uucp), then log out and in again.";

/** Return what to look at when the browser lists no port, or not the board's.
 * @param {string} on operating system
 * @returns {string[]} */
export function noPort(on) {
  const steps = [
    CABLE,
    "Look whether the board has power: most have a light.",
    "Unplug it and plug it in again while the browser shows its list: the port that comes is the board's.",
  ];
  if (on !== "linux")
    steps.push(
      "Install the driver of the board's USB chip, the small one beside the socket, from its maker: " +
        "CP2102 and other CP210x from Silicon Labs; CH340, CH341 and CH9102 from WCH. " +
        "A chip with USB of its own needs none.",
    );
  if (on === "windows")
    steps.push("The Device Manager lists it under “Ports (COM & LPT)”; a yellow sign means: no driver.");
  if (on === "mac")
    steps.push(
      "macOS may ask whether the accessory may connect: allow it.",
      "The port is called cu.usbserial or cu.SLAB and more.",
    );
  if (on === "linux")
    steps.push(
      "Linux has the drivers. The port is called ttyUSB0 or ttyACM0.",
      LINUX,
      "A browser from a Snap or Flatpak may see no ports: install it as a package.",
      "On Ubuntu, brltty can take the ports of boards with CH340: sudo apt remove brltty.",
    );
  return steps;
}
