import { readFileSync } from 'node:fs';

const words = readFileSync(0, 'utf8').trim().split(/\s+/);
console.log(words.reduce((sum, word) => sum + Number(word), 0));
