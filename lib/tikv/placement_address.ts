/** Addresses of placement drivers, as people and the drivers themselves write them. */
import { TikvError } from "./errors.ts";

const FORM = /^(?:(https?):\/\/)?((?:\[[0-9a-fA-F:.]+\]|[^\s/:@?#[\]]+):(\d{1,5}))\/?$/;

/**
 * `host:port`, `http://host:port` and, where the client uses TLS, `https://host:port` → `host:port`.
 * Throws `invalid`.
 */
export function parseAddress(text: string, { tls }: { tls: boolean }): string {
  const [, scheme, address, port] = FORM.exec(text) ?? [];
  if (address === undefined || Number(port) > 65_535 || Number(port) === 0) {
    throw invalid(text, "not of the form host:port, http://host:port or https://host:port");
  }
  if (scheme === "https" && !tls) throw invalid(text, "https needs the client's `tls` option");
  if (scheme === "http" && tls) throw invalid(text, "http contradicts the client's `tls` option");
  return address;
}

/** The address in a URL that a placement driver gives out, whatever scheme it believes in; null for nonsense. */
export function advertisedAddress(url: string): string | null {
  return FORM.exec(url)?.[2] ?? null;
}

function invalid(text: string, why: string): TikvError {
  return new TikvError("invalid", `read placement driver address ${JSON.stringify(text)}: ${why}`);
}
