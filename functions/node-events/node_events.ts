/**
 * Node events: what node agents say. Heartbeats, fetches and reports by request, database changes by stream.
 *
 * Every message is a statement signed by the node's identity key; the host has checked that before a handler runs.
 */
import { CHANGES } from "../../lib/bus/subjects.ts";
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { beatHandler } from "./beats.ts";
import { changesHandler } from "./changes.ts";
import { fetchHandler, reportHandler } from "./directives.ts";
import { runHandler } from "./runs.ts";
import { vanishTick } from "./vanishing.ts";

export const nodeEvents: MeshFunction = {
  name: "node-events",
  routes: [],
  handlers: [beatHandler, fetchHandler, reportHandler, runHandler, changesHandler],
  ticks: [vanishTick],
  streams: [CHANGES],
};
