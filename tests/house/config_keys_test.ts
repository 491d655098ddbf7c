/** The configuration reader knows the keys of every program, and of nothing else. */
import assert from "node:assert/strict";
import { ClientConfig, LocalConfig, PreviewConfig } from "../../agents/client/config.ts";
import { DatabaseConfig, NodeConfig } from "../../agents/node/config.ts";
import { SETTINGS_KEYS } from "../../cli/settings.ts";
import { FunctionsConfig } from "../../functions/config.ts";
import { KEYS_OF_PROGRAMS } from "../../lib/config_keys.ts";

Deno.test("lib/config_keys.ts lists the keys of all programs", () => {
  const schemas = [FunctionsConfig, NodeConfig, DatabaseConfig, ClientConfig, LocalConfig, PreviewConfig];
  const declared = new Set([...schemas.flatMap(({ shape }) => Object.keys(shape)), ...SETTINGS_KEYS]);
  assert.deepEqual([...KEYS_OF_PROGRAMS], [...declared].toSorted());
});
