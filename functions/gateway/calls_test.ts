import assert from "node:assert/strict";
import { HTTP_BODY_BYTES_MAX } from "../../lib/limits.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { writeCall, XmlRpcDate, XmlRpcDouble, type XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { NAMESPACES } from "./methods.ts";
import { type TestCluster, withCluster } from "./testing.ts";

const isFault = (code: number, text: string | RegExp) => (error: unknown) =>
  error instanceof UyuniFault && error.code === code &&
  (typeof text === "string" ? error.text === text : text.test(error.text));
const USER = "com.redhat.rhn.domain.user.legacy.UserImpl";
const DIGITS = "0".repeat(64);

async function fault({ call }: TestCluster, method: string, ...params: XmlRpcValue[]): Promise<string> {
  return await call(method, ...params).then(
    (value) => assert.fail(`no fault but ${JSON.stringify(value)}`),
    (error) => error instanceof UyuniFault ? `${error.code} ${error.text}` : Promise.reject(error),
  );
}

Deno.test("names are read as Uyuni reads them, and unknown ones refused in its words", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const key = await cluster.logIn();
    assert.deepEqual(await cluster.call("system.list_systems", key), []);
    for (const name of ["getVersion", "no.such", "system.config.listChannels", ".x", "", "toString.x"]) {
      assert.equal(await fault(cluster, name, key), "-1 The specified handler cannot be found", name);
    }
    const class_ = "com.redhat.rhn.frontend.xmlrpc.system.SystemHandler";
    assert.equal(
      await fault(cluster, "system.constructor", key, 1, BigInt(2), true, "", [], {}, new Uint8Array()),
      "-1 redstone.xmlrpc.XmlRpcFault: Could not find method: constructor in class: " +
        `${class_} with params: [${USER}, java.lang.Integer, java.lang.Long, java.lang.Boolean, ` +
        "java.lang.String, redstone.xmlrpc.XmlRpcArray, redstone.xmlrpc.XmlRpcStruct, [B]",
    );
    assert.equal(
      await fault(
        cluster,
        "system.listSystems",
        key,
        new XmlRpcDate("20260101T00:00:00"),
        new XmlRpcDouble(1),
      ),
      `-1 redstone.xmlrpc.XmlRpcFault: Could not find method: listSystems in class: ${class_} ` +
        `with params: [${USER}, java.util.Date, java.lang.Double]`,
    );
    assert.match(
      await fault(cluster, "auth.login", "admin"),
      /Could not find method: login in class: \S+AuthHandler/,
    );
  });
});

Deno.test("only a key is a session: nobody gets in by a number or any other value", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const users = Object.entries(NAMESPACES).flatMap(([space, { methods }]) =>
      Object.entries(methods).flatMap(([name, overloads]) =>
        overloads.filter(({ params }) => params[0] === "session")
          .map(({ params }) => ({ method: `${space}.${name}`, rest: params.slice(1).map(() => 1) }))
      )
    );
    assert.equal(users.length, 6);
    for (const { method, rest } of users) {
      const name = method.slice(method.indexOf(".") + 1);
      for (const number of [1, BigInt(1)]) {
        assert.equal(
          await fault(cluster, method, number, ...rest),
          `-1 java.lang.SecurityException: The ${name} API is not available for unauthenticated users.`,
        );
      }
      for (const other of ["", "admin", `0x${DIGITS}`, `1x${DIGITS}0`, `1X${DIGITS}`, [1], {}, true]) {
        assert.match(
          await fault(cluster, method, other, ...rest),
          /^-1 \S+TranslationException: Could not find/,
        );
      }
      assert.match(
        await fault(cluster, method, `1x${DIGITS}`, ...rest),
        /^-1 \S+LookupException: Could not find session with id: 1$/,
      );
    }
    assert.deepEqual(cluster.node("node-1").asked, [], "no node was asked");
  });
});

Deno.test("a surplus key is dropped where none is wanted, any other surplus is not", async () => {
  await withCluster(["node-1"], async (cluster) => {
    assert.equal(await cluster.call("api.getVersion", `5x${DIGITS}`), "29");
    assert.match(
      await fault(cluster, "api.getVersion", "x"),
      /Could not find method: getVersion .*\[java.lang.String\]$/,
    );
    assert.match(
      await fault(cluster, "api.getVersion", `5x${DIGITS}`, 1),
      /with params: \[java.lang.Integer\]$/,
    );
  });
});

Deno.test("arguments go on as they are: the node converts and decides", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const key = await cluster.logIn();
    await assert.rejects(
      cluster.call("system.listUserSystems", key, "nobody"),
      isFault(-213, "redstone.xmlrpc.XmlRpcFault: No such user: nobody"),
    );
    await assert.rejects(
      cluster.call("auth.login", "admin", "secret", "60"),
      isFault(-1, /TranslationException/),
    );
    assert.deepEqual(await cluster.call("system.getId", key, 4711), [], "an integer becomes a name");
  });
});

Deno.test("what is no call gets an empty page, what is no POST a redirect", async () => {
  await withCluster(["node-1"], async ({ post, host }) => {
    const bodies = [
      "",
      "<methodCall>",
      "no xml",
      "<methodResponse/>",
      "<!DOCTYPE x><methodCall><methodName>api.getVersion</methodName></methodCall>",
      "<methodCall><methodName>api.getVersion</methodName><params><param><value><i4>2147483648</i4></value></param>" +
      "</params></methodCall>",
    ];
    for (const body of bodies) {
      const response = await post(body);
      assert.deepEqual(
        [response.status, response.headers.get("content-type"), await response.text()],
        [200, "text/xml;charset=UTF-8", ""],
        body,
      );
    }
    const get = await host.fetch(new Request("http://gateway.example/rpc/api"));
    const soap = await post(writeCall("api.getVersion", []), { soapaction: "x" });
    for (const response of [get, soap]) {
      assert.deepEqual([response.status, response.headers.get("location")], [302, "/rhn/apidoc/index.jsp"]);
    }
  });
});

Deno.test("the content type is not looked at, and a body over its limit is refused", async () => {
  await withCluster(["node-1"], async ({ post }) => {
    const call = writeCall("api.getVersion", []);
    const json = await post(call, { "content-type": "application/json" });
    assert.equal(
      await json.text(),
      '<?xml version="1.0" encoding="UTF-8"?><methodResponse><params><param><value><string>29</string></value>' +
        "</param></params></methodResponse>",
    );
    const large = await post(call + " ".repeat(HTTP_BODY_BYTES_MAX));
    assert.equal(large.status, 413);
    await large.body?.cancel();
  });
});
