/**
 * A zip archive as Python's `zipfile` and `zipimport` read it.
 *
 * Z1. The same files give the same bytes: sorted by name, one fixed date, fixed permissions.
 * Source: PKWARE's APPNOTE.TXT 6.3, sections 4.3 and 4.4.
 */
import { crc32, deflateRawSync } from "node:zlib";

/** A content, ready to be put into any number of archives. */
export interface ZipContent {
  packed: Uint8Array;
  isDeflated: boolean;
  size: number;
  crc: number;
}

const VERSION = 20;
const MADE_ON_UNIX = 3 << 8 | VERSION;
const DATE = 0x0021; // 1980-01-01, the first that the format knows
const FILE_MODE = 0o100644;
const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;

export function zipContent(bytes: Uint8Array): ZipContent {
  const deflated = deflateRawSync(bytes);
  const isDeflated = deflated.length < bytes.length;
  return { packed: isDeflated ? deflated : bytes, isDeflated, size: bytes.length, crc: crc32(bytes) };
}

/** @param files by their paths, ASCII, with `/`; at most 65,535 of them, and less than 4 GiB */
export function zip(files: ReadonlyMap<string, ZipContent>): Uint8Array {
  const sorted = [...files].sort(([a], [b]) => a < b ? -1 : 1);
  const locals: Uint8Array[] = [];
  const centrals: Uint8Array[] = [];
  let offset = 0;
  for (const [path, content] of sorted) {
    const name = new TextEncoder().encode(path);
    const common = commonFields(content, name.length);

    const central = new DataView(new ArrayBuffer(CENTRAL_BYTES));
    central.setUint32(0, 0x02014b50, true);
    central.setUint16(4, MADE_ON_UNIX, true);
    new Uint8Array(central.buffer).set(common, 6);
    central.setUint32(38, FILE_MODE * 2 ** 16, true);
    central.setUint32(42, offset, true);
    centrals.push(new Uint8Array(central.buffer), name);

    const local = new DataView(new ArrayBuffer(LOCAL_BYTES));
    local.setUint32(0, 0x04034b50, true);
    new Uint8Array(local.buffer).set(common, 4);
    locals.push(new Uint8Array(local.buffer), name, content.packed);
    offset += LOCAL_BYTES + name.length + content.packed.length;
  }

  const directoryBytes = centrals.reduce((sum, { length }) => sum + length, 0);
  const end = new DataView(new ArrayBuffer(END_BYTES));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, sorted.length, true);
  end.setUint16(10, sorted.length, true);
  end.setUint32(12, directoryBytes, true);
  end.setUint32(16, offset, true);
  return joined([...locals, ...centrals, new Uint8Array(end.buffer)], offset + directoryBytes + END_BYTES);
}

/** What a file's two headers share: from the version that is needed to the length of the extra field. */
function commonFields({ packed, isDeflated, size, crc }: ZipContent, nameBytes: number): Uint8Array {
  const fields = new DataView(new ArrayBuffer(26));
  fields.setUint16(0, VERSION, true);
  fields.setUint16(4, isDeflated ? 8 : 0, true);
  fields.setUint16(8, DATE, true);
  fields.setUint32(10, crc, true);
  fields.setUint32(14, packed.length, true);
  fields.setUint32(18, size, true);
  fields.setUint16(22, nameBytes, true);
  return new Uint8Array(fields.buffer);
}

function joined(pieces: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
