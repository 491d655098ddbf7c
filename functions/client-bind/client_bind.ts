/**
 * Client binding: registration, directives and reports of client agents, over HTTPS.
 *
 * Agents prove their identity key on every request; the host has checked that before a route runs.
 */
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { beatRoute } from "./beats.ts";
import { directivesRoute, reportRoute } from "./directives.ts";
import { challengeRoute, enrolRoute } from "./enrolment.ts";

export const clientBind: MeshFunction = {
  name: "client-bind",
  routes: [challengeRoute, enrolRoute, directivesRoute, reportRoute, beatRoute],
  handlers: [],
  ticks: [],
  streams: [],
};
