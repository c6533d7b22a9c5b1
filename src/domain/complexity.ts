import type { Language, LintFinding } from './check-runs.ts';

/**
 * Complexity of functions in languages that mark blocks by braces, for which no linter is at hand: a simple reading of the text without
 * comments and literals. A macro or a template that hides braces is read wrongly; the worst of that is one warning.
 */

type BraceLanguage = Exclude<Language, 'javascript' | 'typescript' | 'python'>;

/** The same as the linters of the other languages are set to (runner/analysis-*.json). */
const limits = { branches: 12, depth: 4, lines: 60 } as const;

/** Comments, directives, and literals in which a brace means nothing. A Rust lifetime and a digit separator are no literals. */
const noise =
  /^[ \t]*#[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|(?![\s\S]))|"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\[^\n]{1,8})'/gm;

const branch: Readonly<Record<BraceLanguage, RegExp>> = {
  c: /\b(?:if|for|while|case)\b|&&|\|\||\?/g,
  cpp: /\b(?:if|for|while|case|catch)\b|&&|\|\||\?/g,
  java: /\b(?:if|for|while|case|catch)\b|&&|\|\||\s\?\s/g,
  go: /\b(?:if|for|case)\b|&&|\|\|/g,
  rust: /\b(?:if|for|while|loop)\b|&&|\|\||=>/g,
};

/** Begins what stands before the brace of a block inside of a function. */
const control = /^\s*(?:else\b|if\b|for\b|while\b|do\b|switch\b|try\b|catch\b|finally\b|match\b|loop\b|select\b|synchronized\b)/;

/** What stands before the brace of something that holds functions, and is none. */
const container = /\b(?:class|struct|union|enum|interface|record|namespace|impl|trait|mod|new)\b/;

interface OpenFunction {
  readonly name: string;
  readonly line: number;
  /** For each brace that is open inside, whether it is that of a branch or a loop. */
  readonly braces: boolean[];
  branches: number;
  /** Of branches and loops, here and at the deepest. */
  depth: number;
  maxDepth: number;
  /** With code on them: blanks and comments make nothing more complex. */
  lines: number;
}

/** Names and keywords are at the start of a head. */
const maxHeadLength = 300;

/** The name of the function whose head this is; null where it is none. */
function functionName(head: string): string | null {
  if (control.test(head) || container.test(head)) return null;
  return /([\w~]+)\s*(?:<[^()]*>)?\s*\(/.exec(head.replace(/^\s*func\s*\([^)]*\)/, ''))?.[1] ?? null;
}

/** One warning for each way in which a function is too complex. */
export function measureComplexity(
  language: BraceLanguage,
  files: readonly { readonly path: string; readonly text: string }[],
): LintFinding[] {
  return files.flatMap(({ path, text }) => findingsOf(language, path, text));
}

function findingsOf(language: BraceLanguage, file: string, text: string): LintFinding[] {
  // Line ends stay, so that lines keep their numbers.
  const code = text.replaceAll(noise, (literal) => literal.replaceAll(/[^\n]/g, ' '));
  const findings: LintFinding[] = [];
  let open: OpenFunction | null = null;
  let line = 1;
  let codeLine = 0;
  let head = { text: '', line: 1, parentheses: 0 };
  for (const [part] of code.matchAll(/[{};()\n]|[^{};()\n]+/g)) {
    if (part === '\n') {
      line += 1;
      head.text += ' ';
      continue;
    }
    if (open !== null && part.trim() !== '' && codeLine !== line) {
      open.lines += 1;
      codeLine = line;
    }
    if (part === '{') {
      const name: string | null = open === null ? functionName(head.text) : null;
      if (name !== null) open = { name, line: head.line, braces: [], branches: 1, depth: 0, maxDepth: 0, lines: 1 };
      else if (open !== null) {
        const isControl = control.test(head.text);
        open.braces.push(isControl);
        if (isControl) open.depth += 1;
        open.maxDepth = Math.max(open.maxDepth, open.depth);
      }
    } else if (part === '}' && open !== null) {
      const isControl = open.braces.pop();
      if (isControl === true) open.depth -= 1;
      if (isControl === undefined) {
        findings.push(...judge(open, file));
        open = null;
      }
    } else if (part !== '}' && (part !== ';' || head.parentheses > 0)) {
      // A loop's head has semicolons of its own.
      if (head.text.trim() === '') head.line = line;
      head.text = (head.text + part).slice(0, maxHeadLength);
      if (part === '(') head.parentheses += 1;
      if (part === ')') head.parentheses -= 1;
      if (open !== null) open.branches += part.match(branch[language])?.length ?? 0;
      continue;
    }
    head = { text: '', line, parentheses: 0 };
  }
  return findings;
}

function judge({ name, line, branches, maxDepth: depth, lines }: OpenFunction, file: string): LintFinding[] {
  const found = (rule: string, message: string): LintFinding => ({ file, line, rule, severity: 'warning', message });
  return [
    ...(branches > limits.branches
      ? [found('complexity', `${name} has a complexity of ${branches}. Maximum allowed is ${limits.branches}.`)]
      : []),
    ...(depth > limits.depth
      ? [found('max-depth', `Blocks of ${name} are nested ${depth} deep. Maximum allowed is ${limits.depth}.`)]
      : []),
    ...(lines > limits.lines ? [found('max-lines', `${name} has ${lines} lines. Maximum allowed is ${limits.lines}.`)] : []),
  ];
}
