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

/**
 * The addresses in URLs that a member gives out: those of the scheme that the client speaks, or all where there is
 * none, for a proxy in between may know better. Nonsense is left out.
 */
export function advertisedAddresses(urls: readonly string[], { tls }: { tls: boolean }): string[] {
  const wanted = tls ? "https:" : "http:";
  const fitting = urls.filter((url) => url.startsWith(wanted));
  return (fitting.length > 0 ? fitting : urls).map((url) => FORM.exec(url)?.[2] ?? "").filter((each) =>
    each !== ""
  );
}

function invalid(text: string, why: string): TikvError {
  return new TikvError("invalid", `read placement driver address ${JSON.stringify(text)}: ${why}`);
}
