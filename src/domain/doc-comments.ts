import type { Language } from './check-runs.ts';
import type { Documentable, Documentation } from './score.ts';

/**
 * Documentation found by a simple reading of the lines, for all languages but Python, whose own parser is asked in the sandbox. What
 * counts as documented is a comment that ends on the line right before a definition, annotations between them not counted.
 *
 * Known to be missed: definitions that start in the middle of a line or whose head begins on another line than its name.
 */

interface Style {
  /** File names that are of the language. */
  readonly file: RegExp;
  /** Each matches a line with a definition and its name in the first group. */
  readonly definitions: readonly RegExp[];
  /** Whether a definition is for others; where a file has none of these, all of its definitions count: a program exports nothing. */
  readonly isPublic: (line: string, name: string) => boolean;
  /** Names of a list such as `export { a, b }`, which are for others, too; in the first group. */
  readonly exportLists: readonly RegExp[];
  /** Start of a comment that documents; others only explain. */
  readonly comment: RegExp;
  /** Called by the system, not by others. */
  readonly entryPoints: readonly string[];
}

const javascript: Style = {
  file: /\.[cm]?[jt]sx?$/,
  definitions: [
    /^(?:export\s+)?(?:default\s+)?(?:async\s+)?function\s*\*?\s*([\w$]+)/,
    /^(?:export\s+)?(?:default\s+)?(?:abstract\s+)?class\s+([\w$]+)/,
    /^(?:export\s+)?(?:const|let|var)\s+([\w$]+)\s*(?::[^=]*)?=\s*(?:async\s*)?(?:function\b|\(|[\w$]+\s*=>)/,
    /^(?:module\.)?exports\.([\w$]+)\s*=\s*(?:async\s*)?(?:function\b|class\b|\(|[\w$]+\s*=>)/,
  ],
  isPublic: (line) => /^(?:export\b|(?:module\.)?exports\.)/.test(line),
  exportLists: [
    /^export\s*\{([^}]{0,4000})\}/gm,
    /^module\.exports\s*=\s*\{([^}]{0,4000})\}/gm,
    /^module\.exports\s*=\s*([\w$]+)\s*;?$/gm,
  ],
  comment: /^\/\*\*/,
  entryPoints: ['main'],
};

const c: Style = {
  file: /\.(?:c|h|cc|cpp|cxx|hh|hpp)$/,
  definitions: [/^(?!(?:else|return|typedef|using|namespace)\b)[A-Za-z_][\w\s*&:<>,~]*[\s*&]~?(?:\w+::)?~?(\w+)\s*\([^;]*$/],
  isPublic: (line) => !/^static\b/.test(line),
  exportLists: [],
  comment: /^\/[/*]/,
  entryPoints: ['main'],
};

const styles: Readonly<Record<Exclude<Language, 'python'>, Style>> = {
  javascript,
  typescript: javascript,
  c,
  cpp: {
    ...c,
    definitions: [...c.definitions, /^(?:template\s*<.*>\s*)?(?:class|struct)\s+(\w+)[^;]*$/],
  },
  java: {
    file: /\.java$/,
    definitions: [
      /^\s*(?:(?:public|protected|private|static|final|abstract|sealed)\s+)*(?:class|interface|enum|record)\s+(\w+)/,
      /^\s+(?:(?:public|protected|private|static|final|abstract|synchronized|default)\s+)+(?:<[^()]*>\s+)?(?:[\w.[\]]+(?:<[^()]*>)?\s+)?(\w+)\s*\([^;]*$/,
    ],
    isPublic: (line) => !/^\s*private\b/.test(line),
    exportLists: [],
    comment: /^\/\*\*/,
    entryPoints: ['main'],
  },
  go: {
    file: /(?<!_test)\.go$/,
    definitions: [/^func\s+(?:\([^)]*\)\s*)?(\w+)/, /^type\s+(\w+)\s+(?:struct|interface)/],
    isPublic: (_line, name) => /^\p{Lu}/u.test(name),
    exportLists: [],
    comment: /^\/[/*]/,
    entryPoints: ['main', 'init'],
  },
  rust: {
    file: /\.rs$/,
    definitions: [/^\s*(?:pub(?:\([^)]*\))?\s+)?(?:(?:async|unsafe|const)\s+)*(?:fn|struct|enum|trait)\s+(\w+)/],
    isPublic: (line) => /^\s*pub\b/.test(line),
    exportLists: [],
    comment: /^(?:\/\/\/|\/\*\*)/,
    entryPoints: ['main'],
  },
};

/** Lines are code of people; what is longer is data or minified, and would make the patterns slow. */
const maxLineLength = 400;

/** A line between a comment and what it documents: an attribute, an annotation, a decorator, a template's head. */
const annotation = /^\s*(?:@|#\[|\[\[|template\b.*>\s*$)/;

/** Whether a comment says anything: `/** *\/` and a row of dashes do not. */
const saysSomething = (comment: string) => /\p{L}{2}/u.test(comment);

/** The files among these that are of the language. */
export const isSourceOf = (language: Language, path: string): boolean =>
  language === 'python' ? path.endsWith('.py') : styles[language].file.test(path);

interface Definition extends Documentable {
  readonly isPublic: boolean;
}

/** What others use of one file of source. */
function definitionsOf(style: Style, file: string, text: string): Definition[] {
  const exported = new Set(
    style.exportLists.flatMap((list) => [...text.matchAll(list)].flatMap(([, names = '']) => names.match(/[\w$]+/g) ?? [])),
  );
  const found: Definition[] = [];
  let comment = '';
  let isInComment = false;
  text.split('\n').forEach((fullLine, index) => {
    const line = fullLine.slice(0, maxLineLength).trimEnd();
    const trimmed = line.trimStart();
    if (isInComment) {
      comment += `\n${trimmed}`;
      isInComment = !trimmed.includes('*/');
    } else if (trimmed.startsWith('/*')) {
      comment = trimmed;
      isInComment = !trimmed.includes('*/', 2);
    } else if (trimmed.startsWith('//')) {
      comment = comment.startsWith('//') ? `${comment}\n${trimmed}` : trimmed;
    } else if (!annotation.test(line)) {
      const name = style.definitions.map((pattern) => pattern.exec(line)?.[1]).find((match) => match !== undefined);
      if (name !== undefined && !style.entryPoints.includes(name)) {
        const isDocumented = style.comment.test(comment) && saysSomething(comment);
        const isPublic = exported.has(name) || style.isPublic(line, name);
        found.push({ file, line: index + 1, name, isDocumented, isPublic });
      }
      comment = '';
    }
  });
  return found;
}

/** A comment at the very head of a file, after an interpreter's line. */
function hasHead(text: string): boolean {
  const [head = ''] = /^\s*(?:\/\*[\s\S]{0,4000}?\*\/|(?:\/\/[^\n]*\n\s*)+)/.exec(text.replace(/^#![^\n]*\n/, '')) ?? [];
  return saysSomething(head);
}

/**
 * What a submission's files of one language document. Where a file has nothing that is marked as public or exported, all of its top
 * definitions count: a program exports nothing, and others read it all the same.
 */
export function readDocComments(
  language: Exclude<Language, 'python'>,
  files: readonly { readonly path: string; readonly text: string }[],
): Documentation {
  const style = styles[language];
  const things = files.flatMap(({ path, text }) => {
    const all = definitionsOf(style, path, text);
    const isExporting = all.some(({ isPublic }) => isPublic);
    return all
      .filter(({ isPublic }) => isPublic || !isExporting)
      .map(({ file, line, name, isDocumented }) => ({ file, line, name, isDocumented }));
  });
  return { things, hasOverview: files.some(({ text }) => hasHead(text)) };
}
