/** A certificate authority and a server certificate for one test, made by the openssl program. */
import { run, which } from "./command.ts";
import { ensureDebian } from "./debian.ts";

/** Paths of PEM files. */
export interface Certificate {
  caFile: string;
  certFile: string;
  keyFile: string;
}

/** Writes a new CA and a certificate for `names` (DNS names and IP addresses) into `folder`. Valid for two days. */
export async function makeCertificate(
  folder: string,
  names: string[] = ["localhost", "127.0.0.1"],
): Promise<Certificate> {
  await ensureDebian({ packages: ["openssl"], present: async () => await which("openssl") !== null });
  const caFile = `${folder}/ca.pem`;
  const caKey = `${folder}/ca.key`;
  const certFile = `${folder}/server.pem`;
  const keyFile = `${folder}/server.key`;
  const fresh = [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    "-days",
    "2",
  ];
  await run("openssl", [...fresh, "-subj", "/CN=Test CA", "-keyout", caKey, "-out", caFile]);

  const alternatives = names.map((name) => `${/^[\d.]+$|:/.test(name) ? "IP" : "DNS"}:${name}`).join(",");
  const extensions = [`subjectAltName=${alternatives}`, "basicConstraints=critical,CA:FALSE"];
  const signed = ["-CA", caFile, "-CAkey", caKey, ...extensions.flatMap((text) => ["-addext", text])];
  await run("openssl", [
    ...fresh,
    "-subj",
    "/CN=Test server",
    "-keyout",
    keyFile,
    "-out",
    certFile,
    ...signed,
  ]);
  return { caFile, certFile, keyFile };
}
