/** A function file or an expression, loaded once; then run in any number of worlds. */
// @ts-types="@types/luaparse"
import luaparse from "luaparse";
import { FILE_BYTES_MAX } from "../limits.ts";
import { NotOffered, turnChunk, type World } from "./evaluate.ts";
import { fromBytes, toBytes, type Value } from "./values.ts";

export interface Program {
  file: string;
  /** Names that the file gives a value at its top level, `local` ones left out: what a state can call. */
  names: ReadonlySet<string>;
  run(world: World): readonly Value[];
}

/** Why a text is no program; line and column count from 1, within the text. */
export interface LoadFailure {
  line: number;
  column: number;
  reason: string;
}

/** @param file for messages. @param text Lua, as it stands in the file */
export function loadProgram(file: string, text: string): Program | LoadFailure {
  const source = toBytes(text.replace(/^#[^\n]*/, ""));
  const failure = (line: number, column: number, reason: string): LoadFailure => {
    const before = source.split("\n")[line - 1]?.slice(0, column) ?? "";
    return { line, column: (fromBytes(before) ?? before).length + 1, reason };
  };
  if (source.length > FILE_BYTES_MAX) return failure(1, 0, `it is larger than ${FILE_BYTES_MAX} bytes`);
  try {
    const chunk = luaparse.parse(source, {
      comments: true,
      ranges: true,
      locations: true,
      luaVersion: "5.2",
      encodingMode: "pseudo-latin1",
    });
    return { file, names: topNames(chunk.body), run: turnChunk(chunk, { source, file }) };
  } catch (error) {
    if (error instanceof NotOffered) {
      const { line = 1, column = 0 } = error.node.loc?.start ?? {};
      return failure(line, column, `${error.what} is not offered here`);
    }
    if (error instanceof RangeError) {
      return failure(1, 0, "its expressions or blocks lie too deep in each other");
    }
    if (error instanceof SyntaxError) {
      const { line = 1, column = 0 } = error as SyntaxError & { line?: number; column?: number };
      return failure(line, column, error.message.replace(/^\[\d+:\d+\] /, ""));
    }
    throw error;
  }
}

export function isFailure(loaded: Program | LoadFailure): loaded is LoadFailure {
  return "reason" in loaded;
}

function topNames(body: readonly luaparse.Statement[]): Set<string> {
  return new Set(body.flatMap((statement) => {
    if (statement.type === "AssignmentStatement") {
      return statement.variables.flatMap((each) => each.type === "Identifier" ? [each.name] : []);
    }
    if (statement.type !== "FunctionDeclaration" || statement.isLocal) return [];
    return statement.identifier?.type === "Identifier" ? [statement.identifier.name] : [];
  }));
}
