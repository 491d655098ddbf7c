/** How a client agent becomes a system of the cluster: a challenge, then a statement that answers it. */
import { change } from "../../lib/cluster/change.ts";
import { enrolSystem } from "../../lib/cluster/enrolling.ts";
import { EnrolAnswer, EnrolChallenge, EnrolRequest, EnrolSystem } from "../../lib/cluster/protocol.ts";
import { enrolAnswer, newNonce, openEnrolment } from "../../lib/cluster/statements.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";

export const challengeRoute = route({
  name: "enrol.challenge",
  method: "GET",
  path: "/v1/enrol/challenge",
  role: "public", // whoever wants to enrol is nobody yet
  summary: "Get a nonce for an enrolment, good for a minute",
  reply: EnrolChallenge,
  run(context) {
    const { scope, cluster } = context;
    return Promise.resolve(done({ nonce: newNonce(context), nowMs: scope.nowMs(), cluster }));
  },
});

export const enrolRoute = route({
  name: "enrol.system",
  method: "POST",
  path: "/v1/enrol/system",
  role: "public", // proves itself: join token and signature
  summary: "Register a system: its client agent brings a join token and proves its key",
  body: EnrolRequest,
  reply: EnrolAnswer,
  async run(context, { body }) {
    const { fp, body: enrolment } = openEnrolment(context, body.statement, "enrol.system", EnrolSystem);
    const { system, lastSeq } = await change(
      context,
      { who: `system:${fp}` },
      (c) => enrolSystem(c, fp, enrolment),
    );
    return done(enrolAnswer(context, { fp, id: system.id, zone: system.zone, lastSeq }));
  },
});
