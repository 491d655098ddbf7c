/**
 * The director: the functions that decide. Zones, nodes, systems, plans, stagings and runs, credentials and the record of what happened.
 *
 * Routes change what is wanted; ticks read the work indexes of the store and carry it out, so that a crash between the
 * two delays work and never loses it.
 */
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { advanceTick } from "./advancing.ts";
import { drainRoutes } from "./drain.ts";
import { eventRoutes } from "./events.ts";
import { forceRemove } from "./force_remove.ts";
import { nodeRoutes } from "./nodes.ts";
import { placeTick } from "./placing.ts";
import { planRoutes } from "./plans.ts";
import { runRoutes } from "./runs.ts";
import { runTick } from "./run_watching.ts";
import { stagingRoutes } from "./staging.ts";
import { systemRoutes } from "./systems.ts";
import { tokenRoutes } from "./tokens.ts";
import { retireTick, watchTick } from "./watching.ts";
import { zoneRoutes } from "./zones.ts";

export const director: MeshFunction = {
  name: "director",
  routes: [
    ...zoneRoutes,
    ...nodeRoutes,
    forceRemove,
    ...drainRoutes,
    ...systemRoutes,
    ...planRoutes,
    ...stagingRoutes,
    ...runRoutes,
    ...tokenRoutes,
    ...eventRoutes,
  ],
  handlers: [],
  ticks: [watchTick, placeTick, advanceTick, retireTick, runTick],
  streams: [],
};
