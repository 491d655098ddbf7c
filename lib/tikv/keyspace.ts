/**
 * Where a user's keys lie among those of the cluster. Only the public interface puts prefixes on and takes them off;
 * everything below it sees wire keys.
 *
 * V1: the keys are the wire keys. V2: 'x', three bytes of the keyspace's id, then the key; an unbounded range ends
 * where the next keyspace begins.
 * Source: client-go internal/apicodec.
 */
import { TikvError } from "./errors.ts";
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from "./limits.ts";

/** Keys from `from` (inclusive) to `to` (exclusive); absent or empty is unbounded. */
export interface KeyRange {
  from?: Uint8Array | undefined;
  to?: Uint8Array | undefined;
}

/** Of wire keys; `to` is unbounded when empty. */
export interface WireRange {
  from: Uint8Array;
  to: Uint8Array;
}

export interface Keyspace {
  /** Null for V1, where there are none. */
  readonly id: number | null;
  readonly name: string;
  /** Throws `invalid` for an empty key and `too-large` for one over KEY_BYTES_MAX. */
  wireKey(key: Uint8Array): Uint8Array;
  wireRange(range: KeyRange): WireRange;
  userKey(wireKey: Uint8Array): Uint8Array;
}

const NONE = new Uint8Array(0);
const ID_MAX = 0xff_ffff;

export const plainKeyspace: Keyspace = {
  id: null,
  name: "",
  wireKey: checkedKey,
  wireRange: ({ from = NONE, to = NONE }) => ({ from, to }),
  userKey: (wireKey) => wireKey,
};

export function prefixedKeyspace(name: string, id: number): Keyspace {
  if (!Number.isInteger(id) || id < 0 || id > ID_MAX) {
    throw new TikvError("malformed", `open keyspace "${name}": its id ${id} does not fit three bytes`);
  }
  const prefix = prefixOf(id);
  const end = prefixOf(id + 1); // after the last id this is 'y', for the carry runs into the mode's byte
  const prefixed = (key: Uint8Array) => {
    const wireKey = new Uint8Array(prefix.length + key.length);
    wireKey.set(prefix);
    wireKey.set(key, prefix.length);
    return wireKey;
  };
  return {
    id,
    name,
    wireKey: (key) => prefixed(checkedKey(key)),
    wireRange: ({ from = NONE, to = NONE }) => ({
      from: prefixed(from),
      to: to.length === 0 ? end : prefixed(to),
    }),
    userKey: (wireKey) => wireKey.subarray(prefix.length),
  };
}

/** Throws `invalid` for an empty value, which old clients cannot tell from none, and `too-large`. */
export function checkedValue(value: Uint8Array): Uint8Array {
  if (value.length === 0) {
    throw new TikvError("invalid", "put: the value is empty; TiKV's clients take that for absence");
  }
  if (value.length > VALUE_BYTES_MAX) {
    throw new TikvError("too-large", `put: a value of ${value.length} bytes, at most ${VALUE_BYTES_MAX} fit`);
  }
  return value;
}

function checkedKey(key: Uint8Array): Uint8Array {
  if (key.length === 0) throw new TikvError("invalid", "use key: it is empty");
  if (key.length > KEY_BYTES_MAX) {
    throw new TikvError("too-large", `use key: it has ${key.length} bytes, at most ${KEY_BYTES_MAX} fit`);
  }
  return key;
}

function prefixOf(id: number): Uint8Array {
  const prefix = new Uint8Array(4);
  new DataView(prefix.buffer).setUint32(0, 0x7800_0000 + id);
  return prefix;
}
