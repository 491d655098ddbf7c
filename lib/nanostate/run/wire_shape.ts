/**
 * A host's result in the shape of the prototype, for programs that read that.
 *
 * In: a `HostResult`. Out: `{Id, Description, Groups: [{GroupId, Errcode, Errmsg, Response: [{Module, Errcode, Errmsg,
 * Response: [{Host, Response: {NAME: {Stdout, Stderr, Errmsg, Errcode, Json}}}]}]}]}`. NAME is a command's name, or the module's.
 * Source: `infra-whizz/wzcmslib nanorunners/resptype.go`; its codes that did not roll up are not kept.
 */
import { type Json, type JsonObject, setOwn } from "../json.ts";
import type { GroupResult, HostResult, Response, StepResult } from "./result.ts";

export function wireShape({ host, id, description, groups }: HostResult): JsonObject {
  return { Id: id, Description: description, Groups: groups.map((group) => groupShape(host, group)) };
}

function groupShape(host: string, { name, code, steps }: GroupResult): JsonObject {
  const Errmsg = firstMessage(steps.flatMap(({ responses }) => responses));
  return { GroupId: name, Errcode: code, Errmsg, Response: steps.map((step) => stepShape(host, step)) };
}

function stepShape(host: string, { module, code, responses }: StepResult): JsonObject {
  const Response: { [name: string]: Json } = {};
  for (const response of responses) setOwn(Response, response.name, responseShape(response));
  return {
    Module: module,
    Errcode: code,
    Errmsg: firstMessage(responses),
    Response: [{ Host: host, Response }],
  };
}

function responseShape({ stdout, stderr, message, code, json }: Response): JsonObject {
  return { Stdout: stdout, Stderr: stderr, Errmsg: message, Errcode: code, Json: json };
}

function firstMessage(responses: readonly Response[]): string {
  return responses.find(({ code }) => code !== 0)?.message ?? "";
}
