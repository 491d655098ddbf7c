/**
 * The director's routes that commands call. A test keeps them equal to the director's own; whatever else a server
 * offers is reached by `salar call`, which asks that server for its OpenAPI document.
 */
import type { Method } from "../lib/mesh/route.ts";

export const ROUTES = {
  "zones.list": ["GET", "/v1/zones"],
  "zones.show": ["GET", "/v1/zones/{zone}"],
  "zones.add": ["POST", "/v1/zones"],
  "zones.update": ["PATCH", "/v1/zones/{zone}"],
  "zones.remove": ["DELETE", "/v1/zones/{zone}"],
  "zones.stats": ["GET", "/v1/zones/{zone}/stats"],
  "nodes.list": ["GET", "/v1/nodes"],
  "nodes.show": ["GET", "/v1/nodes/{fp}"],
  "nodes.update": ["PATCH", "/v1/nodes/{fp}"],
  "nodes.accept": ["POST", "/v1/nodes/{fp}/accept"],
  "nodes.cordon": ["POST", "/v1/nodes/{fp}/cordon"],
  "nodes.uncordon": ["POST", "/v1/nodes/{fp}/uncordon"],
  "nodes.drain": ["POST", "/v1/nodes/{fp}/drain"],
  "nodes.undrain": ["POST", "/v1/nodes/{fp}/undrain"],
  "nodes.remove": ["DELETE", "/v1/nodes/{fp}"],
  "nodes.forceRemove": ["POST", "/v1/nodes/{fp}/force-remove"],
  "nodes.stage": ["POST", "/v1/stagings"],
  "nodes.run": ["POST", "/v1/nodes/{fp}/runs"],
  "runs.list": ["GET", "/v1/runs"],
  "runs.show": ["GET", "/v1/runs/{run}"],
  "runs.result": ["GET", "/v1/runs/{run}/result"],
  "runs.cancel": ["POST", "/v1/runs/{run}/cancel"],
  "runs.progress": ["POST", "/v1/runs/{run}/progress"],
  "runs.end": ["POST", "/v1/runs/{run}/end"],
  "systems.list": ["GET", "/v1/systems"],
  "systems.show": ["GET", "/v1/systems/{id}"],
  "systems.pin": ["PUT", "/v1/systems/{id}/pin"],
  "systems.move": ["POST", "/v1/systems/{id}/move"],
  "plans.list": ["GET", "/v1/plans"],
  "plans.show": ["GET", "/v1/plans/{plan}"],
  "plans.moves": ["GET", "/v1/plans/{plan}/moves"],
  "plans.pause": ["POST", "/v1/plans/{plan}/pause"],
  "plans.resume": ["POST", "/v1/plans/{plan}/resume"],
  "plans.cancel": ["POST", "/v1/plans/{plan}/cancel"],
  "plans.budget": ["PUT", "/v1/plans/{plan}/budget"],
  "tokens.add": ["POST", "/v1/tokens"],
  "tokens.list": ["GET", "/v1/tokens"],
  "tokens.remove": ["DELETE", "/v1/tokens/{id}"],
  "join.add": ["POST", "/v1/join-tokens"],
  "join.list": ["GET", "/v1/join-tokens"],
  "join.remove": ["DELETE", "/v1/join-tokens/{id}"],
  "events.list": ["GET", "/v1/events"],
} as const satisfies Record<string, readonly [Method, string]>;

export type RouteName = keyof typeof ROUTES;
