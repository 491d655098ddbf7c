import assert from "node:assert/strict";
import { isLoopback, isSafeUrl } from "./loopback.ts";

Deno.test("isLoopback() takes addresses of this machine, and no name that only begins like one", () => {
  for (const host of ["127.0.0.1", "127.9.8.7", "localhost", "::1", "[::1]"]) {
    assert.equal(isLoopback(host), true, host);
  }
  for (
    const host of [
      "127.evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      "0.0.0.0",
      "10.0.0.1",
      "",
    ]
  ) {
    assert.equal(isLoopback(host), false, host);
  }
});

Deno.test("isSafeUrl() wants TLS, or this machine", () => {
  for (
    const url of ["https://salar.example", "http://127.0.0.1:8480", "http://localhost", "http://[::1]:1"]
  ) {
    assert.equal(isSafeUrl(url), true, url);
  }
  for (
    const url of ["http://salar.example", "http://127.evil.example", "ftp://127.0.0.1", "salar.example", ""]
  ) {
    assert.equal(isSafeUrl(url), false, url);
  }
});
