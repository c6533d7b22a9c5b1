import type { Language, LintFinding } from '../domain/check-runs.ts';
import { reportText } from './report-text.ts';

const maxFindings = 200;
const maxMessageLength = 500;
const maxLineLength = 2000;

/** `main.c:3:7: warning: unused variable 'x' [-Wunused-variable]`: gcc, g++, and rustc in its short form. */
const columned = /^([^\s:][^:]*):(\d+):\d+: warning: (.*?)(?: \[([\w+=-]+)\])?$/;

/** `Main.java:3: warning: [rawtypes] found raw type: List`: javac. */
const java = /^([^\s:][^:]*\.java):(\d+): warning: (?:\[([\w-]+)\] )?(.*)$/;

/** `./main.go:5:2: result of fmt.Sprint call not used`: go vet, whose findings are all warnings. */
const vet = /^(?:vet: )?([^\s:][^:]*\.go):(\d+):\d+: (.*)$/;

/** The line after `warning: unused variable` in rustc's long form. */
const rustPlace = /^\s*--> ([^:]+):(\d+):\d+$/;

/**
 * The warnings among what a compiler said of these files, as findings of a linter. Lines that are of no known form are left out: they
 * quote the source, or explain.
 */
export function parseCompilerWarnings(language: Language, output: string, isOwn: (path: string) => boolean): LintFinding[] {
  const findings: LintFinding[] = [];
  const add = (path: string, line: string, rule: string | undefined, message: string) => {
    const file = path.replace(/^(?:\.\/|\/box\/)/, '');
    if (!isOwn(file) || findings.length >= maxFindings) return;
    findings.push({
      file,
      line: Math.min(Number(line), 2 ** 31 - 1),
      rule: rule ?? 'compiler',
      severity: 'warning',
      message: reportText(message, maxMessageLength),
    });
  };
  let rustMessage: string | undefined;
  for (const fullLine of output.split('\n')) {
    const line = fullLine.slice(0, maxLineLength).trimEnd();
    const [, file, at, message = '', rule] = columned.exec(line) ?? [];
    const [, javaFile, javaAt, javaRule, javaMessage = ''] = java.exec(line) ?? [];
    const [, goFile, goAt, goMessage = ''] = (language === 'go' && vet.exec(line)) || [];
    const [, rustFile, rustAt] = rustPlace.exec(line) ?? [];
    if (file !== undefined && at !== undefined) add(file, at, rule, message);
    else if (javaFile !== undefined && javaAt !== undefined) add(javaFile, javaAt, javaRule, javaMessage);
    else if (goFile !== undefined && goAt !== undefined) add(goFile, goAt, 'vet', goMessage);
    else if (rustFile !== undefined && rustAt !== undefined && rustMessage !== undefined) {
      add(rustFile, rustAt, undefined, rustMessage);
      rustMessage = undefined;
    } else if (language === 'rust') rustMessage = /^warning: (.*)$/.exec(line)?.[1] ?? (line === '' ? undefined : rustMessage);
  }
  return findings;
}
