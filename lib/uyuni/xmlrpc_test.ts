import assert from "node:assert/strict";
import fc from "fast-check";
import {
  isStruct,
  readCall,
  readReply,
  writeCall,
  writeFault,
  writeResult,
  XMLRPC_DEPTH_MAX,
  XmlRpcDate,
  XmlRpcDouble,
  XmlRpcError,
} from "./xmlrpc.ts";
import type { XmlRpcErrorKind, XmlRpcValue } from "./xmlrpc.ts";

const HEAD = '<?xml version="1.0" encoding="UTF-8"?>';
const INT_MAX = 2 ** 31 - 1;

function callWith(value: string): string {
  return `<methodCall><methodName>a.b</methodName><params><param>${value}</param></params></methodCall>`;
}
function replyWith(value: string): string {
  return `<methodResponse><params><param>${value}</param></params></methodResponse>`;
}
function readParam(value: string): XmlRpcValue | undefined {
  return readCall(callWith(value)).params[0];
}
function throwsKind(kind: XmlRpcErrorKind, run: () => unknown): void {
  assert.throws(run, (error) => error instanceof XmlRpcError && error.kind === kind);
}

Deno.test("writeResult() writes the bytes of Uyuni's own servlet test", () => {
  assert.equal(
    writeResult("This is a privacy statement!"),
    `${HEAD}<methodResponse><params><param><value><string>This is a privacy statement!</string></value></param></params></methodResponse>`,
  );
  assert.equal(
    writeResult(-7),
    `${HEAD}<methodResponse><params><param><value><i4>-7</i4></value></param></params></methodResponse>`,
  );
  assert.equal(
    writeResult({ "X-RHN-Auth": "foo" }),
    `${HEAD}<methodResponse><params><param><value><struct><member><name>X-RHN-Auth</name><value><string>foo</string></value></member></struct></value></param></params></methodResponse>`,
  );
});

Deno.test("writeFault() writes the bytes of Uyuni's own servlet test", () => {
  assert.equal(
    writeFault(1, "redstone.xmlrpc.XmlRpcFault: This does not appear to be a valid username."),
    `${HEAD}<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member>` +
      `<member><name>faultString</name><value><string>redstone.xmlrpc.XmlRpcFault: This does not appear to be a valid username.` +
      `</string></value></member></struct></value></fault></methodResponse>`,
  );
});

Deno.test("writeResult() writes each type in the dialect", () => {
  const golden: [XmlRpcValue, string][] = [
    [0, "<i4>0</i4>"],
    [-0, "<i4>0</i4>"],
    [-(2 ** 31), "<i4>-2147483648</i4>"],
    [true, "<boolean>1</boolean>"],
    [false, "<boolean>0</boolean>"],
    ["a<b>&c", "<string>a&lt;b&gt;&amp;c</string>"],
    ["", "<string></string>"],
    [new XmlRpcDouble(1), "<double>1.0</double>"],
    [new XmlRpcDouble(-0), "<double>-0.0</double>"],
    [new XmlRpcDouble(0.001), "<double>0.001</double>"],
    [new XmlRpcDouble(0.00099), "<double>9.9E-4</double>"],
    [new XmlRpcDouble(1e7), "<double>1.0E7</double>"],
    [new XmlRpcDouble(9999999.5), "<double>9999999.5</double>"],
    [new XmlRpcDouble(Infinity), "<double>Infinity</double>"],
    [new XmlRpcDate("20240229T23:59:58"), "<dateTime.iso8601>20240229T23:59:58</dateTime.iso8601>"],
    [new Uint8Array([0, 255, 16]), "<base64>AP8Q</base64>"],
    [[], "<array><data></data></array>"],
    [[1, "x"], "<array><data><value><i4>1</i4></value><value><string>x</string></value></data></array>"],
    [{}, "<struct></struct>"],
    [2n ** 40n, "<i8>1099511627776</i8>"],
  ];
  for (const [value, text] of golden) assert.ok(writeResult(value).includes(`<value>${text}</value>`), text);
});

Deno.test("writeResult() writes nothing for null, and readReply() reads nothing as null", () => {
  assert.equal(writeResult(null), "");
  assert.deepEqual(readReply(""), { ok: true, value: null });
  assert.deepEqual(readReply(new Uint8Array()), { ok: true, value: null });
});

Deno.test("readCall() reads what Python's xmlrpc.client sends", () => {
  const body =
    "<?xml version='1.0'?>\n<methodCall>\n<methodName>system.getId</methodName>\n<params>\n<param>\n" +
    "<value><string>1xabc\n</string></value>\n</param>\n<param>\n<value><nil/></value></param>\n<param>\n" +
    "<value><struct>\n<member>\n<name>a</name>\n<value><boolean>1</boolean></value>\n</member>\n</struct></value>\n" +
    "</param>\n</params>\n</methodCall>\n";
  assert.deepEqual(readCall(body), { method: "system.getId", params: ["1xabc", "", { a: true }] });
});

Deno.test("readCall() reads values as leniently as Uyuni does", () => {
  assert.equal(readParam("<value> bare text\n</value>"), "bare text");
  assert.equal(readParam("<value/>"), "");
  assert.equal(readParam("<value><string>\u00a0kept\u00a0</string></value>"), "\u00a0kept\u00a0");
  assert.equal(readParam("<value><string>&lt;&#65;&amp;<![CDATA[<x>]]></string></value>"), "<A&<x>");
  assert.equal(readParam("<value><int> +7 </int></value>"), 7);
  assert.equal(readParam("<value><int>-0</int></value>"), 0);
  assert.equal(readParam("<value><boolean>2</boolean></value>"), false);
  assert.equal(readParam("<value><i8>9223372036854775807</i8></value>"), 2n ** 63n - 1n);
  assert.deepEqual(readParam("<value><double>1e3</double></value>"), new XmlRpcDouble(1000));
  assert.deepEqual(readParam("<value><base64>\n AP8Q\n </base64></value>"), new Uint8Array([0, 255, 16]));
  assert.deepEqual(readParam("<value><array/></value>"), []);
  const date = new XmlRpcDate("20240102T03:04:05");
  assert.deepEqual(
    readParam("<value><dateTime.iso8601>20240102T03:04:05+0200</dateTime.iso8601></value>"),
    date,
  );
  assert.deepEqual(readCall("<methodCall><methodName>api.getVersion</methodName></methodCall>").params, []);
});

Deno.test("readReply() keeps the white space of strings", () => {
  assert.deepEqual(readReply(replyWith("<value><string> a\n</string></value>")), { ok: true, value: " a\n" });
});

Deno.test("readReply() reads a fault, with its code as <int> or <i4>", () => {
  assert.deepEqual(readReply(writeFault(-1, "x: <y>")), { ok: false, code: -1, text: "x: <y>" });
  assert.deepEqual(readReply(writeFault(2950, "z").replaceAll("int>", "i4>")), {
    ok: false,
    code: 2950,
    text: "z",
  });
});

Deno.test("readCall() follows the encoding that the document declares", () => {
  const latin = Uint8Array.from(
    `<?xml version="1.0" encoding="ISO-8859-1"?>${callWith("<value>M\u00fcller</value>")}`,
    (char) => char.charCodeAt(0),
  );
  assert.deepEqual(readCall(latin).params, ["Müller"]);
  throwsKind("malformed", () => readCall(latin.subarray(latin.indexOf(0x3e) + 1)));
});

Deno.test("readCall() refuses what is no call, with a typed error", () => {
  const broken = [
    "",
    "no XML",
    "<methodCall/>",
    "<methodCall><params/></methodCall>",
    callWith("").replace("</param>", ""),
    callWith(""),
    callWith("<value><i4>2147483648</i4></value>"),
    callWith("<value><i4>1.0</i4></value>"),
    callWith("<value><i4>0x10</i4></value>"),
    callWith("<value><i4></i4></value>"),
    callWith("<value><i8>9223372036854775808</i8></value>"),
    callWith("<value><boolean>true</boolean></value>"),
    callWith("<value><double>one</double></value>"),
    callWith("<value><dateTime.iso8601>2024-01-02</dateTime.iso8601></value>"),
    callWith("<value><base64>!</base64></value>"),
    callWith("<value><i4>1</i4><i4>2</i4></value>"),
    callWith("<value><struct><member><value>1</value></member></struct></value>"),
    callWith("<value><struct><value>1</value></struct></value>"),
    callWith("<value><array><value>1</value></array></value>"),
    callWith("<value><array><data/><data/></array></value>"),
    callWith("<value><string><b>1</b></string></value>"),
    callWith("<value>&nosuch;</value>"),
    `<!DOCTYPE x [<!ENTITY a "b">]>${callWith("<value>&a;</value>")}`,
    `${callWith("<value>1</value>")}<more/>`,
    writeResult(1),
  ];
  for (const body of broken) throwsKind("malformed", () => readCall(body));
});

Deno.test("readReply() refuses what is no response, with a typed error", () => {
  const broken = [
    "<html><body>Not Found</body></html>",
    "<methodResponse/>",
    "<methodResponse><params/></methodResponse>",
    "<methodResponse><params><param><value>1</value></param><param><value>2</value></param></params></methodResponse>",
    "<methodResponse><fault><value>no struct</value></fault></methodResponse>",
    writeFault(1, "x").replace("faultCode", "code"),
    // A null inside a plain map: the fault stands behind an answer that has begun.
    `${HEAD}<methodResponse><params><param><value><struct><member><name>a</name>${
      writeFault(-1, "x").slice(HEAD.length)
    }`,
    callWith("<value>1</value>"),
  ];
  for (const body of broken) throwsKind("malformed", () => readReply(body));
});

Deno.test("readCall() makes a member named __proto__ a member and nothing else", () => {
  const value = readParam(
    "<value><struct><member><name>__proto__</name><value><i4>1</i4></value></member></struct></value>",
  );
  assert.ok(isStruct(value));
  assert.deepEqual(Object.keys(value), ["__proto__"]);
  assert.equal(Object.getPrototypeOf(value), Object.prototype);
  assert.ok(writeResult(value).includes("<name>__proto__</name>"));
});

Deno.test("readCall() bounds depth and size", () => {
  const nested = (levels: number) =>
    callWith(
      "<value><array><data>".repeat(levels) + "<value>x</value>" + "</data></array></value>".repeat(levels),
    );
  assert.ok(readCall(nested(XMLRPC_DEPTH_MAX - 1)));
  throwsKind("too-deep", () => readCall(nested(XMLRPC_DEPTH_MAX)));
  throwsKind("too-deep", () => readCall(nested(1_000_000)));
  throwsKind("too-deep", () => readCall(nested(3), { depthMax: 3 }));

  const body = new TextEncoder().encode(nested(1));
  assert.ok(readCall(body, { bytesMax: body.length }));
  throwsKind("too-large", () => readCall(body, { bytesMax: body.length - 1 }));
});

Deno.test("readCall() ends at once on huge tokens", () => {
  const size = 2_000_000;
  const digits = "1".repeat(size);
  throwsKind("malformed", () => readParam(`<value><i4>${digits}</i4></value>`));
  throwsKind("malformed", () => readParam(`<value><i8>${digits}</i8></value>`));
  throwsKind("malformed", () => readParam(`<value><double>${digits}x</double></value>`));
  throwsKind("malformed", () => readParam(`<value>&${digits};</value>`));
  throwsKind("malformed", () => readParam(`<value><dateTime.iso8601>${digits}</dateTime.iso8601></value>`));
  assert.equal(readParam(`<value>x${" ".repeat(size)}x</value>`)?.toString().length, size + 2);
  throwsKind("malformed", () => readCall(`<?xml ${"encoding ".repeat(size / 10)}`));
});

Deno.test("the writers refuse what the wire cannot carry", () => {
  const cyclic: XmlRpcValue[] = [];
  cyclic.push(cyclic);
  for (
    const value of [2 ** 31, 0.5, NaN, 2n ** 63n, "a\u0000b", "\ud800", "\uffff", { "\u0001": 1 }, cyclic]
  ) {
    throwsKind("unwritable", () => writeResult(value));
    throwsKind("unwritable", () => writeCall("a.b", [value]));
  }
  throwsKind("unwritable", () => writeFault(2 ** 31, "x"));
});

/** Any value that the wire carries unchanged: no carriage return, which XML turns into a line feed. */
const { value: anyValue } = fc.letrec<{ value: XmlRpcValue }>((tie) => {
  const text = fc.string({ unit: "binary", maxLength: 20 })
    .map((chars) => chars.replace(/[^\t\n\u0020-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/gu, ""));
  const two = (max: number) => fc.integer({ min: 0, max }).map((n) => String(n).padStart(2, "0"));
  return {
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.integer({ min: -(2 ** 31), max: INT_MAX }),
      fc.boolean(),
      text,
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
      fc.double().map((n) => new XmlRpcDouble(n)),
      fc.tuple(two(99), two(99), two(12), two(31), two(23), two(59), two(59))
        .map(([c, y, mo, d, h, mi, s]) => new XmlRpcDate(`${c}${y}${mo}${d}T${h}:${mi}:${s}`)),
      fc.uint8Array({ maxLength: 40 }),
      fc.array(tie("value"), { maxLength: 5 }),
      fc.dictionary(text.map((name) => name.trim()), tie("value"), { maxKeys: 5, noNullPrototype: true }),
    ),
  };
});

Deno.test("property: readReply() reads back what writeResult() wrote", () => {
  fc.assert(fc.property(anyValue, (value) => {
    assert.deepEqual(readReply(writeResult(value)), { ok: true, value });
    assert.deepEqual(readReply(new TextEncoder().encode(writeResult(value))), { ok: true, value });
  }));
});

Deno.test("property: readCall() reads back what writeCall() wrote, strings trimmed", () => {
  fc.assert(fc.property(fc.array(anyValue, { maxLength: 4 }), (params) => {
    const read = readCall(writeCall("name.space.method", params));
    assert.equal(read.method, "name.space.method");
    const trimmed = readCall(writeCall("name.space.method", read.params));
    assert.deepEqual(trimmed, read);
    assert.equal(read.params.length, params.length);
  }));
});

Deno.test("property: whatever the bytes, reading ends in a value or in an XmlRpcError", () => {
  const bodies = fc.tuple(
    fc.array(anyValue, { maxLength: 3 }),
    fc.array(fc.tuple(fc.nat(), fc.constantFrom("cut", "drop", "double", "flip", "tag"), fc.nat(255)), {
      maxLength: 6,
    }),
  ).map(([params, mutations]) => {
    let bytes = new TextEncoder().encode(writeCall("a.b", params));
    for (const [at, how, byte] of mutations) bytes = mutate(bytes, at % (bytes.length + 1), how, byte);
    return bytes;
  });
  fc.assert(
    fc.property(fc.oneof(bodies, fc.uint8Array({ maxLength: 200 })), (body) => {
      for (const read of [readCall, readReply]) {
        try {
          read(body);
        } catch (error) {
          assert.ok(error instanceof XmlRpcError, String(error));
        }
      }
    }),
    { numRuns: 2_000 },
  );
});

function mutate(bytes: Uint8Array, at: number, how: string, byte: number): Uint8Array<ArrayBuffer> {
  const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (how) {
    case "cut":
      return Uint8Array.from(head);
    case "drop":
      return Uint8Array.from([...head, ...tail.subarray(1 + byte % 20)]);
    case "double":
      return Uint8Array.from([...head, ...tail, ...tail]);
    case "flip":
      return Uint8Array.from([...head, byte, ...tail.subarray(1)]);
    default:
      return Uint8Array.from([...head, ...new TextEncoder().encode("<value>"), ...tail]);
  }
}
