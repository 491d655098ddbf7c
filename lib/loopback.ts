/** Which addresses never leave this machine, so that plain HTTP to them shows nothing to a network. */

/** For a host name or address, with or without the brackets of a URL. `127.example.org` is a name, and not loopback. */
export function isLoopback(host: string): boolean {
  return /^(127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|::1|\[::1\])$/.test(host);
}

/** For a URL that a secret is sent to: TLS, or this machine. */
export function isSafeUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || protocol === "http:" && isLoopback(hostname);
}
