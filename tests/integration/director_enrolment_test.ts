/** Enrolment over the real host: join tokens, clones, adoption. */
import assert from "node:assert/strict";
import { JOIN_TOKEN_MS } from "../../lib/limits.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { loads, systems } from "../../lib/cluster/records.ts";
import {
  type Answer,
  type ClusterRig,
  nodeFacts,
  problemIn,
  systemFacts,
} from "../../lib/cluster/testing.ts";
import { clusterTest } from "./director_support.ts";
import { EnrolAnswer } from "../../lib/cluster/protocol.ts";
import { JoinTokens, NodeView, Systems, SystemView } from "./director_replies.ts";

/** As the API shows it. */
async function usesLeftOf(rig: ClusterRig, token: string): Promise<number | undefined> {
  const { items } = await rig.ask(JoinTokens, "GET", "/v1/join-tokens");
  return items.find(({ id }) => id === token.split(".")[1])?.usesLeft;
}

clusterTest("one join token, two machines at once: one of them enrols", async (rig) => {
  for (const kind of ["node", "system"] as const) {
    const token = await rig.joinToken(kind, "z");
    const answers = await Promise.all([1, 2].map((each) => {
      const key = rig.newKey();
      const facts = kind === "node" ? nodeFacts(`n${each}`, key) : systemFacts(`s${each}`, key);
      return rig.enrol(kind, key, { ...facts, token });
    }));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401]);
    assert.equal(await usesLeftOf(rig, token), 0);
  }
});

clusterTest(
  "a token that is unknown, used, late, of another kind or machine is refused with one text",
  async (rig) => {
    const key = rig.newKey();
    const facts = systemFacts("s", key);
    const good = await rig.joinToken("system", "z");
    const [version, id, secret = "", pin] = good.split(".");
    const tokens = {
      garbage: "nothing",
      unknown: [version, "A".repeat(16), secret, pin].join("."),
      guessed: [version, id, "A".repeat(43), pin].join("."),
      otherKind: await rig.joinToken("node", "z"),
      otherMachine: await rig.joinToken("system", "z", { machineId: "f".repeat(32) }),
    };
    const texts = new Set<string>();
    const refuse = async (token: string) => {
      const answer = await rig.enrol("system", key, { ...facts, token });
      assert.equal(answer.status, 401);
      texts.add(problemIn(answer).detail);
    };
    for (const token of Object.values(tokens)) await refuse(token);
    const used = await rig.joinToken("system", "z");
    await rig.system("other", { token: used });
    await refuse(used);
    const late = await rig.joinToken("system", "z");
    rig.later(JOIN_TOKEN_MS);
    await refuse(late);
    assert.equal(texts.size, 1, [...texts].join("\n"));
  },
);

clusterTest(
  "an image's join token lets in as many machines at once as it has uses, and not one more",
  async (rig) => {
    const uses = 20;
    const token = await rig.joinToken("system", "z", { uses });
    const enrolments = Array.from({ length: uses + 5 }, (_, at) => {
      const key = rig.newKey();
      return () => rig.enrol("system", key, { ...systemFacts(`s${at}`, key), token });
    });
    const answers = await Promise.all(enrolments.map((enrol) => enrol()));
    assert.equal(answers.filter(({ status }) => status === 200).length, uses);
    assert.equal(answers.filter(({ status }) => status === 401).length, 5);
    assert.equal(await usesLeftOf(rig, token), 0);
    const again = await Promise.all(enrolments.map((enrol) => enrol()));
    const admitted = (all: Answer[]) => all.map(({ status, body }) => status === 200 ? body : null);
    assert.deepEqual(admitted(again), admitted(answers), "who is in stays in");
  },
);

clusterTest("enrolling again with the same key gives the same answer and uses no token", async (rig) => {
  const key = rig.newKey();
  const token = await rig.joinToken("system", "z", { uses: 2 });
  const body = { ...systemFacts("s", key), token };
  const [first, second] = [await rig.enrol("system", key, body), await rig.enrol("system", key, body)];
  assert.deepEqual([second.status, second.body], [200, first.body]);
  const node = rig.newKey();
  const facts = { ...nodeFacts("n", node), token: await rig.joinToken("node", "z") };
  const both = await Promise.all([rig.enrol("node", node, facts), rig.enrol("node", node, facts)]);
  assert.deepEqual(both.map(({ status }) => status), [200, 200], "two at once, too: an answer was lost");
  assert.deepEqual(both[0]?.body, both[1]?.body);
  assert.equal(await usesLeftOf(rig, token), 1);
});

clusterTest(
  "clones are refused: a machine-id with another key, a key on another machine, a taken minion id",
  async (rig) => {
    const machineId = "e".repeat(32);
    for (const kind of ["node", "system"] as const) {
      const [key, clone] = [rig.newKey(), rig.newKey()];
      const facts = kind === "node" ? nodeFacts("a", key) : systemFacts("a", key);
      const token = await rig.joinToken(kind, "z", { uses: 5 });
      assert.equal((await rig.enrol(kind, key, { ...facts, token })).status, 200);
      const sameMachine = await rig.enrol(kind, clone, { ...facts, token });
      assert.deepEqual([sameMachine.status, problemIn(sameMachine).code], [409, "conflict"]);
      const sameKey = await rig.enrol(kind, key, { ...facts, machineId, token });
      assert.equal(sameKey.status, 409, "its key was copied to another machine");
      if (kind === "system") {
        const sameMinion = await rig.enrol(kind, clone, { ...facts, machineId, token });
        assert.equal(sameMinion.status, 409);
      }
    }
  },
);

clusterTest("a key that another machine brings leaves the first node as it is", async (rig) => {
  const key = rig.newKey();
  const token = await rig.joinToken("node", "z", { uses: 2 });
  await rig.enrol("node", key, { ...nodeFacts("a", key), token });
  await rig.must("POST", `/v1/nodes/${key.fp}/accept`, {});
  await rig.enrol("node", key, { ...nodeFacts("a", key), machineId: "d".repeat(32), token });
  assert.equal((await rig.ask(NodeView, "GET", `/v1/nodes/${key.fp}`)).state, "accepted");
});

clusterTest("an enrolment signed by somebody else, or for an old challenge, is refused", async (rig) => {
  const [key, thief] = [rig.newKey(), rig.newKey()];
  const token = await rig.joinToken("system", "z");
  const stolen = { ...systemFacts("s", key), token, identityKey: key.spki.toBase64() };
  assert.equal((await rig.enrol("system", thief, stolen)).status, 401);
  const old = { ...systemFacts("s", key), token, nonce: "1.AAAA" };
  assert.equal((await rig.enrol("system", key, old)).status, 401);
  const wrong = await rig.enrol("system", key, { ...systemFacts("s", key), token, machineId: "no" });
  assert.deepEqual([wrong.status, problemIn(wrong).problems?.[0]?.field], [400, "machineId"]);
});

clusterTest("a system that names a node of the cluster as its master is bound there", async (rig) => {
  const node = await rig.node("a");
  const system = await rig.system("s", { master: "a.example" });
  const { state, node: owner } = await rig.ask(SystemView, "GET", `/v1/systems/${system.id}`);
  assert.deepEqual([state, owner], ["bound", node.fp]);
  assert.equal((await rig.ask(NodeView, "GET", `/v1/nodes/${node.fp}`)).placed, 1);
  const stranger = await rig.system("t", { master: "elsewhere.example" });
  assert.equal((await rig.ask(SystemView, "GET", `/v1/systems/${stranger.id}`)).state, "new");
});

clusterTest("a system that a node showed gets its agent, and keeps its id", async (rig) => {
  const [node, key] = [await rig.node("a"), rig.newKey()];
  const facts = systemFacts("s", key);
  await node.show({ localId: 1000010007, ...facts });
  const [adopted] = (await rig.ask(Systems, "GET", "/v1/systems")).items;
  assert.deepEqual([adopted?.fp, adopted?.state, adopted?.node], [null, "bound", node.fp]);

  const answer = await rig.enrol("system", key, { ...facts, token: await rig.joinToken("system", "z") });
  assert.equal(EnrolAnswer.parse(answer.body).id, adopted?.id);
  const system = await rig.ask(SystemView, "GET", `/v1/systems/${adopted?.id}`);
  assert.deepEqual([system.fp, system.state, system.node], [key.fp, "bound", node.fp]);
  assert.equal((await rig.read((tx) => loads.get(tx, node.fp)))?.placed, 1, "it is counted once");
});

clusterTest("a system that two nodes show belongs to the one that its minion names", async (rig) => {
  const [a, b, key] = [await rig.node("a"), await rig.node("b"), rig.newKey()];
  const facts = systemFacts("s", key);
  await a.show({ localId: 1, ...facts });
  await b.show({ localId: 2, ...facts });
  const answer = await rig.enrol("system", key, {
    ...facts,
    master: b.master,
    token: await rig.joinToken("system", "z"),
  });
  const { id } = EnrolAnswer.parse(answer.body);
  assert.ok(id !== null);
  assert.equal((await rig.read((tx) => systems.get(tx, id)))?.node, b.fp);
  assert.deepEqual(
    await rig.read((tx) => tx.getMany([keys.onNode(a.fp, id)])),
    [null],
  );
});

clusterTest("a zone cannot go while somebody enrols into it: one of the two loses", async (rig) => {
  for (let round = 0; round < 10; round++) {
    const zone = `zone-${round}`;
    await rig.must("POST", "/v1/zones", { name: zone });
    const token = await rig.joinToken(round % 2 === 0 ? "node" : "system", zone);
    const key = rig.newKey();
    const enrol = round % 2 === 0
      ? rig.enrol("node", key, { ...nodeFacts(`n${round}`, key), token })
      : rig.enrol("system", key, { ...systemFacts(`s${round}`, key), token });
    const [enrolled, removed] = await Promise.all([enrol, rig.call("DELETE", `/v1/zones/${zone}`)]);
    const ends = `${enrolled.status} ${removed.status}`;
    assert.ok(["200 409", "404 200"].includes(ends), ends);
  }
});
