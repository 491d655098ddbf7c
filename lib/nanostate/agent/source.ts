/** The source of the agent for Python, as it is sent: compressed, its actions as a text that is read when one is used. */
import { deflateSync } from "node:zlib";
import actions from "./actions.py" with { type: "text" };
import agent from "./agent.py" with { type: "text" };
import commands from "./commands.py" with { type: "text" };
import modules from "./modules.py" with { type: "text" };
import processes from "./processes.py" with { type: "text" };
import store from "./store.py" with { type: "text" };
import wire from "./wire.py" with { type: "text" };

/** One program: a class stands before those made of it. */
const PROGRAM = [wire, processes, store, modules, commands, agent].join("\n");

/** For Python's `zlib.decompress`. All files are ASCII, so a JSON text is a Python text. */
export const AGENT_SOURCE: Uint8Array = deflateSync(
  `${PROGRAM}\nmain(sys.argv[1], ${JSON.stringify(actions)})\n`,
  { level: 9 },
);
