import assert from "node:assert/strict";
import { isStraySocketError } from "./nats_errors.ts";

const errorOf = (message: string, ...frames: string[]): Error => {
  const error = new Error(message);
  error.stack = [`Error: ${message}`, ...frames.map((frame) => `    at ${frame}`)].join("\n");
  return error;
};

Deno.test("isStraySocketError() takes socket errors of the runtime alone", () => {
  const runtime = "TCPWrap.onStreamRead [as onread] (ext:deno_node/internal/stream_base_commons.ts:1:3690)";
  const ours = "handler (file:///srv/salar/functions/director/zone.ts:3:5)";
  assert.equal(isStraySocketError(errorOf("read ECONNRESET", runtime)), true);
  assert.equal(isStraySocketError(errorOf("received fatal alert: CertificateRequired", runtime)), true);
  assert.equal(isStraySocketError(errorOf("read ECONNRESET", runtime, ours)), false);
  assert.equal(isStraySocketError(errorOf("read ECONNRESET")), false);
  assert.equal(isStraySocketError(errorOf("x is not a function", runtime)), false);
  assert.equal(isStraySocketError("read ECONNRESET"), false);
});
