import { newId } from '../database/columns.ts';
import { ReferenceMeasure } from '../database/entities/exercises.ts';
import type { Em } from '../database/orm.ts';
import type { Language } from '../domain/check-runs.ts';
import type { Measure } from '../domain/score.ts';

/** What a measure is of: times of other revisions, languages, machines and images do not compare. */
export interface MeasureKey {
  readonly revisionId: string;
  readonly language: Language;
  readonly sandboxIdentity: string;
}

/** What the exercise's own solution takes; null where it has not been measured. */
export async function selectOptionalReferenceMeasure(em: Em, key: MeasureKey): Promise<Measure | null> {
  const { revisionId: revision, language, sandboxIdentity } = key;
  const row = await em.findOne(ReferenceMeasure, { revision, language, sandboxIdentity });
  return row === null ? null : { cpuTimeMs: row.cpuTimeMs, memoryPeakBytes: row.memoryPeakBytes };
}

/** Stores a measure and returns what is stored: the first one stays, so that all submissions are held against the same. */
export async function insertReferenceMeasure(em: Em, key: MeasureKey, measure: Measure): Promise<Measure> {
  const { cpuTimeMs, memoryPeakBytes } = await em.upsert(
    ReferenceMeasure,
    {
      id: newId(),
      createdAt: new Date(),
      revision: key.revisionId,
      language: key.language,
      sandboxIdentity: key.sandboxIdentity,
      ...measure,
    },
    { onConflictFields: ['revision', 'language', 'sandboxIdentity'], onConflictAction: 'ignore' },
  );
  return { cpuTimeMs, memoryPeakBytes };
}
