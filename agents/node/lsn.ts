/** Positions in PostgreSQL's log (LSN): 64-bit numbers, written `X/Y` by the server and as 16 hex digits by Salar. */

/** Reads the server's `16/B374D848`. */
export function parseLsn(text: string): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (match === null) throw new TypeError(`Cannot read LSN: "${text}" is not of the form X/Y`);
  return BigInt(`0x${match[1]}`) << 32n | BigInt(`0x${match[2]}`);
}

/** 16 upper-case hex digits: texts compare as the positions do. */
export function lsnText(lsn: bigint): string {
  return lsn.toString(16).toUpperCase().padStart(16, "0");
}
