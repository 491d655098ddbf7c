/** Passwords as salted hashes in `web_contact.password`. The form is the twin's own; Uyuni's is crypt(3). */
import { Buffer } from "node:buffer";
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

export function hashPassword(password: string, salt = randomBytes(8).toString("hex")): string {
  return `${salt}$${createHash("sha256").update(`${salt}${password}`).digest("hex")}`;
}

export function passwordFits(password: string, hash: string): boolean {
  const [salt = ""] = hash.split("$");
  const expected = Buffer.from(hashPassword(password, salt));
  const given = Buffer.from(hash);
  return expected.length === given.length && timingSafeEqual(expected, given);
}
