/** What a caller of the Store sees of an error of the TiKV client: a code of Salar's own, the cause kept. */
import { type ErrorCode, SalarError } from "../errors.ts";
import { TikvError, type TikvErrorCode } from "../tikv/errors.ts";

const CODES: Readonly<Record<TikvErrorCode, readonly [ErrorCode, string?]>> = {
  "conflict": ["conflict"],
  "deadlock": ["conflict"],
  "already-exists": ["conflict"],
  "undetermined": ["outcome-unknown"],
  "aborted": ["unavailable", "try again"],
  "timeout": ["unavailable", "look at the cluster's health: PD's /pd/api/v1/health, and the stores' logs"],
  "unavailable": ["unavailable", "check tikvPd and the network"],
  "disk-full": ["unavailable", "free space on the stores' disks"],
  "wrong-cluster": ["unavailable", "check that all of tikvPd belong to one cluster"],
  "tls": ["unavailable", "check tikvCaFile, tikvCertFile and tikvKeyFile"],
  "too-large": ["too-large"],
  "invalid": ["bad-input"],
  "too-old": ["unavailable", "read less at once"],
  "name-taken": ["conflict"],
  "closed": ["closed"],
  "cancelled": ["cancelled"],
  "malformed": ["bad-peer"],
  "unsupported": ["unavailable", "see docs/tikv.md for the versions that work"],
  "corrupt": ["unavailable", "stop the functions and look into the cluster: this must not happen"],
};

/** Other errors come back unchanged. */
export function storeFault(error: unknown, action: string, name: string): unknown {
  if (!(error instanceof TikvError)) return error;
  const [code, advice] = CODES[error.code];
  const message = `Cannot ${action} store ${name}: ${error.message}${
    advice === undefined ? "" : `; ${advice}`
  }`;
  return new SalarError(code, message, { cause: error });
}
