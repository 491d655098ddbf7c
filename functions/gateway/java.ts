/** The two habits of Uyuni's Java side that callers see: how method names are read, and how types are named. */
import { isStruct, XmlRpcDate, XmlRpcDouble, type XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";

/** `list_systems` → `listSystems`: what is neither letter nor digit goes, the letter behind it grows. */
export function camelCase(name: string): string {
  return name.replace(
    /[^A-Za-z0-9]+(.)?/g,
    (_match, letter: string | undefined) => letter?.toUpperCase() ?? "",
  );
}

/** The class that redstone reads a value as. */
export function javaType(value: XmlRpcValue): string {
  if (typeof value === "string") return "java.lang.String";
  if (typeof value === "number") return "java.lang.Integer";
  if (typeof value === "bigint") return "java.lang.Long";
  if (typeof value === "boolean") return "java.lang.Boolean";
  if (value instanceof XmlRpcDouble) return "java.lang.Double";
  if (value instanceof XmlRpcDate) return "java.util.Date";
  if (value instanceof Uint8Array) return "[B";
  return isStruct(value) ? "redstone.xmlrpc.XmlRpcStruct" : "redstone.xmlrpc.XmlRpcArray";
}

/** The class that stands for a caller whose session holds. */
export const USER_CLASS = "com.redhat.rhn.domain.user.legacy.UserImpl";
