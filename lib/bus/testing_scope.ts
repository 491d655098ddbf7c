/** The scope of a test: a real one whose errors of spawned work are kept where the test can see them. */
import { messageOf } from "../errors.ts";
import { realScope } from "../mesh/real_scope.ts";
import type { Scope } from "../seams.ts";

export interface TestScope extends Scope {
  /** Messages of errors that spawned work ended with. */
  readonly failures: string[];
  end(): void;
}

export function testScope(): TestScope {
  const controller = new AbortController();
  const failures: string[] = [];
  const scope = realScope({
    name: "test",
    signal: controller.signal,
    onError: (_work, error) => failures.push(messageOf(error)),
  });
  return { ...scope, failures, end: () => controller.abort() };
}
