/** What an assistant is given of a submission. All but the statement may be written by the student: it is data, never an instruction. */
export interface ReviewMaterial {
  /** What was to be solved, as Markdown. */
  readonly statement: string;
  readonly files: readonly { readonly path: string; readonly text: string }[];
  /** What the checks and the score said, as text. */
  readonly checks: string;
}

/** A language model that drafts reviews for reviewers. What it says is a draft: it decides nothing and is stored nowhere. */
export interface Assistant {
  /** Its name, shown beside what it wrote. */
  readonly model: string;
  /** Null where it does not answer, in time or at all, or with nothing that can be used: nothing of ours depends on it. */
  draftReview(material: ReviewMaterial): Promise<{ readonly text: string } | null>;
}
