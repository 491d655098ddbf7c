/** The source of the agent for Python, as it is sent: compressed, its actions as a text that is read when one is used. */
import { deflateSync } from "node:zlib";
import actions from "./actions.py" with { type: "text" };
import agent from "./agent.py" with { type: "text" };

/** For Python's `zlib.decompress`. Both files are ASCII, so a JSON text is a Python text. */
export const AGENT_SOURCE: Uint8Array = deflateSync(
  `${agent}\nmain(sys.argv[1], ${JSON.stringify(actions)})\n`,
  { level: 9 },
);
