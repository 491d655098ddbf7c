/**
 * Our client as a child process that can be killed, driven like the Go client: of its operations it knows `leave`
 * and `bank`.
 */
import { fileURLToPath } from "node:url";
import { type GoClient, startClient } from "./go_client.ts";

export type OurClient = Pick<
  GoClient,
  "pid" | "leave" | "bank" | "close" | "kill" | typeof Symbol.asyncDispose
>;

/** @param pd `http://host:port` or `host:port`. */
export function startOurClient(pd: readonly string[]): OurClient {
  const program = fileURLToPath(new URL("our_client_child.ts", import.meta.url));
  return startClient({
    name: "our client",
    command: Deno.execPath(),
    args: ["run", "--allow-all", "--quiet", "--no-check", program, ...pd],
  });
}
