/** Questions that come up while other things are shown: one at a time, each asked once, the answer not shown. */
import { mayAsk } from "./session.ts";
import { printable } from "./table.ts";
import type { Asking, World } from "./world.ts";

/** @param whileQuiet does work while nothing else writes to the terminal */
export function askingOn(world: World, whileQuiet: <T>(work: () => Promise<T>) => Promise<T>): Asking {
  const answers = new Map<string, Promise<string | null>>();
  let last: Promise<unknown> = Promise.resolve();
  const ask = (question: string): Promise<string | null> => {
    if (!mayAsk(world)) return Promise.resolve(null);
    const answer = last.then(() =>
      whileQuiet(async () => {
        world.stderr.write(printable(question));
        const line = await world.stdin.hiddenLine();
        world.stderr.write("\n");
        return line;
      })
    );
    last = answer.catch(() => {}); // told to who asked
    return answer;
  };
  return {
    hidden(question) {
      const answer = answers.get(question) ?? ask(question);
      answers.set(question, answer);
      return answer;
    },
  };
}
