import { z } from 'zod';
import { languageNames } from '../domain/check-runs.ts';
import { defaultRubric, testStyles } from '../domain/exercises.ts';

/** The format of course.json and exercise.json; docs/content.md describes it to those who write content. */

const slug = z
  .string()
  .max(60)
  .regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'use small letters, digits and single hyphens');
const title = z.string().trim().min(1).max(120);
const summary = z.string().trim().min(1).max(300);
const positive = z.int().positive();
const points = z.int().nonnegative().max(1000);

const isEachOnce = (items: readonly string[]) => new Set(items).size === items.length;

/** These paths become files of a git repository and of a sandbox: no way out of the folder and nothing that git or a shell reads otherwise. */
export const relativePath = z
  .string()
  .max(200)
  .regex(/^[\w.-]+(\/[\w.-]+)*$/, 'use letters, digits, "_", ".", "-" in names, with "/" between them')
  .refine((path) => !path.split('/').some((name) => ['.', '..', '.git'].includes(name.toLowerCase())), 'no ".", ".." or ".git"');

export const courseManifest = z.strictObject({
  slug,
  title,
  summary,
  /** The exercise that an enrolment assigns first. */
  starter: slug,
  exercises: z.array(slug).min(1).max(200),
});

/** What both kinds of exercise have. */
const commonFields = {
  slug,
  title,
  language: z.enum(languageNames),
  difficulty: z.enum(['easy', 'medium', 'hard']),
  xp: positive.max(10_000),
  /** Id of the exercise for good: a renamed exercise keeps its history. */
  uuid: z.uuid(),
  summary,
  limits: z
    .strictObject({
      cpuTimeMs: positive,
      wallTimeMs: positive,
      memoryBytes: positive,
      processes: positive,
      outputBytes: positive,
      diskBytes: positive,
      fileCount: positive.default(4096),
    })
    .readonly(),
  rubric: z
    .strictObject({ quality: points, documentation: points, performance: points })
    .refine(({ quality, documentation, performance }) => quality + documentation + performance > 0, 'give points to one of them')
    .readonly()
    .default(defaultRubric),
  /** Share of the points with which the checks pass although tests fail; null: all tests have to pass. */
  passPercent: z.int().min(1).max(100).nullable().default(null),
};

const lint = z.strictObject({ config: relativePath.regex(/^lint\/[^/]+$/, 'name a file of lint/') }).readonly();

/** How much of the points one test or case gets, beside those that weigh 1. */
const weights = z.record(z.string(), positive.max(1000));

const tests = z
  .strictObject({
    files: z.array(relativePath.startsWith('test/')).min(1).refine(isEachOnce, 'a file is named twice').readonly(),
    /** How many test cases these files report: the verdict takes exactly that many. */
    count: positive,
    /** Shared by the tests. */
    points: points.default(50),
    /** By the name of a test, as its report has it; the others weigh 1. */
    weights: weights.default({}),
  })
  .readonly();

const projectManifest = z.strictObject({
  ...commonFields,
  kind: z.literal('project'),
  testStyle: z.enum(testStyles).default('shared-process'),
  tests: z.strictObject({ visible: tests, hidden: tests }).readonly(),
  /** In place of the language's own test runner. */
  command: z
    .strictObject({ argv: z.array(z.string().min(1).max(1000)).min(1).max(50).readonly(), report: z.enum(['junit', 'tap']) })
    .readonly()
    .nullable()
    .default(null),
  lint,
});

const tolerance = z.number().min(0).max(1).default(0);

const comparison = z
  .discriminatedUnion('mode', [
    z.strictObject({ mode: z.literal('exact') }).readonly(),
    z.strictObject({ mode: z.literal('tokens'), isCaseSensitive: z.boolean().default(true) }).readonly(),
    z
      .strictObject({ mode: z.literal('numeric'), absolute: tolerance, relative: tolerance })
      .refine(({ absolute, relative }) => absolute + relative > 0, 'give an absolute or a relative tolerance')
      .readonly(),
    z
      .strictObject({
        mode: z.literal('checker'),
        language: z.enum(languageNames),
        path: relativePath.regex(/^checker\//, 'name a file of checker/'),
      })
      .readonly(),
  ])
  .default({ mode: 'tokens', isCaseSensitive: true });

const group = z.strictObject({
  /** Of its folder below cases/. */
  name: slug,
  /** Samples: students see input, expected output and the difference. */
  isVisible: z.boolean().default(false),
  points,
  /** `each`: every case brings its share; `all`: the points come when all cases pass. */
  scoring: z.enum(['each', 'all']).default('each'),
  /** By case name. */
  hints: z.record(z.string(), z.string().trim().min(1).max(300)).default({}),
  /** By case name. */
  weights: weights.default({}),
});

const programManifest = z.strictObject({
  ...commonFields,
  kind: z.literal('program'),
  languages: z.array(z.enum(languageNames)).min(1).refine(isEachOnce, 'a language is named twice').readonly(),
  comparison,
  groups: z
    .array(group)
    .min(1)
    .max(20)
    .refine((groups) => isEachOnce(groups.map(({ name }) => name)), 'two groups have one name')
    .refine((groups) => groups.some(({ isVisible }) => isVisible), 'make one of them visible: students need a sample')
    .refine((groups) => groups.some((each) => each.points > 0), 'give points to one of them')
    .readonly(),
  lint: lint.optional(),
});

export type ProjectManifest = z.output<typeof projectManifest>;
export type ProgramManifest = z.output<typeof programManifest>;

export const exerciseManifest = z.discriminatedUnion('kind', [
  projectManifest,
  programManifest.refine(({ language, languages }) => languages.includes(language), {
    path: ['languages'],
    message: "name the exercise's own language, too",
  }),
]);
export type ExerciseManifest = z.output<typeof exerciseManifest>;

/** Content that cannot be used. The message names the file and says what to do; it is meant for whoever writes the content. */
export class ContentError extends Error {
  constructor(path: string, problem: string, options?: ErrorOptions) {
    super(`${path}: ${problem}`, options);
    this.name = 'ContentError';
  }
}

/** What a schema found wrong, on one line. */
export function problemsOf(error: z.ZodError): string {
  return error.issues.map((issue) => [issue.path.join('.'), issue.message].filter(Boolean).join(': ')).join('; ');
}

/** Reads the text of a JSON file by its schema. @throws ContentError */
export function parseJson<Schema extends z.ZodType>(schema: Schema, path: string, text: string): z.output<Schema> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ContentError(path, `is not JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  const result = schema.safeParse(value);
  if (!result.success) throw new ContentError(path, `correct it: ${problemsOf(result.error)}`);
  return result.data;
}

/** Orders by code unit, so that order and hash are the same under every locale. */
export function compareText(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
