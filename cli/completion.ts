/**
 * Completion scripts, made of the command tree: a table from where one is on the line to the words that may follow.
 *
 * C1. Words are letters, digits, `-` and `[`: nothing in them means something to a shell.
 */
import { assert } from "../lib/errors.ts";
import type { Command, Group, Input } from "./command.ts";

export const SHELLS = ["bash", "zsh", "fish"] as const;
export type Shell = typeof SHELLS[number];

export interface CompletionTree {
  groups: readonly Group[];
  commands: readonly Command[];
  /** Options of every command. */
  global: readonly Pick<Input, "as" | "about">[];
}

export interface Place {
  /** Words after `salar`; empty at the beginning. An alias is a place of its own. */
  path: readonly string[];
  words: readonly { word: string; about: string }[];
}

export function completionText(shell: Shell, tree: CompletionTree): string {
  const places = placesOf(tree);
  for (const { path, words } of places) {
    for (const word of [...path, ...words.map(({ word }) => word)]) {
      assert(/^[A-Za-z0-9-]+$/.test(word), "C1");
    }
  }
  return { bash, zsh, fish }[shell](places);
}

/** Every place on the line where something is known to follow. */
export function placesOf({ groups, commands, global }: CompletionTree): Place[] {
  const options = [...optionsOf(global), { word: "--help", about: "Explain the command" }];
  const namesOf = ({ name, alias }: Group) => alias === undefined ? [name] : [name, alias];
  const placeOf = (path: readonly string[], command: Command): Place => ({
    path: [...path, command.name],
    words: [...choicesOf(command.inputs), ...optionsOf(command.inputs), ...options],
  });
  return [
    {
      path: [],
      words: [
        ...groups.flatMap((group) => namesOf(group).map((word) => ({ word, about: group.purpose }))),
        ...commands.map(({ name, purpose }) => ({ word: name, about: purpose })),
        ...options,
        { word: "--version", about: "Print the version" },
      ],
    },
    ...commands.map((command) => placeOf([], command)),
    ...groups.flatMap((group) =>
      namesOf(group).flatMap((word) => [
        {
          path: [word],
          words: [
            ...group.commands.map(({ name, purpose }) => ({ word: name, about: purpose })),
            ...group.commands.filter(({ byDefault }) => byDefault).flatMap(({ inputs }) => optionsOf(inputs)),
            ...options,
          ],
        },
        ...group.commands.map((command) => placeOf([word], command)),
      ])
    ),
  ];
}

function optionsOf(inputs: readonly Pick<Input, "as" | "about">[]) {
  return inputs.filter(({ as }) => as.startsWith("--"))
    .map(({ as, about }) => ({ word: as.split(" ")[0] ?? as, about }));
}

function choicesOf(inputs: readonly Input[]) {
  return inputs.filter(({ as, choices }) => !as.startsWith("--") && choices !== undefined)
    .flatMap(({ choices = [], about }) => choices.map((word) => ({ word, about })));
}

/** Where one is, by the words before the cursor that are no options. Values of options look like words: they are not. */
function posixWalk(places: readonly Place[]): string {
  const steps = places.filter(({ path }) => path.length > 0)
    .map(({ path }) => `"${[...path.slice(0, -1), ""].join(" ")}${path.at(-1)}"`);
  return steps.join("|");
}

function keyOf({ path }: Place): string {
  return path.join(" ");
}

function bash(places: readonly Place[]): string {
  const cases = places.map((place) =>
    `    "${keyOf(place)}") words="${place.words.map(({ word }) => word).join(" ")}" ;;`
  );
  return `# Completion of salar for bash.
_salar() {
  local place="" words="" word step
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    step="\${place:+$place }$word"
    case "$step" in
      ${posixWalk(places)}) place="$step" ;;
    esac
  done
  case "$place" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _salar salar
`;
}

function zsh(places: readonly Place[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const cases = places.map((place) => {
    const words = place.words.map(({ word, about }) => quoted(`${word}:${about.replaceAll(":", "\\:")}`));
    return `    "${keyOf(place)}") found=(\n      ${words.join("\n      ")}\n    ) ;;`;
  });
  return `#compdef salar
# Completion of salar for zsh.
_salar() {
  local place="" word step
  local -a found
  for word in "\${(@)words[2,CURRENT-1]}"; do
    step="\${place:+$place }$word"
    case "$step" in
      ${posixWalk(places)}) place="$step" ;;
    esac
  done
  case "$place" in
${cases.join("\n")}
  esac
  _describe salar found || _files
}
compdef _salar salar
`;
}

function fish(places: readonly Place[]): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = places.flatMap((place) =>
    place.words.map(({ word, about }) => {
      const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${word}`;
      return `complete -c salar -n "test (__salar_place) = '${keyOf(place)}'" ${what} -d ${quoted(about)}`;
    })
  );
  return `# Completion of salar for fish.
function __salar_place
  set -l place
  for word in (commandline -opc)[2..-1]
    switch "$place $word"
      case ${
    places.filter(({ path }) => path.length > 0).map((each) =>
      `'${each.path.length === 1 ? " " : ""}${keyOf(each)}'`
    ).join(" ")
  }
        set place (string trim -- "$place $word")
    end
  end
  echo "$place"
end
${lines.join("\n")}
`;
}
