/** The bank of the processes test: numbers as text under `account/0…`. */
export const ACCOUNTS = 20;
export const OPENING = 100;

export function numberOf(value: Uint8Array | null): number {
  return value === null ? 0 : Number(new TextDecoder().decode(value));
}

export function toValue(number: number): Uint8Array {
  return new TextEncoder().encode(String(number));
}
