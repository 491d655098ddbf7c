/** The scope of a real process: the system's clocks, timers and random numbers. */
import { assert } from "../errors.ts";
import type { Random, Scope } from "../seams.ts";
import { type Clock, createScope, type ScopeOptions } from "./scope.ts";

export function realScope(options: ScopeOptions): Scope {
  return createScope(realClock(), options);
}

function realClock(): Clock {
  return {
    nowMs: () => Date.now(),
    monoMs: () => performance.now(),
    random: realRandom(),
    after(ms, fire) {
      const timer = setTimeout(fire, ms);
      return () => clearTimeout(timer);
    },
  };
}

const RANDOM_CALL_BYTES_MAX = 65_536;
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/** The operating system's random numbers. A fork is the same source: there is no order to keep apart. */
export function realRandom(): Random {
  const random: Random = {
    u32: () => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
    below(below) {
      assert(Number.isInteger(below) && below >= 1 && below <= 2 ** 32, "`below` is an integer of 1 … 2³²");
      const fair = 2 ** 32 - 2 ** 32 % below; // drawing again above it keeps all answers equally likely
      for (;;) {
        const drawn = random.u32();
        if (drawn < fair) return drawn % below;
      }
    },
    bytes(length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at += RANDOM_CALL_BYTES_MAX) {
        crypto.getRandomValues(bytes.subarray(at, at + RANDOM_CALL_BYTES_MAX));
      }
      return bytes;
    },
    id() {
      let bits = random.bytes(16).reduce((all, byte) => all << 8n | BigInt(byte), 0n);
      let text = "";
      for (let at = 0; at < 26; at++, bits >>= 5n) text += BASE32[Number(bits & 31n)];
      return text;
    },
    fork: () => random,
  };
  return random;
}
