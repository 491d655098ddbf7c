/**
 * `bus_refused.ts URL COUNT [CA_FILE]`: connects COUNT times with a wrong password, or over TLS without a client
 * certificate where an authority is given; prints how many were refused.
 */
import { connectNats } from "../../lib/bus/nats.ts";
import { installNatsGuard } from "../../lib/bus/nats_errors.ts";
import { isSalarError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { Secret } from "../../lib/secure/secret.ts";

const [url = "", count = "", caFile] = Deno.args;
const scope = realScope({ name: "refused" });
installNatsGuard(silentLog);

const proof = caFile === undefined
  ? { credentials: { user: "salar", password: new Secret("wrong") } }
  : { tls: { caFile } };
const code = caFile === undefined ? "unauthenticated" : "unavailable";

// Beside each other: a connect without the certificate that the server wants hears nothing until its time is over.
const refusals = await Promise.all(Array.from({ length: Number(count) }, async () => {
  try {
    await connectNats(scope, { servers: [url], replicas: 1, name: "refused", log: silentLog, ...proof });
    return false;
  } catch (error) {
    return isSalarError(error, code);
  }
}));
await scope.sleep(200); // a stray error comes late
const refused = refusals.filter((was) => was).length;
await Deno.stdout.write(new TextEncoder().encode(`${refused} refused\n`));
