/** The signed beats that the heartbeat benchmark sends, for its two senders. */
export interface SignedBeat {
  subject: string;
  data: Uint8Array;
}

export interface Burst {
  count: number;
  /** Of how many nodes; the first ones. */
  nodes: number;
}

/** Gives the nodes' beats in turn, going on where it stopped. */
export function takingTurns(beats: readonly SignedBeat[]): (burst: Burst) => Generator<SignedBeat> {
  let at = 0;
  return function* ({ count, nodes }) {
    for (let n = 0; n < count; n++, at++) {
      const beat = beats[at % nodes];
      if (beat !== undefined) yield beat;
    }
  };
}
